use std::collections::VecDeque;
use std::io::Write;

use serde::Serialize;

use super::face::Out;
use super::json_found::FoundObject;
use super::outcome::by_words;
use super::{Face, Style, summary};
use crate::control::{FailureKind, HostId, LogLevel, Phase};
use crate::deploy::{
    ActivationSummary, Body, Event, FailureGroup, HostProgress, HostState, Plan, RunInfo, StateName, Summary,
    SwarmSummary,
};
use crate::fleet::FleetState;
use crate::journal::rfc3339;

/// Version of the lines.
const VERSION: u32 = 1;
/// Milliseconds between two `progress` lines of a host.
const PROGRESS_EVERY: u64 = 1000;
/// Lines of the log kept while `run_started` is not known. Packing may take long, and hosts may talk meanwhile.
const EARLY_LOG_LINES: usize = 10_000;

/// Prints one JSON object a line, as `assets/events.schema.json` describes them, and the summary to a second writer.
#[derive(Debug)]
pub struct Json<W, E> {
    out: Out<W>,
    err: Out<E>,
    style: Style,
    verbose: bool,
    fleet: FleetState,
    /// What happened before `run_started` could be said.
    early: Option<Vec<Event>>,
    early_logs: usize,
    progress: Pace,
}

impl<W: Write, E: Write> Json<W, E> {
    /// Lines go to `out`, the summary to `err`. `verbose` lets lines of level debug through.
    pub fn new(out: W, err: E, style: Style, verbose: bool) -> Self {
        Self {
            out: Out::new(out),
            err: Out::new(err),
            style,
            verbose,
            fleet: FleetState::new(),
            early: Some(Vec::new()),
            early_logs: 0,
            progress: Pace::default(),
        }
    }

    fn started(&mut self, info: &RunInfo) {
        let Some(early) = self.early.take() else { return };
        if let (Some(plan), Some(at)) = (self.fleet.plan().cloned(), self.fleet.started_at()) {
            let hosts = self.fleet.hosts().len();
            self.progress = Pace::new(hosts);
            self.line(at, Object::started(&plan, hosts, info));
        }
        for event in early {
            self.say(&event);
        }
    }

    fn keep_early(&mut self, event: &Event) {
        let Some(early) = &mut self.early else { return };
        match event.body {
            Body::Planned(_)
            | Body::Packing { .. }
            | Body::Progress { .. }
            | Body::Seeder(_)
            | Body::Limit(_) => return,
            Body::Log(_) if self.early_logs >= EARLY_LOG_LINES => return,
            Body::Log(_) => self.early_logs += 1,
            _ => {}
        }
        early.push(event.clone());
    }

    fn say(&mut self, event: &Event) {
        match &event.body {
            Body::Host { host, attempt, state } => {
                self.progress.forget(*host);
                let name = self.name(*host);
                self.line(event.at, Object::host(&name, *attempt, state));
            }
            Body::Progress { host, progress } => self.progress.take(*host, progress),
            Body::Log(line) if line.level > LogLevel::Debug || self.verbose => {
                let host = line.host.map(|host| self.name(host));
                self.log(event.at, host.as_deref(), line.level, &line.message);
            }
            Body::Mark { host, mark, on: true, message } => {
                let host = self.name(*host);
                self.log(event.at, Some(&host), LogLevel::Warn, &format!("{}: {message}", mark.as_str()));
            }
            Body::Stopping { reason } => {
                self.log(event.at, None, LogLevel::Warn, &format!("stopping: {reason}"));
            }
            Body::Barrier(barrier) => self.line(
                event.at,
                Object::Barrier { staged: barrier.staged, failed: barrier.failed, waiting: barrier.waiting },
            ),
            Body::RolledBack { host, tag } => {
                let host = self.name(*host);
                self.line(event.at, Object::RolledBack { host: &host, tag });
            }
            Body::Found { host, result } => {
                let name = self.name(*host);
                let found = FoundObject::new(&name, result, &|id| self.name(id));
                self.write(event.at, found);
            }
            Body::Activated { host, .. } => {
                let host = self.name(*host);
                self.line(event.at, Object::Activated { host: &host });
            }
            Body::Finished(summary) => {
                let finished = Object::finished(summary, &|host| self.name(host));
                self.line(event.at, finished);
            }
            _ => {}
        }
    }

    fn name(&self, host: HostId) -> String {
        self.fleet.host_name(host).to_owned()
    }

