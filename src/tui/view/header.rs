use std::borrow::Cow;
use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr as _;

use crate::deploy::{Binding, StateName};
use crate::fleet::{Counts, Eta, FleetState};
use crate::units::{format_bytes, format_clock, format_rate};

use super::frame::Scene;
use super::layout::{Areas, Size};
use super::pen::{Pen, Stack, level, number};

/// A piece of a line.
type Part<'a> = (Cow<'a, str>, Style);

/// The run in three lines.
pub(super) fn draw(scene: &Scene<'_>, buffer: &mut Buffer, areas: &Areas) {
    if areas.header.height >= 3 {
        title(scene, &mut scene.pen(buffer, areas.header, 0), areas.size);
    }
    let line = areas.header.height.saturating_sub(2);
    bar(scene, &mut scene.pen(buffer, areas.header, line));
    counts(scene, &mut scene.pen(buffer, areas.header, line + 1), areas.size);
}

fn title(scene: &Scene<'_>, pen: &mut Pen<'_>, size: Size) {
    let theme = scene.theme;
    pen.put("murder", theme.strong.patch(theme.accent)).skip(2);
    let Some(plan) = scene.fleet.plan() else {
        pen.put("getting ready", theme.muted);
        return;
    };
    let mut parts: Vec<Part<'_>> = Vec::new();
    if !matches!(plan.command.as_str(), "deploy" | "demo") || plan.tag.is_empty() {
        parts.push((format!("{} ", plan.command).into(), theme.text));
    }
    let payload = plan.payload.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if !payload.is_empty() && size >= Size::Medium {
        parts.push((format!("{payload} ").into(), theme.text));
    }
    parts.push((plan.tag.as_str().into(), theme.strong));
    let whole = format!(" {} {}", scene.symbols.arrow, hosts(scene.fleet.hosts().len()));
    parts.push((whole.into(), theme.muted));
    let bytes = scene.fleet.info().filter(|info| info.packed_bytes > 0);
    let bytes = bytes.map(|info| format!(" {} {}", scene.symbols.dot, format_bytes(info.packed_bytes)));
    let needed = width(&parts) + bytes.as_deref().map_or(0, |bytes| bytes.width() as u16) + 2;
    let of = |words: Words| times(scene, words);
    let mut times = of(if size >= Size::Wide { Words::All } else { Words::Few });
    for fewer in [Words::Some, Words::Few] {
        if size >= Size::Wide && needed + width(&times) > pen.room() {
            times = of(fewer);
        }
    }
    let room = pen.room().saturating_sub(width(&times) + 2);
    for more in bytes.into_iter().chain([format!("   run {}", plan.run)]) {
        if width(&parts) + more.width() as u16 <= room {
            parts.push((more.into(), theme.muted));
        }
    }
    let end = pen.x() + room;
    for (text, style) in &parts {
        pen.put_within(end.saturating_sub(pen.x()), text, *style);
    }
    pen.end_with(&times);
}

/// How much is said of the least possible time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Words {
    Few,
    Some,
    /// With the link that binds it.
    All,
}

/// Time so far, and how that compares to the least possible.
fn times<'a>(scene: &Scene<'a>, words: Words) -> Vec<Part<'a>> {
    let (fleet, theme, now) = (scene.fleet, scene.theme, scene.now);
    let mut parts: Vec<Part<'a>> = Vec::new();
    if let Some(replay) = &scene.ui.replay {
        let state = if replay.paused { "paused" } else { "replay" };
        let clock = |millis| format_clock(Duration::from_millis(millis));
        let text = format!(
            "{state} {}{} {} of {}   ",
            replay.speed,
            scene.symbols.times,
            clock(replay.position),
            clock(replay.length)
        );
        parts.push((text.into(), theme.warn));
    }
    if scene.ui.frozen {
        parts.push((
            format!(
                "frozen {} {} goes on   ",
                scene.symbols.dot,
                scene.keymap.key(crate::tui::action::Action::Freeze)
            )
            .into(),
            theme.warn,
        ));
    }
    if let Some(reason) = fleet.stopping().filter(|_| !fleet.is_resting()) {
        parts.push((format!("stopping: {reason}   ").into(), theme.warn));
    }
    if let Some(quiet) = fleet.quiet(now) {
        parts.push((format!("nothing heard for {} s   ", quiet / 1000).into(), theme.warn));
    }
    if fleet.is_resting() {
        let well = fleet.counts().failed() + fleet.counts().left_out() == 0;
        parts.push(if well { ("done   ".into(), theme.ok) } else { ("ended   ".into(), theme.text) });
    }
    parts.push((format_clock(Duration::from_millis(fleet.elapsed_millis(now))).into(), theme.strong));
    if let Some((done, total)) = fleet.packing() {
        let percent = done as f64 * 100.0 / total.max(1) as f64;
        parts.insert(0, (format!("packing {percent:.0} %   ").into(), theme.accent));
    } else if let Some(least) = least(scene, words) {
        parts.push((format!(" {} {least}", scene.symbols.dot).into(), theme.muted));
    }
    parts
}

