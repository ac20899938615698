mod settle;
mod wishes;

use std::net::SocketAddr;

use crate::control::{
    Failure, FailureKind, HostId, LogLevel, LogSource, Neighbour, Phase, Report, RunId, SAME_DEST,
};
use crate::exit;

use super::barrier::{Barrier, BarrierRules};
use super::counts::Counts;
use super::entry::{Entry, Leave, Parting};
use super::errand::Errand;
use super::event::{BarrierState, Body, HostState, LogLine, Mark, RunInfo, Summary};
use super::host::{Effect, Input, Rules, Way};
use super::links::{LinkChange, Links};
use super::muster::Muster;
use super::reach::Reach;
use super::seen::SeenRates;

/// What the coordinator wants done. It does nothing by itself, so that a whole run can be tested without a socket.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Order {
    /// Dial the host and launch an agent, as this attempt.
    Connect { host: HostId, attempt: u32 },
    /// Send the preflight.
    Begin(HostId),
    /// Send metainfo and neighbours, and feed it from the seeder; `life` names its agent among those it had in this run,
    /// `alone` if no other host will ever reach it.
    Join {
        host: HostId,
        life: u32,
        neighbours: Vec<Neighbour>,
        holdings: Vec<String>,
        port: u16,
        addresses: Vec<SocketAddr>,
        alone: bool,
    },
    /// Ask which of these the host reaches.
    Probe { host: HostId, peers: Vec<Neighbour> },
    /// Tell the seeder whether a host has nobody else.
    Alone { host: HostId, alone: bool },
    /// Tell of neighbours that came or went.
    Neighbours { host: HostId, add: Vec<Neighbour>, remove: Vec<HostId> },
    /// Unpack.
    Stage(HostId),
    /// Run the hook before.
    Before(HostId),
    /// Switch, then run the hook after.
    Switch(HostId),
    /// Ask what the errand is about; of these hosts whether their swarm ports are reached.
    Ask { host: HostId, peers: Vec<Neighbour> },
    /// End agent and connection; verified pieces stay if asked.
    Leave { host: HostId, keep_partial: bool },
    /// Tell every agent to limit itself.
    Throttle(Option<u64>),
    /// Log in once more and remove what an agent left that did not say goodbye.
    Sweep { host: HostId, attempt: u32 },
    /// Limit the seeder.
    ThrottleSeeder(Option<u64>),
    /// Tell every agent how long to live without a word.
    Lease(u64),
    /// Say it to faces and journal.
    Emit(Body),
    /// The run is over.
    Finish,
}

/// What a worker says of its host.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    LoggedIn,
    /// The host's clock less ours, milliseconds.
    Clock {
        offset_ms: i64,
    },
    /// The agent answered; so many bytes of agent were sent for it.
    Launched {
        uploaded: u64,
    },
    Said(Report),
    Stderr(String),
    /// The connection is gone; the agent may go on without it.
    Cut(String),
    /// There is another connection, and the agent went on.
    Back,
    Failed(Failure),
    /// The worker has ended.
    Gone {
        parting: Parting,
    },
}

/// What the coordinator needs to know of the plan.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rulebook {
    pub(super) run: RunId,
    /// The release, empty if none is meant.
    pub(super) tag: String,
    pub(super) names: Vec<String>,
    pub(super) racks: Vec<Option<String>>,
    pub(super) attempts: u32,
    pub(super) fanout: u32,
    pub(super) stall_ms: u64,
    /// The longest that a hook may run.
    pub(super) hook_ms: u64,
    pub(super) barrier: BarrierRules,
    /// Stay for retries when every host is final.
    pub(super) linger: bool,
    /// Dial nobody before the payload is packed.
    pub(super) packs_first: bool,
    /// There is a payload; else the release must be on the hosts.
    pub(super) ships: bool,
    /// What is asked of each host instead.
    pub(super) errand: Option<Errand>,
    pub(super) seed: u64,
    /// What each host's link carries in both directions by the inventory, bytes a second.
    pub(super) rates: Vec<Option<u64>>,
    /// The run's limit of each host, bytes a second.
    pub(super) rate: Option<u64>,
    /// The same of the seeder.
    pub(super) seed_rate: Option<u64>,
}

