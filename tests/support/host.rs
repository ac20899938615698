//! What is to be seen on a host after a deployment.

use std::fs;
use std::path::{Path, PathBuf};

use murder::demo::{DemoFleet, DemoOptions, Fault};

use super::{eventually, tree};

/// A fleet of made-up hosts without limits, in a folder of its own.
pub(crate) fn fleet(hosts: usize, faults: &[Option<Fault>]) -> DemoFleet {
    let options = DemoOptions { hosts, size: 16 << 20, ..DemoOptions::default() };
    DemoFleet::start_with(&options, faults).unwrap()
}

/// Checks that `tag` is there, is what was sent, and is current.
///
/// # Panics
/// If it is not.
pub(crate) fn assert_active(dest: &Path, tag: &str, payload: &Path) {
    tree::assert_same(payload, &dest.join("releases").join(tag));
    assert_eq!(current(dest), Some(Path::new("releases").join(tag)), "current of {}", dest.display());
}

/// Where `current` points, as the link says it.
pub(crate) fn current(dest: &Path) -> Option<PathBuf> {
    fs::read_link(dest.join("current")).ok()
}

/// Tags of the releases on a host, sorted.
pub(crate) fn releases(dest: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dest.join("releases")) else { return Vec::new() };
    let mut tags: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    tags.sort();
    tags
}

/// Checks that a run left nothing on a host but releases, the link and their records: no partial data, nothing half unpacked,
/// no process.
///
/// # Panics
/// If something stays.
pub(crate) fn assert_clean(dest: &Path) {
    eventually("the agents' end", || processes_below(dest.parent().unwrap().parent().unwrap()).is_empty());
    let records = tree::bytes(&dest.join(".murder"));
    assert!(records < 256 << 10, "{records} bytes stay in {}/.murder", dest.display());
    for entry in fs::read_dir(dest).into_iter().flatten() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(["releases", "current", ".murder"].contains(&name.as_str()), "{name} stays in DEST");
    }
    for tag in releases(dest) {
        assert!(!tag.starts_with('.'), "{tag} stays among the releases");
    }
}

/// Processes whose program lies below a folder, as agents do on made-up hosts. Empty where there is no /proc.
pub(crate) fn processes_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let programs = entries.flatten().filter_map(|entry| fs::read_link(entry.path().join("exe")).ok());
    programs.filter(|program| program.starts_with(folder)).collect()
}
