use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::digest::Sha256;
use super::error::DestError;
use super::manifest::{Entry, ManifestReader};

/// Bytes of content in a frame, all but the last. A frame is compressed on its own and held in memory as a whole on both ends;
/// zstd's default window (2 MiB) is no larger, so that a larger frame would gain little.
pub(super) const FRAME: usize = 2 << 20;

/// Set in an entry of the frame table if the frame is compressed; the other bits are its stored length.
pub(super) const COMPRESSED: u32 = 1 << 31;

/// Largest zstd window that a host will open, as a power of two: 8 MiB.
const WINDOW_LOG_MAX: u32 = 23;

const MAGIC: [u8; 8] = *b"MURDER\x01\n";

/// Seconds and nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mtime {
    pub(super) seconds: i64,
    pub(super) nanos: u32,
}

impl Mtime {
    pub(super) const BYTES: usize = 12;

    #[cfg(feature = "operator")]
    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.seconds.to_le_bytes());
        bytes[8..].copy_from_slice(&self.nanos.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, nanos @ ..] = bytes;
        Self { seconds: i64::from_le_bytes([a, b, c, d, e, f, g, h]), nanos: u32::from_le_bytes(nanos) }
    }
}

/// The artifact's first bytes. Behind them lie the frames, then the index: the manifest (zstd), the mtimes of its entries in
/// the same order (zstd), and the frame table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Where the index starts, bytes.
    pub(super) index_at: u64,
    /// Bytes of the compressed manifest.
    pub(super) manifest: u64,
    /// Bytes of the compressed mtimes.
    pub(super) mtimes: u64,
    /// Bytes of the frame table, four a frame.
    pub(super) frames: u64,
    /// Of the whole index, so that what the manifest does not cover cannot change unseen.
    pub(super) index_sha256: [u8; 32],
}

impl Header {
    pub(super) const BYTES: usize = 72;

    #[cfg(feature = "operator")]
    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        for (place, number) in
            bytes[8..40].chunks_exact_mut(8).zip([self.index_at, self.manifest, self.mtimes, self.frames])
        {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[40..].copy_from_slice(&self.index_sha256);
        bytes
    }

    fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = bytes[at..at + 8].try_into().ok()?;
            Some(u64::from_le_bytes(bytes))
        };
        let header = Self {
            index_at: number(8)?,
            manifest: number(16)?,
            mtimes: number(24)?,
            frames: number(32)?,
            index_sha256: bytes[40..].try_into().ok()?,
        };
        (bytes[..8] == MAGIC).then_some(header)
    }

    fn index_length(&self) -> Option<u64> {
        self.manifest.checked_add(self.mtimes)?.checked_add(self.frames)
    }
}

/// A packed release on disk, whose manifest is the one that was asked for.
#[derive(Debug)]
pub struct Artifact {
    path: PathBuf,
    file: Arc<File>,
    header: Header,
    manifest_hash: [u8; 32],
    bytes: u64,
    entries: u64,
}

impl Artifact {
    /// Opens an artifact and reads its index through; `manifest_hash` is the release's identity as named over SSH.
    ///
    /// The contents are not looked at: each file is checked while it is unpacked.
    pub fn open(path: &Path, manifest_hash: &[u8; 32]) -> Result<Self, DestError> {
        let file = File::open(path).map_err(DestError::io("open", path))?;
        let corrupt = |reason: &str| DestError::Corrupt { path: path.to_owned(), reason: reason.to_owned() };
        let mut start = [0; Header::BYTES];
        match file.read_exact_at(&mut start, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(corrupt("it is cut off"));
            }
            result => result.map_err(DestError::io("read", path))?,
        }
        let header = Header::from_bytes(&start).ok_or_else(|| corrupt("it does not start as one"))?;
        let length = file.metadata().map_err(DestError::io("look at", path))?.len();
        let end = header.index_length().and_then(|index| header.index_at.checked_add(index));
        if end != Some(length) {
            return Err(corrupt("its length is not what its header says"));
        }
        let mut artifact = Self {
            path: path.to_owned(),
            file: Arc::new(file),
            header,
            manifest_hash: *manifest_hash,
            bytes: 0,
            entries: 0,
        };
        artifact.check_index()?;
        artifact.check_manifest()?;
        Ok(artifact)
    }

    /// Bytes of all files of the release.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Paths of the release, the root included.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// SHA-256 of its manifest.
    pub fn manifest_hash(&self) -> &[u8; 32] {
        &self.manifest_hash
    }

    fn check_index(&self) -> Result<(), DestError> {
        let mut hash = Sha256::default();
        let mut section = self.section(0, self.header.index_length().unwrap_or_default());
        loop {
            let part = section.fill_buf().map_err(DestError::io("read", &self.path))?;
            if part.is_empty() {
                break;
            }
            hash.update(part);
            let length = part.len();
            section.consume(length);
        }
        if hash.finish() == self.header.index_sha256 {
            Ok(())
        } else {
            Err(DestError::HashMismatch(self.path.clone()))
        }
    }

    fn check_manifest(&mut self) -> Result<(), DestError> {
        let mut stream = self.stream()?;
        let (mut bytes, mut entries) = (0u64, 0);
        while let Some((entry, _)) = stream.next_entry()? {
            bytes = bytes.checked_add(entry.size()).ok_or_else(|| self.corrupt("its sizes are absurd"))?;
            entries += 1;
        }
        stream.finish()?;
        if self.header.frames != bytes.div_ceil(FRAME as u64) * 4 {
            return Err(self.corrupt("its frames do not hold its files"));
        }
        (self.bytes, self.entries) = (bytes, entries);
        Ok(())
    }

    /// The manifest's canonical bytes.
    pub(super) fn manifest(&self) -> Result<impl BufRead + use<>, DestError> {
        self.unzstd(0, self.header.manifest)
    }

    /// The entries with their mtimes, in order.
    pub(super) fn stream(&self) -> Result<EntryStream<'_>, DestError> {
        Ok(EntryStream {
            artifact: self,
            manifest: ManifestReader::new(Box::new(self.manifest()?)),
            mtimes: Box::new(self.unzstd(self.header.manifest, self.header.mtimes)?),
        })
    }

    /// The contents of all files, in order.
    pub(super) fn contents(&self) -> Result<Contents<'_>, DestError> {
        let unpacker = zstd::bulk::Decompressor::new().map_err(DestError::io("unpack", &self.path))?;
        Ok(Contents {
            artifact: self,
            table: self.section(self.header.manifest + self.header.mtimes, self.header.frames),
            unpacker,
            next_at: Header::BYTES as u64,
            left: self.bytes,
            stored: Vec::new(),
            frame: Vec::with_capacity(FRAME),
            used: 0,
        })
    }

    fn section(&self, at: u64, length: u64) -> BufReader<Section> {
        let file = Arc::clone(&self.file);
        BufReader::with_capacity(64 << 10, Section { file, at: self.header.index_at + at, left: length })
    }

    fn unzstd(&self, at: u64, length: u64) -> Result<impl BufRead + use<>, DestError> {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(self.section(at, length))
            .map_err(DestError::io("unpack", &self.path))?;
        decoder.window_log_max(WINDOW_LOG_MAX).map_err(DestError::io("unpack", &self.path))?;
        Ok(BufReader::new(decoder))
    }

    fn corrupt(&self, reason: &str) -> DestError {
        DestError::Corrupt { path: self.path.clone(), reason: reason.to_owned() }
    }
}

