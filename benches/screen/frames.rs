//! Pictures: what one costs with ten thousand hosts, compared with fewer. The fleets differ in the number of hosts alone: racks, kinds
//! of failures and lines that are said are as many, so that lists are as long on the screen.

use std::time::{Duration, Instant};

use murder::deploy::{Body, Event};
use murder::tui::{Preview, TuiOptions};

use super::{Failure, MANY, SIZE, sim, stream};

const START: u64 = 1_795_000_000_000;
const FRAMES_A_SECOND: u64 = 10;
/// Seconds that are measured of each view.
const SECONDS: u64 = 10;
/// Passes of each; the quickest counts with all of its frames, as what else the machine does can only add.
const PASSES: usize = 7;
/// Of each host, bytes a second: the payload takes so long that with ten thousand hosts the first have it when the last begin.
const LINK: f64 = 4.2 * 1024.0 * 1024.0;
/// Racks of each fleet, more than the screen has lines.
const RACKS: usize = 50;
/// Hosts that fail at least, so that there is each kind of failure.
const FAILED: usize = 8;
/// Hosts, and the second from which on it is measured: when most of them fetch.
const FLEETS: [(usize, u64); 3] = [(100, 50), (1000, 55), (MANY, 105)];

/// Measures views by their keys and prints what came out.
pub(super) fn measure(views: &[&str]) -> Result<(), Failure> {
    let fleets = FLEETS.map(|(hosts, moment)| Recorded::new(hosts, moment));
    let mut ratios = Vec::new();
    for key in views {
        let [few, some, many] = &fleets;
        let runs = [few, some, many];
        let mut best = runs.map(|_| None::<Costs>);
        // In turns, so that what else the machine does meets all of them.
        for _ in 0..PASSES {
            for (fleet, best) in runs.iter().zip(&mut best) {
                let costs = fleet.costs(key)?;
                if best.as_ref().is_none_or(|best| costs.drawn < best.drawn) {
                    *best = Some(costs);
                }
            }
        }
        for (fleet, costs) in fleets.iter().zip(best.iter().flatten()) {
            costs.print(fleet, key)?;
        }
        if let [Some(few), Some(some), Some(many)] = &best {
            let times = |costs: &Costs| many.frame().as_secs_f64() / costs.frame().as_secs_f64();
            ratios.push((key, times(few), times(some)));
        }
    }
    for (key, few, some) in ratios {
        println!(
            "view {key}: a frame with 10,000 hosts costs {few:.2} x one with 100, {some:.2} x one with 1,000"
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

#[derive(Default)]
struct Costs {
    taken: Duration,
    events: u32,
    upkeep: Duration,
    drawn: Duration,
    slowest: Duration,
    pictures: u32,
    busy_bytes: usize,
    rest_bytes: usize,
}

impl Recorded {
    fn new(hosts: usize, moment: u64) -> Self {
        let start = START + moment * 1000;
        let mut sim = sim::Sim::with_links(hosts, FAILED.max(hosts / 100), START, LINK);
        let mut before = Vec::new();
        while sim.now() < start {
            before.extend(stream::step(&mut sim, hosts));
        }
        for event in &mut before {
            if let Body::Planned(plan) = &mut event.body {
                for (index, host) in plan.hosts.iter_mut().enumerate() {
                    host.rack = format!("r{}", index * RACKS / hosts + 1);
                }
            }
        }
        let steps = (0..SECONDS * 1000 / sim::STEP_MS).map(|_| stream::step(&mut sim, hosts)).collect();
        Self { hosts, start, before, steps }
    }

    /// The screen as it is when the measured seconds begin, in a view.
    fn screen(&self, key: &str) -> Result<Preview, Failure> {
        let mut preview = Preview::new(SIZE.0, SIZE.1, &TuiOptions::default())?;
        self.before.iter().for_each(|event| preview.apply(event));
        preview.tick(self.start);
        preview.draw()?;
        preview.press(key)?;
        preview.draw()?;
        Ok(preview)
    }

    fn costs(&self, key: &str) -> Result<Costs, Failure> {
        let mut preview = self.screen(key)?;
        let mut costs = Costs::default();
        let mut now = self.start;
        for (number, step) in (0..).zip(&self.steps) {
            let begun = Instant::now();
            step.iter().for_each(|event| preview.apply(event));
            costs.taken += begun.elapsed();
            costs.events += step.len() as u32;
            for _ in 0..frames_of(number) {
                now += 1000 / FRAMES_A_SECOND;
                let begun = Instant::now();
                preview.tick(now);
                costs.upkeep += begun.elapsed();
                let begun = Instant::now();
                costs.busy_bytes += preview.draw()?;
                let drawn = begun.elapsed();
                costs.drawn += drawn;
                costs.slowest = costs.slowest.max(drawn);
                costs.pictures += 1;
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

    /// Cells of the screen that are not empty, and of them those that are others than in the picture before; means of all pictures.
    fn cells(&self, key: &str) -> Result<(usize, usize), Failure> {
        let mut preview = self.screen(key)?;
        let mut last = preview.cells()?;
        let (mut now, mut pictures, mut filled, mut changed) = (self.start, 0, 0, 0);
        for (number, step) in (0..).zip(&self.steps) {
            step.iter().for_each(|event| preview.apply(event));
            for _ in 0..frames_of(number) {
                now += 1000 / FRAMES_A_SECOND;
                preview.tick(now);
                let cells = preview.cells()?;
                filled += cells.content.iter().filter(|cell| cell.symbol() != " ").count();
                changed +=
                    cells.content.iter().zip(&last.content).filter(|(cell, last)| cell != last).count();
                last = cells;
                pictures += 1;
            }
        }
        Ok((filled / pictures, changed / pictures))
    }
}

/// Two and three in turns: four steps and ten pictures are a second.
fn frames_of(step: u64) -> u64 {
    let until = |step: u64| step * sim::STEP_MS * FRAMES_A_SECOND / 1000;
    until(step + 1) - until(step)
}

impl Costs {
    fn frame(&self) -> Duration {
        self.drawn / self.pictures
    }

    fn print(&self, fleet: &Recorded, key: &str) -> Result<(), Failure> {
        let kib = |bytes: usize| bytes as f64 / SECONDS as f64 / 1024.0;
        let (filled, changed) = fleet.cells(key)?;
        println!(
            "{:>6} hosts, {:>6} events a second, view {key}: {:>8.1?} a frame, {:>8.1?} the slowest, {filled:>5} cells filled, \
             {changed:>4} changed, {:>6.1?} an event, {:>8.1?} upkeep a second, {:>5.1} KiB/s busy, {:>4.1} at rest",
            fleet.hosts,
            u64::from(self.events) / SECONDS,
            self.frame(),
            self.slowest,
            self.taken / self.events.max(1),
            self.upkeep / SECONDS as u32,
            kib(self.busy_bytes),
            kib(self.rest_bytes),
        );
        Ok(())
    }
}
