use proptest::prelude::*;

use super::*;
use crate::control::{Failure, FailureKind, HostId, LinkCount, LogLevel, LogSource, Phase, RunId, Wait};
use crate::deploy::{
    Body, Event, HostInfo, HostProgress, HostState, LogLine, Mark, Plan, Question, RunInfo, StateName,
    Summary, SwarmSummary,
};

const START: u64 = 1_700_000_000_000;
const PACKED: u64 = 1000;

fn plan(hosts: u32) -> Body {
    let host = |index: u32| HostInfo {
        name: format!("web-{index:02}"),
        address: String::new(),
        dest: "/srv".to_owned(),
        groups: vec![if index.is_multiple_of(3) { "db" } else { "web" }.to_owned()],
        rack: format!("r{}", index % 2),
        labels: vec![("ring".to_owned(), if index == 0 { "canary" } else { "rest" }.to_owned())],
        rate: None,
    };
    Body::Planned(Box::new(Plan {
        run: RunId("run".to_owned()),
        command: "deploy".to_owned(),
        tag: "v1".to_owned(),
        payload: "app".to_owned(),
        inventory: "hosts.yaml".to_owned(),
        hosts: (0..hosts).map(host).collect(),
        attempts: 3,
        activate: true,
        hold: false,
        folder: String::new(),
    }))
}

fn started() -> Body {
    Body::Started(Box::new(RunInfo {
        bytes: 2 * PACKED,
        packed_bytes: PACKED,
        entries: 3,
        pieces: 10,
        piece_length: 100,
        info_hash: String::new(),
        manifest: String::new(),
        least_seconds: Some(10.0),
        ignored: 0,
    }))
}

fn failed(message: &str) -> HostState {
    HostState::Failed(Failure::new(Phase::Fetching, FailureKind::Lost, message))
}

fn state(host: u32, attempt: u32, state: HostState) -> Body {
    Body::Host { host: HostId(host), attempt, state }
}

fn progress(host: u32, done: u64, rate: u64) -> Body {
    let progress = HostProgress {
        done,
        total: PACKED,
        down: done,
        down_rate: rate,
        peers: 3,
        ..HostProgress::default()
    };
    Body::Progress { host: HostId(host), progress: Box::new(progress) }
}

/// A fleet that heard of these, each so many milliseconds after the start.
fn fleet(hosts: u32, events: impl IntoIterator<Item = (u64, Body)>) -> FleetState {
    let mut fleet = FleetState::new();
    for (after, body) in [(0, plan(hosts)), (0, started())].into_iter().chain(events) {
        fleet.apply(&Event { at: START + after, body });
    }
    fleet
}

fn summary() -> Box<Summary> {
    Box::new(Summary {
        run: RunId("run".to_owned()),
        exit: 6,
        seconds: 1.0,
        active: 0,
        done: 0,
        staged: 0,
        failed: 1,
        cancelled: 0,
        swarm: SwarmSummary::default(),
        failures: Vec::new(),
        activation: None,
        left_behind: Vec::new(),
        unchecked: Vec::new(),
        shut: None,
    })
}

#[test]
fn a_bar_never_goes_back_but_on_a_new_attempt() {
    let mut fleet = fleet(
        1,
        [(0, state(0, 1, HostState::Fetching)), (1000, progress(0, 700, 5)), (2000, progress(0, 300, 5))],
    );
    assert_eq!(fleet.hosts()[0].share(), 0.7);
    fleet.apply(&Event { at: START + 3000, body: state(0, 2, HostState::Connecting) });
    assert_eq!((fleet.hosts()[0].share(), fleet.totals().done), (0.0, 0));
}

