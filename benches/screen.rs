//! What the screen costs: events taken in, pictures drawn, bytes sent; with a hundred hosts and with ten thousand.

use std::time::{Duration, Instant};

use murder::tui::{Preview, TuiOptions};

#[expect(dead_code, reason = "the example uses the rest of it")]
#[path = "../examples/screen/sim.rs"]
mod sim;

const START: u64 = 1_795_000_000_000;
const FRAMES_A_SECOND: u64 = 10;
const SIZE: (u16, u16) = (120, 40);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut frames = Vec::new();
    for hosts in [100, 10_000] {
        let mut sim = sim::Sim::new(hosts, hosts / 100, START);
        let mut preview = Preview::new(SIZE.0, SIZE.1, &TuiOptions::default())?;
        for key in ["1", "2", "3", "4", "5", "6"] {
            preview.press(key)?;
            let mut kept = Duration::ZERO;
            let (mut events, mut taken, mut drawn, mut pictures, mut bytes) =
                (0, Duration::ZERO, Duration::ZERO, 0, 0);
            // Fifteen seconds in the middle of a deployment for each view.
            for _ in 0..60 {
                let step = sim.step();
                let begun = Instant::now();
                step.iter().for_each(|event| preview.apply(event));
                taken += begun.elapsed();
                events += step.len();
                for _ in 0..FRAMES_A_SECOND * sim::STEP_MS / 1000 {
                    let begun = Instant::now();
                    preview.tick(sim.now());
                    kept += begun.elapsed();
                    let begun = Instant::now();
                    bytes += preview.draw()?;
                    drawn += begun.elapsed();
                    pictures += 1;
                }
            }
            let frame = drawn / pictures;
            println!(
                "{hosts:>6} hosts, view {key}: {frame:>9.1?} a frame, {:>7.1?} an event, {:>8.1?} upkeep a second, {:>6.1} KiB/s to the terminal ({events} events)",
                taken.checked_div(events as u32).unwrap_or_default(),
                kept / 15,
                bytes as f64 / 15.0 / 1024.0,
            );
            frames.push((hosts, key, frame));
        }
    }
    for ((_, key, few), (_, _, many)) in frames.iter().zip(&frames[6..]) {
        println!(
            "view {key}: a frame with 10,000 hosts costs {:.2} of one with 100",
            many.as_secs_f64() / few.as_secs_f64()
        );
    }
    Ok(())
}
