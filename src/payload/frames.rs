use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;

use super::artifact::{Artifact, Header};
use super::error::DestError;

/// Bytes of content in a frame, all but the last of a stretch. A frame is compressed on its own and held in memory as a whole on
/// both ends; zstd's default window (2 MiB) is no larger, so that a larger frame would gain little.
pub(super) const FRAME: usize = 2 << 20;

/// Set in an entry of the frame table if the frame is compressed; the other bits are its stored length.
pub(super) const COMPRESSED: u32 = 1 << 31;

/// Stretches of contents in an artifact at most: one for each combination of [`super::MOST_BASES`] releases. A host unpacks them side by
/// side, with a frame of each in memory.
pub(super) const MOST_STRETCHES: usize = 1 << super::MOST_BASES;

/// zstd's default level: higher ones pack slower than a fast network sends. The agent has what this one needs, see `build.rs`.
const LEVEL: i32 = 3;

/// A frame that shrinks by less than a sixteenth stays as it is: unpacking would cost the hosts more than its bytes.
const WORTH: usize = 16;

/// Makes frames. What comes of one depends on its bytes alone, so that the same tree gives the same artifact everywhere, and a host
/// can make again what it has the contents of.
pub(super) struct Packer(zstd::bulk::Compressor<'static>);

impl Packer {
    pub(super) fn new() -> io::Result<Self> {
        zstd::bulk::Compressor::new(LEVEL).map(Self)
    }

    /// A frame compressed, `None` if it is not worth it.
    pub(super) fn pack(&mut self, frame: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let packed = self.0.compress(frame)?;
        Ok((packed.len() < frame.len() - frame.len() / WORTH).then_some(packed))
    }
}

/// An entry of the frame table: bytes of the frame as it is stored, and whether it is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) length: usize,
    pub(super) compressed: bool,
}

impl Stored {
    pub(super) const BYTES: usize = 4;

    pub(super) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let entry = u32::from_le_bytes(bytes);
        Self { length: (entry & !COMPRESSED) as usize, compressed: entry & COMPRESSED != 0 }
    }
}

/// Contents of an artifact's files: of each stretch one file after the other.
pub(super) struct Contents<'a> {
    artifact: &'a Artifact,
    table: Vec<Stored>,
    unpacker: zstd::bulk::Decompressor<'static>,
    stored: Vec<u8>,
    stretches: [Cursor; MOST_STRETCHES],
}

/// How far a stretch is read.
#[derive(Default)]
struct Cursor {
    /// The next frame's place in the table.
    next: usize,
    /// Where it starts in the artifact.
    next_at: u64,
    /// Bytes of content in frames not read yet.
    left: u64,
    frame: Vec<u8>,
    used: usize,
}

impl<'a> Contents<'a> {
    /// Of an artifact with so many bytes of content in its stretches.
    pub(super) fn new(artifact: &'a Artifact, bytes: &[u64; MOST_STRETCHES]) -> Result<Self, DestError> {
        let mut table = Vec::new();
        artifact.table().read_to_end(&mut table).map_err(DestError::io("read", artifact.path()))?;
        let table: Vec<Stored> = table.as_chunks().0.iter().map(|entry| Stored::from_bytes(*entry)).collect();
        let unpacker = zstd::bulk::Decompressor::new().map_err(DestError::io("unpack", artifact.path()))?;
        let (mut next, mut next_at) = (0, Header::BYTES as u64);
        let stretches = bytes.map(|left| {
            let cursor = Cursor { next, next_at, left, ..Cursor::default() };
            let end = next + usize::try_from(left.div_ceil(FRAME as u64)).unwrap_or(usize::MAX);
            next_at += table.iter().take(end).skip(next).map(|frame| frame.length as u64).sum::<u64>();
            next = end;
            cursor
        });
        Ok(Self { artifact, table, unpacker, stored: Vec::new(), stretches })
    }

    /// At least one and at most `most` of the next bytes of a stretch; an error if there are none.
    pub(super) fn next_part(&mut self, stretch: u8, most: u64) -> Result<&[u8], DestError> {
        let stretch = usize::from(stretch) % MOST_STRETCHES;
        if self.stretches[stretch].used == self.stretches[stretch].frame.len() {
            self.next_frame(stretch)?;
        }
        let cursor = &mut self.stretches[stretch];
        let rest = &cursor.frame[cursor.used..];
        let part = &rest[..rest.len().min(usize::try_from(most).unwrap_or(usize::MAX))];
        cursor.used += part.len();
        Ok(part)
    }

    fn next_frame(&mut self, stretch: usize) -> Result<(), DestError> {
        let artifact = self.artifact;
        let cursor = &mut self.stretches[stretch];
        let length = usize::try_from(cursor.left.min(FRAME as u64)).unwrap_or(FRAME);
        let Some(stored) = self.table.get(cursor.next).filter(|_| length > 0) else {
            return Err(artifact.corrupt("frames are missing"));
        };
        if stored.length > FRAME || cursor.next_at + stored.length as u64 > artifact.index_at() {
            return Err(artifact.corrupt("a frame is too long"));
        }
        // Only now: a stretch that is empty takes no memory.
        cursor.frame.reserve_exact(length.saturating_sub(cursor.frame.len()));
        let into = if stored.compressed { &mut self.stored } else { &mut cursor.frame };
        into.resize(stored.length, 0);
        let read = artifact.file().read_exact_at(into, cursor.next_at);
        read.map_err(DestError::io("read", artifact.path()))?;
        if stored.compressed {
            cursor.frame.clear();
            self.unpacker
                .decompress_to_buffer(&self.stored, &mut cursor.frame)
                .map_err(|error| artifact.corrupt(&format!("a frame cannot be unpacked: {error}")))?;
        }
        if cursor.frame.len() != length {
            return Err(artifact.corrupt("a frame has the wrong length"));
        }
        cursor.used = 0;
        cursor.next += 1;
        cursor.next_at += stored.length as u64;
        cursor.left -= length as u64;
        Ok(())
    }
}
