use std::io::{self, Read as _};

use super::digest::hex;

/// Bytes that a recipe takes at most: some three million files. An operator drops a larger one, a host refuses it.
pub const MOST_RECIPE: usize = 4 << 20;

/// zstd's level: a recipe of a release that hardly changed is nothing but zeros.
#[cfg(feature = "operator")]
const LEVEL: i32 = 3;

/// How a host makes stretches of an artifact from a release that it holds, the base: the frames that lie one after the other in the
/// artifact, and the files of the base whose contents, one after the other, fill them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// SHA-256 of the base's manifest.
    pub base: [u8; 32],
    pub(super) stretches: Vec<Remade>,
}

/// A stretch that can be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remade {
    /// Where its first frame starts in the artifact.
    pub(super) at: u64,
    /// Its part of the frame table.
    pub(super) table: Vec<u8>,
    /// Its files by their number among the files of the base's manifest: each as its distance from the one after the last, in zigzag
    /// and LEB128, so that files that follow each other are zeros.
    files: Vec<u8>,
    next: i64,
}

/// Why bytes are no recipe.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// They cannot be unpacked.
    #[error("the recipe cannot be unpacked: {0}")]
    Io(#[from] io::Error),
    /// A part is missing, or there is too much.
    #[error("the recipe is cut off or longer than {MOST_RECIPE} bytes")]
    Length,
}

impl Recipe {
    /// For sending; `None` if it is too large to be worth it.
    #[cfg(feature = "operator")]
    pub fn to_bytes(&self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = self.base.to_vec();
        for stretch in &self.stretches {
            bytes.extend(stretch.at.to_le_bytes());
            for part in [&stretch.table, &stretch.files] {
                bytes.extend((part.len() as u64).to_le_bytes());
                bytes.extend(part);
            }
        }
        if bytes.len() > MOST_RECIPE { Ok(None) } else { zstd::bulk::compress(&bytes, LEVEL).map(Some) }
    }

    /// As it was sent.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecipeError> {
        let mut unpacked = Vec::new();
        zstd::stream::read::Decoder::new(bytes)?.take(MOST_RECIPE as u64 + 1).read_to_end(&mut unpacked)?;
        if unpacked.len() > MOST_RECIPE {
            return Err(RecipeError::Length);
        }
        let mut rest = unpacked.as_slice();
        let base = *take(&mut rest).ok_or(RecipeError::Length)?;
        let mut stretches = Vec::new();
        while !rest.is_empty() {
            let at = number(&mut rest)?;
            let table = part(&mut rest)?;
            let files = part(&mut rest)?;
            stretches.push(Remade { at, table, files, next: 0 });
        }
        Ok(Self { base, stretches })
    }

    /// The base's manifest, hex.
    pub fn base_hex(&self) -> String {
        hex(&self.base)
    }
}

impl Remade {
    /// The numbers of its files, in their order.
    pub(super) fn files(&self) -> impl Iterator<Item = u64> {
        let mut rest = self.files.as_slice();
        let mut next = 0u64;
        std::iter::from_fn(move || {
            let distance = distance(&mut rest)?;
            let file = next.checked_add_signed(distance)?;
            next = file.checked_add(1)?;
            Some(file)
        })
    }

    /// Without files.
    #[cfg(feature = "operator")]
    pub(super) fn new(at: u64, table: &[u8]) -> Self {
        Self { at, table: table.to_vec(), files: Vec::new(), next: 0 }
    }

    /// Adds a file.
    #[cfg(feature = "operator")]
    pub(super) fn push(&mut self, file: u64) {
        let distance = file.cast_signed() - self.next;
        self.next = file.cast_signed() + 1;
        let mut zigzag = ((distance << 1) ^ (distance >> 63)).cast_unsigned();
        while zigzag >= 0x80 {
            self.files.push((zigzag & 0x7f) as u8 | 0x80);
            zigzag >>= 7;
        }
        self.files.push(zigzag as u8);
    }
}

/// `None` at the end, and where what comes is no number.
fn distance(rest: &mut &[u8]) -> Option<i64> {
    let mut zigzag = 0u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        zigzag |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed());
        }
    }
    None
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(first)
}

fn number(rest: &mut &[u8]) -> Result<u64, RecipeError> {
    take(rest).map(|bytes| u64::from_le_bytes(*bytes)).ok_or(RecipeError::Length)
}

fn part(rest: &mut &[u8]) -> Result<Vec<u8>, RecipeError> {
    let length = usize::try_from(number(rest)?).unwrap_or(usize::MAX);
    let (part, after) = rest.split_at_checked(length).ok_or(RecipeError::Length)?;
    *rest = after;
    Ok(part.to_vec())
}

#[cfg(test)]
#[cfg(feature = "operator")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn recipe(files: &[u64]) -> Recipe {
        let mut stretch = Remade::new(80, &[1, 2, 3, 4]);
        files.iter().for_each(|file| stretch.push(*file));
        stretch.next = 0;
        Recipe { base: [7; 32], stretches: vec![stretch.clone(), Remade { at: 99, ..stretch }] }
    }

    #[test]
    fn a_release_that_hardly_changed_has_a_tiny_recipe() {
        let files: Vec<u64> = (0..100_000).filter(|file| file % 100 != 3).collect();
        let bytes = recipe(&files).to_bytes().unwrap().unwrap();
        assert!(bytes.len() < 1000, "{} bytes", bytes.len());
        assert!(Recipe::from_bytes(&bytes[..bytes.len() / 2]).is_err());
        let cut = zstd::bulk::compress(&[0; 45], 1).unwrap();
        assert!(matches!(Recipe::from_bytes(&cut), Err(RecipeError::Length)));
        let bomb = zstd::bulk::compress(&vec![0; MOST_RECIPE + 1], 1).unwrap();
        assert!(matches!(Recipe::from_bytes(&bomb), Err(RecipeError::Length)));
    }

    proptest! {
        #[test]
        fn any_order_of_files_survives(files in proptest::collection::vec(0..u64::MAX >> 2, 0..50)) {
            let recipe = recipe(&files);
            let read = Recipe::from_bytes(&recipe.to_bytes().unwrap().unwrap()).unwrap();
            prop_assert_eq!(&read, &recipe);
            prop_assert_eq!(read.stretches[1].files().collect::<Vec<_>>(), files);
        }
    }
}
