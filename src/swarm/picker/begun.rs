use std::time::Duration;

use super::PeerKey;

/// One block of a piece that is being fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    /// Nobody is asked for it.
    Free,
    /// Asked for.
    Asked {
        /// First of whom.
        by: PeerKey,
        /// When, of whom it was asked last.
        at: Duration,
        /// Also of this one, near the end.
        also: Option<PeerKey>,
    },
    /// Received.
    Here(PeerKey),
}

/// A piece that is being fetched.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub(super) blocks: Vec<Block>,
    /// Blocks that nobody is asked for.
    pub(super) free: u32,
    /// Blocks that are received.
    pub(super) here: u32,
    /// It failed its hash with blocks of several peers: now it comes from this one alone, to know whose fault it is.
    pub(super) only: Option<PeerKey>,
}

impl Begun {
    pub(super) fn new(blocks: u32, only: Option<PeerKey>) -> Self {
        Self { blocks: vec![Block::Free; blocks as usize], free: blocks, here: 0, only }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.here as usize == self.blocks.len()
    }

    /// Nothing of it is received or on its way.
    pub(super) fn is_untouched(&self) -> bool {
        self.free as usize == self.blocks.len()
    }

    /// Nobody is asked for any of it.
    pub(super) fn is_idle(&self) -> bool {
        (self.free + self.here) as usize == self.blocks.len()
    }

    pub(super) fn open_to(&self, peer: PeerKey) -> bool {
        self.only.is_none_or(|only| only == peer)
    }

    /// Takes the first block that nobody is asked for.
    pub(super) fn take_free(&mut self, peer: PeerKey, now: Duration) -> Option<u32> {
        let block = self.blocks.iter().position(|block| *block == Block::Free)?;
        self.blocks[block] = Block::Asked { by: peer, at: now, also: None };
        self.free -= 1;
        Some(block as u32)
    }

    /// The peer will not send that block. Whether it is free now.
    pub(super) fn release(&mut self, block: u32, peer: PeerKey) -> bool {
        let Some(state) = self.blocks.get_mut(block as usize) else { return false };
        let Block::Asked { by, at, also } = *state else { return false };
        *state = match also {
            Some(other) if by == peer => Block::Asked { by: other, at, also: None },
            Some(other) if other == peer => Block::Asked { by, at, also: None },
            None if by == peer => Block::Free,
            _ => return false,
        };
        let freed = *state == Block::Free;
        self.free += u32::from(freed);
        freed
    }

    /// The blocks that were asked for of one other peer alone: which, of whom, when.
    pub(super) fn asked_once(&self, peer: PeerKey) -> impl Iterator<Item = (u32, PeerKey, Duration)> {
        (0..).zip(&self.blocks).filter_map(move |(index, block)| match block {
            Block::Asked { by, at, also: None } if *by != peer => Some((index, *by, *at)),
            _ => None,
        })
    }

    /// Who sent each block.
    pub(super) fn sources(&self) -> Vec<PeerKey> {
        let blocks = self.blocks.iter();
        blocks.filter_map(|block| if let Block::Here(from) = block { Some(*from) } else { None }).collect()
    }
}