/// The least possible time, or how many times that it took, and the link that binds it.
fn least(scene: &Scene<'_>, words: Words) -> Option<String> {
    let fleet = scene.fleet;
    let seconds = fleet.least_possible()?;
    let binds = match fleet.limit().filter(|_| words == Words::All).map(|limit| limit.binding) {
        Some(Binding::Seeder) => ", bound by the seeder's link".to_owned(),
        Some(Binding::Uplinks) => ", bound by all uplinks together".to_owned(),
        Some(Binding::Host(_)) if fleet.has_one_rate() => ", bound by the hosts' links".to_owned(),
        Some(Binding::Host(id)) => format!(", bound by the link of {}", fleet.host_name(id)),
        None => String::new(),
    };
    let long = if words >= Words::Some { "the least possible" } else { "least" };
    Some(match fleet.times_least() {
        Some(ratio) => format!("{ratio:.2} {} {long}{binds}", scene.symbols.times),
        None => {
            let clock = format_clock(Duration::from_secs_f64(seconds.min(1e9).ceil()));
            format!("{} {clock}{binds}", long.trim_start_matches("the "))
        }
    })
}

fn bar(scene: &Scene<'_>, pen: &mut Pen<'_>) {
    let fleet = scene.fleet;
    let percent = format!("{:>3.0} %", (fleet.share() * 100.0).floor());
    let of = |count: u32| f64::from(count) / f64::from(fleet.counts().total().max(1));
    let stack =
        Stack { done: of(finished(fleet)), moved: fleet.share(), failed: of(fleet.counts().failed()) };
    let columns = pen.room().saturating_sub(percent.width() as u16 + 1);
    pen.stack(columns, &stack, scene.theme).skip(1).put(&percent, scene.theme.strong);
}

/// Hosts of which no more is expected.
fn finished(fleet: &FleetState) -> u32 {
    let activates = fleet.plan().is_none_or(|plan| plan.activate);
    if activates { fleet.counts().of(StateName::Active) } else { fleet.counts().done() }
}