#[test]
fn what_ended_an_attempt_is_told_however_it_was_queued_again() {
    let again = || HostState::Queued { reason: "lost: connection reset; again in 2 s".to_owned() };
    for (events, reasons) in [
        (
            vec![state(0, 1, again()), state(0, 2, HostState::Connecting)],
            vec!["lost: connection reset; again in 2 s"],
        ),
        (vec![state(0, 2, again()), state(0, 2, HostState::Connecting)], vec!["ended while fetching"]),
        (vec![state(0, 1, failed("gone")), state(0, 2, HostState::Connecting)], vec!["gone"]),
        (
            vec![
                state(0, 1, failed("gone")),
                state(0, 1, again()),
                state(0, 2, HostState::Connecting),
                state(0, 3, again()),
            ],
            vec!["gone", "ended while connecting"],
        ),
    ] {
        let begin = [state(0, 1, HostState::Connecting), state(0, 1, HostState::Fetching)];
        let fleet = fleet(1, begin.into_iter().chain(events).zip(1..).map(|(body, n)| (n * 1000, body)));
        let told: Vec<&str> =
            fleet.hosts()[0].attempts().iter().map(|attempt| attempt.reason.as_str()).collect();
        assert_eq!(told, reasons);
    }
}

#[test]
fn a_staged_host_that_is_called_back_did_not_come_through_after_anything() {
    let queued = || HostState::Queued { reason: String::new() };
    let steps = [
        state(0, 1, HostState::Unpacking),
        state(0, 1, HostState::Staged { already: false }),
        state(0, 1, queued()),
        state(0, 2, HostState::Connecting),
        state(0, 2, HostState::Active),
    ];
    let fleet = fleet(1, steps.into_iter().zip(1..).map(|(body, n)| (n * 1000, body)));
    assert!(fleet.hosts()[0].attempts().is_empty());
    assert_eq!(fleet.hosts()[0].attempt, 2);
}

#[test]
fn a_host_that_moves_is_silent_after_three_seconds_and_one_that_waits_after_twenty() {
    for (state_, after, silent) in [
        (HostState::Fetching, 3_000, false),
        (HostState::Fetching, 3_001, true),
        (HostState::Unpacking, 4_000, true),
        (HostState::Verifying, 4_000, false),
        (HostState::Connecting, 20_001, true),
        (HostState::Staged { already: false }, 60_000, false),
        (HostState::Active, 60_000, false),
    ] {
        let mut fleet = fleet(1, [(0, state(0, 1, state_.clone()))]);
        fleet.tick(START + after);
        assert_eq!(fleet.hosts()[0].silence(START + after).is_some(), silent, "{state_:?} {after}");
        assert_eq!(fleet.hosts()[0].needs_eyes(), silent, "{state_:?} {after}");
    }
}

#[test]
fn a_silent_host_adds_nothing_to_the_throughput_until_it_speaks_again() {
    let fetching = |host| (0, state(host, 1, HostState::Fetching));
    let mut fleet =
        fleet(2, [fetching(0), fetching(1), (1000, progress(0, 100, 50)), (1000, progress(1, 100, 70))]);
    assert_eq!(fleet.totals().rate, 120);
    fleet.apply(&Event { at: START + 5000, body: progress(0, 200, 50) });
    assert_eq!(fleet.totals().rate, 50);
    assert_eq!(fleet.remark(HostId(1), START + 5000).text, "silent for 4 s");
    fleet.apply(&Event { at: START + 6000, body: progress(1, 200, 70) });
    assert_eq!((fleet.totals().rate, fleet.hosts()[1].is_marked(Mark::Silent)), (120, false));
}

#[test]
fn time_stands_still_while_the_run_rests_and_goes_on_with_a_retry() {
    let mut fleet = fleet(
        1,
        [
            (0, state(0, 1, HostState::Connecting)),
            (4000, state(0, 1, failed("x"))),
            (5000, Body::Resting(summary())),
        ],
    );
    assert_eq!((fleet.elapsed_millis(START + 90_000), fleet.is_resting()), (5000, true));
    fleet.apply(&Event { at: START + 100_000, body: state(0, 2, HostState::Connecting) });
    assert_eq!((fleet.elapsed_millis(START + 103_000), fleet.is_resting()), (8000, false));
    assert!(fleet.causes().is_empty());
}