/// The whole run as one deterministic machine: hosts, gate, barrier, links, retries.
pub(super) struct Coordinator {
    pub(super) book: Rulebook,
    pub(super) hosts: Vec<Entry>,
    pub(super) counts: Counts,
    pub(super) barrier: Barrier,
    pub(super) links: Links,
    pub(super) packed: Option<RunInfo>,
    pub(super) muster: Muster,
    pub(super) gate_open: bool,
    pub(super) stopping: bool,
    pub(super) finished: bool,
    /// Since when all rests, if so.
    pub(super) rested_at: Option<u64>,
    /// How long the transfer took, milliseconds, once the run came to rest: what is retried later is no part of it.
    pub(super) transfer: Option<u64>,
    /// Milliseconds of earlier rests.
    idle: u64,
    /// The end was asked for while hosts were on their way.
    pub(super) stopped_early: bool,
    /// Exit code of an end that is no host's fault.
    pub(super) broken: Option<u8>,
    /// Ended at once while hosts still had workers.
    pub(super) cut_off: bool,
    /// What links were seen to carry.
    pub(super) seen: SeenRates,
    /// Payload bytes that the seeder sent.
    pub(super) seeder_sent: u64,
    pub(super) now: u64,
    pub(super) started: u64,
    pub(super) orders: Vec<Order>,
    next_queued: usize,
    barrier_shown: Option<BarrierState>,
    shut_told: bool,
}

impl Coordinator {
    pub(super) fn new(book: Rulebook, now: u64) -> Self {
        let hosts: Vec<Entry> = book.names.iter().map(|_| Entry::new(book.attempts)).collect();
        let mut counts = Counts::default();
        for entry in &hosts {
            counts.add(&entry.host.way, entry.host.state().name());
        }
        Self {
            barrier: Barrier::new(book.barrier.clone()),
            links: Links::new(&book.racks, book.seed),
            hosts,
            counts,
            packed: None,
            muster: Muster::default(),
            gate_open: false,
            stopping: false,
            finished: false,
            rested_at: None,
            transfer: None,
            idle: 0,
            stopped_early: false,
            broken: None,
            cut_off: false,
            seen: SeenRates::new(&book),
            seeder_sent: 0,
            now,
            started: now,
            orders: Vec::new(),
            next_queued: 0,
            barrier_shown: None,
            shut_told: false,
            book,
        }
    }

    /// The payload is ready, or the run ships none.
    pub(super) fn packed(&mut self, info: RunInfo) {
        self.orders.push(Order::Emit(Body::Started(Box::new(info.clone()))));
        self.packed = Some(info);
        self.show_limit();
        for index in 0..self.hosts.len() {
            self.step(HostId(index as u32), Input::Packed);
        }
        self.settle();
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: u64) {
        self.now = now;
        self.watch();
        self.show_limit();
        self.next_queued = 0;
        self.settle();
    }

    /// A worker said something. Words of an attempt that was given up do not move its host.
    pub(super) fn word(&mut self, id: HostId, attempt: u32, word: Word) {
        let Some(entry) = self.hosts.get_mut(id.index()) else { return };
        let current = entry.host.attempt == attempt && !matches!(entry.host.way, Way::Queued { .. });
        entry.heard_at = self.now;
        match word {
            Word::Gone { parting } => {
                entry.worker = false;
                entry.part(parting);
                entry.agent_gone();
                if !self.all_final() {
                    self.unlink(id);
                }
            }
            Word::Stderr(message) => self.log(Some(id), LogLevel::Info, LogSource::Stderr, message),
            Word::Said(Report::Log { level, source, message }) => self.log(Some(id), level, source, message),
            _ if !current => {}
            Word::LoggedIn => {
                entry.cut_at = None;
                self.step(id, Input::LoggedIn);
            }
            Word::Clock { offset_ms } => entry.clock_offset_ms = Some(offset_ms),
            Word::Launched { uploaded } => {
                entry.agent = true;
                entry.spent.agent += uploaded;
                self.step(id, Input::Launched);
            }
            Word::Cut(reason) => self.cut(id, &reason),
            Word::Back => self.back(id),
            Word::Failed(failure) => {
                // The connection does not know how far its host was.
                let phase = self.hosts[id.index()].host.phase();
                self.failed(id, Failure { phase, ..failure });
            }
            Word::Said(report) => self.said(id, report),
        }
        self.settle();
    }

