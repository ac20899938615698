use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::folder::{EVENTS, STATUS};
use super::read::read_json;
use super::record::{Outcome, Status};
use super::{JournalError, Recorded};

/// Which recorded runs stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// So many, the newest.
    pub runs: usize,
    /// No older ones.
    pub age: Duration,
}

impl Default for Retention {
    /// A hundred runs, 90 days.
    fn default() -> Self {
        Self { runs: 100, age: Duration::from_secs(90 * 24 * 3600) }
    }
}

/// So many names an error lists.
const NEAR: usize = 3;

/// A run in a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// It in short.
    pub status: Status,
    /// How it stands.
    pub state: RunState,
}

/// How a recorded run stands.
#[derive(Debug, Clone, PartialEq)]
pub enum RunState {
    /// Its process lives. It may rest, and then has an outcome.
    Running(Option<Outcome>),
    /// It ended.
    Ended(Outcome),
    /// Its process is gone and it never ended: it was killed, or the machine went down.
    Killed,
}

/// Which runs a name is looked for among.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All, for `show` and `replay`.
    Any,
    /// Those that shipped something, for `retry`.
    Shipped,
}

impl Which {
    pub(super) fn holds(self, status: &Status) -> bool {
        self == Self::Any || matches!(status.command.as_str(), "deploy" | "retry" | "demo")
    }
}

/// All recorded runs below `root`, newest first. Folders that hold no readable record are passed over.
///
/// # Errors
/// When `root` is there and cannot be read.
pub fn runs(root: &Path) -> Result<Vec<Run>, JournalError> {
    let folders = match fs::read_dir(root) {
        Ok(folders) => folders,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(JournalError::io("read", root)(error)),
    };
    let mut runs: Vec<Run> = folders.flatten().filter_map(|entry| read(&entry.path())).collect();
    runs.sort_by(|a, b| {
        let key = |run: &Run| (run.status.started_at, run.status.run.clone());
        key(b).cmp(&key(a))
    });
    Ok(runs)
}

/// The newest run that is no demo, if there is one.
///
/// # Errors
/// When `root` cannot be read.
pub fn last(root: &Path, which: Which) -> Result<Option<Run>, JournalError> {
    Ok(runs(root)?.into_iter().find(|run| !run.status.demo && which.holds(&run.status)))
}

/// The run that a user means: `last` (never a demo), a name, the start of one if it is the start of no other, or the
/// path of a run's folder.
///
/// # Errors
/// When there is none, or more than one.
pub fn find(root: &Path, name: &str, which: Which) -> Result<Recorded, JournalError> {
    if name == "last" {
        return match last(root, which)? {
            Some(run) => Recorded::open(&run.folder),
            None => Err(no_last(root, which)?),
        };
    }
    if name.contains('/') {
        return Recorded::open(Path::new(name));
    }
    let runs = runs(root)?;
    if runs.is_empty() {
        return Err(JournalError::Empty(root.to_owned()));
    }
    if let Some(run) = runs.iter().find(|run| run.status.run.0 == name) {
        return Recorded::open(&run.folder);
    }
    let of: Vec<&Run> =
        runs.iter().filter(|run| !name.is_empty() && run.status.run.0.starts_with(name)).collect();
    let names = |runs: &mut dyn Iterator<Item = &Run>| runs.map(|run| run.status.run.0.clone()).collect();
    match of[..] {
        [run] => Recorded::open(&run.folder),
        [] => Err(JournalError::Unknown { name: name.to_owned(), near: names(&mut runs.iter().take(NEAR)) }),
        _ => Err(JournalError::Ambiguous { name: name.to_owned(), of: names(&mut of.into_iter()) }),
    }
}

fn no_last(root: &Path, which: Which) -> Result<JournalError, JournalError> {
    let wanted = match which {
        Which::Any => "the newest run that is no demo",
        Which::Shipped => "the newest deploy or retry",
    };
    Ok(match runs(root)?.first() {
        Some(newest) => JournalError::NoLast { wanted, newest: newest.status.run.0.clone() },
        None => JournalError::Empty(root.to_owned()),
    })
}

/// The newest run of the same fleet that ended before this one began: what it is compared with. A fleet is its hosts,
/// wherever they are written down: at least half of this run's hosts took part in that one, by their names.
///
/// # Errors
/// When `root` or the run itself cannot be read.
pub fn previous(root: &Path, of: &Recorded) -> Result<Option<Run>, JournalError> {
    let status = of.status()?;
    let hosts = of.record().host_names();
    let is_before = |run: &Run| {
        run.status.started_at < status.started_at
            && run.status.demo == status.demo
            && Which::Shipped.holds(&run.status)
            && matches!(run.state, RunState::Ended(_))
    };
    let is_same_fleet = |run: &Run| {
        // A run that cannot be read cannot be compared with.
        let Ok(before) = Recorded::open(&run.folder) else { return false };
        hosts.intersection(&before.record().host_names()).count() * 2 >= hosts.len().max(1)
    };
    Ok(runs(root)?.into_iter().find(|run| is_before(run) && is_same_fleet(run)))
}

/// Removes the runs that need not stay at `now` (milliseconds since the epoch), and gives their number back. The newest
/// run and such as go on are never removed.
///
/// # Errors
/// When a run cannot be removed; the others are gone then.
pub fn prune(root: &Path, retention: Retention, now: u64) -> Result<usize, JournalError> {
    let oldest = now.saturating_sub(retention.age.as_millis() as u64);
    let mut removed = 0;
    let mut failed = Ok(());
    for (index, run) in runs(root)?.into_iter().enumerate().skip(1) {
        let wanted = index < retention.runs && run.status.started_at >= oldest;
        if wanted || matches!(run.state, RunState::Running(_)) {
            continue;
        }
        match fs::remove_dir_all(&run.folder) {
            Ok(()) => removed += 1,
            Err(error) => failed = Err(JournalError::io("remove", run.folder)(error)),
        }
    }
    failed.map(|()| removed)
}

fn read(folder: &Path) -> Option<Run> {
    let status: Status = read_json(&folder.join(STATUS)).ok()?;
    let state = match (is_alive(folder), status.outcome.clone()) {
        (true, outcome) => RunState::Running(outcome),
        (false, Some(outcome)) => RunState::Ended(outcome),
        (false, None) => RunState::Killed,
    };
    Some(Run { folder: folder.to_owned(), status, state })
}

/// Whether the process that writes the run holds its lock.
fn is_alive(folder: &Path) -> bool {
    let Ok(events) = File::open(folder.join(EVENTS)) else { return false };
    flock(&events, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
}
