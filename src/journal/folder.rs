use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::JournalError;

/// What was asked for.
pub(super) const RECORD: &str = "run.json";
/// How it stands, in short.
pub(super) const STATUS: &str = "status.json";
/// One event a line.
pub(super) const EVENTS: &str = "events.jsonl";
/// The log, for people.
pub(super) const LOG: &str = "log.txt";
/// What the process traced, to find its faults.
pub(super) const TRACE: &str = "trace.log";
/// Folder of the hosts' last words.
pub(super) const HOSTS: &str = "hosts";

/// Folder of all runs: `$XDG_STATE_HOME/murder/runs`, else `~/.local/state/murder/runs`. `env` looks a variable up;
/// a relative XDG path is ignored, as its specification asks. `None` without a home.
pub fn root(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let state = env("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home =
        || env("HOME").filter(|home| !home.is_empty()).map(|home| PathBuf::from(home).join(".local/state"));
    Some(state.or_else(home)?.join("murder").join("runs"))
}

/// Makes a folder that only its owner may enter, with its parents.
pub(super) fn make_folders(path: &Path) -> Result<(), JournalError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(JournalError::io("create", path))
}

/// Makes the folder of a run, which must not be there.
pub(super) fn make_run_folder(path: &Path) -> Result<(), JournalError> {
    DirBuilder::new().mode(0o700).create(path).map_err(JournalError::io("create", path))?;
    make_folders(&path.join(HOSTS))
}

/// Opens a file for appending that only its owner may read.
pub(super) fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Writes a file whole or not at all, only for its owner's eyes.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), JournalError> {
    let fresh = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
        file.write_all(content)?;
        file.sync_data()?;
        fs::rename(&fresh, path)
    };
    write().map_err(JournalError::io("write", path))
}

/// Writes a value as JSON, whole or not at all.
pub(super) fn replace_json<T: Serialize>(path: &Path, value: &T) -> Result<(), JournalError> {
    let mut json = serde_json::to_vec_pretty(value)
        .map_err(|source| JournalError::Json { path: path.to_owned(), source })?;
    json.push(b'\n');
    replace(path, &json)
}

/// Name of a host's file of last words. Whatever is no letter, digit or one of `.-_@` is written as `%XX`, so that no
/// name leaves the folder; long names are cut and told apart by the host's number.
pub(super) fn host_file(name: &str, index: usize) -> String {
    const LONGEST: usize = 200;
    let mut safe = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"-_@".contains(&byte) || (byte == b'.' && at > 0);
        if plain {
            safe.push(char::from(byte));
        } else {
            safe.push_str(&format!("%{byte:02X}"));
        }
    }
    if safe.len() > LONGEST || safe.is_empty() {
        safe.truncate(LONGEST);
        safe.push_str(&format!("~{index}"));
    }
    safe.push_str(".stderr");
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_lie_below_the_state_folder() {
        let with = |state: Option<&'static str>, home: Option<&'static str>| {
            root(move |name| match name {
                "XDG_STATE_HOME" => state.map(OsString::from),
                "HOME" => home.map(OsString::from),
                _ => None,
            })
        };
        assert_eq!(with(Some("/s"), Some("/h")), Some("/s/murder/runs".into()));
        assert_eq!(with(Some("s"), Some("/h")), Some("/h/.local/state/murder/runs".into()));
        assert_eq!(with(None, Some("/h")), Some("/h/.local/state/murder/runs".into()));
        assert_eq!(with(None, None), None);
    }

    #[test]
    fn no_name_of_a_host_leaves_its_folder() {
        for (name, file) in [
            ("web01.example.com", "web01.example.com.stderr"),
            ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd.stderr"),
            ("deploy@[2001:db8::1]:22", "deploy@%5B2001%3Adb8%3A%3A1%5D%3A22.stderr"),
            ("", "~7.stderr"),
        ] {
            assert_eq!(host_file(name, 7), file);
        }
        assert!(host_file(&"ü".repeat(300), 1).len() < 255);
        assert_ne!(host_file(&"a".repeat(300), 1), host_file(&"a".repeat(300), 2));
    }
}