#[test]
fn the_end_is_told_as_a_range_until_the_slowest_host_and_the_swarm_agree() {
    let mut events = vec![(0, state(0, 1, HostState::Fetching)), (0, state(1, 1, HostState::Fetching))];
    for second in 1..=5 {
        events.push((second * 1000, progress(0, second * 100, 100)));
        events.push((second * 1000, progress(1, second * 10, 10)));
    }
    let mut fleet = fleet(2, events);
    fleet.tick(START + 6000);
    let eta = fleet.eta().copied().unwrap();
    // 1450 bytes are left at 110 a second, of which 950 on the slow host at 10.
    assert!((11_000..16_000).contains(&eta.low_ms) && eta.high_ms == 95_000, "{eta:?}");
    assert!(!eta.is_steady());
    fleet.apply(&Event { at: START + 7000, body: state(1, 1, failed("x")) });
    fleet.tick(START + 8000);
    assert!(fleet.eta().is_some_and(Eta::is_steady), "{:?}", fleet.eta());
}

#[test]
fn the_transfer_is_compared_to_the_least_possible_when_it_is_over() {
    let mut fleet = fleet(1, [(2000, state(0, 1, HostState::Fetching)), (3000, progress(0, 500, 100))]);
    assert_eq!(fleet.times_least(), None);
    fleet.apply(&Event { at: START + 14_500, body: state(0, 1, HostState::Verifying) });
    assert_eq!((fleet.times_least(), fleet.fetch_millis(START + 90_000)), (Some(1.25), Some(12_500)));
    fleet.apply(&Event { at: START + 15_000, body: Body::Resting(summary()) });
    fleet.apply(&Event { at: START + 80_000, body: state(0, 2, HostState::Fetching) });
    fleet.apply(&Event { at: START + 90_000, body: state(0, 2, HostState::Verifying) });
    assert_eq!(fleet.times_least(), Some(1.25), "a retry after the rest is not the swarm's");
}

#[test]
fn hosts_that_fail_do_not_make_the_transfer_longer_and_one_that_was_broken_off_is_not_compared() {
    let begun = (0..3).map(|host| (2000, state(host, 1, HostState::Fetching)));
    let mut fleet = fleet(3, begun);
    let mut then = |at: u64, body: Body| {
        fleet.apply(&Event { at: START + at, body });
        fleet.times_least()
    };
    assert_eq!(then(14_500, state(0, 1, HostState::Verifying)), None);
    assert_eq!(then(15_000, state(1, 1, HostState::Queued { reason: "lost".to_owned() })), None);
    assert_eq!(then(40_000, state(2, 1, failed("gone"))), None, "one may still fetch");
    assert_eq!(then(41_000, state(1, 2, failed("refused"))), Some(1.25));
    assert_eq!(then(42_000, Body::Stopping { reason: "asked".to_owned() }), None);
}

#[test]
fn what_time_went_into_is_one_sentence() {
    let wait = Wait { no_piece: 4, peers: 61, choked: 0, limit: 0, disk: 20, cpu: 0 };
    let report = HostProgress { done: 100, total: PACKED, wait: Some(wait), ..HostProgress::default() };
    let report = |_| Body::Progress { host: HostId(0), progress: Box::new(report.clone()) };
    let mut events = vec![(0, state(0, 1, HostState::Connecting)), (1000, state(0, 1, HostState::Fetching))];
    events.extend((2..20).map(|second| (second * 1000, report(second))));
    let why = |fleet: &FleetState, now| fleet.why_slow(&fleet.hosts()[0], START + now);
    assert_eq!(why(&fleet(1, []), 9000), "", "it has not begun");
    let fleet = fleet(1, events);
    assert_eq!(
        why(&fleet, 20_000),
        "19.0 s of its 20.0 s went into fetching: for 61 % of that its neighbours delivered slowly, for 20 % it waited for its disk"
    );
}

