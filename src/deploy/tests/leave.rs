use super::*;

fn lost_on(host: u32) -> World {
    let mut world = World::with(3, activating(), 1, false).fault(host, Phase::Fetching, FailureKind::Lost);
    world.silent.insert(host);
    world
}

fn sweeps(world: &World) -> usize {
    world.order_of(|order| matches!(order, Order::Sweep { .. })).len()
}

#[test]
fn a_host_whose_agent_said_nothing_is_asked_once_more_and_is_clean_then() {
    let mut world = lost_on(1);
    world.deploy();
    assert_eq!(sweeps(&world), 1);
    assert!(world.run.finished);
    let summary = world.summary();
    assert_eq!((summary.left_behind, summary.unchecked), (vec![], vec![]));
    assert_eq!(world.states()[1], StateName::Failed, "that it is clean does not make it well");
}

#[test]
fn what_could_not_be_asked_or_removed_is_told_for_each_host() {
    let mut world = lost_on(1).fault(2, Phase::Fetching, FailureKind::Permission);
    world.silent.insert(2);
    world.sweeps.insert(1, Parting::Silent("cannot reach the host".into()));
    world.sweeps.insert(2, Parting::Goodbye(vec!["cannot remove the lock".into()]));
    world.deploy();
    let summary = world.summary();
    assert_eq!(summary.unchecked, [(HostId(1), "cannot reach the host".to_owned())]);
    assert_eq!(summary.left_behind, [(HostId(2), "cannot remove the lock".to_owned())]);
    assert_eq!(sweeps(&world), 2, "each once");
}

#[test]
fn the_run_rests_when_all_were_asked() {
    let mut world = lost_on(0);
    world.run.tick(world.now);
    world.run_dry();
    world.pack();
    let swept = |world: &mut World| world.run.hosts[0].swept;
    while !swept(&mut world) {
        for order in world.run.take_orders() {
            if !matches!(order, Order::Sweep { .. }) {
                world.obey(order);
            }
        }
    }
    assert!(world.run.rested_at.is_none() && !world.run.finished);
    world.say(HostId(0), Word::Gone { parting: Parting::Goodbye(vec![]) });
    assert!(world.run.rested_at.is_some() && world.run.finished);
}

#[test]
fn a_retry_ends_the_sweep_of_its_host_and_a_good_attempt_leaves_it_clean() {
    let mut world = World::with(2, activating(), 1, true).fault(0, Phase::Fetching, FailureKind::Lost);
    world.silent.insert(0);
    world.sweeps.insert(0, Parting::Silent("cannot reach the host".into()));
    world.deploy();
    assert!(world.run.rested_at.is_some() && !world.run.finished);
    assert_eq!(world.summary().unchecked.len(), 1);
    world.faults.clear();
    world.silent.clear();
    world.run.command(Command::RetryFailed);
    world.run_dry();
    assert_eq!(world.states(), [StateName::Active; 2]);
    assert_eq!(world.summary().unchecked, []);
    assert_eq!(sweeps(&world), 1);
}

#[test]
fn hosts_where_no_agent_was_are_not_asked() {
    let mut world = World::with(2, activating(), 1, false).fault(0, Phase::Connecting, FailureKind::Refused);
    world.sweeps.insert(0, Parting::Silent("never".into()));
    world.deploy();
    // No worker of it met an agent.
    let unmet = world.run.hosts[0].leave.clone();
    assert_eq!(unmet, super::super::entry::Leave::Clean);
    assert_eq!(sweeps(&world), 0);
}
