use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::digest::Sha256;
use super::error::DestError;
use super::manifest::{Entry, EntryKind, ManifestWriter};

/// Bytes read at once from a file.
const BUFFER: usize = 128 << 10;

/// What could not be read in a walk.
#[derive(Debug)]
pub(super) struct WalkError {
    pub(super) action: &'static str,
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

/// Something found in a walk.
pub(super) struct Found<'a> {
    /// Below the walk's root, empty for the root itself.
    pub(super) path: &'a [u8],
    /// Where it is.
    pub(super) place: &'a Path,
    /// Of itself, not of what a link points at.
    pub(super) metadata: &'a Metadata,
}

/// Visits a tree in the order of a manifest. What `visit` answers with `false` is not descended into.
pub(super) fn walk<E: From<WalkError>>(
    root: &Path,
    visit: &mut dyn FnMut(Found<'_>) -> Result<bool, E>,
) -> Result<(), E> {
    descend(root, &[], visit)
}

fn descend<E: From<WalkError>>(
    place: &Path,
    path: &[u8],
    visit: &mut dyn FnMut(Found<'_>) -> Result<bool, E>,
) -> Result<(), E> {
    let failed = |action| move |source| WalkError { action, path: place.to_owned(), source };
    let metadata = fs::symlink_metadata(place).map_err(failed("look at"))?;
    if !visit(Found { path, place, metadata: &metadata })? || !metadata.is_dir() {
        return Ok(());
    }
    let names = fs::read_dir(place)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect());
    let mut names: Vec<OsString> = names.map_err(failed("read the folder"))?;
    names.sort_unstable();
    for name in names {
        let mut path = path.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend(name.as_bytes());
        descend(&place.join(&name), &path, visit)?;
    }
    Ok(())
}

/// Remembers which file has which names.
#[derive(Default)]
pub(super) struct HardLinks(HashMap<(u64, u64), Vec<u8>>);

impl HardLinks {
    /// The first path at which this file was seen, if it was.
    pub(super) fn first(&mut self, metadata: &Metadata, path: &[u8]) -> Option<Vec<u8>> {
        if metadata.nlink() < 2 {
            return None;
        }
        match self.0.entry((metadata.dev(), metadata.ino())) {
            std::collections::hash_map::Entry::Occupied(first) => Some(first.get().clone()),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(path.to_vec());
                None
            }
        }
    }
}

/// Where a link points, as bytes.
pub(super) fn read_link(place: &Path) -> Result<Vec<u8>, WalkError> {
    let target = fs::read_link(place);
    target.map(|target| target.into_os_string().into_vec()).map_err(|source| WalkError {
        action: "read the link",
        path: place.to_owned(),
        source,
    })
}

/// The word for what no release can hold, `None` for what it can.
pub(super) fn unfit(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_socket() {
        Some("socket")
    } else if kind.is_fifo() {
        Some("fifo")
    } else if kind.is_block_device() || kind.is_char_device() {
        Some("device")
    } else {
        None
    }
}

/// Builds the manifest of a folder on this disk into `output`: its hash, the bytes of its files and the number of its entries. `None` if it
/// holds what no release can hold.
pub(super) fn manifest_of_folder<W: Write>(
    root: &Path,
    output: W,
) -> Result<Option<(W, ManifestSum)>, DestError> {
    let mut writer = ManifestWriter::new(output).map_err(DestError::io("describe", root))?;
    let mut links = HardLinks::default();
    let mut buffer = vec![0; BUFFER];
    let mut fits = true;
    let (mut bytes, mut entries) = (0, 0);
    walk(root, &mut |found| {
        let mode = found.metadata.mode() & 0o7777;
        let kind = if found.metadata.is_dir() {
            EntryKind::Directory { mode }
        } else if found.metadata.is_symlink() {
            EntryKind::Symlink { target: read_link(found.place)? }
        } else if unfit(found.metadata).is_some() {
            fits = false;
            return Ok(false);
        } else if let Some(target) = links.first(found.metadata, found.path) {
            EntryKind::HardLink { target }
        } else {
            let (size, sha256) =
                hash_file(found.place, &mut buffer).map_err(DestError::io("read", found.place))?;
            EntryKind::File { mode, size, sha256 }
        };
        let entry = Entry { path: found.path.to_vec(), kind };
        (bytes, entries) = (bytes + entry.size(), entries + 1);
        writer.write(&entry).map_err(DestError::io("describe", root))?;
        Ok::<_, DestError>(true)
    })?;
    let (output, hash) = writer.finish();
    Ok(fits.then_some((output, ManifestSum { hash, bytes, entries })))
}

/// What is known of a manifest without holding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ManifestSum {
    pub(super) hash: [u8; 32],
    pub(super) bytes: u64,
    pub(super) entries: u64,
}

impl From<WalkError> for DestError {
    fn from(error: WalkError) -> Self {
        Self::Io { action: error.action, path: error.path, source: error.source }
    }
}

fn hash_file(path: &Path, buffer: &mut [u8]) -> io::Result<(u64, [u8; 32])> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::default();
    let mut size = 0;
    loop {
        let read = file.read(buffer)?;
        if read == 0 {
            return Ok((size, hash.finish()));
        }
        hash.update(&buffer[..read]);
        size += read as u64;
    }
}