#[test]
fn a_wait_is_told_by_where_it_was_spent() {
    let way = |plan: Body, more: Vec<(u64, Body)>| {
        let mut fleet = FleetState::new();
        fleet.apply(&Event { at: START, body: plan });
        let staged = HostState::Staged { already: false };
        let events = [(0, HostState::Connecting), (1000, HostState::Fetching), (5000, staged)];
        for (after, body) in events.map(|(after, way)| (after, state(0, 1, way))).into_iter().chain(more) {
            fleet.apply(&Event { at: START + after, body });
        }
        move |now| fleet.why_slow(&fleet.hosts()[0], START + now)
    };
    assert_eq!(way(plan(1), vec![])(45_000), "40.0 s of its 45.0 s it waited at the barrier");
    let active =
        || vec![(45_000, state(0, 1, HostState::Activating)), (46_000, state(0, 1, HostState::Active))];
    assert_eq!(way(plan(1), active())(99_000), "40.0 s of its 46.0 s it waited at the barrier");
    let rests = || vec![(6_000, Body::Resting(summary()))];
    assert_eq!(way(plan(1), rests())(45_000), "4.0 s of its 6.0 s went into fetching");
    let Body::Planned(without) = plan(1) else { unreachable!() };
    let without = Body::Planned(Box::new(Plan { activate: false, ..*without }));
    assert_eq!(way(without, vec![])(45_000), "4.0 s of its 5.0 s went into fetching");
    let waits = state(0, 1, HostState::Queued { reason: String::new() });
    let queued = fleet(1, [(0, waits), (30_000, state(0, 1, HostState::Connecting))]);
    assert_eq!(
        queued.why_slow(&queued.hosts()[0], START + 31_000),
        "30.0 s of its 31.0 s it waited for its turn"
    );
}

#[test]
fn an_attempt_that_was_given_up_is_told_as_that() {
    let again = state(0, 1, HostState::Queued { reason: String::new() });
    let fleet = fleet(
        1,
        [
            (0, state(0, 1, HostState::Fetching)),
            (1000, state(0, 1, HostState::Cancelled)),
            (2000, again),
            (3000, state(0, 2, HostState::Fetching)),
        ],
    );
    assert_eq!(fleet.remark(HostId(0), START + 3000).text, "again after: it was given up");
    let reasons: Vec<&str> =
        fleet.hosts()[0].attempts().iter().map(|attempt| attempt.reason.as_str()).collect();
    assert_eq!(reasons, ["it was given up"]);
}

#[test]
fn failures_come_first_and_the_order_of_the_inventory_is_kept_among_equals() {
    let mut fleet = fleet(
        6,
        [
            (0, state(0, 1, HostState::Active)),
            (0, state(1, 1, HostState::Fetching)),
            (0, state(2, 1, HostState::Staged { already: false })),
            (0, state(3, 1, HostState::Fetching)),
            (0, state(4, 1, failed("x"))),
            (0, Body::Mark { host: HostId(3), mark: Mark::Stalled, on: true, message: String::new() }),
        ],
    );
    let rows = |fleet: &FleetState, query: &Query| {
        let mut index = Index::default();
        index.refresh(fleet, query, START);
        index.rows().iter().map(|id| id.0).collect::<Vec<_>>()
    };
    let query = Query::default();
    assert_eq!(rows(&fleet, &query), [4, 3, 1, 5, 2, 0]);
    assert_eq!(rows(&fleet, &Query { reverse: true, ..query.clone() }), [0, 2, 5, 1, 3, 4]);
    assert_eq!(rows(&fleet, &Query { failures_only: true, ..query.clone() }), [4]);
    assert_eq!(rows(&fleet, &Query { sort: Sort::Rack, ..query.clone() }), [0, 2, 4, 1, 3, 5]);
    fleet.apply(&Event { at: START + 1, body: state(1, 1, failed("x")) });
    assert_eq!(rows(&fleet, &query), [1, 4, 3, 5, 2, 0]);
}

