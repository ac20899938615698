use std::fmt::Write as _;
use std::time::Duration;

use super::phases::phases;
use super::style::Ink;
use super::summary::summary;
use super::text::{clean, cut};
use super::words::{comparison_line, millis, phase_word};
use super::{Comparison, RunReport, Style};
use crate::journal::{Run, RunState};
use crate::units::{format_duration, format_rate};

/// So many slow hosts are listed.
const SLOWEST: usize = 8;
/// So many hosts that fell behind are listed.
const MOST_SLOWER: usize = 16;

/// A run in full, as text: its summary, its phases, its slowest hosts, all attempts that failed, and how it stands beside
/// the run before.
pub fn show(run: &RunReport, before: Option<&Comparison>, style: &Style) -> String {
    let mut text = summary(&run.fleet, style);
    phase_lines(&mut text, run, style);
    slow_lines(&mut text, run, style);
    attempt_lines(&mut text, run, style);
    if let Some(before) = before {
        let _ =
            writeln!(text, "\n{}", style.paint(Ink::Strong, &format!("beside run {}", clean(&before.run))));
        let _ = writeln!(text, "  {}", comparison_line(before));
        for host in before.slower.iter().take(MOST_SLOWER) {
            let (then, now) = (format_rate(host.before), format_rate(host.now));
            let _ = writeln!(text, "  {:32} {now:>10}, then {then:>10}", clean(&host.host));
        }
        if let Some(more) = before.slower.len().checked_sub(MOST_SLOWER).filter(|more| *more > 0) {
            let _ = writeln!(text, "  and {more} more");
        }
    }
    text
}

/// Past runs as a table, as given. `now` is milliseconds since the epoch.
pub fn list(runs: &[Run], now: u64, style: &Style) -> String {
    if runs.is_empty() {
        return "no run is recorded yet\n".to_owned();
    }
    let longest = |text: &dyn Fn(&Run) -> &str, most: usize| {
        runs.iter().map(|run| text(run).chars().count()).max().unwrap_or(0).clamp(3, most)
    };
    let (name, tag) = (longest(&|run| &run.status.run.0, 40), longest(&|run| &run.status.tag, 28));
    let head = format!(
        "{:name$}  {:>8}  {:8}  {:tag$}  {:>6}  {:>8}  RESULT",
        "RUN", "AGO", "COMMAND", "TAG", "HOSTS", "TIME"
    );
    let mut text = format!("{}\n", style.paint(Ink::Dim, &head));
    for run in runs {
        let status = &run.status;
        let ago = Duration::from_millis(now.saturating_sub(status.started_at));
        let (ink, result, time) = result(run);
        let _ = writeln!(
            text,
            "{:name$}  {:>8}  {:8}  {:tag$}  {:>6}  {time:>8}  {}",
            clean(&status.run.0),
            format_age(ago),
            clean(&status.command),
            cut(&clean(&status.tag), tag),
            status.hosts,
            style.paint(ink, &result),
        );
    }
    text
}

fn result(run: &Run) -> (Ink, String, String) {
    let outcome = match &run.state {
        RunState::Killed => return (Ink::Bad, "was killed".to_owned(), String::new()),
        RunState::Running(None) => return (Ink::Moving, "goes on".to_owned(), String::new()),
        RunState::Running(Some(outcome)) | RunState::Ended(outcome) => outcome,
    };
    let counts: Vec<String> = [
        (outcome.done, "done"),
        (outcome.active, "active"),
        (outcome.staged, "staged"),
        (outcome.failed, "failed"),
        (outcome.cancelled, "cancelled"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    let rests = if matches!(run.state, RunState::Running(_)) { ", rests" } else { "" };
    let ink = if outcome.exit == 0 { Ink::Good } else { Ink::Bad };
    let time = format_duration(Duration::try_from_secs_f64(outcome.seconds).unwrap_or_default());
    let counts = if counts.is_empty() { "nothing done".to_owned() } else { counts.join(", ") };
    (ink, format!("{counts} (exit {}){rests}", outcome.exit), time)
}

/// An age in its largest unit: `40 s`, `3 h`.
pub fn format_age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn phase_lines(text: &mut String, run: &RunReport, style: &Style) {
    let phases = phases(run);
    if phases.is_empty() {
        return;
    }
    let head =
        format!("{:24} {:>7} {:>9} {:>9} {:>9}  slowest", "phases", "hosts", "median", "95 %", "longest");
    let _ = writeln!(text, "\n{}", style.paint(Ink::Strong, &head));
    for phase in phases {
        let _ = writeln!(
            text,
            "  {:22} {:>7} {:>9} {:>9} {:>9}  {}",
            phase_word(phase.state),
            phase.hosts,
            millis(phase.median),
            millis(phase.most),
            millis(phase.longest),
            clean(run.fleet.host_name(phase.slowest))
        );
    }
}

fn slow_lines(text: &mut String, run: &RunReport, style: &Style) {
    let hosts = run.slowest_fetches();
    if hosts.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", style.paint(Ink::Strong, "slowest fetches"));
    for (ms, record, host) in hosts.into_iter().take(SLOWEST) {
        let rate = host.fetch_rate(record).map_or_else(String::new, format_rate);
        let why = run.fleet.why_slow(record, run.fleet.last_at());
        let _ = writeln!(text, "  {:32} {:>9} {rate:>10}  {why}", clean(&record.info.name), millis(ms));
    }
}

fn attempt_lines(text: &mut String, run: &RunReport, style: &Style) {
    let failed: Vec<_> = run.all().filter(|(_, _, host)| !host.failures.is_empty()).collect();
    if failed.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", style.paint(Ink::Strong, "attempts that failed"));
    for (_, record, host) in failed {
        for (attempt, failure) in &host.failures {
            let _ = writeln!(
                text,
                "  {:32} try {attempt}, while {}: {}",
                clean(&record.info.name),
                failure.phase,
                clean(&failure.to_string())
            );
        }
    }
}
