use super::*;
use crate::inventory::Amount;

fn canary(hosts: &[u32]) -> BarrierRules {
    BarrierRules { canary: hosts.iter().copied().map(HostId).collect(), ..activating() }
}

#[test]
fn a_canary_that_is_tried_again_goes_first_again() {
    let mut world = World::with(4, canary(&[1]), 1, true).fault(1, Phase::Activating, FailureKind::Hook);
    world.deploy();
    assert_eq!(world.states()[1], StateName::Failed);
    assert!([0, 2, 3].into_iter().all(|host| world.states()[host] == StateName::Staged));
    world.faults.clear();
    world.orders.clear();
    world.run.command(Command::RetryFailed);
    world.run_dry();
    assert_eq!(world.states(), [StateName::Active; 4]);
    let switches = world.order_of(|order| matches!(order, Order::Switch(_)));
    let canary = world.order_of(|order| matches!(order, Order::Switch(HostId(1))));
    assert_eq!(canary[0], switches[0], "before the others");
    let others = world.order_of(|order| matches!(order, Order::Before(host) if *host != HostId(1)));
    assert!(others.iter().all(|before| *before > canary[0]), "not even their hooks run earlier");
}

#[test]
fn a_host_that_says_nothing_while_it_is_activated_is_given_up() {
    let mut world = World::with(2, activating(), 1, false);
    world.run.tick(world.now);
    world.run_dry();
    world.pack();
    // Host 1 never answers what it is asked at the end.
    for _ in 0..1_000 {
        world.now += 1_000;
        world.run.tick(world.now);
        for order in world.run.take_orders() {
            if !matches!(order, Order::Before(HostId(1))) {
                world.obey(order);
            }
        }
        if world.run.finished {
            break;
        }
    }
    assert_eq!(world.states(), [StateName::Active, StateName::Failed]);
    let failure = &world.summary().failures[0];
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(failure.message.contains("activating"), "{}", failure.message);
    assert!(world.now > 240_000, "its hook had its time");
}

#[test]
fn the_skew_of_an_activation_is_measured_over_all_its_batches() {
    let batch = Some(Amount::Count(1));
    let mut world = World::new(3, BarrierRules { batch, ..activating() });
    world.run.tick(world.now);
    world.run_dry();
    world.pack();
    while !world.run.finished {
        world.now += 500;
        world.run.tick(world.now);
        world.run.take_orders().into_iter().for_each(|order| world.obey(order));
    }
    let activation = world.summary().activation.unwrap();
    assert_eq!(activation.hosts, 3);
    assert!(activation.seconds >= 1.0, "{}", activation.seconds);
    assert_eq!(World::new(1, activating()).summary().activation, None);
}

#[test]
fn after_a_failed_batch_nothing_more_is_activated_and_the_run_says_so() {
    let batch = Some(Amount::Count(2));
    let rules = BarrierRules { batch, ..activating() };
    let mut world = World::with(5, rules, 1, true);
    world.after.insert(1);
    world.deploy();
    let failed = world.states().iter().filter(|state| **state == StateName::Failed).count();
    assert_eq!(failed, 1);
    assert_eq!(world.states()[2..], [StateName::Staged; 3], "the other batches wait");
    let summary = world.summary();
    assert_eq!(summary.shut.as_deref(), Some("1 of a batch of 2 failed"));
    world.after.clear();
    world.run.command(Command::RetryFailed);
    world.run_dry();
    assert_eq!(world.states(), [StateName::Active; 5], "mended, it goes on");
    assert_eq!(world.summary().shut, None);
}
