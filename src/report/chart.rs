use std::fmt::Write as _;
use std::time::Duration;

use super::curve::Curve;
use super::html::escape;
use super::run::{HostReport, RunReport};
use super::words::{millis, phase_word};
use crate::deploy::StateName;
use crate::fleet::HostRecord;
use crate::units::{format_clock, format_rate};

/// Width of the charts in their own units; they scale with the page.
const WIDTH: f64 = 960.0;
/// Room for the labels on the left.
const LEFT: f64 = 84.0;
/// Room on the right, for the last label of the time.
const RIGHT: f64 = 24.0;
/// Height of the curves.
const HEIGHT: f64 = 200.0;
/// Height of a host's bar with the gap below it.
const ROW: f64 = 16.0;
/// Room for the names of hosts.
const NAMES: f64 = 220.0;
/// Letters of a name that fit there.
const NAME_LETTERS: usize = 32;
/// Room below for the labels of the time.
const FOOT: f64 = 24.0;

/// Bytes a second over time: all hosts together as an area, the seeder as a line.
pub(super) fn throughput(run: &RunReport) -> String {
    let seconds = (run.length_ms() as f64 / 1000.0).max(1.0);
    let hosts = run.throughput.smoothed((seconds / 300.0).max(1.0));
    let seeder = run.seeder.smoothed(hosts.step());
    let top = nice_top(hosts.peak().max(seeder.peak()));
    // The last bucket may go on beyond the end.
    let x = |at: f64| LEFT + at.min(seconds) / seconds * (WIDTH - LEFT - RIGHT);
    let y = |rate: f64| 8.0 + (1.0 - rate / top) * HEIGHT;
    let mut svg = open(HEIGHT + 8.0 + FOOT, "Bytes a second over time");
    for step in 0..=4 {
        let rate = top / 4.0 * f64::from(step);
        let (line, label) = (y(rate), format_rate(rate as u64));
        let _ = writeln!(
            svg,
            r#"<line class="grid" x1="{LEFT}" x2="{}" y1="{line:.1}" y2="{line:.1}"/>"#,
            WIDTH - RIGHT
        );
        let _ = writeln!(
            svg,
            r#"<text class="axis end" x="{}" y="{:.1}">{label}</text>"#,
            LEFT - 8.0,
            line + 4.0
        );
    }
    time_axis(&mut svg, seconds, 8.0 + HEIGHT, x);
    let floor = y(0.0);
    if let Some(path) = steps(&hosts, x, y) {
        let end = x(hosts.points().count() as f64 * hosts.step());
        let _ = writeln!(
            svg,
            r#"<path class="area" d="M{:.1} {floor:.1} L{path} L{end:.1} {floor:.1} Z"/>"#,
            x(0.0)
        );
        let _ = writeln!(svg, r#"<path class="hosts" d="M{path}"/>"#);
    }
    if let Some(path) = steps(&seeder, x, y) {
        let _ = writeln!(svg, r#"<path class="seeder" d="M{path}"/>"#);
    }
    svg.push_str("</svg>\n");
    svg
}

/// A bar a host: its time by what it went into.
pub(super) fn bars(run: &RunReport, hosts: &[(crate::control::HostId, &HostRecord, &HostReport)]) -> String {
    let seconds = (run.length_ms() as f64 / 1000.0).max(1.0);
    let x = |at: f64| NAMES + at / seconds * (WIDTH - NAMES - RIGHT);
    let height = hosts.len() as f64 * ROW + 8.0;
    let mut svg = open(height + FOOT, "The hosts' ways over time");
    time_axis(&mut svg, seconds, height, x);
    for (row, (_, record, host)) in hosts.iter().enumerate() {
        let top = row as f64 * ROW + 4.0;
        let name: String = record.info.name.chars().take(NAME_LETTERS).collect();
        let class = if record.name() == StateName::Failed { "name bad" } else { "name" };
        let (middle, at) = (top + ROW - 5.0, NAMES - 8.0);
        let _ =
            writeln!(svg, r#"<text class="{class} end" x="{at}" y="{middle:.1}">{}</text>"#, escape(&name));
        for span in &host.spans {
            let end = span.end.unwrap_or(span.start);
            let since = |ms: u64| ms.saturating_sub(run.started_at) as f64 / 1000.0;
            let (from, to) = (x(since(span.start)), x(since(end)));
            let _ = writeln!(
                svg,
                r#"<rect class="{}" x="{from:.1}" y="{top:.1}" width="{:.1}" height="{:.1}"><title>{}: {} {}</title></rect>"#,
                part(span.state),
                (to - from).max(0.4),
                ROW - 5.0,
                escape(&record.info.name),
                phase_word(span.state),
                millis(end.saturating_sub(span.start)),
            );
        }
        end_mark(&mut svg, record, host, top, |ms| x(ms.saturating_sub(run.started_at) as f64 / 1000.0));
    }
    svg.push_str("</svg>\n");
    svg
}

/// The classes of [`bars`] with the words for them.
pub(super) const PARTS: [(&str, &str); 6] = [
    ("queued", "waiting"),
    ("ssh", "connecting, launching, checking"),
    ("fetching", "fetching"),
    ("unpacking", "verifying, unpacking"),
    ("staged", "staged, waiting at the barrier"),
    ("activating", "activating"),
];

fn part(state: StateName) -> &'static str {
    match state {
        StateName::Connecting | StateName::Launching | StateName::Checking => "ssh",
        StateName::Fetching => "fetching",
        StateName::Verifying | StateName::Unpacking => "unpacking",
        StateName::Staged => "staged",
        StateName::Activating => "activating",
        _ => "queued",
    }
}

fn end_mark(svg: &mut String, record: &HostRecord, host: &HostReport, top: f64, x: impl Fn(u64) -> f64) {
    let (glyph, class) = match record.name() {
        StateName::Failed => ("✗", "bad"),
        StateName::Active | StateName::Done | StateName::Staged => ("✓", "good"),
        _ => return,
    };
    let end = host.spans.iter().filter_map(|span| span.end).max().map_or(NAMES, x);
    let what = record.failure().map_or_else(|| record.name().to_string(), ToString::to_string);
    let _ = writeln!(
        svg,
        r#"<text class="{class}" x="{:.1}" y="{:.1}">{glyph}<title>{}</title></text>"#,
        end + 3.0,
        top + ROW - 5.0,
        escape(&what)
    );
}

fn open(height: f64, label: &str) -> String {
    format!(r#"<svg viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{label}">"#) + "\n"
}

fn time_axis(svg: &mut String, seconds: f64, y: f64, x: impl Fn(f64) -> f64) {
    let step = nice_step(seconds / 8.0);
    let mut at = 0.0;
    while at <= seconds {
        let place = x(at);
        let clock = format_clock(Duration::try_from_secs_f64(at).unwrap_or_default());
        let _ = writeln!(svg, r#"<line class="grid" x1="{place:.1}" x2="{place:.1}" y1="4" y2="{y:.1}"/>"#);
        let _ = writeln!(svg, r#"<text class="axis mid" x="{place:.1}" y="{:.1}">{clock}</text>"#, y + 16.0);
        at += step;
    }
}

/// A line with a level for each bucket, without its first letter.
fn steps(curve: &Curve, x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> Option<String> {
    let mut path = String::new();
    for (at, rate) in curve.points() {
        let level = y(rate);
        let _ = write!(path, " {:.1} {level:.1} {:.1} {level:.1}", x(at), x(at + curve.step()));
    }
    (!path.is_empty()).then_some(path)
}

/// The next number of seconds that people count in.
fn nice_step(least: f64) -> f64 {
    let steps = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0];
    steps.into_iter().find(|step| *step >= least).unwrap_or((least / 3600.0).ceil() * 3600.0)
}

/// A round rate that is not below `peak`, so that quarters of it are round too.
fn nice_top(peak: f64) -> f64 {
    let mut unit = 1024.0;
    while unit * 1000.0 < peak {
        unit *= 1024.0;
    }
    let tops = [0.04, 0.1, 0.2, 0.4, 1.0, 2.0, 4.0, 8.0, 20.0, 40.0, 80.0, 120.0, 200.0, 400.0, 600.0, 800.0];
    tops.into_iter().map(|top| top * unit).find(|top| *top >= peak).unwrap_or(unit * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_round_and_hold_everything() {
        for peak in [0.0, 1.0, 900.0, 1e4, 3e6, 1.2e8, 5e9, 7e12] {
            let top = nice_top(peak);
            assert!(top >= peak && (peak < 100.0 || top <= peak * 3.0), "{peak}: {top}");
        }
        for seconds in [0.1, 7.0, 100.0, 4000.0, 1e6] {
            let step = nice_step(seconds / 8.0);
            assert!(seconds / step <= 9.0, "{seconds}: {step}");
        }
    }
}
