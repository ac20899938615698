use std::time::Duration;

use super::*;
use crate::control::HostId;

const MBIT: f64 = 125_000.0;

fn share_of_limit(scene: &Scene) -> f64 {
    scene.limit() / simulate(scene).last().unwrap()
}

#[test]
fn equal_hosts_come_near_the_fluid_limit_whatever_their_number() {
    for (hosts, mib) in [(8, 32), (16, 16), (64, 16)] {
        let share = share_of_limit(&Scene::equal(hosts, 50.0 * MBIT, mib << 20, 1));
        assert!(share > 0.8, "{hosts} hosts: {share:.2} of the limit");
    }
}

#[test]
fn little_more_than_one_copy_leaves_the_seeder() {
    let outcome = simulate(&Scene::equal(16, 50.0 * MBIT, 16 << 20, 2));
    assert!(outcome.copies < 1.3, "{:.2} copies", outcome.copies);
    assert!(outcome.duplicates < 0.05, "{:.3} duplicates", outcome.duplicates);
}

#[test]
fn a_seed_decides_everything() {
    let scene = Scene::equal(12, 50.0 * MBIT, 4 << 20, 3);
    assert_eq!(simulate(&scene).seconds, simulate(&scene).seconds);
}

#[test]
fn a_slow_host_keeps_nobody_waiting() {
    let even = Scene::equal(8, 50.0 * MBIT, 32 << 20, 4);
    let mut uneven = even.clone();
    uneven.hosts[0] = (5.0 * MBIT, 5.0 * MBIT);
    let others = simulate(&uneven).seconds[1..].iter().map(|at| at.unwrap()).fold(0.0, f64::max);
    let alone = simulate(&even).last().unwrap();
    assert!(others < 1.3 * alone, "{others:.1} s beside a slow host, {alone:.1} s without");
}

#[test]
fn the_rest_finishes_when_a_third_is_lost() {
    let mut scene = Scene::equal(12, 50.0 * MBIT, 16 << 20, 5);
    let half = Duration::from_secs_f64(scene.limit() / 2.0);
    scene.deaths = (0..4).map(|host| Death { at: half, host: HostId(host) }).collect();
    let outcome = simulate(&scene);
    assert!(outcome.seconds[4..].iter().all(Option::is_some), "{:?}", outcome.seconds);
}
