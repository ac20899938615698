use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use crate::units::format_bytes;

use super::artifact::Mtime;
use super::digest::Sha256;
use super::manifest::path_order;
use super::metainfo::MetainfoError;
use super::walk::WalkError;

/// Bytes read at once from a payload.
pub(super) const READ: usize = 256 << 10;

/// Why a payload could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something that no release can hold.
    #[error("{} is a {what}, which cannot be shipped; leave it out with --ignore or in .murderignore", path.display())]
    Unfit {
        /// Where.
        path: PathBuf,
        /// What.
        what: &'static str,
    },
    /// A folder with `--unpack never`.
    #[error("{} is a folder, which is always unpacked; leave out --unpack never", .0.display())]
    Folder(PathBuf),
    /// It was not left alone while it was read.
    #[error("{} changed while it was packed; start again when nothing writes to it", .0.display())]
    Changed(PathBuf),
    /// The cache cannot hold the artifact.
    #[error("{} has {} free, and packing may need {}; free some, or set XDG_CACHE_HOME to another disk", path.display(), format_bytes(*free), format_bytes(*needed))]
    Space {
        /// The cache folder.
        path: PathBuf,
        /// Bytes left there.
        free: u64,
        /// Bytes needed at most.
        needed: u64,
    },
    /// A pattern for what is left out cannot be read.
    #[error("the pattern {pattern:?}{} cannot be read: {reason}", place.as_ref().map(|place| format!(" in {}", place.display())).unwrap_or_default())]
    Pattern {
        /// As it is written.
        pattern: String,
        /// The file that it stands in, if not on the command line.
        place: Option<PathBuf>,
        /// What is wrong.
        reason: String,
    },
    /// A payload to be unpacked cannot be read.
    #[error("cannot read {} as an archive: {reason}", path.display())]
    Archive {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A fault of ours.
    #[error("cannot describe the artifact: {0}")]
    Metainfo(#[from] MetainfoError),
    /// The caller broke it off.
    #[error("packing was broken off")]
    Cancelled,
}

impl PackError {
    pub(super) fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.as_ref().to_owned(), source }
    }
}

impl From<WalkError> for PackError {
    fn from(error: WalkError) -> Self {
        Self::Io { action: error.action, path: error.path, source: error.source }
    }
}

/// A payload before it is packed: what stands in it, in the order of a manifest, and where the contents are.
pub(super) struct Tree {
    pub(super) items: Vec<Item>,
    pub(super) contents: Contents,
    /// Paths that rules left out; what lies below a folder is not counted.
    pub(super) ignored: Vec<String>,
    /// What must stay as it is until all is read.
    pub(super) stamps: Vec<(PathBuf, Stamp)>,
}

/// A path of the payload.
pub(super) struct Item {
    pub(super) path: Vec<u8>,
    pub(super) mtime: Mtime,
    pub(super) kind: ItemKind,
}

/// What stands at a path of the payload.
pub(super) enum ItemKind {
    Directory {
        mode: u32,
    },
    File {
        mode: u32,
        size: u64,
        /// Bytes of disk that it takes at most when packed: holes take none.
        disk: u64,
        source: Source,
    },
    Symlink {
        target: Vec<u8>,
    },
    HardLink {
        target: Vec<u8>,
    },
}

/// Where the content of a file is.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// In a file of its own.
    File(PathBuf),
    /// In the spool, from here on.
    Span(u64),
    /// In a zip, by index.
    Zip(usize),
}

/// What contents are read from, besides files of their own.
pub(super) enum Contents {
    Files,
    Spool(File),
    Zip(Box<ZipArchive<File>>),
}

/// What changes when a file or folder is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    size: u64,
    mode: u32,
    mtime: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            mode: metadata.mode(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// The mtime in a file's metadata.
pub(super) fn mtime_of(metadata: &Metadata) -> Mtime {
    Mtime { seconds: metadata.mtime(), nanos: u32::try_from(metadata.mtime_nsec()).unwrap_or_default() }
}

impl Tree {
    pub(super) fn sort(&mut self) {
        self.items.sort_by(|a, b| path_order(&a.path, &b.path));
    }

    /// Bytes of all files, and bytes of disk that they take at most when packed.
    pub(super) fn size(&self) -> (u64, u64) {
        self.items.iter().fold((0, 0), |(sum, on_disk), item| match item.kind {
            ItemKind::File { size, disk, .. } => (sum + size, on_disk + size.min(disk)),
            _ => (sum, on_disk),
        })
    }

    /// Whether all is still as it was found.
    pub(super) fn check_unchanged(&self) -> Result<(), PackError> {
        for (path, stamp) in &self.stamps {
            let now = fs::symlink_metadata(path).ok().map(|metadata| Stamp::of(&metadata));
            if now != Some(*stamp) {
                return Err(PackError::Changed(path.clone()));
            }
        }
        Ok(())
    }
}

impl Contents {
    /// Reads a file's content through and gives its SHA-256; nothing for anything else. `take` gets each part.
    pub(super) fn read(
        &mut self,
        item: &Item,
        buffer: &mut [u8],
        take: &mut dyn FnMut(&[u8]) -> Result<(), PackError>,
    ) -> Result<[u8; 32], PackError> {
        let ItemKind::File { size, source, .. } = &item.kind else { return Ok([0; 32]) };
        let at = as_path(&item.path);
        let mut input = self.open(source, *size, at)?;
        let mut hash = Sha256::default();
        let mut left = *size;
        loop {
            let read = input.read(buffer).map_err(PackError::io("read", at))?;
            if read as u64 > left || (read == 0 && left > 0) {
                return Err(PackError::Changed(at.to_owned()));
            }
            if read == 0 {
                return Ok(hash.finish());
            }
            hash.update(&buffer[..read]);
            take(&buffer[..read])?;
            left -= read as u64;
        }
    }

    /// The content of a file; `at` names it in errors.
    fn open<'a>(
        &'a mut self,
        source: &Source,
        size: u64,
        at: &Path,
    ) -> Result<Box<dyn Read + 'a>, PackError> {
        match (self, source) {
            (_, Source::File(path)) => {
                let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
                let file = fs::OpenOptions::new().read(true).custom_flags(no_follow).open(path);
                match file {
                    Ok(file) => Ok(Box::new(file)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        Err(PackError::Changed(path.clone()))
                    }
                    Err(error) => Err(PackError::io("read", path)(error)),
                }
            }
            (Self::Spool(file), Source::Span(start)) => {
                Ok(Box::new(Span { file, at: *start, end: start.saturating_add(size) }))
            }
            (Self::Zip(zip), Source::Zip(index)) => {
                let file = zip
                    .by_index(*index)
                    .map_err(|error| PackError::Archive { path: at.to_owned(), reason: error.to_string() })?;
                Ok(Box::new(file))
            }
            _ => Err(PackError::Changed(at.to_owned())),
        }
    }
}

/// A stretch of the spool.
struct Span<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Span<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// A path of bytes as one that the system takes.
pub(super) fn as_path(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}