    /// The run cannot go on, and no host is to blame: what is not final is skipped.
    pub(super) fn broken(&mut self, reason: &str, exit: u8) {
        self.stopping = true;
        self.broken = Some(exit);
        for id in self.ids() {
            self.step(id, Input::Skip { reason: reason.to_owned() });
        }
        self.settle();
    }

    /// The run ends at once: of hosts that still have a worker nobody knows whether they are clean.
    pub(super) fn abandon(&mut self) {
        self.broken = Some(exit::ABORTED);
        for entry in self.hosts.iter_mut().filter(|entry| entry.worker) {
            self.cut_off = true;
            entry.leave = Leave::Unknown(
                "ended at once, without its goodbye; an agent ends itself within 60 s".to_owned(),
            );
        }
    }

    /// Why nothing more is activated, if it is not the user who ends the run.
    pub(super) fn shut(&self) -> Option<&str> {
        self.barrier.shut().filter(|_| !self.stopping)
    }

    /// The run goes on after a rest.
    pub(super) fn wake(&mut self) {
        if let Some(since) = self.rested_at.take() {
            self.idle += self.now.saturating_sub(since);
        }
    }

    /// Milliseconds since the start, but for rests.
    pub(super) fn elapsed(&self) -> u64 {
        self.rested_at.unwrap_or(self.now).saturating_sub(self.started + self.idle)
    }

    /// A host moves; what follows becomes orders and events.
    pub(super) fn step(&mut self, id: HostId, input: Input) {
        let Some(entry) = self.hosts.get(id.index()) else { return };
        let rules = self.rules(entry);
        let Some(entry) = self.hosts.get_mut(id.index()) else { return };
        let before = (entry.host.way.clone(), entry.host.attempt);
        let effects = entry.host.step(input, rules);
        let attempt = entry.host.attempt;
        if (&before.0, before.1) != (&entry.host.way, attempt) {
            let state = entry.host.state();
            let old = before.0.state().name();
            self.counts.remove(&before.0, old);
            self.counts.add(&entry.host.way, state.name());
            if old != state.name() || before.1 != attempt {
                self.entered(id, attempt, state);
            }
        }
        for effect in effects {
            self.effect(id, attempt, effect);
        }
    }

    fn entered(&mut self, id: HostId, attempt: u32, state: HostState) {
        let now = self.now;
        let entry = &mut self.hosts[id.index()];
        (entry.since, entry.heard_at, entry.moved_at) = (now, now, now);
        match &state {
            HostState::Fetching => entry.fetch.0 = entry.fetch.0.or(Some(now)),
            HostState::Verifying => entry.fetch.1 = Some(now),
            HostState::Queued { .. } | HostState::Staged { .. } => entry.past_gate = true,
            _ => {}
        }
        let marks = std::mem::take(&mut entry.marks);
        for mark in marks {
            let body = Body::Mark { host: id, mark, on: false, message: String::new() };
            self.orders.push(Order::Emit(body));
        }
        self.orders.push(Order::Emit(Body::Host { host: id, attempt, state }));
    }