#[test]
fn a_new_order_of_the_same_query_waits_half_a_second() {
    let mut fleet = fleet(3, []);
    let (mut index, query) = (Index::default(), Query::default());
    assert!(index.refresh(&fleet, &query, START));
    fleet.apply(&Event { at: START + 100, body: state(2, 1, failed("x")) });
    assert!(!index.refresh(&fleet, &query, START + 100));
    assert!(index.is_stale(&fleet));
    assert!(index.refresh(&fleet, &query, START + 600));
    assert_eq!(index.rows()[0], HostId(2));
    assert!(!index.refresh(&fleet, &query, START + 9000), "nothing changed");
    assert!(index.refresh(&fleet, &Query { reverse: true, ..query }, START + 9001), "the user asked");
}

#[test]
fn filters_match_words_fields_and_their_opposite() {
    let fleet = fleet(4, [(0, state(0, 1, failed("Disk is FULL"))), (0, state(1, 1, HostState::Fetching))]);
    for (text, hosts) in [
        ("", vec![0, 1, 2, 3]),
        ("web-02", vec![2]),
        ("WEB-0", vec![0, 1, 2, 3]),
        ("disk", vec![0]),
        ("!disk", vec![1, 2, 3]),
        ("state:fetch", vec![1]),
        ("kind:lost", vec![0]),
        ("group:db", vec![0, 3]),
        ("rack:r1 !web-01", vec![3]),
        ("ring=canary", vec![0]),
        ("ring=nothing", vec![]),
    ] {
        let filter = Filter::parse(text);
        let matched: Vec<u32> =
            fleet.ids().filter(|(_, host)| filter.matches(host)).map(|(id, _)| id.0).collect();
        assert_eq!(matched, hosts, "{text:?}");
    }
}

#[test]
fn bytes_between_racks_grow_by_what_is_new() {
    let links = |down| {
        vec![
            LinkCount { id: HostId(1), address: None, down, up: 0 },
            LinkCount { id: HostId::SEEDER, address: None, down: 7, up: 0 },
        ]
    };
    let report = |down| {
        let progress = HostProgress { done: 1, total: PACKED, links: links(down), ..HostProgress::default() };
        Body::Progress { host: HostId(0), progress: Box::new(progress) }
    };
    let fleet = fleet(
        2,
        [(0, state(0, 1, HostState::Fetching)), (1, report(100)), (2, report(160)), (3, report(20))],
    );
    // Host 0 stands in r0, host 1 in r1; the last report is of a new agent that counts from 0.
    assert_eq!(fleet.flows().between(1, 0), 160 + 20);
    assert_eq!((fleet.flows().between(0, 1), fleet.flows().from_seeder(0)), (0, 7));
}

#[test]
fn questions_are_asked_one_after_the_other() {
    let question = |id| Body::Question(Question { id, prompt: format!("passphrase {id}"), echo: false });
    let mut fleet = fleet(1, [(0, question(1)), (1, question(2))]);
    assert_eq!(fleet.question().map(|question| question.id), Some(1));
    fleet.answered(1);
    assert_eq!(fleet.question().map(|question| question.id), Some(2));
    fleet.apply(&Event { at: START + 2, body: Body::QuestionDone { id: 2 } });
    assert_eq!(fleet.question(), None);
}

#[test]
fn events_about_unknown_hosts_change_nothing() {
    let mut fleet = fleet(1, []);
    let before = *fleet.counts();
    for body in [
        state(7, 1, HostState::Active),
        progress(9, 1, 1),
        Body::Activated { host: HostId::SEEDER, at: 1, previous: None },
        Body::Mark { host: HostId(3), mark: Mark::Slow, on: true, message: String::new() },
    ] {
        fleet.apply(&Event { at: START + 10, body });
    }
    assert_eq!(*fleet.counts(), before);
}

