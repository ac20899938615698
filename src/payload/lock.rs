use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use crate::control::LockOwner;

use super::error::DestError;

/// How long an older agent of the same run and host may take to end by itself.
const END_PATIENCE: Duration = Duration::from_secs(3);

/// How long its end may take after it was killed: the kernel frees the lock, a sick disk may hold it up.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// How long the owner of a lock may take to write its name into it.
const NAME_PATIENCE: Duration = Duration::from_secs(1);

/// How long a run waits for a lock of one that began after it. Of two that began together and each hold some of the hosts, the later
/// one is refused at once and lets go of what it has; without this pause both would be.
const YIELD_PATIENCE: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(10);

/// DEST is ours as long as this lives. The lock ends with the process, however it ends.
#[derive(Debug)]
pub struct LockGuard {
    file: Option<File>,
    path: PathBuf,
}

/// What stands in the lock's file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Content {
    owner: LockOwner,
    /// The agent's process, in the words of its machine.
    process: Process,
    /// The agent has lost its operator, and waits until its lease ends for it to come back.
    #[serde(default)]
    adrift: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    pid: u32,
    /// Clock ticks after boot, so that another process with the same number is not taken for it.
    started: Option<u64>,
    boot: String,
}

impl LockGuard {
    /// Says in the lock whether the agent has lost its operator: then another run may end it and take DEST over.
    pub fn set_adrift(&mut self, adrift: bool) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.seek(SeekFrom::Start(0))?;
        match read(file) {
            Some(content) if content.adrift != adrift => write(file, &Content { adrift, ..content }),
            _ => Ok(()),
        }
    }

    /// Frees DEST and says what could not be removed.
    pub fn release(mut self) -> io::Result<()> {
        self.free()
    }

    fn name(&self, owner: &LockOwner) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        write(file, &Content { owner: owner.clone(), process: Process::own(), adrift: false })
    }

    fn free(&mut self) -> io::Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        // Removed while it is held: who waits for it sees that the file is no longer the one at that path.
        let removed = fs::remove_file(&self.path);
        drop(file);
        removed
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        let _ = self.free();
    }
}

/// Takes the lock, and says whose dead lock it was. An older agent of the same run and host is ended, and so is one that has
/// lost its operator; any other live owner keeps it, but one of a run that began later has some seconds to give it up.
pub(super) fn take(
    path: &Path,
    dest: &Path,
    owner: &LockOwner,
) -> Result<(LockGuard, Option<LockOwner>), DestError> {
    let begun = Instant::now();
    let mut nameless_since = None;
    let mut ended: Option<(Instant, LockOwner)> = None;
    loop {
        if let Some(mut file) = try_lock(path).map_err(DestError::io("lock", path))? {
            let before = read(&mut file);
            let guard = LockGuard { file: Some(file), path: path.to_owned() };
            guard.name(owner).map_err(DestError::io("write", path))?;
            let ended = ended.map(|(_, owner)| owner);
            return Ok((guard, before.map(|content| content.owner).or(ended)));
        }
        let Some(content) = File::open(path).ok().and_then(|mut file| read(&mut file)) else {
            let since = *nameless_since.get_or_insert_with(Instant::now);
            if since.elapsed() > NAME_PATIENCE {
                return Err(DestError::io("lock", path)(io::Error::from(io::ErrorKind::WouldBlock)));
            }
            std::thread::sleep(POLL);
            continue;
        };
        let same_run = content.owner.run == owner.run;
        if same_run && content.owner.host != owner.host && !content.adrift {
            return Err(DestError::SameDest(content.owner.host));
        }
        if content.owner.run > owner.run && !content.adrift && begun.elapsed() < YIELD_PATIENCE {
            std::thread::sleep(POLL);
            continue;
        }
        let may_be_ended = same_run || content.adrift;
        if !may_be_ended || content.process == Process::own() || !content.process.is_here() {
            return Err(content.locked(dest));
        }
        let (since, _) = ended.get_or_insert_with(|| {
            content.process.signal(Signal::TERM);
            // One that was stopped must go on to hear it.
            content.process.signal(Signal::CONT);
            (Instant::now(), content.owner.clone())
        });
        if since.elapsed() > END_PATIENCE + KILL_PATIENCE {
            return Err(content.locked(dest));
        }
        if since.elapsed() > END_PATIENCE {
            content.process.signal(Signal::KILL);
        }
        std::thread::sleep(POLL);
    }
}

/// The lock's file, locked, or `None` if another holds it.
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
        let ours = file.metadata()?;
        match fs::symlink_metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => return Ok(Some(file)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // Its owner removed it between our opening and locking it.
            _ => {}
        }
    }
}

fn read(file: &mut File) -> Option<Content> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write(mut file: &File, content: &Content) -> io::Result<()> {
    let text = serde_json::to_vec(content)?;
    file.seek(SeekFrom::Start(0))?;
    file.set_len(0)?;
    file.write_all(&text)
}

impl Content {
    fn locked(self, dest: &Path) -> DestError {
        DestError::Locked { path: dest.to_owned(), holder: self.process.words(), owner: Box::new(self.owner) }
    }
}