fn counts(scene: &Scene<'_>, pen: &mut Pen<'_>, size: Size) {
    let numbers = numbers(scene, size);
    let long = count_parts(scene, scene.fleet.counts(), false);
    let room = pen.room();
    let first: u16 = numbers.iter().take(2).map(|(_, part)| width(std::slice::from_ref(part))).sum();
    let fits = width(&long) + first + 3 <= room;
    let parts = if fits { long } else { count_parts(scene, scene.fleet.counts(), true) };
    for (text, style) in &parts {
        pen.put(text, *style);
    }
    // What matters most stays longest, wherever it stands.
    for most in (1..=numbers.len()).rev() {
        let mut shown: Vec<&(Place, Part<'_>)> = numbers[..most].iter().collect();
        shown.sort_by_key(|(place, _)| *place);
        let shown: Vec<Part<'_>> = shown.into_iter().map(|(_, part)| part.clone()).collect();
        if pen.end_with(&shown) {
            return;
        }
    }
}

/// Counts by state, failures first. `short` puts states of one kind together.
fn count_parts(scene: &Scene<'_>, counts: &Counts, short: bool) -> Vec<Part<'static>> {
    const STATES: [StateName; 14] = [
        StateName::Failed,
        StateName::Activating,
        StateName::Unpacking,
        StateName::Verifying,
        StateName::Fetching,
        StateName::Checking,
        StateName::Launching,
        StateName::Connecting,
        StateName::Queued,
        StateName::Staged,
        StateName::Active,
        StateName::Done,
        StateName::Cancelled,
        StateName::Skipped,
    ];
    let theme = scene.theme;
    let mut list: Vec<(StateName, u32, &str)> = Vec::new();
    for state in STATES {
        let count = counts.of(state);
        if short && state.phase().is_some() {
            match list.iter_mut().find(|(known, ..)| known.phase().is_some()) {
                Some((_, sum, _)) => *sum += count,
                None => list.push((state, count, "moving")),
            }
        } else {
            list.push((state, count, state.as_str()));
        }
    }
    list.retain(|(_, count, _)| *count > 0);
    let mut parts: Vec<Part<'static>> = Vec::new();
    for (state, count, word) in list {
        if !parts.is_empty() {
            parts.push(("  ".into(), theme.text));
        }
        let style = theme.state(state);
        let count_style = if state == StateName::Failed { theme.strong.patch(style) } else { theme.text };
        parts.push((scene.symbols.state(state).into(), style));
        parts.push((format!(" {}", number(count as usize)).into(), count_style));
        parts.push((format!(" {word}").into(), if state == StateName::Failed { style } else { theme.muted }));
    }
    parts
}

/// Where a number of the swarm stands, from left to right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Bytes,
    Copies,
    Rate,
    Spark,
    Eta,
}

/// Numbers of the whole swarm, the most important first; each with its distance to the one on its left.
fn numbers(scene: &Scene<'_>, size: Size) -> Vec<(Place, Part<'static>)> {
    let (fleet, theme) = (scene.fleet, scene.theme);
    let mut parts: Vec<(Place, Part<'static>)> = Vec::new();
    if let Some(eta) = fleet.eta() {
        let text = format!("   ETA {}", eta_text(eta, scene.now, scene.symbols.range));
        parts.push((Place::Eta, (text.into(), theme.strong)));
    }
    if fleet.counts().of(StateName::Fetching) > 0 {
        let rate = format!("   {}", format_rate(fleet.totals().rate));
        parts.push((Place::Rate, (rate.into(), theme.text)));
        if size > Size::Narrow {
            let spark = spark_text(scene, if size >= Size::Full { 24 } else { 12 });
            parts.push((Place::Spark, (format!(" {spark}").into(), theme.accent)));
        }
    }
    if let Some(copies) = fleet.copies_sent().filter(|copies| *copies > 0.0) {
        let words = if size >= Size::Full { "the seeder sent " } else { "seeder " };
        let text = format!("   {words}{copies:.2} copies");
        parts.push((Place::Copies, (text.into(), theme.muted)));
    }
    let all = fleet.packed_bytes() * fleet.hosts().len() as u64;
    if all > 0 && size >= Size::Medium {
        let bytes = format!("   {} of {}", format_bytes(fleet.totals().done), format_bytes(all));
        parts.push((Place::Bytes, (bytes.into(), theme.muted)));
    }
    parts
}

fn spark_text(scene: &Scene<'_>, columns: usize) -> String {
    let samples = scene.fleet.throughput();
    let newest: Vec<u64> = samples.iter().rev().take(columns).copied().collect();
    let top = samples.iter().max().copied().unwrap_or(0);
    newest.into_iter().rev().map(|sample| level(scene.symbols, sample, top)).collect()
}

/// The end as seen from now, as a range until both estimates agree.
pub(super) fn eta_text(eta: &Eta, now: u64, range: &str) -> String {
    let past = now.saturating_sub(eta.at);
    let clock = |millis: u64| format_clock(Duration::from_millis(millis.saturating_sub(past)));
    let (low, high) = (clock(eta.low_ms), clock(eta.high_ms));
    if eta.is_steady() || low == high { high } else { format!("{low}{range}{high}") }
}

fn hosts(count: usize) -> String {
    format!("{} host{}", number(count), if count == 1 { "" } else { "s" })
}

fn width(parts: &[Part<'_>]) -> u16 {
    parts.iter().map(|(text, _)| text.width() as u16).sum()
}