fn any_state() -> impl Strategy<Value = HostState> {
    prop_oneof![
        Just(HostState::Queued { reason: String::new() }),
        Just(HostState::Connecting),
        Just(HostState::Launching),
        Just(HostState::Checking),
        Just(HostState::Fetching),
        Just(HostState::Verifying),
        Just(HostState::Unpacking),
        Just(HostState::Staged { already: true }),
        Just(HostState::Activating),
        Just(HostState::Active),
        (0u8..4).prop_map(|n| failed(&format!("cause {} of {n}", ["a", "b"][usize::from(n) % 2]))),
        Just(HostState::Cancelled),
        Just(HostState::Skipped { reason: "ended".to_owned() }),
    ]
}

fn any_event(hosts: u32) -> impl Strategy<Value = Body> {
    prop_oneof![
        4 => (0..hosts, 1u32..4, any_state()).prop_map(|(host, attempt, to)| state(host, attempt, to)),
        4 => (0..hosts, 0..=PACKED, 0u64..500).prop_map(|(host, done, rate)| progress(host, done, rate)),
        1 => (0..hosts, any::<bool>()).prop_map(|(host, on)| Body::Mark { host: HostId(host), mark: Mark::Stalled, on, message: String::new() }),
        1 => (0..hosts).prop_map(|host| Body::Log(LogLine { host: Some(HostId(host)), level: LogLevel::Info, source: LogSource::Hook, message: "line".to_owned() })),
        1 => Just(Body::Resting(summary())),
    ]
}

proptest! {
    #[test]
    fn sums_equal_a_recount_whatever_happens(events in prop::collection::vec((0u64..4000, any_event(12)), 0..200)) {
        let mut fleet = fleet(12, []);
        let mut at = START;
        for (later, body) in events {
            at += later;
            let before: Vec<(u32, f64)> = fleet.hosts().iter().map(|host| (host.attempt, host.share())).collect();
            let reported = matches!(body, Body::Progress { .. });
            fleet.apply(&Event { at, body });
            for (host, (attempt, share)) in fleet.hosts().iter().zip(before) {
                prop_assert!(!reported || host.attempt != attempt || host.share() >= share);
            }
        }
        for state in StateName::ALL {
            let recount = fleet.hosts().iter().filter(|host| host.name() == state).count();
            prop_assert_eq!(fleet.counts().of(state) as usize, recount);
        }
        let rate: u64 = fleet.hosts().iter().map(|host| host.progress.down_rate).sum();
        prop_assert_eq!(fleet.totals().rate, rate);
        let done: u64 = fleet.hosts().iter().map(|host| if host.share() >= 1.0 { PACKED } else { host.fetched }).sum();
        prop_assert_eq!(fleet.totals().done, done);
        for ((host, glance), pulse) in fleet.hosts().iter().zip(fleet.glances()).zip(fleet.pulses()) {
            prop_assert_eq!((*glance, *pulse), (Glance::of(host), Pulse::of(host, PACKED)));
        }
        for group in fleet.groups() {
            let members = || group.hosts.iter().map(|id| fleet.host(*id).unwrap());
            prop_assert_eq!(group.rate, members().map(|host| host.progress.down_rate).sum::<u64>());
            for state in StateName::ALL {
                prop_assert_eq!(group.counts.of(state) as usize, members().filter(|host| host.name() == state).count());
            }
        }
        let in_causes: usize = fleet.causes().list().iter().map(|cause| cause.hosts.len()).sum();
        prop_assert_eq!(in_causes, fleet.counts().failed() as usize);
    }

    #[test]
    fn every_host_of_a_query_has_one_row(events in prop::collection::vec((0u64..900, any_event(12)), 0..60), reverse: bool, sort in 0usize..Sort::ALL.len()) {
        let mut fleet = fleet(12, []);
        let query = Query { sort: Sort::ALL[sort], reverse, ..Query::default() };
        let mut index = Index::default();
        let mut at = START;
        for (later, body) in events {
            at += later;
            fleet.apply(&Event { at, body });
            index.refresh(&fleet, &query, at);
        }
        index.refresh(&fleet, &query, at + 10_000);
        let mut rows: Vec<u32> = index.rows().iter().map(|id| id.0).collect();
        rows.sort_unstable();
        prop_assert_eq!(rows, (0..12).collect::<Vec<_>>());
    }
}