impl Process {
    /// Which process it is, and how it is ended if it does not end by itself.
    fn words(&self) -> String {
        let pid = self.pid;
        if !self.is_here() {
            format!("its agent is process {pid} of another machine, or of another boot of this one")
        } else if stat(pid)
            .is_some_and(|fields| matches!(fields.first().map(String::as_str), Some("T" | "t")))
        {
            format!(
                "its agent is process {pid} here, and is stopped: `kill -9 {pid}` on the host ends it and frees the lock"
            )
        } else {
            format!(
                "its agent is process {pid} here; it ends when that run does, or within 60 s of its operator's end"
            )
        }
    }

    fn own() -> Self {
        let pid = std::process::id();
        Self { pid, started: started(pid), boot: boot_id() }
    }

    /// It runs on this machine and is still the same process.
    fn is_here(&self) -> bool {
        self.boot == boot_id() && started(self.pid) == self.started
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| self.is_here()) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

/// Names this boot of this machine.
pub(super) fn boot_id() -> String {
    ["/proc/sys/kernel/random/boot_id", "/etc/machine-id"]
        .iter()
        .find_map(|path| fs::read_to_string(path).ok())
        .map_or_else(
            || rustix::system::uname().nodename().to_string_lossy().into_owned(),
            |text| text.trim().to_owned(),
        )
}

/// Start time of a process in clock ticks after boot.
fn started(pid: u32) -> Option<u64> {
    stat(pid)?.get(19)?.parse().ok()
}

/// What `/proc/PID/stat` says from its third field on, the state; the command's name before it may hold anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_ascii_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use crate::control::RunId;

    use super::*;

    fn owner(run: &str, host: &str) -> LockOwner {
        LockOwner {
            run: RunId(run.into()),
            host: host.into(),
            operator: "me@here".into(),
            operator_pid: 1,
            since: 1,
        }
    }

    #[test]
    fn a_foreign_live_lock_is_told_with_its_owner_and_is_free_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (guard, before) = take(&path, folder.path(), &owner("a", "h")).unwrap();
        assert_eq!(before, None);
        for other in [owner("b", "h"), owner("a", "h")] {
            let Err(DestError::Locked { owner: found, .. }) = take(&path, folder.path(), &other) else {
                panic!("taken twice");
            };
            assert_eq!(*found, owner("a", "h"));
        }
        let error = take(&path, folder.path(), &owner("a", "other")).unwrap_err();
        assert_eq!(error.to_string(), "same DEST as h", "another name of this machine");
        guard.release().unwrap();
        assert!(!path.exists(), "nothing is left of it");
        take(&path, folder.path(), &owner("b", "h")).unwrap();
    }

    #[test]
    fn whoever_finds_the_lock_taken_is_told_which_process_holds_it_and_how_to_end_one_that_was_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let _held = take(&path, folder.path(), &owner("a", "h")).unwrap();
        let failure = take(&path, folder.path(), &owner("b", "h"))
            .unwrap_err()
            .failure(crate::control::Phase::Checking);
        assert!(!failure.message.contains("process"), "{failure}: the same on all hosts");
        assert!(failure.detail[0].contains(&format!("process {} here", std::process::id())), "{failure:?}");

        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        let process = Process { pid, started: started(pid), boot: boot_id() };
        process.signal(Signal::STOP);
        while stat(pid).unwrap()[0] != "T" {
            std::thread::sleep(POLL);
        }
        let words = process.words();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(words.contains("is stopped") && words.contains(&format!("kill -9 {pid}")), "{words}");
        assert!(process.words().contains("another boot"), "it is gone: {}", process.words());
    }

    #[test]
    fn a_dead_owners_lock_is_taken_over_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (mut guard, _) = take(&path, folder.path(), &owner("a", "h")).unwrap();
        drop(guard.file.take());
        let (_guard, before) = take(&path, folder.path(), &owner("b", "h")).unwrap();
        assert_eq!(before, Some(owner("a", "h")));
    }

    #[test]
    fn a_run_waits_for_one_that_began_later_to_give_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (later, _) = take(&path, folder.path(), &owner("b", "h")).unwrap();
        std::thread::scope(|scope| {
            let earlier = scope.spawn(|| take(&path, folder.path(), &owner("a", "h")));
            std::thread::sleep(Duration::from_millis(200));
            assert!(!earlier.is_finished());
            later.release().unwrap();
            assert_eq!(earlier.join().unwrap().unwrap().1, None);
        });
    }

    #[test]
    fn of_many_that_start_at_once_one_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        for _ in 0..20 {
            let start = Barrier::new(4);
            let won = std::thread::scope(|scope| {
                let tries = [(); 4].map(|()| {
                    let (start, path, dest) = (&start, &path, folder.path());
                    scope.spawn(move || {
                        start.wait();
                        take(path, dest, &owner("a", "h")).ok()
                    })
                });
                tries.map(|thread| thread.join().unwrap()).into_iter().flatten().collect::<Vec<_>>()
            });
            assert_eq!(won.len(), 1);
        }
    }
}
