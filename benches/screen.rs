//! What the screen costs in the middle of a deployment, with a hundred, a thousand and ten thousand hosts: events taken in, pictures
//! drawn, bytes sent, keys answered. `cargo bench --bench screen -- 2 3` measures some views alone.

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
/// Passes of each; the quickest counts with all of its frames, as what else the machine does can only add.
const PASSES: usize = 7;
/// Hosts, and the second at which most of them fetch.
const FLEETS: [(usize, u64); 3] = [(100, 12), (1000, 25), (10_000, 60)];
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

/// Views named on the command line, else all.
fn wanted(key: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    named.peek().is_none() || named.any(|word| word == key)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let fleets = FLEETS.map(|(hosts, moment)| Recorded::new(hosts, moment));
    let mut ratios = Vec::new();
    for key in ["1", "2", "3", "4", "5", "6"].into_iter().filter(|key| wanted(key)) {
        let mut best = FLEETS.map(|_| None::<Costs>);
        // In turns, so that what else the machine does meets both.
        for _ in 0..PASSES {
            for (fleet, best) in fleets.iter().zip(&mut best) {
                let costs = measure(&fleet.before, &fleet.steps, fleet.start, key)?;
                if best.as_ref().is_none_or(|best| costs.drawn < best.drawn) {
                    *best = Some(costs);
                }
            }
        }
        for (fleet, costs) in fleets.iter().zip(best.iter().flatten()) {
            costs.print(fleet.hosts, key);
        }
        if let [Some(few), Some(some), Some(many)] = &best {
            let times = |costs: &Costs| many.frame().as_secs_f64() / costs.frame().as_secs_f64();
            ratios.push((key, times(few), times(some)));
        }
    }
    for (key, few, some) in ratios {
        println!(
            "view {key}: a frame with 10,000 hosts costs {few:.2} x one with 100, whose lists may not fill the screen, \
             and {some:.2} x one with 1,000"
        );
    }
    Ok(())
}

/// What came before the seconds that are measured, and what comes in them.
struct Recorded {
    hosts: usize,
    start: u64,
    before: Vec<Event>,
    steps: Vec<Vec<Event>>,
}

impl Recorded {
    fn new(hosts: usize, moment: u64) -> Self {
        let start = START + moment * 1000;
        let mut sim = sim::Sim::new(hosts, hosts / 100, START);
        let mut before = Vec::new();
        while sim.now() < start {
            before.extend(sim.step());
        }
        let steps = (0..SECONDS * 1000 / sim::STEP_MS).map(|_| sim.step()).collect();
        Self { hosts, start, before, steps }
    }
}

impl Costs {
    fn frame(&self) -> Duration {
        self.drawn / self.pictures
    }

    fn print(&self, hosts: usize, key: &str) {
        let kib = |bytes: usize| bytes as f64 / SECONDS as f64 / 1024.0;
        println!(
            "{hosts:>6} hosts, {:>6} events a second, view {key}: {:>8.1?} a frame, {:>6.1?} an event, {:>8.1?} upkeep a second, \
             {:>5.1} KiB/s busy, {:>4.1} at rest, a key is answered in {:>5.1?}",
            u64::from(self.events) / SECONDS,
            self.frame(),
            self.taken / self.events.max(1),
            self.upkeep / SECONDS as u32,
            kib(self.busy_bytes),
            kib(self.rest_bytes),
            ECHO + self.echo,
        );
    }
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