    fn log(&mut self, at: u64, host: Option<&str>, level: LogLevel, message: &str) {
        self.line(at, Object::Log { host, level, message });
    }

    fn progress_due(&mut self, now: u64) {
        while let Some((host, progress)) = self.progress.due(now) {
            let name = self.name(host);
            self.line(now, Object::progress(&name, &progress));
        }
    }

    fn line(&mut self, at: u64, object: Object<'_>) {
        self.write(at, object);
    }

    fn write(&mut self, at: u64, object: impl Serialize) {
        // Numbers and strings alone: nothing in it can fail to become JSON.
        if let Ok(mut line) = serde_json::to_string(&Line { v: VERSION, ts: rfc3339(at), object }) {
            line.push('\n');
            self.out.write(&line);
        }
    }
}

impl<W: Write + Send, E: Write + Send> Face for Json<W, E> {
    fn event(&mut self, event: &Event) {
        self.fleet.apply(event);
        match &event.body {
            Body::Started(info) => self.started(info),
            // It ended before anything could be packed: what is known must do.
            Body::Finished(_) if self.early.is_some() => self.started(&nothing()),
            _ => {}
        }
        if self.early.is_some() {
            self.keep_early(event);
        } else {
            self.say(event);
            self.progress_due(event.at);
        }
        if matches!(event.body, Body::Finished(_)) {
            self.err.write(&summary(&self.fleet, &self.style));
        }
    }

    fn tick(&mut self, now: u64) {
        self.progress_due(now);
    }

    fn trouble(&self) -> Option<String> {
        self.out.trouble().or_else(|| self.err.trouble())
    }
}

/// Lets each host's latest progress through once in [`PROGRESS_EVERY`].
#[derive(Debug, Default)]
struct Pace {
    hosts: Vec<PaceSlot>,
    /// Hosts with something to say, by the time when they may.
    waiting: VecDeque<(u64, HostId)>,
}

#[derive(Debug, Default, Clone)]
struct PaceSlot {
    said_at: Option<u64>,
    latest: Option<Box<HostProgress>>,
}

impl Pace {
    fn new(hosts: usize) -> Self {
        Self { hosts: vec![PaceSlot::default(); hosts], waiting: VecDeque::new() }
    }

    fn take(&mut self, host: HostId, progress: &HostProgress) {
        let Some(slot) = self.hosts.get_mut(host.index()) else { return };
        if slot.latest.replace(Box::new(progress.clone())).is_none() {
            let due = slot.said_at.map_or(0, |at| at + PROGRESS_EVERY);
            let place = self.waiting.partition_point(|(other, _)| *other <= due);
            self.waiting.insert(place, (due, host));
        }
    }

    /// What is late when the host's state has changed is not said.
    fn forget(&mut self, host: HostId) {
        if let Some(slot) = self.hosts.get_mut(host.index())
            && slot.latest.take().is_some()
        {
            self.waiting.retain(|(_, other)| *other != host);
        }
    }

    fn due(&mut self, now: u64) -> Option<(HostId, Box<HostProgress>)> {
        let (_, host) = *self.waiting.front().filter(|(due, _)| *due <= now)?;
        self.waiting.pop_front();
        let slot = self.hosts.get_mut(host.index())?;
        slot.said_at = Some(now);
        Some((host, slot.latest.take()?))
    }
}

#[derive(Serialize)]
struct Line<T> {
    v: u32,
    ts: String,
    #[serde(flatten)]
    object: T,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Object<'a> {
    RunStarted {
        run: &'a str,
        tag: &'a str,
        payload: &'a str,
        bytes: u64,
        packed_bytes: u64,
        hosts: usize,
        info_hash: &'a str,
        manifest: &'a str,
        least_seconds: Option<f64>,
    },
    HostState {
        host: &'a str,
        state: StateName,
        attempt: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        phase: Option<Phase>,
        #[serde(skip_serializing_if = "Option::is_none")]
        kind: Option<FailureKind>,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<&'a str>,
    },
    Progress {
        host: &'a str,
        done: u64,
        total: u64,
        down_rate: u64,
        up_rate: u64,
        peers: u32,
    },
    Log {
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<&'a str>,
        level: LogLevel,
        message: &'a str,
    },
    Barrier {
        staged: u32,
        failed: u32,
        waiting: u32,
    },
    Activated {
        host: &'a str,
    },
    RolledBack {
        host: &'a str,
        tag: &'a str,
    },
    RunFinished {
        run: &'a str,
        exit: u8,
        seconds: f64,
        active: u32,
        #[serde(skip_serializing_if = "is_zero")]
        done: u32,
        staged: u32,
        failed: u32,
        cancelled: u32,
        swarm: &'a SwarmSummary,
        failures: Vec<Group<'a>>,
        activation: Option<ActivationSummary>,
        shut: Option<&'a str>,
        left_behind: Vec<Said<'a>>,
        unchecked: Vec<Said<'a>>,
    },
}