    fn effect(&mut self, id: HostId, attempt: u32, effect: Effect) {
        match effect {
            Effect::Connect => {
                let entry = &mut self.hosts[id.index()];
                (entry.worker, entry.swept) = (true, false);
                self.muster.dialled(self.now);
                self.orders.push(Order::Connect { host: id, attempt });
            }
            Effect::Begin => self.orders.push(Order::Begin(id)),
            Effect::Join => self.join(id),
            Effect::Stage => self.orders.push(Order::Stage(id)),
            Effect::Before => self.orders.push(Order::Before(id)),
            Effect::Switch => self.orders.push(Order::Switch(id)),
            Effect::Ask => self.ask(id),
            Effect::Leave => {
                self.unlink(id);
                self.orders.push(Order::Leave { host: id, keep_partial: true });
            }
        }
    }

    fn join(&mut self, id: HostId) {
        let entry = &self.hosts[id.index()];
        // Each attempt has an agent of its own, and the user's retries go on counting.
        let (life, port) = (entry.host.attempt, entry.port);
        let addresses = entry.addresses.clone();
        let me = Neighbour { id, life, addresses: addresses.clone() };
        let changes = self.links.join(me);
        let neighbours = self.links.known(id);
        self.hosts[id.index()].reach = Reach::default();
        let alone = !self.links.dealt(id).iter().any(|other| !self.hosts[other.index()].host.is_final());
        let holdings = std::mem::take(&mut self.hosts[id.index()].holdings);
        self.orders.push(Order::Join { host: id, life, neighbours, holdings, port, addresses, alone });
        self.tell(changes);
        self.probe(id);
    }

    fn unlink(&mut self, id: HostId) {
        let changes = self.links.leave(id);
        self.tell(changes);
    }

    pub(super) fn tell(&mut self, changes: Vec<LinkChange>) {
        for LinkChange { host, add, remove } in changes {
            if self.hosts[host.index()].agent {
                self.orders.push(Order::Neighbours { host, add, remove });
            }
        }
    }

    /// The host's attempt failed; a foreign lock ends the run before anything is staged.
    pub(super) fn failed(&mut self, id: HostId, failure: Failure) {
        let foreign = failure.kind == FailureKind::Locked && !failure.message.starts_with(SAME_DEST);
        let nothing_staged = self.counts.staged() + self.counts.active() == 0;
        let reason = format!("{} is locked: {}", self.book.names[id.index()], failure.message);
        if failure.phase == Phase::Connecting && self.is_outage() {
            self.hosts[id.index()].host.grant_attempt();
        }
        self.step(id, Input::Failed(failure));
        if foreign && nothing_staged && !self.gate_open {
            for other in self.ids() {
                self.step(other, Input::Skip { reason: reason.clone() });
            }
        }
    }

    pub(super) fn fail(&mut self, id: HostId, phase: Phase, kind: FailureKind, message: String) {
        self.step(id, Input::Failed(Failure::new(phase, kind, message)));
    }

    pub(super) fn rules(&self, entry: &Entry) -> Rules {
        Rules {
            packed: self.packed.is_some(),
            ships: self.book.ships && entry.back.is_none(),
            errand: self.book.errand,
            back: entry.back.is_some(),
            gate_open: self.gate_open,
            attempts: self.book.attempts,
            now: self.now,
        }
    }

    pub(super) fn log(&mut self, host: Option<HostId>, level: LogLevel, source: LogSource, message: String) {
        self.orders.push(Order::Emit(Body::Log(LogLine { host, level, source, message })));
    }

    pub(super) fn mark(&mut self, id: HostId, mark: Mark, on: bool, message: String) {
        let marks = &mut self.hosts[id.index()].marks;
        let changed = if on { marks.insert(mark) } else { marks.remove(&mark) };
        if changed {
            self.orders.push(Order::Emit(Body::Mark { host: id, mark, on, message }));
        }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len() as u32).map(HostId)
    }

    /// What is to be done now, in order.
    pub(super) fn take_orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }

    /// The run in numbers, as if it ended now.
    pub(super) fn summary(&self) -> Summary {
        super::tally::summary(self)
    }
}
