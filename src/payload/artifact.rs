use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::digest::Sha256;
use super::error::DestError;
use super::frames::{Contents, FRAME, MOST_STRETCHES, Stored};
use super::manifest::{Entry, EntryKind, ManifestReader};

/// Largest zstd window that a host will open, as a power of two: 8 MiB.
const WINDOW_LOG_MAX: u32 = 23;

const MAGIC: [u8; 8] = *b"MURDER\x02\n";

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
/// the same order (zstd), the stretch of each of its files, a byte each (zstd), and the frame table.
///
/// Contents lie in stretches, so that what a host holds already lies together: a file's stretch is the set of the releases named at
/// packing that hold its content, bit 0 for the first of them. In a stretch files follow each other in the manifest's order,
/// cut into frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Where the index starts, bytes.
    pub(super) index_at: u64,
    /// Bytes of the compressed manifest.
    pub(super) manifest: u64,
    /// Bytes of the compressed mtimes.
    pub(super) mtimes: u64,
    /// Bytes of the compressed stretches.
    pub(super) stretches: u64,
    /// Bytes of the frame table, four a frame.
    pub(super) frames: u64,
    /// Of the whole index, so that what the manifest does not cover cannot change unseen.
    pub(super) index_sha256: [u8; 32],
}

impl Header {
    pub(super) const BYTES: usize = 80;

    #[cfg(feature = "operator")]
    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        let numbers = [self.index_at, self.manifest, self.mtimes, self.stretches, self.frames];
        for (place, number) in bytes[8..48].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[48..].copy_from_slice(&self.index_sha256);
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
            stretches: number(32)?,
            frames: number(40)?,
            index_sha256: bytes[48..].try_into().ok()?,
        };
        (bytes[..8] == MAGIC).then_some(header)
    }

    fn index_length(&self) -> Option<u64> {
        let lists = self.manifest.checked_add(self.mtimes)?.checked_add(self.stretches)?;
        lists.checked_add(self.frames)
    }
}

/// A packed release on disk, whose manifest is the one that was asked for.
#[derive(Debug)]
pub struct Artifact {
    path: PathBuf,
    file: Arc<File>,
    header: Header,
    manifest_hash: [u8; 32],
    /// Bytes of content by stretch.
    bytes: [u64; MOST_STRETCHES],
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
            bytes: [0; MOST_STRETCHES],
            entries: 0,
        };
        artifact.check_index()?;
        artifact.check_manifest()?;
        Ok(artifact)
    }

    /// Bytes of all files of the release.
    pub fn bytes(&self) -> u64 {
        self.bytes.iter().sum()
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
        let (mut bytes, mut entries, mut total) = ([0u64; MOST_STRETCHES], 0, 0u64);
        while let Some(listed) = stream.next_entry()? {
            let size = listed.entry.size();
            total = total.checked_add(size).ok_or_else(|| self.corrupt("its sizes are absurd"))?;
            bytes[usize::from(listed.stretch)] += size;
            entries += 1;
        }
        stream.finish()?;
        let frames: u64 = bytes.iter().map(|bytes| bytes.div_ceil(FRAME as u64)).sum();
        if self.header.frames != frames * Stored::BYTES as u64 {
            return Err(self.corrupt("its frames do not hold its files"));
        }
        (self.bytes, self.entries) = (bytes, entries);
        Ok(())
    }

    /// The manifest's canonical bytes.
    pub(super) fn manifest(&self) -> Result<impl BufRead + use<>, DestError> {
        self.unzstd(0, self.header.manifest)
    }

    /// The entries with what goes with them, in order.
    pub(super) fn stream(&self) -> Result<EntryStream<'_>, DestError> {
        let Header { manifest, mtimes, stretches, .. } = self.header;
        Ok(EntryStream {
            artifact: self,
            manifest: ManifestReader::new(Box::new(self.manifest()?)),
            mtimes: Box::new(self.unzstd(manifest, mtimes)?),
            stretches: Box::new(self.unzstd(manifest + mtimes, stretches)?),
        })
    }

    /// The contents of all files.
    pub(super) fn contents(&self) -> Result<Contents<'_>, DestError> {
        Contents::new(self, &self.bytes)
    }

    /// The frame table.
    pub(super) fn table(&self) -> impl Read + use<> {
        self.section(self.header.index_length().unwrap_or_default() - self.header.frames, self.header.frames)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Where the frames end.
    pub(super) fn index_at(&self) -> u64 {
        self.header.index_at
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

    pub(super) fn corrupt(&self, reason: &str) -> DestError {
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

/// An entry of an artifact with what the manifest does not say of it.
pub(super) struct Listed {
    pub(super) entry: Entry,
    pub(super) mtime: Mtime,
    /// Where a file's content lies, below [`MOST_STRETCHES`]; 0 for anything else.
    pub(super) stretch: u8,
}

/// Entries of an artifact, in order.
pub(super) struct EntryStream<'a> {
    artifact: &'a Artifact,
    manifest: ManifestReader<Box<dyn BufRead>>,
    mtimes: Box<dyn BufRead>,
    stretches: Box<dyn BufRead>,
}

impl EntryStream<'_> {
    pub(super) fn next_entry(&mut self) -> Result<Option<Listed>, DestError> {
        let path = &self.artifact.path;
        let entry = self.manifest.next_entry().map_err(|error| DestError::manifest(error, path))?;
        let Some(entry) = entry else { return Ok(None) };
        let mut mtime = [0; Mtime::BYTES];
        self.mtimes.read_exact(&mut mtime).map_err(|_| self.artifact.corrupt("mtimes are missing"))?;
        let mtime = Mtime::from_bytes(mtime);
        if mtime.nanos >= 1_000_000_000 {
            return Err(self.artifact.corrupt("an mtime is none"));
        }
        let mut stretch = [0];
        if matches!(entry.kind, EntryKind::File { .. })
            && (self.stretches.read_exact(&mut stretch).is_err() || usize::from(stretch[0]) >= MOST_STRETCHES)
        {
            return Err(self.artifact.corrupt("a file lies in no stretch"));
        }
        Ok(Some(Listed { entry, mtime, stretch: stretch[0] }))
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
