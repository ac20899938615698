use super::*;
use crate::inventory::{Amount, Percent};

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

/// A run that rests, as its barrier was shut, with agents that have left.
fn shut(barrier: BarrierRules, sick: u32) -> World {
    let batched = barrier.batch.is_some();
    let mut world = World::with(4, barrier, 1, true);
    if batched {
        world.after.insert(sick);
    } else {
        world = world.fault(sick, Phase::Activating, FailureKind::Hook);
    }
    world.deploy();
    assert_eq!((world.agents.len(), world.run.finished), (0, false));
    assert!(world.summary().shut.is_some(), "{:?}", world.states());
    (world.faults, world.after) = (HashMap::new(), HashSet::new());
    for id in
        world.run.ids().filter(|id| world.run.hosts[id.index()].host.state().name() == StateName::Staged)
    {
        world.present.insert(id.0, Present::Same);
    }
    world
}

fn shut_ones() -> [(BarrierRules, u32); 3] {
    [
        (BarrierRules { canary: vec![HostId(2)], ..activating() }, 2),
        (BarrierRules { max_fail: Some(Amount::Count(0)), ..activating() }, 0),
        (BarrierRules { batch: Some(Amount::Count(1)), ..activating() }, 0),
    ]
}

#[test]
fn what_was_shut_is_activated_when_the_user_says_so_though_the_agents_have_left() {
    for (barrier, sick) in shut_ones() {
        let mut world = shut(barrier.clone(), sick);
        world.run.command(Command::Activate);
        world.pass(1_000);
        let mut expected = [StateName::Active; 4];
        expected[sick as usize] = StateName::Failed;
        assert_eq!(world.states(), expected, "{barrier:?}");
        assert_eq!(world.summary().shut, None, "{barrier:?}");
    }
}

#[test]
fn what_was_shut_goes_on_with_all_hosts_when_the_failed_one_is_retried() {
    for (barrier, sick) in shut_ones() {
        let mut world = shut(barrier.clone(), sick);
        world.run.command(Command::RetryFailed);
        world.pass(1_000);
        assert_eq!(world.states(), [StateName::Active; 4], "{barrier:?}");
    }
}

#[test]
fn batches_stay_as_large_as_they_were_asked_for_after_a_recall() {
    let mut world = shut(BarrierRules { batch: Some(Amount::Count(1)), ..activating() }, 0);
    world.run.command(Command::Activate);
    world.pass(1_000);
    let switching = |order: &Order| match order {
        Order::Switch(host) => Some((host.0, true)),
        Order::Emit(Body::Host { host, state: HostState::Active, .. }) => Some((host.0, false)),
        _ => None,
    };
    let order: Vec<_> = world.orders.iter().filter_map(switching).collect();
    assert_eq!(order, [(0, true), (1, true), (1, false), (2, true), (2, false), (3, true), (3, false)]);
}

#[test]
fn a_run_that_only_stages_is_not_activated() {
    let mut world = World::with(2, BarrierRules::default(), 1, true);
    world.deploy();
    world.run.command(Command::Activate);
    world.pass(1_000);
    assert_eq!(world.states(), [StateName::Staged; 2]);
}
