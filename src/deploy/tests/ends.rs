use super::*;

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

#[test]
fn a_run_that_is_complete_stays_so_however_impatiently_it_is_ended() {
    let mut world = World::with(2, activating(), 1, true);
    world.deploy();
    assert!(world.run.rested_at.is_some());
    world.run.abandon();
    assert_eq!(world.summary().exit, 0, "there was nothing left to break off");

    let mut world = World::new(2, activating());
    world.mute.insert(1);
    world.deploy();
    world.run.abandon();
    assert_eq!(world.summary().exit, 130);
}

#[test]
fn what_is_retried_after_a_rest_makes_the_transfer_no_longer() {
    let mut world = World::with(3, activating(), 1, true).fault(2, Phase::Fetching, FailureKind::Stalled);
    world.starved.insert(1);
    world.deploy();
    world.pass(2_000);
    world.feed(HostId(1));
    world.run_dry();
    let took = world.summary().swarm.seconds;
    assert_eq!(took, 2.0);
    world.pass(60_000);
    world.faults.clear();
    world.run.command(Command::RetryFailed);
    world.run_dry();
    assert_eq!(world.states(), [StateName::Active; 3]);
    assert_eq!(world.summary().swarm.seconds, took);
}
