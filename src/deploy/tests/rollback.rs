use super::*;
use crate::inventory::{Amount, Percent};

/// A fleet on which v2 is active, and v1 was before but on `bare`.
fn active(hosts: usize, bare: &[u32], barrier: BarrierRules) -> World {
    let mut world = World::with(hosts, barrier, 1, true);
    world.deploy();
    for (index, entry) in world.run.hosts.iter_mut().enumerate() {
        entry.previous = (!bare.contains(&(index as u32))).then(|| "v1".to_owned());
    }
    assert_eq!(world.states(), vec![StateName::Active; hosts]);
    assert!(world.run.rested_at.is_some());
    world.present = (0..hosts as u32).map(|host| (host, Present::Same)).collect();
    (world.orders, world.events) = (Vec::new(), Vec::new());
    world
}

fn taken_back(world: &World) -> Vec<u32> {
    let back = |body: &Body| match body {
        Body::RolledBack { host, tag } if tag == "v1" => Some(host.0),
        _ => None,
    };
    world.events.iter().filter_map(back).collect()
}

#[test]
fn hosts_go_back_in_two_phases_and_batch_by_batch() {
    let batch = BarrierRules { batch: Some(Amount::Count(2)), ..activating() };
    let mut world = active(4, &[], batch);
    world.run.command(Command::Rollback);
    world.run_dry();
    assert_eq!(world.states(), [StateName::Staged; 4]);
    assert_eq!(taken_back(&world), [0, 1, 2, 3]);
    let before = world.order_of(|order| matches!(order, Order::Before(_)));
    let switched = world.order_of(|order| matches!(order, Order::Switch(_)));
    assert_eq!((before.len(), switched.len()), (4, 4));
    assert!(before.last() < switched.first());
    assert!(world.run.rested_at.is_some(), "agents left again");
    assert_eq!(world.summary().exit, 7, "what was wanted is not active, and nobody failed");
}

#[test]
fn a_host_that_had_nothing_before_stays_and_one_that_fails_is_retried_on_its_way_back() {
    let mut world = active(3, &[1], activating()).fault(2, Phase::Activating, FailureKind::Hook);
    world.run.command(Command::Rollback);
    world.run_dry();
    use StateName::{Active, Failed, Staged};
    assert_eq!(world.states(), [Staged, Active, Failed]);
    assert_eq!(world.summary().exit, 6);
    world.faults.clear();
    world.run.command(Command::RetryFailed);
    world.run_dry();
    assert_eq!(world.states(), [Staged, Active, Staged]);
    assert_eq!(taken_back(&world), [0, 2]);
}

#[test]
fn whoever_is_still_on_the_way_is_given_up_first() {
    let mut world = World::new(3, BarrierRules { quorum: Some(Percent(50)), ..activating() });
    world.starved.insert(2);
    world.deploy();
    world.run.hosts.iter_mut().for_each(|entry| entry.previous = Some("v1".to_owned()));
    world.present = HashMap::from([(0, Present::Same), (1, Present::Same)]);
    world.run.command(Command::Rollback);
    world.run_dry();
    // Their agents have left; the next look at the clock finds them free to be dialled.
    world.pass(250);
    assert_eq!(world.states(), [StateName::Staged, StateName::Staged, StateName::Cancelled]);
}
