use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

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
        let path = folder.join(RECORD);
        let write = || {
            let text = serde_json::to_vec(self)?;
            let new = folder.join(".new");
            let mut file = File::create(&new)?;
            file.write_all(&text)?;
            file.sync_data()?;
            fs::rename(&new, &path)
        };
        write().map_err(DestError::io("write", &path))
    }
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
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
