use crate::swarm::bitset::BitSet;

/// Pieces that nobody was asked for yet, in buckets by how many peers have them.
#[derive(Debug, Clone)]
pub(super) struct Rarity {
    counts: Vec<u16>,
    fresh: BitSet,
    /// The fresh pieces with so many copies as the index says.
    buckets: Vec<BitSet>,
}

impl Rarity {
    pub(super) fn new(length: u32) -> Self {
        Self { counts: vec![0; length as usize], fresh: BitSet::new(length), buckets: Vec::new() }
    }

    pub(super) fn fresh(&self) -> &BitSet {
        &self.fresh
    }

    pub(super) fn copies(&self, piece: u32) -> u16 {
        self.counts.get(piece as usize).copied().unwrap_or(0)
    }

    /// One more peer has it.
    pub(super) fn gain(&mut self, piece: u32) {
        self.change(piece, |count| count.saturating_add(1));
    }

    /// A peer that had it is gone.
    pub(super) fn lose(&mut self, piece: u32) {
        self.change(piece, |count| count.saturating_sub(1));
    }

    fn change(&mut self, piece: u32, to: impl Fn(u16) -> u16) {
        let Some(count) = self.counts.get_mut(piece as usize) else { return };
        let old = *count;
        *count = to(old);
        let new = *count;
        if self.fresh.contains(piece) {
            self.bucket(old).remove(piece);
            self.bucket(new).insert(piece);
        }
    }

    /// A piece is to be asked for. Whether it was not fresh before.
    pub(super) fn put(&mut self, piece: u32) -> bool {
        let is_new = self.fresh.insert(piece);
        if is_new {
            self.bucket(self.copies(piece)).insert(piece);
        }
        is_new
    }

    /// A piece is asked for, or no longer needed. Whether it was fresh.
    pub(super) fn take(&mut self, piece: u32) -> bool {
        let was = self.fresh.remove(piece);
        if was {
            self.bucket(self.copies(piece)).remove(piece);
        }
        was
    }

    /// A fresh piece that is in `has`, of the fewest copies; each of these equally likely.
    pub(super) fn rarest(&self, has: &BitSet, random: &mut fastrand::Rng) -> Option<u32> {
        self.buckets.iter().filter(|bucket| !bucket.is_empty()).find_map(|bucket| {
            let choice = bucket.common(has);
            (choice > 0).then(|| bucket.nth_common(has, random.u32(..choice))).flatten()
        })
    }

    fn bucket(&mut self, count: u16) -> &mut BitSet {
        let index = usize::from(count);
        if self.buckets.len() <= index {
            self.buckets.resize(index + 1, BitSet::new(self.fresh.length()));
        }
        &mut self.buckets[index]
    }
}
