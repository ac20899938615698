use crate::control::{Failure, FailureKind, LinkCount, LogLevel, LogSource, Phase, Wait};
use crate::deploy::{Found, HostInfo, HostProgress, HostState, Mark, StateName};

use super::Ring;

/// Rates that are kept of a host, one a second: the last minute.
pub const RATE_SAMPLES: usize = 60;
/// Lines of a host that are kept. A screen shows about as many; the run's folder holds them all.
const LINES: usize = 24;
/// A line is cut here, so that 10,000 talkative hosts stay below 50 MB.
const LINE_CHARS: usize = 240;
/// Attempts that are remembered.
const ATTEMPTS: usize = 12;
/// Phases that are remembered of one attempt; activation and rollback may come again.
const SPANS: usize = 24;
/// Neighbours that are remembered. The graph deals 8, a full mesh has as many; the rest is room for reconnects.
const LINKS: usize = 64;
/// A report is taken to speak for at most so long before it.
const WAIT_SPAN_MS: u64 = 5_000;
/// A host that moves is silent after this, milliseconds.
const SILENT_MOVING_MS: u64 = 3_000;
/// A host that waits for an answer is silent after this, milliseconds.
const SILENT_WAITING_MS: u64 = 20_000;

/// A stretch of time in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// In which state.
    pub state: StateName,
    /// Start, milliseconds since the epoch.
    pub start: u64,
    /// End; `None` while it lasts.
    pub end: Option<u64>,
}

impl Span {
    /// How long it lasted, or lasts at `now`, milliseconds.
    pub fn millis(&self, now: u64) -> u64 {
        self.end.unwrap_or(now).saturating_sub(self.start)
    }
}

/// An attempt that ended without the release on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// Where it was when it ended.
    pub phase: Option<Phase>,
    /// The kind of its failure, if it failed.
    pub kind: Option<FailureKind>,
    /// Why it ended, one line.
    pub reason: String,
    /// How long it took, milliseconds.
    pub millis: u64,
}

/// A line that a host said, or that was said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLine {
    /// When, milliseconds since the epoch.
    pub at: u64,
    /// Whose words.
    pub source: LogSource,
    /// How grave.
    pub level: LogLevel,
    /// The line, cut if it is very long.
    pub text: String,
}

/// What a fetch waited for, in percent of its time so far; the rest went into moving bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WaitShares {
    /// Milliseconds that reports spoke for.
    pub known_ms: u64,
    /// No neighbour had a piece that was needed.
    pub no_piece: f64,
    /// The neighbours' links were slow.
    pub peers: f64,
    /// Those that had what was needed did not serve.
    pub choked: f64,
    /// The host's own limit.
    pub limit: f64,
    /// Disk.
    pub disk: f64,
    /// Hashing.
    pub cpu: f64,
}

impl WaitShares {
    fn add(&mut self, wait: Wait, millis: u64) {
        let all = (self.known_ms + millis) as f64;
        if all <= 0.0 {
            return;
        }
        let (old, new) = (self.known_ms as f64 / all, millis as f64 / all);
        for (mean, share) in [
            (&mut self.no_piece, wait.no_piece),
            (&mut self.peers, wait.peers),
            (&mut self.choked, wait.choked),
            (&mut self.limit, wait.limit),
            (&mut self.disk, wait.disk),
            (&mut self.cpu, wait.cpu),
        ] {
            *mean = *mean * old + f64::from(share) * new;
        }
        self.known_ms += millis;
    }

    /// Percent of the time in which bytes moved.
    pub fn moving(&self) -> f64 {
        (100.0 - self.no_piece - self.peers - self.choked - self.limit - self.disk - self.cpu).max(0.0)
    }
}

/// All that is known of a host. Bounded: about 4 KB, and its last lines.
#[derive(Debug, Clone)]
pub struct HostRecord {
    /// Who it is.
    pub info: HostInfo,
    /// Where it is on its way.
    pub state: HostState,
    /// Attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// Since when it is in this state, milliseconds since the epoch.
    pub since: u64,
    /// When it was last heard of.
    pub heard: u64,
    /// Tag that this run took it back to.
    pub back: Option<String>,
    /// What an errand found on it.
    pub found: Option<Box<Found>>,
    /// Its last numbers. `done` and `total` are those of the phase that reported.
    pub progress: HostProgress,
    /// Verified bytes of the artifact in this attempt; never goes back within one.
    pub fetched: u64,
    /// The most that an earlier attempt had.
    pub fetched_before: u64,
    /// Bytes of the artifact, 0 while unknown.
    pub to_fetch: u64,
    /// Bytes written of the release, and bytes of the release, in this attempt.
    pub unpacked: (u64, u64),
    /// When `current` was switched, if it was.
    pub activated_at: Option<u64>,
    /// The tag that `current` pointed at before, if it was switched.
    pub previous: Option<String>,
    marks: Vec<(Mark, String)>,
    spans: Vec<Span>,
    attempts: Ring<Attempt>,
    lines: Ring<HostLine>,
    rates: Ring<u32>,
    rate_second: u64,
    progress_at: u64,
    links: Vec<LinkCount>,
    waits: WaitShares,
    /// Groups it is in, by index into those of the fleet.
    pub(super) groups: Vec<u32>,
    /// Its rack, by index into those of the fleet.
    pub(super) rack: usize,
    /// Bytes of it that are counted in the totals.
    pub(super) credit: u64,
}

