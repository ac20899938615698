use std::time::Duration;

use bytes::Bytes;

use super::core::State;
use super::handle::{EngineError, Event};
use super::links::{Key, Outgoing, Upload};
use super::storage::{Done, sha1};
use crate::control::HostId;
use crate::swarm::bitset::BitSet;
use crate::swarm::picker::{Arrival, Ask};
use crate::swarm::wire::{BLOCK, Message};

/// A peer does what no client does.
#[derive(Debug, thiserror::Error)]
#[error("the peer {0}")]
pub(super) struct Misbehaved(&'static str);

impl From<Misbehaved> for std::io::Error {
    fn from(error: Misbehaved) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// A block of a piece that had another hash, kept until it is known whose fault it was.
#[derive(Debug)]
pub(super) struct Suspect {
    from: Key,
    block: usize,
    hash: [u8; 20],
}

impl State {
    /// Takes a message of a peer.
    pub(super) fn message(
        &mut self,
        key: Key,
        message: &Message<'_>,
        now: Duration,
    ) -> Result<(), Misbehaved> {
        match message {
            Message::Piece(piece) => {
                let (block, _) = piece.data();
                self.block(key, piece.index, piece.begin, block, now)?;
            }
            Message::Have(piece) => {
                if *piece >= self.pieces.count() {
                    return Err(Misbehaved("has a piece that does not exist"));
                }
                self.picker.has(key, *piece);
            }
            Message::Bitfield(bits) => {
                let has = BitSet::from_bytes(bits.as_ref(), self.pieces.count())
                    .ok_or(Misbehaved("sent a bit field of the wrong size"))?;
                self.picker.bitfield(key, &has);
            }
            Message::Choke => self.picker.choke(key),
            Message::Unchoke => self.picker.unchoke(key),
            Message::Request(request) => {
                let have = self.picker.have().contains(request.index);
                let Some(link) = self.links.get_mut(&key) else { return Ok(()) };
                if !have || !link.asked(request, &self.pieces) {
                    return Err(Misbehaved("asked for what it cannot have"));
                }
            }
            Message::Cancel(request) => {
                if let Some(link) = self.links.get_mut(&key) {
                    link.unasked(request, &self.pieces);
                }
            }
            Message::KeepAlive | Message::Interested | Message::NotInterested | Message::Extended(_) => {}
        }
        Ok(())
    }

    /// Asks a peer for as much as it should be asked for now. Does not wake its connection.
    pub(super) fn fill(&mut self, key: Key, now: Duration) -> bool {
        let Some(link) = self.links.get_mut(&key) else { return false };
        let mut any = false;
        while let Some(ask) = self.picker.next(key, now) {
            link.send(Outgoing::Request(ask));
            any = true;
        }
        any
    }

    fn block(
        &mut self,
        key: Key,
        piece: u32,
        begin: u32,
        bytes: &[u8],
        now: Duration,
    ) -> Result<(), Misbehaved> {
        let ask = Ask { piece, block: begin / BLOCK };
        let size = self.pieces.block_size(piece, ask.block);
        if !begin.is_multiple_of(BLOCK) || size == 0 || bytes.len() != size as usize {
            return Err(Misbehaved("sent a block that was not asked for"));
        }
        let Some(link) = self.links.get_mut(&key) else { return Ok(()) };
        link.last_block = now;
        self.counters.received(link.who.host, u64::from(size));
        let Arrival::First { complete, cancel } = self.picker.arrived(key, ask, now) else {
            self.counters.duplicate += u64::from(size);
            return Ok(());
        };
        if let Some(other) = cancel.and_then(|other| self.links.get_mut(&other)) {
            other.cancel(ask);
        }
        let length = self.pieces.size(piece) as usize;
        let buffer = self.buffers.entry(piece).or_insert_with(|| vec![0; length]);
        let begin = begin as usize;
        buffer[begin..begin + bytes.len()].copy_from_slice(bytes);
        if complete && let Some(bytes) = self.buffers.remove(&piece) {
            self.verify(piece, bytes);
        }
        Ok(())
    }

    fn verify(&mut self, piece: u32, bytes: Vec<u8>) {
        let Some(workers) = &self.workers else { return };
        match workers.verify(piece, bytes) {
            Ok(()) => self.verifying += 1,
            Err(_) => self.fail("verify a piece", std::io::Error::other("its thread is gone")),
        }
    }

    /// The disk's threads did something.
    pub(super) fn disk_done(&mut self, done: Done) {
        match done {
            Done::Verified { piece, bytes } => {
                self.verifying -= 1;
                self.verified(piece, &bytes);
            }
            Done::Wrong { piece, bytes } => {
                self.verifying -= 1;
                self.wrong(piece, &bytes);
            }
            Done::Read { slab, bytes } => {
                self.cache.insert(slab, bytes);
                for key in self.reading.remove(&slab).unwrap_or_default() {
                    if let Some(link) = self.links.get(&key) {
                        link.wake();
                    }
                }
            }
            Done::Failed { what, error } => self.fail(what, error),
        }
    }

    fn verified(&mut self, piece: u32, bytes: &Bytes) {
        self.picker.verified(piece);
        self.done_bytes += bytes.len() as u64;
        self.cache.insert_piece(piece, bytes);
        let now = self.now();
        for (key, link) in &mut self.links {
            link.tell_of(piece, self.picker.peer_has(*key, piece), now);
        }
        if let Some(suspects) = self.suspects.remove(&piece) {
            let guilty = suspects.into_iter().filter(|suspect| hash_of(bytes, suspect.block) != suspect.hash);
            for suspect in guilty.collect::<Vec<_>>() {
                self.blame(suspect.from, piece);
            }
        }
        if self.picker.have().is_full() {
            self.events.push_back(Event::Completed);
        }
    }

    fn wrong(&mut self, piece: u32, bytes: &[u8]) {
        let sources = self.picker.failed(piece);
        match sources.split_first() {
            Some((first, rest)) if rest.iter().all(|other| other == first) => self.blame(*first, piece),
            _ => {
                let suspects = sources.into_iter().enumerate().map(|(block, from)| Suspect {
                    from,
                    block,
                    hash: hash_of(bytes, block),
                });
                self.suspects.insert(piece, suspects.collect());
            }
        }
    }

    /// A peer sent wrong data: it is dropped, and its host is not spoken with again. The seeder may come back, for its
    /// data is checked before it is sent and without it nobody gets on.
    fn blame(&mut self, key: Key, piece: u32) {
        let host = self.names.get(&key).copied().flatten();
        if let Some(host) = host {
            if host != HostId::SEEDER && !self.banned.insert(host) {
                return;
            }
            self.events.push_back(Event::BadPiece { from: host, piece });
            if let Some(key) = self.by_host.get(&host).copied() {
                self.leave(key);
            }
        }
        self.leave(key);
    }

    /// The disk failed: nothing more can be fetched or sent.
    fn fail(&mut self, what: &'static str, error: std::io::Error) {
        if self.workers.take().is_none() {
            return;
        }
        self.events.push_back(Event::Failed(EngineError::Storage { what, error }));
        let keys: Vec<Key> = self.links.keys().copied().collect();
        keys.into_iter().for_each(|key| self.leave(key));
    }

    /// Lets all idle peers have a look at what can be asked for now.
    pub(super) fn fill_all(&mut self) {
        let now = self.now();
        let keys: Vec<Key> = self.links.keys().copied().collect();
        for key in keys {
            if self.fill(key, now)
                && let Some(link) = self.links.get(&key)
            {
                link.wake();
            }
        }
    }

    /// The bytes of a block that a peer asked for, if they are at hand; else they are read, and the peer is woken.
    pub(super) fn block_to_send(&mut self, key: Key, upload: Upload) -> Option<Bytes> {
        if let Some(slab) = self.cache.get(upload.slab) {
            let begin = (upload.begin - upload.slab.begin()) as usize;
            return Some(slab.slice(begin..begin + upload.length as usize));
        }
        let waiting = self.reading.entry(upload.slab).or_default();
        if waiting.is_empty() && !self.workers.as_ref().is_some_and(|workers| workers.read(upload.slab)) {
            self.reading.remove(&upload.slab);
            return None;
        }
        if !waiting.contains(&key) {
            waiting.push(key);
        }
        None
    }
}

fn hash_of(piece: &[u8], block: usize) -> [u8; 20] {
    let begin = piece.len().min(block * BLOCK as usize);
    sha1(&piece[begin..piece.len().min(begin + BLOCK as usize)])
}
