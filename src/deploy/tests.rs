mod barrier;
mod dials;
mod ends;
mod errands;
mod leave;
mod limits;
mod locks;
mod network;
mod policies;
mod rollback;
mod stalls;

use std::collections::{HashMap, HashSet};

use crate::control::{Checked, Failure, FailureKind, HostId, Phase, Present, Progress, Report};

use super::barrier::BarrierRules;
use super::command::Command;
use super::coordinator::{Coordinator, Order, Rulebook, Word};
use super::entry::Parting;
use super::event::{Body, HostState, RunInfo, StateName, Summary};

/// Agents that do at once what they are asked, but for the faults they are given.
struct World {
    run: Coordinator,
    faults: HashMap<(u32, Phase), FailureKind>,
    /// Hosts that never get their pieces until released.
    starved: HashSet<u32>,
    /// Hosts that never answer once they are logged in.
    mute: HashSet<u32>,
    /// Hosts whose hook after activation fails.
    after: HashSet<u32>,
    /// Hosts whose agents do not say goodbye.
    silent: HashSet<u32>,
    /// How logging in once more ends, where it does not end well.
    sweeps: HashMap<u32, Parting>,
    present: HashMap<u32, Present>,
    events: Vec<Body>,
    orders: Vec<Order>,
    attempts: HashMap<u32, u32>,
    /// Hosts that have an agent.
    agents: HashSet<u32>,
    now: u64,
}

impl World {
    fn new(hosts: usize, barrier: BarrierRules) -> Self {
        Self::with(hosts, barrier, 2, false)
    }

    fn with(hosts: usize, barrier: BarrierRules, attempts: u32, linger: bool) -> Self {
        let book = Rulebook {
            run: crate::control::RunId("r".into()),
            tag: "v2".into(),
            names: (0..hosts).map(|i| format!("h{i}")).collect(),
            racks: vec![None; hosts],
            attempts,
            fanout: 4,
            stall_ms: 60_000,
            hook_ms: 120_000,
            barrier,
            linger,
            packs_first: false,
            ships: true,
            errand: None,
            seed: 1,
            rates: vec![None; hosts],
            rate: None,
            seed_rate: None,
        };
        let run = Coordinator::new(book, 1_000);
        Self {
            run,
            faults: HashMap::new(),
            starved: HashSet::new(),
            mute: HashSet::new(),
            after: HashSet::new(),
            silent: HashSet::new(),
            sweeps: HashMap::new(),
            present: HashMap::new(),
            events: Vec::new(),
            orders: Vec::new(),
            attempts: HashMap::new(),
            agents: HashSet::new(),
            now: 1_000,
        }
    }

    fn fault(mut self, host: u32, phase: Phase, kind: FailureKind) -> Self {
        self.faults.insert((host, phase), kind);
        self
    }

    fn pack(&mut self) {
        self.run.packed(info());
    }

    /// Lets the agents answer until nobody has anything to say.
    fn run_dry(&mut self) {
        loop {
            let orders = self.run.take_orders();
            if orders.is_empty() {
                return;
            }
            for order in orders {
                self.orders.push(order.clone());
                self.obey(order);
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(250) {
            self.now += 250;
            self.run.tick(self.now);
            self.run_dry();
        }
    }

    fn deploy(&mut self) {
        self.run.tick(self.now);
        self.run_dry();
        self.pack();
        self.run_dry();
    }

    fn say(&mut self, host: HostId, word: Word) {
        match word {
            Word::Launched { .. } => self.agents.insert(host.0),
            Word::Gone { .. } => self.agents.remove(&host.0),
            _ => false,
        };
        self.run.word(host, self.attempts[&host.0], word);
    }

    fn fails(&mut self, host: HostId, phase: Phase) -> bool {
        let Some(kind) = self.faults.get(&(host.0, phase)) else { return false };
        self.say(host, Word::Failed(Failure::new(phase, *kind, "as told")));
        true
    }

    fn obey(&mut self, order: Order) {
        if let Order::Begin(host) | Order::Stage(host) | Order::Before(host) | Order::Switch(host) = order {
            assert!(self.agents.contains(&host.0), "{order:?}, but its agent has left");
        }
        match order {
            Order::Connect { host, attempt } => {
                self.attempts.insert(host.0, attempt);
                if !self.fails(host, Phase::Connecting) {
                    self.say(host, Word::LoggedIn);
                    if !self.mute.contains(&host.0) {
                        self.say(host, Word::Launched { uploaded: 0 });
                    }
                }
            }
            Order::Begin(host) if !self.fails(host, Phase::Checking) => {
                let checked = Checked {
                    present: self.present.get(&host.0).copied().unwrap_or(Present::Absent),
                    current: None,
                    free_bytes: 1 << 40,
                    free_inodes: 1 << 20,
                    partial_bytes: 0,
                    place: format!("place-{}", host.0),
                    addresses: vec![],
                    port: 1,
                    took_over: None,
                    holdings: vec![],
                };
                self.say(host, Word::Said(Report::Checked(Box::new(checked))));
            }
            Order::Join { host, .. }
                if !self.starved.contains(&host.0) && !self.fails(host, Phase::Fetching) =>
            {
                self.feed(host);
            }
            Order::Stage(host) if !self.fails(host, Phase::Unpacking) => {
                self.say(host, Word::Said(Report::Staged { already: false }));
            }
            Order::Before(host) if !self.fails(host, Phase::Activating) => {
                self.say(host, Word::Said(Report::Ready));
            }
            Order::Switch(host) => {
                self.say(host, Word::Said(Report::Activated { at_ms: 0, previous: None }));
                if self.after.contains(&host.0) {
                    let failure = Failure::new(Phase::Activating, FailureKind::Hook, "as told");
                    return self.say(host, Word::Failed(failure));
                }
                self.say(host, Word::Said(Report::Settled));
            }
            Order::Leave { host, .. } => {
                let parting = if self.silent.contains(&host.0) {
                    Parting::Silent("no answer".into())
                } else {
                    Parting::Goodbye(vec![])
                };
                self.say(host, Word::Gone { parting });
            }
            Order::Sweep { host, .. } => {
                let parting = self.sweeps.get(&host.0).cloned().unwrap_or(Parting::Goodbye(vec![]));
                self.say(host, Word::Gone { parting });
            }
            Order::Emit(body) => self.events.push(body),
            _ => {}
        }
    }

    fn feed(&mut self, host: HostId) {
        self.say(
            host,
            Word::Said(Report::Fetched(Box::new(Progress { done: 9, total: 9, ..Progress::default() }))),
        );
        self.say(host, Word::Said(Report::Verified));
    }

    fn states(&self) -> Vec<StateName> {
        self.run.hosts.iter().map(|entry| entry.host.state().name()).collect()
    }

    fn summary(&self) -> Summary {
        self.run.summary()
    }

    fn order_of(&self, wanted: impl Fn(&Order) -> bool) -> Vec<usize> {
        self.orders.iter().enumerate().filter(|(_, order)| wanted(order)).map(|(at, _)| at).collect()
    }
}

fn info() -> RunInfo {
    RunInfo {
        bytes: 9,
        packed_bytes: 9,
        entries: 1,
        pieces: 1,
        piece_length: 65536,
        info_hash: String::new(),
        manifest: String::new(),
        least_seconds: None,
        ignored: 0,
    }
}

fn activating() -> BarrierRules {
    BarrierRules { activate: true, ..BarrierRules::default() }
}
