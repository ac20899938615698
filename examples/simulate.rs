//! Plays the swarm without sockets and prints how near it comes to the fluid limit: `cargo run --release --example
//! simulate [-- --large]`. `src/swarm/sim/README.md` says what is simulated, and compares it with real hosts.

use std::time::{Duration, Instant};

use murder::control::HostId;
use murder::payload::choose_piece_length;
use murder::swarm::sim::{Death, Scene, simulate};

/// Bytes a second.
const MBIT: f64 = 125_000.0;

/// Seeds of each scene.
const SEEDS: u64 = 3;

fn equal(hosts: usize, mbit: f64, mib: u64) -> Scene {
    let length = mib << 20;
    Scene { piece_length: choose_piece_length(length, hosts), ..Scene::equal(hosts, mbit * MBIT, length, 1) }
}

fn mixed(hosts: usize, mbit: f64, mib: u64, slow: usize, slow_mbit: f64) -> Scene {
    let mut scene = equal(hosts, mbit, mib);
    scene.hosts[..slow].fill((slow_mbit * MBIT, slow_mbit * MBIT));
    scene
}

/// Scenes, with how many hosts at the start of each are not looked at.
fn scenes(large: bool) -> Vec<(String, Scene, usize)> {
    let mut scenes = Vec::new();
    let mut add = |name: String, scene: Scene, skip: usize| scenes.push((name, scene, skip));
    for (hosts, mbit, mib) in
        [(10, 50.0, 64), (16, 50.0, 64), (32, 20.0, 32), (100, 50.0, 32), (300, 50.0, 32)]
    {
        add(format!("{hosts} hosts of {mbit} Mbit/s, {mib} MiB"), equal(hosts, mbit, mib), 0);
    }
    add("16 of 50, seeder 1000, 64 MiB".into(), Scene { seeder: 1000.0 * MBIT, ..equal(16, 50.0, 64) }, 0);
    add("16 of 50, seeder 20, 32 MiB".into(), Scene { seeder: 20.0 * MBIT, ..equal(16, 50.0, 32) }, 0);
    add("8 of 50, one of 5, 64 MiB: the others".into(), mixed(8, 50.0, 64, 1, 5.0), 1);
    add("32 of 50, eight of 5, 64 MiB: the others".into(), mixed(32, 50.0, 64, 8, 5.0), 8);
    let far = Duration::from_millis(25);
    add(
        "32 of 50, 50 ms round trip, 64 MiB".into(),
        Scene { delay: far, seeder_delay: far, ..equal(32, 50.0, 64) },
        0,
    );
    add(
        "16 of 50, 10 ms, 5 % of blocks lost".into(),
        {
            let near = Duration::from_millis(5);
            Scene { delay: near, seeder_delay: near, loss: 0.05, ..equal(16, 50.0, 64) }
        },
        0,
    );
    let mut dying = equal(12, 50.0, 64);
    let half = Duration::from_secs_f64(dying.limit() / 2.0);
    dying.deaths = (0..4).map(|host| Death { at: half, host: HostId(host) }).collect();
    add("12 of 50, four die in the middle, 64 MiB".into(), dying, 4);
    if large {
        for (hosts, mib) in [(1000, 64), (3000, 32), (10_000, 16)] {
            add(format!("{hosts} hosts of 50 Mbit/s, {mib} MiB"), equal(hosts, 50.0, mib), 0);
        }
    }
    scenes
}

fn main() {
    let large = std::env::args().any(|word| word == "--large");
    println!("{:44} {:>20} {:>7} {:>6} {:>6}", "scene", "% of the fluid limit", "copies", "dup %", "s");
    for (name, scene, skip) in scenes(large) {
        let begun = Instant::now();
        let seeds = if scene.hosts.len() >= 1000 { 1 } else { SEEDS };
        let (mut shares, mut copies, mut duplicates) = (Vec::new(), 0.0, 0.0);
        for seed in 1..=seeds {
            let outcome = simulate(&Scene { seed, ..scene.clone() });
            let seconds = outcome.seconds.iter().skip(skip);
            let last = seconds.map(|at| at.unwrap_or(f64::INFINITY)).fold(0.0, f64::max);
            let looked_at = Scene { hosts: scene.hosts[skip..].to_vec(), ..scene.clone() };
            shares.push(format!("{:.1}", 100.0 * looked_at.limit() / last));
            copies += outcome.copies / seeds as f64;
            duplicates += 100.0 * outcome.duplicates / seeds as f64;
        }
        let took = begun.elapsed().as_secs_f64() / seeds as f64;
        println!("{name:44} {:>20} {copies:7.2} {duplicates:6.2} {took:6.1}", shares.join(" "));
    }
}
