//! A set of pieces as bits.

/// Pieces of a payload, one bit each.
#[derive(Clone, PartialEq, Eq)]
pub struct BitSet {
    words: Vec<u64>,
    length: u32,
    ones: u32,
}

impl std::fmt::Debug for BitSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BitSet({} of {})", self.ones, self.length)
    }
}

impl BitSet {
    /// An empty set of numbers below `length`.
    pub fn new(length: u32) -> Self {
        Self { words: vec![0; (length as usize).div_ceil(64)], length, ones: 0 }
    }

    /// All numbers below `length`.
    pub fn full(length: u32) -> Self {
        let mut set = Self::new(length);
        (0..length).for_each(|index| {
            set.insert(index);
        });
        set
    }

    /// Reads a BitTorrent bit field: most significant bit first. `None` if it is of another length or has spare bits set.
    pub fn from_bytes(bytes: &[u8], length: u32) -> Option<Self> {
        if bytes.len() != (length as usize).div_ceil(8) {
            return None;
        }
        let mut set = Self::new(length);
        for (word, chunk) in set.words.iter_mut().zip(bytes.chunks(8)) {
            let mut padded = [0; 8];
            padded[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_le_bytes(padded.map(u8::reverse_bits));
        }
        let spare = set.words.len() as u32 * 64 - length;
        let clean = set.words.last().is_none_or(|word| spare == 0 || word >> (64 - spare) == 0);
        set.ones = set.words.iter().map(|word| word.count_ones()).sum();
        clean.then_some(set)
    }

    /// Writes a BitTorrent bit field.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            self.words.iter().flat_map(|word| word.to_le_bytes().map(u8::reverse_bits)).collect();
        bytes.truncate((self.length as usize).div_ceil(8));
        bytes
    }

    /// Numbers that may be in it are below this.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// How many are in it.
    pub fn count(&self) -> u32 {
        self.ones
    }

    /// None is in it.
    pub fn is_empty(&self) -> bool {
        self.ones == 0
    }

    /// Every number is in it.
    pub fn is_full(&self) -> bool {
        self.ones == self.length
    }

    /// Whether a number is in it.
    pub fn contains(&self, index: u32) -> bool {
        self.words.get(index as usize / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Puts a number in; whether it was not there. Numbers beyond the length are ignored.
    pub fn insert(&mut self, index: u32) -> bool {
        if index >= self.length || self.contains(index) {
            return false;
        }
        self.words[index as usize / 64] |= 1 << (index % 64);
        self.ones += 1;
        true
    }

    /// Takes a number out; whether it was there.
    pub fn remove(&mut self, index: u32) -> bool {
        if !self.contains(index) {
            return false;
        }
        self.words[index as usize / 64] &= !(1 << (index % 64));
        self.ones -= 1;
        true
    }

    /// All numbers in it, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| Ones(*word).map(move |bit| at as u32 * 64 + bit))
    }

    /// How many are in both sets.
    pub fn common(&self, other: &Self) -> u32 {
        self.words.iter().zip(&other.words).map(|(a, b)| (a & b).count_ones()).sum()
    }

    /// The number at place `place` among those in both sets.
    pub fn nth_common(&self, other: &Self, mut place: u32) -> Option<u32> {
        for (at, (a, b)) in self.words.iter().zip(&other.words).enumerate() {
            let both = a & b;
            let ones = both.count_ones();
            if place < ones {
                return Ones(both).nth(place as usize).map(|bit| at as u32 * 64 + bit);
            }
            place -= ones;
        }
        None
    }
}

/// The places of the ones in a word, lowest first.
struct Ones(u64);

impl Iterator for Ones {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let bit = (self.0 != 0).then(|| self.0.trailing_zeros())?;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bit_field_starts_with_the_most_significant_bit_and_has_no_spare_ones() {
        let set = BitSet::from_bytes(&[0b1000_0001, 0b0100_0000], 10).unwrap();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 7, 9]);
        assert!(BitSet::from_bytes(&[0, 0b0010_0000], 10).is_none());
        assert!(BitSet::from_bytes(&[0], 10).is_none());
        assert!(BitSet::from_bytes(&[], 0).is_some());
        assert!(BitSet::full(130).is_full());
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_set(length in 1u32..300, ops in prop::collection::vec((any::<bool>(), 0u32..300), 0..200)) {
            let mut set = BitSet::new(length);
            let mut model = BTreeSet::new();
            for (insert, index) in ops {
                if insert {
                    prop_assert_eq!(set.insert(index), index < length && model.insert(index));
                } else {
                    prop_assert_eq!(set.remove(index), model.remove(&index));
                }
            }
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.count() as usize, model.len());
            let other = BitSet::from_bytes(&set.to_bytes(), length).unwrap();
            prop_assert_eq!(&other, &set);
            let every_third: Vec<u32> = (0..length).filter(|i| i % 3 == 0).collect();
            let mut thirds = BitSet::new(length);
            every_third.iter().for_each(|i| { thirds.insert(*i); });
            let both: Vec<u32> = every_third.into_iter().filter(|i| model.contains(i)).collect();
            prop_assert_eq!(set.common(&thirds) as usize, both.len());
            for (place, index) in both.iter().enumerate() {
                prop_assert_eq!(set.nth_common(&thirds, place as u32), Some(*index));
            }
            prop_assert_eq!(set.nth_common(&thirds, both.len() as u32), None);
        }
    }
}