/// What is said of some hosts.
#[derive(Serialize)]
struct Said<'a> {
    message: &'a str,
    hosts: Vec<String>,
}

#[derive(Serialize)]
struct Group<'a> {
    kind: FailureKind,
    message: &'a str,
    hosts: Vec<String>,
}

impl<'a> Object<'a> {
    fn started(plan: &'a Plan, hosts: usize, info: &'a RunInfo) -> Self {
        Self::RunStarted {
            run: &plan.run.0,
            tag: &plan.tag,
            payload: &plan.payload,
            bytes: info.bytes,
            packed_bytes: info.packed_bytes,
            hosts,
            info_hash: &info.info_hash,
            manifest: &info.manifest,
            least_seconds: info.least_seconds,
        }
    }

    fn host(host: &'a str, attempt: u32, state: &'a HostState) -> Self {
        let (phase, kind, message) = match state {
            HostState::Failed(failure) => {
                (Some(failure.phase), Some(failure.kind), Some(failure.message.as_str()))
            }
            HostState::Queued { reason } | HostState::Skipped { reason } => {
                (None, None, Some(reason.as_str()).filter(|reason| !reason.is_empty()))
            }
            HostState::Staged { already: true } => (None, None, Some("was there already")),
            _ => (None, None, None),
        };
        Self::HostState { host, state: state.name(), attempt, phase, kind, message }
    }

    fn progress(host: &'a str, progress: &HostProgress) -> Self {
        let HostProgress { done, total, down_rate, up_rate, peers, .. } = *progress;
        Self::Progress { host, done, total, down_rate, up_rate, peers }
    }

    fn finished(summary: &'a Summary, name: &dyn Fn(HostId) -> String) -> Self {
        let names = |hosts: &[HostId]| hosts.iter().map(|host| name(*host)).collect();
        let group = |group: &'a FailureGroup| Group {
            kind: group.kind,
            message: &group.message,
            hosts: names(&group.hosts),
        };
        let said = |said: &'a [(HostId, String)]| {
            let groups = by_words(said).into_iter();
            groups.map(|(message, hosts)| Said { message, hosts: names(&hosts) }).collect()
        };
        Self::RunFinished {
            run: &summary.run.0,
            exit: summary.exit,
            seconds: summary.seconds,
            active: summary.active,
            done: summary.done,
            staged: summary.staged,
            failed: summary.failed,
            cancelled: summary.cancelled,
            swarm: &summary.swarm,
            failures: summary.failures.iter().map(group).collect(),
            activation: summary.activation,
            shut: summary.shut.as_deref(),
            left_behind: said(&summary.left_behind),
            unchecked: said(&summary.unchecked),
        }
    }
}

/// Only errands have hosts that are done.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

fn nothing() -> RunInfo {
    RunInfo {
        bytes: 0,
        packed_bytes: 0,
        entries: 0,
        pieces: 0,
        piece_length: 0,
        info_hash: String::new(),
        manifest: String::new(),
        least_seconds: None,
        ignored: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_s_progress_comes_once_a_second_and_is_the_latest() {
        let mut pace = Pace::new(1);
        let host = HostId(0);
        let mut said = Vec::new();
        for now in (0..5000).step_by(100) {
            pace.take(host, &HostProgress { done: now, ..HostProgress::default() });
            while let Some((_, progress)) = pace.due(now) {
                said.push((now, progress.done));
            }
        }
        assert_eq!(said, [(0, 0), (1000, 1000), (2000, 2000), (3000, 3000), (4000, 4000)]);
        pace.take(HostId(9), &HostProgress::default());
        assert!(
            pace.due(u64::MAX).is_some_and(|(host, progress)| host == HostId(0) && progress.done == 4900)
        );
        assert!(pace.due(u64::MAX).is_none());
    }
}
