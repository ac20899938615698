use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::history::{Run, RunState, Which, runs};
use super::{Record, Recorded};
use crate::deploy::MANIFEST;
use crate::payload::MOST_BASES;

/// So many runs are looked through: beyond them hosts hardly hold what was shipped.
const LOOK_BACK: usize = 50;

/// Manifests of the releases that these hosts (name and DEST) are likely to hold, the oldest first: what a payload that is to be
/// `tag` is laid out for. What cannot be read is passed over.
///
/// They are the same for each run of one tag, so that what a host has of an earlier attempt stays of use.
pub fn bases(root: &Path, tag: &str, hosts: &HashSet<(&str, &str)>) -> Vec<PathBuf> {
    let mut past = runs(root).unwrap_or_default();
    past.retain(|run| !run.status.demo && Which::Shipped.holds(&run.status));
    let first = past.iter().filter(|run| run.status.tag == tag).map(|run| run.status.started_at).min();
    past.retain(|run| first.is_none_or(|first| run.status.started_at < first) && may_be_there(run));
    let mut known = HashSet::new();
    let mut bases = Vec::new();
    for run in past.into_iter().take(LOOK_BACK) {
        let Ok(recorded) = Recorded::open(&run.folder) else { continue };
        let file = run.folder.join(MANIFEST);
        if file.is_file()
            && is_of(recorded.record(), hosts)
            && known.insert(recorded.record().manifest.clone())
        {
            bases.push(file);
        }
        if bases.len() == MOST_BASES {
            break;
        }
    }
    bases.reverse();
    bases
}

/// Whether any host may have what the run shipped.
fn may_be_there(run: &Run) -> bool {
    match &run.state {
        RunState::Ended(outcome) | RunState::Running(Some(outcome)) => outcome.active + outcome.staged > 0,
        RunState::Running(None) | RunState::Killed => true,
    }
}

/// Whether a run was for any of these hosts.
fn is_of(record: &Record, hosts: &HashSet<(&str, &str)>) -> bool {
    let field = |host: &Value, name: &str| host.get(name).and_then(Value::as_str).map(str::to_owned);
    record.hosts.as_array().is_some_and(|all| {
        all.iter().any(|host| {
            let place = field(host, "name").zip(field(host, "dest"));
            place.is_some_and(|(name, dest)| hosts.contains(&(name.as_str(), dest.as_str())))
        })
    })
}
