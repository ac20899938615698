use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::DestError;

/// Name of the record's file in the release's folder of records.
const RECORD: &str = "record.json";

/// Name of the manifest beside it.
pub(super) const MANIFEST: &str = "manifest";

/// What a host remembers of a release; the release's manifest lies beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// SHA-256 of the manifest, hex; `None` of a release that was not staged by us.
    pub manifest: Option<String>,
    /// Bytes of its files, as far as known.
    pub bytes: Option<u64>,
    /// Its paths, the root included, as far as known.
    pub entries: Option<u64>,
    /// Milliseconds since the epoch when it was put in place, as far as known.
    pub staged_ms: Option<u64>,
    /// Milliseconds since the epoch when the link was last switched to it.
    pub activated_ms: Option<u64>,
    /// Tag that the link pointed at before that.
    pub previous: Option<String>,
}

impl Record {
    /// Reads a record; one that is missing or broken is none.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(RECORD)).ok()?).ok()
    }

    /// Writes it whole or not at all.
    pub(super) fn write(&self, folder: &Path) -> Result<(), DestError> {
        self.prepare(folder)?.put()
    }

    /// Writes it beside the one that is there: all that can fail for want of space or leave has not failed then.
    pub(super) fn prepare(&self, folder: &Path) -> Result<Prepared, DestError> {
        let prepared = Prepared { new: folder.join(".new"), place: folder.join(RECORD) };
        let write = || {
            let text = serde_json::to_vec(self)?;
            let mut file = File::create(&prepared.new)?;
            file.write_all(&text)?;
            file.sync_data()
        };
        write().map_err(DestError::io("write", &prepared.place))?;
        Ok(prepared)
    }
}

/// A record that is written and not yet in place.
#[must_use]
pub(super) struct Prepared {
    new: PathBuf,
    place: PathBuf,
}

impl Prepared {
    /// Replaces the one before it.
    pub(super) fn put(self) -> Result<(), DestError> {
        fs::rename(&self.new, &self.place).map_err(DestError::io("write", &self.place))
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // Once it is in place there is nothing here any more.
        let _ = fs::remove_file(&self.new);
    }
}

/// Removes a tree, also where folders forbid it to their owner. What is gone already is fine.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            unlock_folders(path)?;
            fs::remove_dir_all(path)
        }
        result => result,
    }
}

/// Removes a file. What is gone already is fine: another operator's agent may have swept it away.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn unlock_folders(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            unlock_folders(&entry.path())?;
        }
    }
    Ok(())
}
