//! What the screen costs in the middle of a deployment, with a hundred hosts and with ten thousand: events taken in, pictures
//! drawn, bytes sent, keys answered.

use std::time::{Duration, Instant};

use murder::deploy::Event;
use murder::tui::{Preview, TuiOptions};

#[expect(dead_code, reason = "the example uses the rest of it")]
#[path = "../examples/screen/sim.rs"]
mod sim;

const START: u64 = 1_795_000_000_000;
const FRAMES_A_SECOND: u64 = 10;
const SIZE: (u16, u16) = (120, 40);
/// Seconds that are measured of each view.
const SECONDS: u64 = 15;
/// Hosts, and the second at which most of them fetch.
const FLEETS: [(usize, u64); 2] = [(100, 12), (10_000, 60)];
/// The loop draws this long after a key at most, if nothing else is to be done.
const ECHO: Duration = Duration::from_millis(30);

#[derive(Default)]
struct Costs {
    taken: Duration,
    events: u32,
    upkeep: Duration,
    drawn: Duration,
    pictures: u32,
    busy_bytes: usize,
    rest_bytes: usize,
    echo: Duration,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut frames = Vec::new();
    for (hosts, moment) in FLEETS {
        let mut before = Vec::new();
        let mut sim = sim::Sim::new(hosts, hosts / 100, START);
        while sim.now() < START + moment * 1000 {
            before.extend(sim.step());
        }
        let seconds: Vec<Vec<Event>> = (0..SECONDS * 1000 / sim::STEP_MS).map(|_| sim.step()).collect();
        for key in ["1", "2", "3", "4", "5", "6"] {
            let costs = measure(&before, &seconds, START + moment * 1000, key)?;
            let frame = costs.drawn / costs.pictures;
            println!(
                "{hosts:>6} hosts, {:>6} events a second, view {key}: {frame:>8.1?} a frame, {:>6.1?} an event, {:>8.1?} upkeep a second, \
                 {:>5.1} KiB/s busy, {:>4.1} at rest, a key is answered in {:>5.1?}",
                u64::from(costs.events) / SECONDS,
                costs.taken / costs.events.max(1),
                costs.upkeep / SECONDS as u32,
                costs.busy_bytes as f64 / SECONDS as f64 / 1024.0,
                costs.rest_bytes as f64 / SECONDS as f64 / 1024.0,
                ECHO + costs.echo,
            );
            frames.push((key, frame));
        }
    }
    let (few, many) = frames.split_at(frames.len() / 2);
    for ((key, few), (_, many)) in few.iter().zip(many) {
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        println!("view {key}: a frame with 10,000 hosts costs {ratio:.2} x one with 100");
    }
    Ok(())
}

fn measure(
    before: &[Event],
    steps: &[Vec<Event>],
    start: u64,
    key: &str,
) -> Result<Costs, Box<dyn std::error::Error>> {
    let mut preview = Preview::new(SIZE.0, SIZE.1, &TuiOptions::default())?;
    before.iter().for_each(|event| preview.apply(event));
    preview.tick(start);
    preview.draw()?;
    preview.press(key)?;
    preview.draw()?;
    let mut costs = Costs::default();
    let mut now = start;
    for step in steps {
        let begun = Instant::now();
        step.iter().for_each(|event| preview.apply(event));
        let taken = begun.elapsed();
        costs.taken += taken;
        costs.events += step.len() as u32;
        for frame in 0..FRAMES_A_SECOND * sim::STEP_MS / 1000 {
            now += 1000 / FRAMES_A_SECOND;
            let begun = Instant::now();
            preview.tick(now);
            costs.upkeep += begun.elapsed();
            let begun = Instant::now();
            costs.busy_bytes += preview.draw()?;
            let drawn = begun.elapsed();
            costs.drawn += drawn;
            costs.pictures += 1;
            // At worst a key comes when all events of a step have just begun to be taken in.
            costs.echo = costs.echo.max(drawn + if frame == 0 { taken } else { Duration::ZERO });
        }
    }
    // Nothing is heard any more, only the clock goes on.
    for _ in 0..SECONDS * FRAMES_A_SECOND {
        now += 1000 / FRAMES_A_SECOND;
        preview.tick(now);
        costs.rest_bytes += preview.draw()?;
    }
    Ok(costs)
}
