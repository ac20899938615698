//! The shape of a payload: its pieces, their blocks, their hashes.

use super::wire::BLOCK;

/// Length and piece hashes of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pieces {
    length: u64,
    piece_length: u32,
    hashes: Vec<[u8; 20]>,
}

/// The metainfo contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{length} bytes in pieces of {piece_length} need {expected} hashes, but there are {got}")]
pub struct PiecesError {
    length: u64,
    piece_length: u32,
    expected: u64,
    got: usize,
}

impl Pieces {
    /// `length` bytes in pieces of `piece_length` bytes with a SHA-1 each; the last piece may be shorter.
    pub fn new(length: u64, piece_length: u32, hashes: Vec<[u8; 20]>) -> Result<Self, PiecesError> {
        let expected = if piece_length == 0 { 0 } else { length.div_ceil(u64::from(piece_length)) };
        if piece_length == 0 || expected != hashes.len() as u64 || expected > u64::from(u32::MAX) {
            return Err(PiecesError { length, piece_length, expected, got: hashes.len() });
        }
        Ok(Self { length, piece_length, hashes })
    }

    /// Bytes of the payload.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Number of pieces.
    pub fn count(&self) -> u32 {
        self.hashes.len() as u32
    }

    /// Bytes of each piece but the last.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// Bytes of a piece; 0 beyond the last.
    pub fn size(&self, piece: u32) -> u32 {
        let left = self.length.saturating_sub(self.offset(piece));
        u32::try_from(left).map_or(self.piece_length, |left| left.min(self.piece_length))
    }

    /// Where a piece starts in the payload.
    pub fn offset(&self, piece: u32) -> u64 {
        u64::from(piece) * u64::from(self.piece_length)
    }

    /// Its SHA-1.
    pub fn hash(&self, piece: u32) -> Option<&[u8; 20]> {
        self.hashes.get(piece as usize)
    }

    /// Number of blocks of a piece.
    pub fn blocks(&self, piece: u32) -> u32 {
        self.size(piece).div_ceil(BLOCK)
    }

    /// Bytes of a block; 0 beyond the last.
    pub fn block_size(&self, piece: u32, block: u32) -> u32 {
        let begin = u64::from(block) * u64::from(BLOCK);
        u64::from(self.size(piece)).saturating_sub(begin).min(u64::from(BLOCK)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_piece_and_block_are_as_long_as_what_is_left() {
        let sizes = |length: u64, piece: u32| {
            let count = length.div_ceil(u64::from(piece)) as usize;
            let pieces = Pieces::new(length, piece, vec![[0; 20]; count]).unwrap();
            let last = count as u32 - 1;
            let blocks = pieces.blocks(last);
            (count, pieces.size(last), blocks, pieces.block_size(last, blocks - 1), pieces.size(last + 1))
        };
        assert_eq!(sizes(1, 65536), (1, 1, 1, 1, 0));
        assert_eq!(sizes(65536, 65536), (1, 65536, 4, 16384, 0));
        assert_eq!(sizes(131_072, 65536), (2, 65536, 4, 16384, 0));
        assert_eq!(sizes(65537 + 16384, 65536), (2, 16385, 2, 1, 0));
        assert_eq!(sizes(5 << 32, 1 << 20), (20480, 1 << 20, 64, 16384, 0));
        assert_eq!(Pieces::new(0, 65536, Vec::new()).unwrap().count(), 0);
    }

    #[test]
    fn a_list_of_hashes_that_does_not_fit_is_refused() {
        assert!(Pieces::new(65537, 65536, vec![[0; 20]]).is_err());
        assert!(Pieces::new(65536, 65536, vec![[0; 20]; 2]).is_err(), "one too many on an exact multiple");
        assert!(Pieces::new(1, 0, Vec::new()).is_err());
    }
}
