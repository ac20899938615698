use super::*;
use crate::deploy::limit::{Binding, FluidLimit};

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
fn what_a_retry_shows_of_links_is_not_what_the_transfer_is_compared_with() {
    let mut world = World::with(3, activating(), 1, true).fault(2, Phase::Fetching, FailureKind::Stalled);
    world.deploy();
    assert!(world.run.transfer.is_some() && limits(&world).is_empty());
    world.faults.clear();
    world.starved = (0..3).collect();
    world.run.command(Command::RetryFailed);
    world.run_dry();
    assert_eq!(world.states()[2], StateName::Fetching);
    for _ in 0..9 {
        world.pass(1_000);
        world.run.see_seeder(100);
        let progress = Progress { done: 1, total: 9, down_rate: 10, up_rate: 10, ..Progress::default() };
        world.say(HostId(2), Word::Said(Report::Progress(Box::new(progress))));
        world.run_dry();
    }
    assert_eq!(limits(&world), []);
}
