mod errands;
mod rollback;

use std::collections::{HashMap, HashSet};

use crate::control::{Checked, Failure, FailureKind, HostId, Phase, Present, Progress, Report, Wait};

mod network;

use super::barrier::BarrierRules;
use super::command::Command;
use super::coordinator::{Coordinator, Order, Rulebook, Word};
use super::entry::Parting;
use super::event::{Body, HostState, Mark, RunInfo, StateName, Summary};
use super::limit::{Binding, FluidLimit};
use crate::inventory::{Amount, Percent};

mod leave;
mod policies;

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
        self.run.word(host, self.attempts[&host.0], word);
    }

    fn fails(&mut self, host: HostId, phase: Phase) -> bool {
        let Some(kind) = self.faults.get(&(host.0, phase)) else { return false };
        self.say(host, Word::Failed(Failure::new(phase, *kind, "as told")));
        true
    }

    fn obey(&mut self, order: Order) {
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

#[test]
fn all_hosts_become_active_and_the_run_ends_with_zero() {
    let mut world = World::new(9, activating());
    world.deploy();
    assert_eq!(world.states(), vec![StateName::Active; 9]);
    assert!(world.run.finished);
    assert_eq!(world.summary().exit, 0);
    assert!(matches!(world.events.last(), Some(Body::Resting(_))));
}

#[test]
fn nothing_is_switched_before_everything_is_staged() {
    let mut world = World::new(6, activating());
    world.deploy();
    let staged = world
        .order_of(|order| matches!(order, Order::Emit(Body::Host { state: HostState::Staged { .. }, .. })));
    let before = world.order_of(|order| matches!(order, Order::Before(_)));
    let switched = world.order_of(|order| matches!(order, Order::Switch(_)));
    assert!(staged.last() < before.first() && before.last() < switched.first());
}

#[test]
fn a_failed_host_never_stops_the_others() {
    let mut world = World::new(5, activating())
        .fault(1, Phase::Connecting, FailureKind::Auth)
        .fault(2, Phase::Unpacking, FailureKind::DiskFull)
        .fault(3, Phase::Activating, FailureKind::Hook);
    world.deploy();
    use StateName::{Active, Failed};
    assert_eq!(world.states(), [Active, Failed, Failed, Failed, Active]);
    assert_eq!(world.summary().exit, 6);
    assert_eq!(world.summary().failures.len(), 3);
}

#[test]
fn a_dial_that_fails_is_tried_again_after_a_while() {
    let mut world = World::new(2, activating()).fault(0, Phase::Connecting, FailureKind::Refused);
    world.deploy();
    assert_eq!(world.states()[0], StateName::Queued);
    world.faults.clear();
    world.pass(750);
    assert_eq!(world.states()[0], StateName::Queued, "not before its time");
    world.pass(500);
    assert_eq!(world.states(), [StateName::Active; 2]);
    assert_eq!(world.run.hosts[0].host.attempt, 2);
}

#[test]
fn a_run_that_lingers_rests_and_a_retry_completes_it() {
    let mut world = World::with(4, activating(), 1, true).fault(2, Phase::Fetching, FailureKind::Stalled);
    world.deploy();
    assert!(world.run.rested_at.is_some() && !world.run.finished);
    assert_eq!(world.summary().exit, 6);
    world.faults.clear();
    world.run.command(Command::RetryFailed);
    world.run_dry();
    assert_eq!(world.states(), [StateName::Active; 4], "activated on arrival");
    assert_eq!(world.summary().exit, 0);
    world.run.command(Command::Stop);
    world.run_dry();
    assert!(world.run.finished);
    assert_eq!(world.summary().exit, 0, "nothing was in flight");
}

#[test]
fn stopping_cancels_what_is_on_its_way_leaves_what_is_staged_and_is_never_a_success() {
    let mut world = World::new(3, activating());
    world.starved.insert(1);
    world.deploy();
    world.run.command(Command::Stop);
    world.run_dry();
    assert_eq!(world.states(), [StateName::Staged, StateName::Cancelled, StateName::Staged]);
    assert!(world.run.finished);
    assert_eq!(world.summary().exit, 7);
}

#[test]
fn without_activation_staged_is_the_end() {
    let mut world = World::new(3, BarrierRules::default());
    world.present.insert(1, Present::Same);
    world.deploy();
    assert_eq!(world.states(), [StateName::Staged; 3]);
    assert!(world.run.finished);
    assert_eq!(world.summary().exit, 0);
}

#[test]
fn a_held_barrier_waits_for_the_user() {
    let mut world = World::new(3, BarrierRules { hold: true, ..activating() });
    world.deploy();
    world.pass(10_000);
    assert_eq!(world.states(), [StateName::Staged; 3]);
    assert!(!world.run.finished, "its locks are kept");
    world.run.command(Command::Activate);
    world.run_dry();
    assert_eq!(world.states(), [StateName::Active; 3]);
}

#[test]
fn past_max_fail_nothing_is_activated() {
    let barrier = BarrierRules { max_fail: Some(Amount::Count(1)), ..activating() };
    let mut world = World::new(4, barrier).fault(0, Phase::Fetching, FailureKind::Permission).fault(
        1,
        Phase::Activating,
        FailureKind::Hook,
    );
    world.deploy();
    use StateName::{Failed, Staged};
    assert_eq!(world.states(), [Failed, Failed, Staged, Staged], "the hook counts, too");
    assert_eq!(world.order_of(|order| matches!(order, Order::Switch(_))), [] as [usize; 0]);
    assert_eq!(world.summary().exit, 6);
    assert!(world.run.finished);
}

#[test]
fn batches_switch_one_after_the_other() {
    let mut world = World::new(5, BarrierRules { batch: Some(Amount::Percent(40)), ..activating() });
    world.deploy();
    let order: Vec<_> = world
        .orders
        .iter()
        .filter_map(|order| match order {
            Order::Switch(host) => Some(format!("switch {}", host.0)),
            Order::Emit(Body::Host { host, state: HostState::Active, .. }) => {
                Some(format!("active {}", host.0))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        order,
        [
            "switch 0", "switch 1", "active 0", "active 1", "switch 2", "switch 3", "active 2", "active 3",
            "switch 4", "active 4"
        ]
    );
}

#[test]
fn a_quorum_opens_the_barrier_and_late_hosts_are_activated_on_arrival() {
    let mut world = World::new(4, BarrierRules { quorum: Some(Percent(75)), ..activating() });
    world.starved.insert(3);
    world.deploy();
    use StateName::{Active, Fetching};
    assert_eq!(world.states(), [Active, Active, Active, Fetching]);
    world.feed(HostId(3));
    world.run_dry();
    assert_eq!(world.states(), [Active; 4]);
}

#[test]
fn canaries_go_first_and_a_sick_one_holds_the_rest_back() {
    let canary = BarrierRules { canary: vec![HostId(2)], ..activating() };
    let mut world = World::new(3, canary.clone());
    world.starved.insert(0);
    world.deploy();
    use StateName::{Active, Failed, Fetching, Staged};
    assert_eq!(world.states(), [Fetching, Staged, Active]);
    world.feed(HostId(0));
    world.run_dry();
    assert_eq!(world.states(), [Active; 3]);
    let mut sick = World::new(3, canary).fault(2, Phase::Activating, FailureKind::Hook);
    sick.deploy();
    assert_eq!(sick.states(), [Staged, Staged, Failed]);
    assert_eq!(sick.summary().exit, 6);
}

#[test]
fn a_foreign_lock_ends_the_run_before_anything_is_staged() {
    let mut world = World::new(6, activating()).fault(4, Phase::Checking, FailureKind::Locked);
    world.deploy();
    assert_eq!(world.states()[4], StateName::Failed);
    assert!(world.states().iter().enumerate().all(|(i, state)| i == 4 || *state == StateName::Skipped));
    assert_eq!(world.order_of(|order| matches!(order, Order::Stage(_))), [] as [usize; 0]);
    assert_eq!(world.summary().exit, 6);
    assert!(world.run.finished, "the locks taken are released");
}

#[test]
fn two_names_of_one_place_are_found() {
    let mut world = World::new(2, activating());
    world.run.tick(1_000);
    world.run_dry();
    world.pack();
    let orders = world.run.take_orders();
    for order in orders {
        if let Order::Begin(host) = order {
            let checked = Checked {
                present: Present::Absent,
                current: None,
                free_bytes: 0,
                free_inodes: 0,
                partial_bytes: 0,
                place: "one".into(),
                addresses: vec![],
                port: 1,
                took_over: None,
                holdings: vec![],
            };
            world.say(host, Word::Said(Report::Checked(Box::new(checked))));
        }
    }
    world.run_dry();
    assert_eq!(world.states(), [StateName::Active, StateName::Failed]);
    assert_eq!(world.summary().failures[0].message, "same DEST as h0");
}

#[test]
fn no_more_hosts_are_dialled_at_once_than_the_fan_out() {
    let mut world = World::new(10, activating());
    world.run.tick(1_000);
    let dials = world.run.take_orders();
    assert_eq!(dials.iter().filter(|order| matches!(order, Order::Connect { .. })).count(), 4);
}

#[test]
fn a_host_without_a_byte_is_given_up_with_a_diagnosis() {
    let mut world = World::with(2, activating(), 1, false);
    world.starved.insert(1);
    world.deploy();
    world.pass(61_000);
    assert_eq!(world.states(), [StateName::Active, StateName::Failed]);
    let failure = &world.summary().failures[0];
    assert_eq!(failure.kind, FailureKind::Stalled);
    assert!(failure.message.contains("no verified byte for"), "{}", failure.message);
    assert!(
        world.events.iter().any(|body| matches!(body, Body::Mark { on: true, .. })),
        "it was marked before"
    );
}

#[test]
fn counts_equal_a_recount() {
    let mut world = World::new(12, activating())
        .fault(1, Phase::Connecting, FailureKind::Refused)
        .fault(5, Phase::Fetching, FailureKind::HashMismatch)
        .fault(7, Phase::Activating, FailureKind::Hook);
    world.deploy();
    world.pass(20_000);
    for name in StateName::ALL {
        let recount = world.states().iter().filter(|state| **state == name).count() as u32;
        assert_eq!(world.run.counts.of(name), recount, "{name}");
    }
}

/// A host reports once a second for so long that it fetches at these rates.
fn fetch_at(world: &mut World, seconds: u64, rates: &[(u64, u64)], seeder: u64) {
    for _ in 0..seconds {
        world.pass(1_000);
        world.run.see_seeder(seeder);
        for (id, (down_rate, up_rate)) in (0..).map(HostId).zip(rates) {
            let (down_rate, up_rate) = (*down_rate, *up_rate);
            let progress = Progress { done: 1, total: 9, down_rate, up_rate, ..Progress::default() };
            world.say(id, Word::Said(Report::Progress(Box::new(progress))));
        }
        world.run_dry();
    }
}

fn limits(world: &World) -> Vec<FluidLimit> {
    let limits = world.events.iter();
    limits.filter_map(|body| if let Body::Limit(limit) = body { Some(*limit) } else { None }).collect()
}

#[test]
fn the_least_possible_time_and_the_link_that_binds_it_are_told_by_the_rates_that_were_seen() {
    for (rates, seeder, seconds, binding) in [
        // Equal links as they are seen: the seeder's is named, and it is told once.
        ([(98, 97), (100, 99), (99, 100)], 99, 9.0 / 98.0, Binding::Seeder),
        ([(100, 100), (10, 10), (100, 100)], 100, 0.9, Binding::Host(HostId(1))),
        ([(100, 1), (100, 1), (100, 1)], 100, 27.0 / 103.0, Binding::Uplinks),
    ] {
        let mut world = World::new(3, activating());
        world.starved = (0..3).collect();
        world.deploy();
        fetch_at(&mut world, 9, &rates, seeder);
        let told = limits(&world);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].binding, binding);
        assert!((told[0].seconds - seconds).abs() < 1e-9, "{told:?}");
    }
}

#[test]
fn a_limit_that_was_given_counts_from_the_start() {
    let mut world = World::new(2, activating());
    world.starved = (0..2).collect();
    world.run.seen.given(None, Some(Some(3)));
    world.deploy();
    assert_eq!(limits(&world), [FluidLimit { seconds: 3.0, binding: Binding::Seeder }]);
    fetch_at(&mut world, 5, &[(1, 1), (5, 5)], 3);
    assert_eq!(limits(&world)[1..], [FluidLimit { seconds: 9.0, binding: Binding::Host(HostId(0)) }]);
}

#[test]
fn a_host_that_sent_wrong_bytes_is_named_with_who_got_them_and_both_get_other_neighbours() {
    let mut world = World::new(12, activating());
    world.starved = (0..12).collect();
    world.deploy();
    world.orders.clear();
    let (bad, victim) = (world.run.links.dealt(HostId(3))[0], HostId(3));
    world.say(victim, Word::Said(Report::BadPiece { from: bad, piece: 7 }));
    world.run_dry();
    let told = world.events.iter().find_map(|body| match body {
        Body::Log(line) if line.host == Some(victim) => Some(line.message.clone()),
        _ => None,
    });
    let told = told.unwrap();
    assert!(told.contains(&format!("h{}", bad.0)) && told.contains("piece 7"), "{told}");
    for (host, other) in [(victim, bad), (bad, victim)] {
        let (mut lost, mut gained) = (0, 0);
        for order in &world.orders {
            if let Order::Neighbours { host: to, add, remove } = order
                && *to == host
            {
                lost += remove.iter().filter(|id| **id == other).count();
                gained += add.iter().filter(|new| new.id != other).count();
            }
        }
        assert_eq!((lost, gained), (1, 1), "{host}");
    }
}

#[test]
fn a_diagnosis_names_the_cause_that_took_most_of_the_time() {
    let wait = |wait: Wait| Progress { wait: Some(wait), peers: 8, down_rate: 10, ..Progress::default() };
    let none = Wait::default();
    for (progress, neighbours_send, words) in [
        (wait(Wait { no_piece: 90, peers: 5, ..none }), 0, "no neighbour has a piece it needs"),
        (Progress { peers: 0, ..wait(Wait { no_piece: 90, ..none }) }, 0, "no other host reaches it"),
        (wait(Wait { choked: 60, disk: 20, ..none }), 0, "its neighbours do not serve it"),
        (wait(Wait { peers: 80, ..none }), 1_000, "its link is slow: its neighbours send faster to others"),
        (wait(Wait { peers: 80, ..none }), 20, "its neighbours send slowly"),
        (wait(Wait { disk: 70, cpu: 20, ..none }), 0, "its disk is slow"),
        (wait(Wait { cpu: 70, disk: 20, ..none }), 0, "its CPU is busy"),
        (wait(Wait { limit: 100, ..none }), 0, "its own rate limit binds"),
        (wait(none), 0, "its link is slow"),
        (Progress::default(), 0, "it has not said why"),
    ] {
        let mut world = World::with(3, activating(), 1, false);
        world.starved = (0..3).collect();
        world.deploy();
        let sends = Progress { up_rate: neighbours_send, ..Progress::default() };
        for second in 0..70 {
            world.pass(1_000);
            // The others go on, and only the host in question stands still.
            for other in [1, 2] {
                let sends = Progress { done: second, ..sends.clone() };
                world.say(HostId(other), Word::Said(Report::Progress(Box::new(sends))));
            }
            if world.states()[0] == StateName::Fetching {
                world.say(HostId(0), Word::Said(Report::Progress(Box::new(progress.clone()))));
            }
        }
        let failure = &world.summary().failures[0];
        assert_eq!(failure.kind, FailureKind::Stalled);
        assert!(failure.message.ends_with(words), "{} is not {words}", failure.message);
        let marked = |body: &Body| matches!(body, Body::Mark { mark: Mark::Stalled, on: true, message, .. } if message.contains(words));
        assert!(world.events.iter().any(marked), "it was marked before, with the same words");
    }
}

#[test]
fn hosts_begin_to_fetch_together_but_wait_for_a_mute_one_no_longer_than_the_first_needed() {
    let joins = |world: &World| world.order_of(|order| matches!(order, Order::Join { .. }));
    let mut world = World::new(4, activating());
    world.deploy();
    let first_join = joins(&world)[0];
    let begins = world.order_of(|order| matches!(order, Order::Begin(_)));
    assert_eq!(joins(&world).len(), 4);
    assert!(begins.iter().all(|begin| *begin < first_join), "all are checked before any fetches");

    let mut world = World::new(4, activating());
    world.mute.insert(2);
    world.deploy();
    assert!(joins(&world).is_empty(), "the mute one may be about to answer");
    world.pass(500);
    assert_eq!(joins(&world).len(), 3);
}
