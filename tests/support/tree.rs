//! Trees of files that a release may hold, and how two of them differ.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use murder::demo::make_release;

/// A release of about `bytes` fresh random bytes with everything that is easy to get wrong: odd names, modes, times, links
/// of both kinds, empty files and folders.
pub(crate) fn make(folder: &Path, bytes: u64) {
    make_release(folder, bytes, fastrand::u64(..)).unwrap();
    let odd: [&[u8]; 10] = [
        b"with space",
        b"-rf",
        b"new\nline",
        b"quote'\"s",
        b"back\\slash",
        b"star*[a-z]?",
        b"$HOME",
        b".hidden",
        "\u{fc}nic\u{f6}de \u{1f980}".as_bytes(),
        b"..almost",
    ];
    // Other systems refuse names that are no text.
    let raw: &[&[u8]] = if cfg!(target_os = "linux") { &[b"latin1-\xe9\xff"] } else { &[] };
    let names = folder.join("odd names");
    fs::create_dir(&names).unwrap();
    for name in odd.iter().chain(raw) {
        fs::write(names.join(OsStr::from_bytes(name)), name).unwrap();
    }
    symlink("nowhere/at all", names.join("dangling")).unwrap();
    fs::hard_link(names.join("-rf"), names.join("hard link")).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options().write(true).open(names.join(".hidden")).unwrap().set_modified(old).unwrap();
    for (name, mode) in [("config/app.yaml", 0o600), ("bin/check", 0o751), ("var/log", 0o770), ("", 0o750)] {
        fs::set_permissions(folder.join(name), Permissions::from_mode(mode)).unwrap();
    }
}

/// What users see of an entry: kind and mode, second of the last change of a file, link target or content.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    mode: u32,
    modified: Option<i64>,
    content: Vec<u8>,
}

fn read(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut entries = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let entry = if meta.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Entry { mode: meta.mode(), modified: None, content: Vec::new() }
        } else if meta.is_symlink() {
            let target = fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes();
            Entry { mode: 0, modified: None, content: target }
        } else {
            Entry { mode: meta.mode(), modified: Some(meta.mtime()), content: fs::read(&path).unwrap() }
        };
        entries.insert(path.strip_prefix(root).unwrap().to_owned(), entry);
    }
    entries
}

/// Checks that two trees are the same in all that a release keeps.
///
/// # Panics
/// With the first entries that differ.
pub(crate) fn assert_same(expected: &Path, found: &Path) {
    let (expected, found) = (read(expected), read(found));
    for (path, entry) in &expected {
        let other = found.get(path).unwrap_or_else(|| panic!("{} is missing", path.display()));
        assert_eq!(
            (entry.mode, entry.modified, entry.content.len()),
            (other.mode, other.modified, other.content.len()),
            "mode, time and length of {}",
            path.display()
        );
        assert!(entry.content == other.content, "{} has other content", path.display());
    }
    for path in found.keys() {
        assert!(expected.contains_key(path), "{} was not in the payload", path.display());
    }
}

/// Bytes of all files below a folder; 0 if there is none.
pub(crate) fn bytes(root: &Path) -> u64 {
    if root.exists() { read(root).values().map(|entry| entry.content.len() as u64).sum() } else { 0 }
}