impl HostRecord {
    pub(super) fn new(info: HostInfo, at: u64, rack: usize, groups: Vec<u32>) -> Self {
        Self {
            info,
            state: HostState::Queued { reason: String::new() },
            attempt: 0,
            since: at,
            heard: at,
            back: None,
            found: None,
            progress: HostProgress::default(),
            fetched: 0,
            fetched_before: 0,
            to_fetch: 0,
            unpacked: (0, 0),
            activated_at: None,
            previous: None,
            marks: Vec::new(),
            spans: Vec::new(),
            attempts: Ring::new(ATTEMPTS),
            lines: Ring::new(LINES),
            rates: Ring::new(RATE_SAMPLES),
            rate_second: 0,
            progress_at: at,
            links: Vec::new(),
            waits: WaitShares::default(),
            groups,
            rack,
            credit: 0,
        }
    }

    /// The bare name of its state.
    pub fn name(&self) -> StateName {
        self.state.name()
    }

    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.state {
            HostState::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// Its marks and what they say.
    pub fn marks(&self) -> impl Iterator<Item = (Mark, &str)> {
        self.marks.iter().map(|(mark, text)| (*mark, text.as_str()))
    }

    /// Whether a mark is set.
    pub fn is_marked(&self, mark: Mark) -> bool {
        self.marks.iter().any(|(set, _)| *set == mark)
    }

    /// Its rack, as an index into those of the fleet.
    pub fn rack(&self) -> usize {
        self.rack
    }

    /// Why a person should look at it although it is on its way: the gravest of its marks.
    pub fn trouble(&self) -> Option<Mark> {
        if self.marks.is_empty() || self.name().phase().is_none() {
            return None;
        }
        [Mark::Stalled, Mark::Silent, Mark::Slow].into_iter().find(|mark| self.is_marked(*mark))
    }

    /// Whether it is on its way and a person should look at it.
    pub fn needs_eyes(&self) -> bool {
        self.trouble().is_some()
    }

    /// Phases of this attempt, in order.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Earlier attempts, oldest first.
    pub fn attempts(&self) -> &Ring<Attempt> {
        &self.attempts
    }

    /// Its last lines, oldest first.
    pub fn lines(&self) -> &Ring<HostLine> {
        &self.lines
    }

    /// Rates of the last minute, bytes a second, oldest first.
    pub fn rates(&self) -> &Ring<u32> {
        &self.rates
    }

    /// Mean rate of the last five seconds, bytes a second.
    pub fn recent_rate(&self) -> f64 {
        let recent = self.rates.iter().rev().take(5);
        let count = recent.len().max(1);
        self.rates.iter().rev().take(5).map(|rate| f64::from(*rate)).sum::<f64>() / count as f64
    }

    /// Bytes by neighbour.
    pub fn links(&self) -> &[LinkCount] {
        &self.links
    }

    /// What the fetch waited for.
    pub fn waits(&self) -> &WaitShares {
        &self.waits
    }

    /// Share of the artifact that is on the host, 0 to 1.
    pub fn share(&self) -> f64 {
        match self.name() {
            StateName::Verifying
            | StateName::Unpacking
            | StateName::Staged
            | StateName::Activating
            | StateName::Active
            | StateName::Done => 1.0,
            _ if self.to_fetch == 0 => 0.0,
            _ => (self.fetched as f64 / self.to_fetch as f64).clamp(0.0, 1.0),
        }
    }

    /// For how long it has not been heard of, if that is too long for what it does; milliseconds.
    pub fn silence(&self, now: u64) -> Option<u64> {
        (now > self.silent_at()?).then(|| now.saturating_sub(self.heard))
    }

    /// Until when something has to be heard of it, if that matters for what it does.
    pub(super) fn silent_at(&self) -> Option<u64> {
        let limit = match self.name() {
            StateName::Fetching | StateName::Unpacking => SILENT_MOVING_MS,
            state if state.phase().is_some() => SILENT_WAITING_MS,
            _ => return None,
        };
        Some(self.heard + limit)
    }

    pub(super) fn enter(&mut self, state: HostState, attempt: u32, at: u64) {
        if attempt > self.attempt {
            self.close_attempt(at);
            self.start_attempt(attempt);
        } else if self.name() != StateName::Queued && matches!(state, HostState::Queued { .. }) {
            // Some queue a host again before they count the attempt: what ended this one must not be lost.
            let reason = match (&self.state, &state) {
                (HostState::Failed(failure), _) => failure.message.clone(),
                (_, HostState::Queued { reason }) if !reason.is_empty() => reason.clone(),
                (before, _) => ending(before),
            };
            self.remember_attempt(reason, at);
        }
        if let Some(span) = self.spans.last_mut() {
            span.end.get_or_insert(at);
        }
        let name = state.name();
        if name.phase().is_some() || matches!(name, StateName::Queued | StateName::Staged) {
            if self.spans.len() == SPANS {
                self.spans.remove(0);
            }
            self.spans.push(Span { state: name, start: at, end: None });
        }
        if name != StateName::Fetching {
            self.progress.down_rate = 0;
        }
        if name.phase().is_none() {
            self.marks.retain(|(mark, _)| *mark == Mark::SshOnly);
            if name != StateName::Staged && name != StateName::Active {
                self.progress.up_rate = 0;
                self.progress.peers = 0;
            }
        }
        if matches!(name, StateName::Verifying | StateName::Unpacking) {
            self.fetched = self.fetched.max(self.to_fetch);
        }
        self.state = state;
        self.since = at;
        self.hear(at);
    }

    fn start_attempt(&mut self, attempt: u32) {
        self.attempt = attempt;
        self.fetched_before = self.fetched_before.max(self.fetched);
        self.fetched = 0;
        self.unpacked = (0, 0);
        self.waits = WaitShares::default();
        self.spans.clear();
        self.marks.clear();
        self.progress = HostProgress::default();
    }

    fn close_attempt(&mut self, at: u64) {
        let reason = match &self.state {
            HostState::Failed(failure) => failure.message.clone(),
            state => ending(state),
        };
        self.remember_attempt(reason, at);
    }

    fn remember_attempt(&mut self, reason: String, at: u64) {
        if self.attempt == 0 || self.attempts.last().is_some_and(|last| last.number == self.attempt) {
            return;
        }
        // A staged host that is called back did not miss the release.
        let moved = self.spans.iter().rev().find(|span| span.state != StateName::Queued);
        if moved.is_some_and(|span| span.state == StateName::Staged) && self.failure().is_none() {
            return;
        }
        let failed_in = self.failure().map(|failure| failure.phase);
        let last_phase = self.spans.iter().rev().find_map(|span| span.state.phase());
        // The time between two attempts belongs to neither.
        let end = if self.failure().is_some() { self.since } else { at };
        let start =
            self.spans.iter().find(|span| span.state != StateName::Queued).map_or(end, |span| span.start);
        self.attempts.push(Attempt {
            number: self.attempt,
            phase: failed_in.or(last_phase),
            kind: self.failure().map(|failure| failure.kind),
            reason,
            millis: end.saturating_sub(start),
        });
    }

    pub(super) fn report(&mut self, progress: HostProgress, at: u64) {
        match self.name() {
            StateName::Unpacking => {
                self.unpacked = (self.unpacked.0.max(progress.done), progress.total);
            }
            StateName::Fetching => {
                self.fetched = self.fetched.max(progress.done);
                self.to_fetch = progress.total;
                self.sample(progress.down_rate, at);
            }
            _ => {}
        }
        if let Some(wait) = progress.wait {
            self.waits.add(wait, at.saturating_sub(self.progress_at).min(WAIT_SPAN_MS));
        }
        if !progress.links.is_empty() {
            self.links.clone_from(&progress.links);
            self.links.truncate(LINKS);
        }
        self.progress = HostProgress { links: Vec::new(), ..progress };
        self.progress_at = at;
        self.hear(at);
    }

    fn sample(&mut self, rate: u64, at: u64) {
        let rate = u32::try_from(rate).unwrap_or(u32::MAX);
        let second = at / 1000;
        match self.rates.last_mut() {
            Some(last) if second == self.rate_second => *last = rate,
            _ => self.rates.push(rate),
        }
        self.rate_second = second;
    }

    pub(super) fn mark(&mut self, mark: Mark, on: bool, message: &str) {
        self.marks.retain(|(set, _)| *set != mark);
        if on {
            self.marks.push((mark, message.to_owned()));
            self.marks.sort_by_key(|(set, _)| *set);
        }
    }

    pub(super) fn say(&mut self, at: u64, source: LogSource, level: LogLevel, text: &str) {
        let text = text.chars().take(LINE_CHARS).collect();
        self.lines.push(HostLine { at, source, level, text });
    }

    pub(super) fn hear(&mut self, at: u64) {
        self.heard = self.heard.max(at);
        self.mark(Mark::Silent, false, "");
    }
}

fn ending(state: &HostState) -> String {
    match state {
        HostState::Queued { reason } => reason.clone(),
        HostState::Cancelled => "it was given up".to_owned(),
        HostState::Skipped { reason } => reason.clone(),
        state => format!("ended while {}", state.name()),
    }
}
