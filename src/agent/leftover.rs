use std::fs;
use std::path::{Path, PathBuf};

/// How long a leftover agent gets to leave before it is killed.
#[cfg(target_os = "linux")]
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);

/// What was removed of agents on this host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Removed {
    pub(super) files: u32,
    pub(super) ended: u32,
}

/// Removes the files of all agents beside this one, its own too, and ends agents that nobody speaks to any more.
pub(super) fn remove_agents() -> Removed {
    let Some(cache) = std::env::current_exe().ok().as_deref().and_then(cache_of) else {
        return Removed::default();
    };
    let ended = end_orphans(&cache);
    Removed { files: remove_files(&cache), ended }
}

/// The folder of agents, if this program lies where an operator puts them: `murder/SHA256/agent`.
fn cache_of(program: &Path) -> Option<PathBuf> {
    let folder = program.parent()?;
    let cache = folder.parent()?;
    let is_agent = program.file_name()?.to_str()?.trim_end_matches(" (deleted)") == "agent";
    (is_agent && is_hash(folder.file_name()?.to_str()?) && cache.file_name()? == "murder")
        .then(|| cache.to_owned())
}

fn is_hash(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn remove_files(cache: &Path) -> u32 {
    let entries = fs::read_dir(cache).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_hash));
    let removed = folders.filter(|entry| fs::remove_dir_all(entry.path()).is_ok()).count();
    // Only if nothing else is in it.
    let _ = fs::remove_dir(cache);
    u32::try_from(removed).unwrap_or(u32::MAX)
}

/// Other agents of this folder whose parent is gone: their connection has ended, and they did not notice.
#[cfg(target_os = "linux")]
fn orphans(cache: &Path) -> Vec<rustix::process::Pid> {
    let own = std::process::id();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers
        .filter(|number| *number != own && is_orphan(*number, cache))
        .filter_map(|number| rustix::process::Pid::from_raw(i32::try_from(number).ok()?))
        .collect()
}

#[cfg(target_os = "linux")]
fn is_orphan(number: u32, cache: &Path) -> bool {
    let program = fs::read_link(format!("/proc/{number}/exe")).ok();
    program.as_deref().and_then(cache_of).is_some_and(|other| other == cache)
        && parent(number).is_some_and(|parent| parent <= 1 || name(parent).as_deref() == Some("systemd"))
}

/// The fourth field of `stat`, behind a name in parentheses that may hold anything.
#[cfg(target_os = "linux")]
fn parent(number: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

#[cfg(target_os = "linux")]
fn name(number: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{number}/comm")).ok()?.trim_end().to_owned())
}

#[cfg(target_os = "linux")]
fn end_orphans(cache: &Path) -> u32 {
    use rustix::process::{Signal, kill_process};
    let found = orphans(cache);
    if found.is_empty() {
        return 0;
    }
    // One that is stopped would not hear it.
    for agent in &found {
        let _ = kill_process(*agent, Signal::TERM);
        let _ = kill_process(*agent, Signal::CONT);
    }
    let step = std::time::Duration::from_millis(100);
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        if orphans(cache).is_empty() {
            break;
        }
        std::thread::sleep(step);
    }
    for agent in orphans(cache) {
        let _ = kill_process(agent, Signal::KILL);
    }
    u32::try_from(found.len()).unwrap_or(u32::MAX)
}

#[cfg(not(target_os = "linux"))]
fn end_orphans(_: &Path) -> u32 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_where_agents_are_put_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("murder");
        let agent = cache.join("ab".repeat(32));
        for path in [&agent, &cache.join("kept")] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(agent.join("agent"), "").unwrap();
        assert_eq!(cache_of(&agent.join("agent")), Some(cache.clone()));
        assert_eq!(cache_of(&agent.join("other")), None);
        assert_eq!(cache_of(Path::new("/usr/bin/agent")), None);
        assert_eq!(remove_files(&cache), 1);
        assert!(!agent.exists() && cache.join("kept").exists());
    }
}
