use std::collections::{HashMap, VecDeque};

use crate::control::{HostId, LogLevel, LogSource};
use crate::deploy::{BarrierState, FluidLimit, Plan, Question, RunInfo, SeederProgress, StateName, Summary};

use super::glance::MAY_FETCH;
use super::{Causes, Counts, Eta, Flows, Glance, HostRecord, Pulse, Ring};

/// Seconds of the swarm's throughput that are kept: five minutes, more than a screen is wide.
pub(super) const THROUGHPUT_SAMPLES: usize = 300;
/// Lines of the log that are kept; the run's folder holds them all.
pub(super) const LOG_LINES: usize = 5_000;

/// Hosts that fetch report every second: after this something between them and here is wrong, milliseconds.
const QUIET_FETCHING_MS: u64 = 4_000;
/// Others may have nothing to say for as long as dialling takes, milliseconds.
const QUIET_WAITING_MS: u64 = 20_000;

/// Sums over all hosts. Byte counters run over all attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of the artifact on the hosts.
    pub done: u64,
    /// Payload bytes received, duplicates included.
    pub down: u64,
    /// Payload bytes that hosts sent to each other.
    pub up: u64,
    /// Block bytes received beyond the first copy.
    pub duplicate: u64,
    /// Bytes that were on the hosts before.
    pub reused: u64,
    /// Bytes a second received now.
    pub rate: u64,
}

/// What holds hosts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GroupKind {
    /// A rack.
    Rack,
    /// A group of the inventory.
    Group,
}

impl GroupKind {
    /// The word shown to users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rack => "rack",
            Self::Group => "group",
        }
    }
}

/// A rack or a group, with its sums.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Which of the two.
    pub kind: GroupKind,
    /// Its name.
    pub name: String,
    /// Its hosts, in order of the inventory.
    pub hosts: Vec<HostId>,
    /// Its hosts by state.
    pub counts: Counts,
    /// Bytes of the artifact on its hosts.
    pub done: u64,
    /// Bytes a second that its hosts receive.
    pub rate: u64,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// When, milliseconds since the epoch.
    pub at: u64,
    /// The host, if it is about one.
    pub host: Option<HostId>,
    /// How grave.
    pub level: LogLevel,
    /// Whose words.
    pub source: LogSource,
    /// The line.
    pub message: String,
}

/// All that is known of a run, reduced from its events by [`FleetState::apply`]. It reads no clock: times come from the
/// events and from whoever calls, so that a recorded run gives the same pictures again.
#[derive(Debug, Clone)]
pub struct FleetState {
    pub(super) plan: Option<Box<Plan>>,
    pub(super) info: Option<Box<RunInfo>>,
    pub(super) packing: Option<(u64, u64)>,
    pub(super) hosts: Vec<HostRecord>,
    pub(super) glances: Vec<Glance>,
    pub(super) pulses: Vec<Pulse>,
    pub(super) name_order: Vec<u32>,
    pub(super) by_name: HashMap<String, HostId>,
    pub(super) longest_name: usize,
    pub(super) one_rate: bool,
    pub(super) top_rate: u64,
    pub(super) counts: Counts,
    pub(super) groups: Vec<Group>,
    pub(super) racks: Vec<String>,
    pub(super) causes: Causes,
    pub(super) totals: Totals,
    pub(super) throughput: Ring<u64>,
    pub(super) second: u64,
    pub(super) seeder: SeederProgress,
    pub(super) seeder_at: u64,
    pub(super) limit: Option<FluidLimit>,
    pub(super) seeder_rates: Ring<u64>,
    pub(super) flows: Flows,
    pub(super) log: Ring<LogEntry>,
    pub(super) barrier: Option<BarrierState>,
    pub(super) questions: VecDeque<Question>,
    pub(super) stopping: Option<String>,
    pub(super) summary: Option<Box<Summary>>,
    pub(super) finished: bool,
    pub(super) started_at: Option<u64>,
    pub(super) fetch_from: Option<u64>,
    pub(super) fetch_to: Option<u64>,
    /// When a host had all bytes the last time.
    pub(super) whole_at: Option<u64>,
    pub(super) first_pass: Option<u64>,
    pub(super) rests_at: Option<u64>,
    pub(super) rested_ms: u64,
    pub(super) last_at: u64,
    pub(super) eta: Option<Eta>,
    pub(super) first_failure: Option<HostId>,
    pub(super) revision: u64,
    pub(super) order: u64,
}

impl Default for FleetState {
    fn default() -> Self {
        Self::new()
    }
}

