use std::time::Duration;

use crate::deploy::StateName;
use crate::fleet::FleetState;
use crate::units::{format_clock, format_rate, plural};

/// The run in one line: `fetching 3, staged 2, failed 1 of 6 hosts; 43 %, 12.3 MB/s, seeder 0.71 copies, 0:14 left`.
pub(super) fn status_line(fleet: &FleetState) -> String {
    let counts = fleet.counts();
    let states: Vec<String> = StateName::ALL
        .into_iter()
        .filter(|state| counts.of(*state) > 0)
        .map(|state| format!("{state} {}", counts.of(state)))
        .collect();
    let mut line = format!("{} of {}", states.join(", "), plural(fleet.hosts().len(), "host"));
    let mut numbers = Vec::new();
    if let Some((done, total)) = fleet.packing().filter(|(_, total)| *total > 0) {
        numbers.push(format!("packing {:.0} %", (done as f64 / total as f64 * 100.0).floor()));
    }
    if fleet.packed_bytes() > 0 {
        numbers.push(format!("{:.0} %", (fleet.share() * 100.0).floor()));
    }
    if counts.of(StateName::Fetching) > 0 {
        numbers.push(format_rate(fleet.totals().rate));
        numbers.extend(fleet.copies_sent().map(|copies| format!("seeder {copies:.2} copies")));
        numbers.extend(left(fleet));
    }
    if !numbers.is_empty() {
        line.push_str("; ");
        line.push_str(&numbers.join(", "));
    }
    line
}

/// Until the last host has all bytes: one time if the estimates agree, else a range.
fn left(fleet: &FleetState) -> Option<String> {
    let eta = fleet.eta()?;
    let clock = |ms| format_clock(Duration::from_millis(ms));
    Some(if eta.is_steady() {
        format!("{} left", clock(eta.high_ms))
    } else {
        format!("{} to {} left", clock(eta.low_ms), clock(eta.high_ms))
    })
}
