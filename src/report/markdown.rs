use std::fmt::Write as _;

use super::phases::phases;
use super::text::clean;
use super::words::{comparison_line, facts, millis, phase_word, title, verdict};
use super::{Comparison, RunReport};
use crate::fleet::fold_names;
use crate::units::{format_rate, plural};

/// So many slow hosts are listed.
const SLOWEST: usize = 10;

/// The run as GitHub's Markdown.
pub(super) fn markdown(run: &RunReport, before: Option<&Comparison>) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "# {}: {}\n", escape(&title(&run.plan)), verdict(run));
    figures(&mut text, run);
    failures(&mut text, run);
    phase_table(&mut text, run);
    slowest(&mut text, run);
    if let Some(before) = before {
        compared(&mut text, before);
    }
    let _ = writeln!(text, "\nRecorded in `{}`.", clean(&run.plan.folder).replace('`', "'"));
    text
}

fn figures(text: &mut String, run: &RunReport) {
    text.push_str("| | |\n|---|---|\n");
    for (label, value) in facts(run) {
        let _ = writeln!(text, "| {label} | {} |", escape(&value));
    }
    if let Some(reason) = run.fleet.stopping() {
        let _ = writeln!(text, "| stopped | {} |", escape(reason));
    }
}

fn failures(text: &mut String, run: &RunReport) {
    if run.outcome.failures.is_empty() {
        return;
    }
    text.push_str("\n## Failures\n\n");
    for group in &run.outcome.failures {
        let hosts = fold_names(group.hosts.iter().map(|id| run.fleet.host_name(*id)));
        let count = plural(group.hosts.len(), "host");
        let _ = writeln!(text, "- **{}** on {count}: {}", group.kind, escape(&hosts));
        let _ = writeln!(text, "  - {}", escape(&group.message));
        let _ = writeln!(text, "  - to do: {}", group.kind.advice());
        let sample = group.hosts.iter().find_map(|id| run.fleet.host(*id)?.failure());
        if let Some(failure) = sample.filter(|failure| !failure.detail.is_empty()) {
            text.push_str("\n  ```\n");
            for line in &failure.detail {
                let _ = writeln!(text, "  {}", clean(line).replace("```", "'''"));
            }
            text.push_str("  ```\n");
        }
    }
}

fn phase_table(text: &mut String, run: &RunReport) {
    let phases = phases(run);
    if phases.is_empty() {
        return;
    }
    text.push_str("\n## Phases\n\n| phase | hosts | median | 95 % | longest | slowest host |\n|---|--:|--:|--:|--:|---|\n");
    for phase in phases {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            phase_word(phase.state),
            phase.hosts,
            millis(phase.median),
            millis(phase.most),
            millis(phase.longest),
            escape(run.fleet.host_name(phase.slowest)),
        );
    }
}

fn slowest(text: &mut String, run: &RunReport) {
    let hosts = run.slowest_fetches();
    if hosts.is_empty() {
        return;
    }
    text.push_str("\n## Slowest hosts\n\n| host | state | fetching | rate | where its time went |\n|---|---|--:|--:|---|\n");
    for (ms, record, host) in hosts.into_iter().take(SLOWEST) {
        let rate = host.fetch_rate(record).map_or_else(|| "-".to_owned(), format_rate);
        let why = run.fleet.why_slow(record, run.fleet.last_at());
        let name = escape(&record.info.name);
        let _ = writeln!(text, "| {name} | {} | {} | {rate} | {why} |", record.name(), millis(ms));
    }
}

fn compared(text: &mut String, before: &Comparison) {
    let _ = writeln!(text, "\n## Beside run {}\n", escape(&before.run));
    let _ = writeln!(text, "{}", comparison_line(before));
    if before.slower.is_empty() {
        return;
    }
    text.push_str("\n| slower host | then | now |\n|---|--:|--:|\n");
    for host in &before.slower {
        let (then, now) = (format_rate(host.before), format_rate(host.now));
        let _ = writeln!(text, "| {} | {then} | {now} |", escape(&host.host));
    }
}

/// Text that Markdown takes for text: in a table, a list or a heading.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in clean(text).chars() {
        match char {
            '<' => safe.push_str("&lt;"),
            '&' => safe.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' => {
                safe.push('\\');
                safe.push(char);
            }
            char => safe.push(char),
        }
    }
    safe
}