impl FleetState {
    /// A run of which nothing is known yet.
    pub fn new() -> Self {
        Self {
            plan: None,
            info: None,
            packing: None,
            hosts: Vec::new(),
            glances: Vec::new(),
            pulses: Vec::new(),
            name_order: Vec::new(),
            by_name: HashMap::new(),
            longest_name: 0,
            one_rate: false,
            top_rate: 0,
            counts: Counts::default(),
            groups: Vec::new(),
            racks: Vec::new(),
            causes: Causes::default(),
            totals: Totals::default(),
            throughput: Ring::new(THROUGHPUT_SAMPLES),
            second: 0,
            seeder: SeederProgress::default(),
            seeder_at: 0,
            limit: None,
            seeder_rates: Ring::new(THROUGHPUT_SAMPLES),
            flows: Flows::default(),
            log: Ring::new(LOG_LINES),
            barrier: None,
            questions: VecDeque::new(),
            stopping: None,
            summary: None,
            finished: false,
            started_at: None,
            fetch_from: None,
            fetch_to: None,
            whole_at: None,
            first_pass: None,
            rests_at: None,
            rested_ms: 0,
            last_at: 0,
            eta: None,
            first_failure: None,
            revision: 0,
            order: 0,
        }
    }

    /// What was planned; its list of hosts is empty, they are in [`Self::hosts`].
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_deref()
    }

    /// What is shipped, once it is packed.
    pub fn info(&self) -> Option<&RunInfo> {
        self.info.as_deref()
    }

    /// Bytes packed and bytes to pack, while the payload is packed.
    pub fn packing(&self) -> Option<(u64, u64)> {
        self.packing
    }

    /// Bytes of the artifact; 0 while unknown and where nothing is shipped.
    pub fn packed_bytes(&self) -> u64 {
        self.info.as_ref().map_or(0, |info| info.packed_bytes)
    }

    /// All hosts; a [`HostId`] is an index.
    pub fn hosts(&self) -> &[HostRecord] {
        &self.hosts
    }

    /// All hosts with their ids.
    pub fn ids(&self) -> impl Iterator<Item = (HostId, &HostRecord)> {
        (0..).map(HostId).zip(&self.hosts)
    }

    /// One host.
    pub fn host(&self, id: HostId) -> Option<&HostRecord> {
        self.hosts.get(id.index())
    }

    /// What is to be seen of each host at a glance; a [`HostId`] is an index.
    pub fn glances(&self) -> &[Glance] {
        &self.glances
    }

    /// What is reckoned with of each host; a [`HostId`] is an index.
    pub(super) fn pulses(&self) -> &[Pulse] {
        &self.pulses
    }

    /// The place of each host among all, by name; a [`HostId`] is an index.
    pub(super) fn name_order(&self) -> &[u32] {
        &self.name_order
    }

    /// The name of a host, or of the seeder.
    pub fn host_name(&self, id: HostId) -> &str {
        match self.host(id) {
            Some(host) => &host.info.name,
            None if id == HostId::SEEDER => "seeder",
            None => "?",
        }
    }

    /// Letters of the longest name of a host.
    pub fn longest_name(&self) -> usize {
        self.longest_name
    }

    /// The highest rate of a single host so far, bytes a second: the top of their sparklines, so that they compare.
    pub fn top_rate(&self) -> u64 {
        self.top_rate
    }

    /// The host with a name.
    pub fn find(&self, name: &str) -> Option<HostId> {
        self.by_name.get(name).copied()
    }

    /// Hosts by state.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Racks and groups in the order in which the inventory names them first.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Names of the racks; a fleet without racks has one, without a name.
    pub fn racks(&self) -> &[String] {
        &self.racks
    }

    /// The rack of a host, as an index into [`Self::racks`].
    pub fn rack_of(&self, id: HostId) -> Option<usize> {
        self.host(id).map(|host| host.rack)
    }

    /// Failed hosts by cause.
    pub fn causes(&self) -> &Causes {
        &self.causes
    }

    /// Sums over all hosts.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Bytes a second of all hosts together, one sample a second, oldest first.
    pub fn throughput(&self) -> &Ring<u64> {
        &self.throughput
    }

    /// What the seeder did, as of its last word.
    pub fn seeder(&self) -> &SeederProgress {
        &self.seeder
    }

    /// For how long the seeder has said nothing, if that is long for one that works; milliseconds.
    pub fn seeder_quiet(&self, now: u64) -> Option<u64> {
        let quiet = now.saturating_sub(self.seeder_at);
        let works = self.seeder.feeds > 0 && !self.is_resting();
        (works && quiet > QUIET_FETCHING_MS).then_some(quiet)
    }

    /// Bytes a second of the seeder, one sample a second, oldest first.
    pub fn seeder_rates(&self) -> &Ring<u64> {
        &self.seeder_rates
    }

    /// How many copies of the artifact the seeder sent.
    pub fn copies_sent(&self) -> Option<f64> {
        let packed = self.packed_bytes();
        (packed > 0).then(|| self.seeder.sent as f64 / packed as f64)
    }

    /// Who feeds whom.
    pub fn flows(&self) -> &Flows {
        &self.flows
    }

    /// The last lines of the log.
    pub fn log(&self) -> &Ring<LogEntry> {
        &self.log
    }

    /// The barrier, once it was heard of.
    pub fn barrier(&self) -> Option<&BarrierState> {
        self.barrier.as_ref()
    }

    /// The question that waits longest.
    pub fn question(&self) -> Option<&Question> {
        self.questions.front()
    }

    /// Why the run is being ended, if it is.
    pub fn stopping(&self) -> Option<&str> {
        self.stopping.as_deref()
    }

    /// How the run ended or rests; gone when a retry wakes it up.
    pub fn summary(&self) -> Option<&Summary> {
        self.summary.as_deref()
    }

    /// Why staged hosts were not activated, where the run rests because of it.
    pub fn shut(&self) -> Option<&str> {
        self.summary.as_ref()?.shut.as_deref().filter(|_| self.counts.of(StateName::Staged) > 0)
    }

    /// Whether every host is final, so that leaving harms nothing.
    pub fn is_resting(&self) -> bool {
        self.summary.is_some()
    }

    /// Whether the last event was seen.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Share of all bytes that is on the hosts, or of all hosts that are done where nothing is shipped; 0 to 1.
    pub fn share(&self) -> f64 {
        let all = self.packed_bytes() as f64 * self.hosts.len() as f64;
        let share = if all > 0.0 {
            self.totals.done as f64 / all
        } else if self.hosts.is_empty() {
            0.0
        } else {
            f64::from(self.counts.done()) / self.hosts.len() as f64
        };
        share.clamp(0.0, 1.0)
    }

    /// When the run began, milliseconds since the epoch.
    pub fn started_at(&self) -> Option<u64> {
        self.started_at
    }

    /// Time of the run in milliseconds; it stands still while the run rests.
    pub fn elapsed_millis(&self, now: u64) -> u64 {
        let end = self.rests_at.unwrap_or(now);
        self.started_at.map_or(0, |start| end.saturating_sub(start).saturating_sub(self.rested_ms))
    }

    /// When something was said, on the run's own clock: milliseconds after its start, rests included.
    pub fn clock_at(&self, at: u64) -> u64 {
        at.saturating_sub(self.started_at.unwrap_or(at))
    }

    /// From the first host's fetching to the last host's end of it, or to `now`; milliseconds.
    pub fn fetch_millis(&self, now: u64) -> Option<u64> {
        Some(self.fetch_to.unwrap_or(now).saturating_sub(self.fetch_from?))
    }

    /// The least possible time and the link that binds it, by the given rates or by those that were seen so far; for
    /// the header. [`Self::least_seconds`] is by given rates alone.
    pub fn limit(&self) -> Option<&FluidLimit> {
        self.limit.as_ref()
    }

    /// The least possible time by the fluid limit, seconds.
    pub fn least_seconds(&self) -> Option<f64> {
        self.info.as_ref().and_then(|info| info.least_seconds).filter(|seconds| *seconds > 0.0)
    }

    /// The least possible time in seconds, by given rates, else by those that were seen so far.
    pub fn least_possible(&self) -> Option<f64> {
        self.least_seconds().or(self.limit.map(|limit| limit.seconds)).filter(|seconds| *seconds > 0.0)
    }

    /// Whether every host is given the same rate.
    pub fn has_one_rate(&self) -> bool {
        self.one_rate
    }

    /// For how long no event came although hosts move, if that is long; milliseconds.
    pub fn quiet(&self, now: u64) -> Option<u64> {
        let limit = match self.counts.of(StateName::Fetching) {
            _ if self.is_resting() || self.counts.moving() == 0 => return None,
            0 => QUIET_WAITING_MS,
            _ => QUIET_FETCHING_MS,
        };
        let quiet = now.saturating_sub(self.last_at);
        (quiet > limit).then_some(quiet)
    }

    /// How many times the least possible the transfer took; `None` until it is over, and where it was broken off. What is
    /// retried after the run came to rest is no part of it: the time in between was a person's.
    pub fn times_least(&self) -> Option<f64> {
        // What was on the hosts before did not need that time.
        if self.totals.reused > 0 || self.stopping.is_some() {
            return None;
        }
        let over = self.counts.of_all(&MAY_FETCH) == 0;
        let taken = self.first_pass.or_else(|| self.transfer_millis().filter(|_| over))?;
        Some(taken as f64 / 1000.0 / self.least_possible()?)
    }

    /// From the first host's fetching until the last one that got all bytes had them. Those that fail after that, or on their
    /// way, do not make it longer.
    pub(super) fn transfer_millis(&self) -> Option<u64> {
        Some(self.whole_at?.saturating_sub(self.fetch_from?))
    }

    /// When the last host will have all bytes.
    pub fn eta(&self) -> Option<&Eta> {
        self.eta.as_ref()
    }

    /// The first host that failed in this run.
    pub fn first_failure(&self) -> Option<HostId> {
        self.first_failure
    }

    /// Time of the newest event, milliseconds since the epoch.
    pub fn last_at(&self) -> u64 {
        self.last_at
    }

    /// Grows with each event.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Grows when hosts may have to be filtered and sorted anew: a change of state or of marks, never plain progress.
    pub fn order_revision(&self) -> u64 {
        self.order
    }
}
