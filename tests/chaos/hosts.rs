//! Made-up hosts as faults see them: their processes and folders.

use std::fs;
use std::path::{Path, PathBuf};

use murder::demo::DemoHost;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::host::{current, releases};
use crate::support::tree;

/// Folder of all that belongs to a host.
pub(crate) fn root(host: &DemoHost) -> &Path {
    host.home.parent().unwrap()
}

/// Its agents: processes whose program lies there.
pub(crate) fn agents(host: &DemoHost) -> Vec<Pid> {
    processes(|process| fs::read_link(process.join("exe")).is_ok_and(|exe| exe.starts_with(root(host))))
}

/// Its agents and hooks, which work in its folders.
pub(crate) fn all(host: &DemoHost) -> Vec<Pid> {
    let below = |link: PathBuf| fs::read_link(link).is_ok_and(|path| path.starts_with(root(host)));
    processes(|process| below(process.join("exe")) || below(process.join("cwd")))
}

/// Sends a signal to its agents.
pub(crate) fn strike(host: &DemoHost, signal: Signal) {
    for agent in agents(host) {
        let _ = kill_process(agent, signal);
    }
}

fn processes(is: impl Fn(&Path) -> bool) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)?;
        is(&entry.path()).then_some(pid)
    });
    numbered.collect()
}

/// What of a run stays on a host besides releases, their records and the pieces for a retry.
pub(crate) fn leftovers(host: &DemoHost) -> Result<(), String> {
    let processes = all(host);
    if !processes.is_empty() {
        return Err(format!("{}: {} processes", host.name, processes.len()));
    }
    for entry in fs::read_dir(host.dest.join(".murder")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !["records", "partial"].contains(&name.as_str()) {
            return Err(format!("{}: .murder/{name}", host.name));
        }
    }
    Ok(())
}

/// Whether all that is below `releases` is whole, and the link points at it or is what it was.
pub(crate) fn nothing_half(host: &DemoHost, payload: &Path) -> Result<(), String> {
    for tag in releases(&host.dest) {
        let release = host.dest.join("releases").join(&tag);
        // What a fault put there is not ours.
        if !release.join("other").exists() {
            tree::assert_same(payload, &release);
        }
    }
    match current(&host.dest) {
        Some(target) if !host.dest.join(&target).is_dir() => Err(format!("{}: a link to nothing", host.name)),
        _ => Ok(()),
    }
}
