use std::time::Duration;

use super::{Comparison, RunReport};
use crate::deploy::{Plan, StateName};
use crate::journal::rfc3339;
use crate::units::{format_bytes, format_duration, format_rate, plural};

/// `murder deploy app-1.4`.
pub(super) fn title(plan: &Plan) -> String {
    if plan.tag.is_empty() {
        format!("murder {}", plan.command)
    } else {
        format!("murder {} {}", plan.command, plan.tag)
    }
}

/// One word on how it ended.
pub(super) fn verdict(run: &RunReport) -> &'static str {
    match run.outcome.exit {
        _ if !run.fleet.is_resting() => "cut short",
        0 => "all done",
        6 => "some hosts failed",
        7 => "stopped",
        _ => "failed",
    }
}

/// What a barrier that was shut came to.
pub(super) fn nothing_more(reason: &str) -> String {
    format!("nothing more was activated: {reason}")
}

/// What the run comes to, as labels and values.
pub(super) fn facts(run: &RunReport) -> Vec<(&'static str, String)> {
    let outcome = &run.outcome;
    let swarm = &outcome.swarm;
    let mut facts = vec![
        ("run", run.plan.run.0.clone()),
        ("begun", begun(run.started_at)),
        ("hosts", format!("{} of {}", plural(run.hosts.len(), "host"), run.plan.inventory)),
    ];
    for (count, label) in [
        (outcome.active, "active"),
        (outcome.done, "done"),
        (outcome.staged, "staged"),
        (outcome.failed, "failed"),
        (outcome.cancelled, "cancelled or skipped"),
    ] {
        if count > 0 {
            facts.push((label, count.to_string()));
        }
    }
    if let Some(reason) = &outcome.shut {
        facts.push(("barrier", nothing_more(reason)));
    }
    if let Some(info) = run.fleet.info().filter(|info| info.packed_bytes > 0) {
        let payload = format!(
            "{}: {} in {} entries, packed to {}",
            run.plan.payload,
            format_bytes(info.bytes),
            info.entries,
            format_bytes(info.packed_bytes)
        );
        facts.push(("payload", payload));
    }
    facts.push(("time in all", seconds(outcome.seconds)));
    if swarm.seconds > 0.0 {
        facts.push(("transfer", seconds(swarm.seconds)));
        if let Some(least) = swarm.comparable_least() {
            facts
                .push(("least possible", format!("{} ({:.2} times)", seconds(least), swarm.seconds / least)));
        }
        // Agents tell their rates each second: of a transfer that took less there are none.
        let highest = run.throughput.smoothed(1.0).peak() as u64;
        if highest > 0 {
            facts.push(("highest throughput", format_rate(highest)));
        }
    }
    if swarm.bytes > 0 {
        let copies = swarm.seeder_bytes as f64 / swarm.bytes as f64;
        facts.push(("sent from here", format!("{} ({copies:.2} copies)", format_bytes(swarm.seeder_bytes))));
    }
    for (bytes, label) in [
        (swarm.duplicate_bytes, "received twice"),
        (swarm.ssh_only_bytes, "over SSH alone"),
        (swarm.reused_bytes, "were there before"),
        (swarm.agent_bytes, "agents sent"),
    ] {
        if bytes > 0 {
            facts.push((label, format_bytes(bytes)));
        }
    }
    facts
}

/// Both transfers in one sentence.
pub(super) fn comparison_line(before: &Comparison) -> String {
    let one = |(seconds_taken, bytes): (f64, u64)| {
        format!("{} for {} a host", seconds(seconds_taken), format_bytes(bytes))
    };
    let slower = match before.slower.len() {
        0 => "no host is slower than then".to_owned(),
        1 => "1 host is slower than then".to_owned(),
        count => format!("{count} hosts are slower than then"),
    };
    format!(
        "Transfer {}; that run took {}; {slower}.",
        one((before.transfer.1, before.bytes.1)),
        one((before.transfer.0, before.bytes.0))
    )
}

/// The word for time spent in a state.
pub(super) fn phase_word(state: StateName) -> &'static str {
    match state {
        StateName::Queued => "waiting for a turn",
        StateName::Staged => "waiting at the barrier",
        state => state.as_str(),
    }
}

/// Milliseconds as one says them.
pub(super) fn millis(ms: u64) -> String {
    format_duration(Duration::from_millis(ms))
}

/// Seconds as one says them.
pub(super) fn seconds(seconds: f64) -> String {
    format_duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// When a run began, for people: `2026-11-23 15:01:46 UTC`.
pub(super) fn begun(ms: u64) -> String {
    let text = rfc3339(ms);
    format!("{} {} UTC", &text[..10], &text[11..19])
}