/// A stretch of a file, read by position.
struct Section {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Entries of an artifact with their mtimes.
pub(super) struct EntryStream<'a> {
    artifact: &'a Artifact,
    manifest: ManifestReader<Box<dyn BufRead>>,
    mtimes: Box<dyn BufRead>,
}

impl EntryStream<'_> {
    pub(super) fn next_entry(&mut self) -> Result<Option<(Entry, Mtime)>, DestError> {
        let path = &self.artifact.path;
        let entry = self.manifest.next_entry().map_err(|error| DestError::manifest(error, path))?;
        let Some(entry) = entry else { return Ok(None) };
        let mut mtime = [0; Mtime::BYTES];
        self.mtimes.read_exact(&mut mtime).map_err(|_| self.artifact.corrupt("mtimes are missing"))?;
        let mtime = Mtime::from_bytes(mtime);
        if mtime.nanos >= 1_000_000_000 {
            return Err(self.artifact.corrupt("an mtime is none"));
        }
        Ok(Some((entry, mtime)))
    }

    /// Call it after the last entry: only then it is sure that they were those of the release.
    pub(super) fn finish(self) -> Result<(), DestError> {
        if self.manifest.finish() == self.artifact.manifest_hash {
            Ok(())
        } else {
            Err(DestError::HashMismatch(self.artifact.path.clone()))
        }
    }
}

/// Contents of an artifact's files, one after the other.
pub(super) struct Contents<'a> {
    artifact: &'a Artifact,
    table: BufReader<Section>,
    unpacker: zstd::bulk::Decompressor<'static>,
    /// Where the next frame starts in the artifact.
    next_at: u64,
    /// Bytes of content in frames not read yet.
    left: u64,
    stored: Vec<u8>,
    frame: Vec<u8>,
    used: usize,
}

impl Contents<'_> {
    /// At least one and at most `most` of the next bytes; an error if there are none.
    pub(super) fn next_part(&mut self, most: u64) -> Result<&[u8], DestError> {
        if self.used == self.frame.len() {
            self.next_frame()?;
        }
        let rest = &self.frame[self.used..];
        let part = &rest[..rest.len().min(usize::try_from(most).unwrap_or(usize::MAX))];
        self.used += part.len();
        Ok(part)
    }

    fn next_frame(&mut self) -> Result<(), DestError> {
        let artifact = self.artifact;
        let length = usize::try_from(self.left.min(FRAME as u64)).unwrap_or(FRAME);
        let mut entry = [0; 4];
        if length == 0 || self.table.read_exact(&mut entry).is_err() {
            return Err(artifact.corrupt("frames are missing"));
        }
        let entry = u32::from_le_bytes(entry);
        let stored = (entry & !COMPRESSED) as usize;
        if stored > FRAME || self.next_at + stored as u64 > artifact.header.index_at {
            return Err(artifact.corrupt("a frame is too long"));
        }
        let compressed = entry & COMPRESSED != 0;
        let into = if compressed { &mut self.stored } else { &mut self.frame };
        into.resize(stored, 0);
        artifact.file.read_exact_at(into, self.next_at).map_err(DestError::io("read", &artifact.path))?;
        if compressed {
            self.frame.clear();
            self.unpacker
                .decompress_to_buffer(&self.stored, &mut self.frame)
                .map_err(|error| artifact.corrupt(&format!("a frame cannot be unpacked: {error}")))?;
        }
        if self.frame.len() != length {
            return Err(artifact.corrupt("a frame has the wrong length"));
        }
        self.used = 0;
        self.next_at += stored as u64;
        self.left -= length as u64;
        Ok(())
    }
}
