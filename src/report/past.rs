use std::path::Path;

use serde::Serialize;

use super::{Comparison, RunReport};
use crate::journal::{self, JournalError, Recorded, Run, RunState, Which, rfc3339};

/// A recorded run, ready to be shown.
#[derive(Debug, Clone)]
pub struct Past {
    /// Its record.
    pub recorded: Recorded,
    /// What happened.
    pub run: RunReport,
    /// How it stands beside the run before of the same fleet, if there was one.
    pub before: Option<Comparison>,
}

impl Past {
    /// The run that a user means below `root`: `last`, a name, the start of one, or the path of its folder.
    ///
    /// # Errors
    /// When there is none, more than one, or nothing in it to show.
    pub fn find(root: &Path, name: &str) -> Result<Self, JournalError> {
        Self::of(root, journal::find(root, name, Which::Any)?)
    }

    /// A run that was found, with the one before it below `root`.
    ///
    /// # Errors
    /// When its events cannot be read.
    pub fn of(root: &Path, recorded: Recorded) -> Result<Self, JournalError> {
        let run = read(&recorded)?;
        // A run that cannot be compared can be shown all the same.
        let before = || {
            let before = journal::previous(root, &recorded).ok()??;
            Comparison::of(&run, &read(&Recorded::open(&before.folder).ok()?).ok()?)
        };
        Ok(Self { before: before(), run, recorded })
    }
}

fn read(recorded: &Recorded) -> Result<RunReport, JournalError> {
    RunReport::of(recorded.events()?).ok_or_else(|| JournalError::NoPlan(recorded.folder().to_owned()))
}

#[derive(Serialize)]
struct Listed<'a> {
    run: &'a str,
    started: String,
    command: &'a str,
    tag: &'a str,
    payload: &'a str,
    inventory: &'a str,
    demo: bool,
    hosts: u32,
    state: &'static str,
    exit: Option<u8>,
    seconds: Option<f64>,
    active: Option<u32>,
    staged: Option<u32>,
    failed: Option<u32>,
    cancelled: Option<u32>,
    folder: String,
}

/// Past runs as JSON, one object a line: `state` is `running`, `ended` or `killed`, and what is not known is `null`.
pub fn list_json(runs: &[Run]) -> String {
    let mut text = String::new();
    for run in runs {
        let (state, outcome) = match &run.state {
            RunState::Running(outcome) => ("running", outcome.as_ref()),
            RunState::Ended(outcome) => ("ended", Some(outcome)),
            RunState::Killed => ("killed", None),
        };
        let status = &run.status;
        let listed = Listed {
            run: &status.run.0,
            started: rfc3339(status.started_at),
            command: &status.command,
            tag: &status.tag,
            payload: &status.payload,
            inventory: &status.inventory,
            demo: status.demo,
            hosts: status.hosts,
            state,
            exit: outcome.map(|outcome| outcome.exit),
            seconds: outcome.map(|outcome| outcome.seconds),
            active: outcome.map(|outcome| outcome.active),
            staged: outcome.map(|outcome| outcome.staged),
            failed: outcome.map(|outcome| outcome.failed),
            cancelled: outcome.map(|outcome| outcome.cancelled),
            folder: run.folder.display().to_string(),
        };
        // Numbers and strings alone: nothing in it can fail to become JSON.
        text.push_str(&serde_json::to_string(&listed).unwrap_or_default());
        text.push('\n');
    }
    text
}
