use bytes::Bytes;

use crate::swarm::pieces::Pieces;

/// Bytes that are read and kept together: four blocks.
const SLAB: u32 = 64 << 10;

/// A part of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Slab {
    pub(super) piece: u32,
    index: u32,
}

impl Slab {
    /// The slab that holds all of a block, if one does.
    pub(super) fn of(piece: u32, begin: u32, length: u32) -> Option<Self> {
        let last = begin.checked_add(length.checked_sub(1)?)?;
        (begin / SLAB == last / SLAB).then_some(Self { piece, index: begin / SLAB })
    }

    /// Where it starts in its piece.
    pub(super) fn begin(self) -> u32 {
        self.index * SLAB
    }

    /// Its bytes.
    pub(super) fn size(self, pieces: &Pieces) -> u32 {
        pieces.size(self.piece).saturating_sub(self.begin()).min(SLAB)
    }
}

/// The parts of pieces that were verified, read or sent last: what is new is what all neighbours ask for.
#[derive(Debug)]
pub(super) struct Cache {
    entries: Vec<(Slab, Bytes, u64)>,
    bytes: usize,
    most: usize,
    clock: u64,
}

impl Cache {
    /// For at most so many bytes.
    pub(super) fn new(most: usize) -> Self {
        Self { entries: Vec::new(), bytes: 0, most, clock: 0 }
    }

    pub(super) fn insert_piece(&mut self, piece: u32, bytes: &Bytes) {
        let parts = (0..bytes.len()).step_by(SLAB as usize).zip(0..);
        for (begin, index) in parts {
            let end = bytes.len().min(begin + SLAB as usize);
            self.insert(Slab { piece, index }, bytes.slice(begin..end));
        }
    }

    pub(super) fn insert(&mut self, slab: Slab, bytes: Bytes) {
        if self.entries.iter().any(|(other, ..)| *other == slab) {
            return;
        }
        self.clock += 1;
        self.bytes += bytes.len();
        self.entries.push((slab, bytes, self.clock));
        while self.bytes > self.most && self.entries.len() > 1 {
            let oldest = self.entries.iter().enumerate().min_by_key(|(_, entry)| entry.2);
            let Some((place, _)) = oldest else { return };
            let (_, bytes, _) = self.entries.swap_remove(place);
            self.bytes -= bytes.len();
        }
    }

    pub(super) fn get(&mut self, slab: Slab) -> Option<Bytes> {
        let entry = self.entries.iter_mut().find(|(other, ..)| *other == slab)?;
        self.clock += 1;
        entry.2 = self.clock;
        Some(entry.1.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_what_was_used_last_and_no_more_than_it_may() {
        let mut cache = Cache::new(4 * SLAB as usize);
        let slab = |piece| Slab::of(piece, 0, 1).unwrap();
        for piece in 0..4 {
            cache.insert_piece(piece, &vec![piece as u8; SLAB as usize].into());
        }
        assert!(cache.get(slab(0)).is_some());
        cache.insert_piece(9, &vec![9; 2 * SLAB as usize].into());
        let kept: Vec<_> = (0..10).filter(|piece| cache.get(slab(*piece)).is_some()).collect();
        assert_eq!(kept, [0, 3, 9]);
        assert_eq!(cache.get(Slab::of(9, SLAB, 16384).unwrap()).unwrap()[..2], [9, 9]);
    }

    #[test]
    fn a_block_across_two_parts_is_in_none() {
        assert!(Slab::of(0, SLAB - 1, 2).is_none());
        assert!(Slab::of(0, SLAB - 1, 0).is_none());
        assert!(Slab::of(0, u32::MAX, 2).is_none());
        assert_eq!(Slab::of(0, 3 * SLAB / 4, SLAB / 4), Some(Slab { piece: 0, index: 0 }));
    }
}
