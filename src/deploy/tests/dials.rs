use super::*;

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
fn no_more_hosts_are_dialled_at_once_than_the_fan_out() {
    let mut world = World::new(10, activating());
    world.run.tick(1_000);
    let dials = world.run.take_orders();
    assert_eq!(dials.iter().filter(|order| matches!(order, Order::Connect { .. })).count(), 4);
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
