use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::control::{HostId, LinkCount, LogSource};
use crate::deploy::StateName;
use crate::fleet::{HostRecord, Weight};
use crate::tui::action::Action;
use crate::units::{format_bytes, format_clock, format_duration, format_rate};

use super::frame::Scene;
use super::hosts::attempt;
use super::pen::{level, wrap};

/// Columns of the words at the left.
const LABEL: usize = 10;
/// Text is not broken into fewer columns than these.
const MEANEST: usize = 20;
/// Neighbours that are named; the rest is a number.
const NAMED: usize = 5;

/// Everything about one host.
pub(super) fn draw(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect, id: HostId) {
    let Some(host) = scene.fleet.host(id) else { return };
    let lines = lines(scene, id, host, usize::from(area.width), false);
    let most = lines.len().saturating_sub(usize::from(area.height));
    let from = scene.ui.detail_scroll.min(most);
    for (row, line) in lines.iter().skip(from).take(usize::from(area.height)).enumerate() {
        let mut pen = scene.pen(buffer, area, row as u16);
        for span in &line.spans {
            pen.put(&span.content, line.style.patch(span.style));
        }
    }
}

/// All lines about a host for so many columns; `short` leaves out the air between them.
pub(super) fn lines<'a>(
    scene: &Scene<'a>,
    id: HostId,
    host: &'a HostRecord,
    columns: usize,
    short: bool,
) -> Vec<Line<'a>> {
    let room = columns.saturating_sub(LABEL + 3).max(MEANEST);
    let mut lines = Vec::new();
    let air = |lines: &mut Vec<Line<'a>>| {
        if !short && lines.last().is_some_and(|line: &Line<'_>| !line.spans.is_empty()) {
            lines.push(Line::default());
        }
    };
    title(scene, id, host, &mut lines);
    air(&mut lines);
    if failure(scene, host, room, &mut lines) {
        air(&mut lines);
    }
    phases(scene, host, room, &mut lines);
    transfer(scene, host, room, &mut lines);
    air(&mut lines);
    attempts(scene, host, room, &mut lines);
    air(&mut lines);
    said(scene, host, &mut lines);
    lines
}

fn labelled<'a>(scene: &Scene<'a>, label: &str, style: Style, mut spans: Vec<Span<'a>>) -> Line<'a> {
    let label = format!("{label:<LABEL$} ");
    let style = if style == Style::default() { scene.theme.muted } else { style };
    spans.insert(0, Span::styled(label, style));
    Line::from(spans)
}

/// Text behind a label, on as many lines as it takes.
fn told<'a>(
    scene: &Scene<'a>,
    label: &str,
    text: &str,
    style: Style,
    room: usize,
    lines: &mut Vec<Line<'a>>,
) {
    for (index, line) in wrap(text, room).into_iter().enumerate() {
        let label = if index == 0 { label } else { "" };
        lines.push(labelled(scene, label, Style::default(), vec![Span::styled(line, style)]));
    }
}

/// Why it failed and what to do. False if it did not.
fn failure<'a>(scene: &Scene<'a>, host: &'a HostRecord, room: usize, lines: &mut Vec<Line<'a>>) -> bool {
    let theme = scene.theme;
    let Some(failure) = host.failure() else { return false };
    for (index, line) in wrap(&failure.message, room).into_iter().enumerate() {
        let label = if index == 0 { failure.kind.as_str() } else { "" };
        lines.push(labelled(scene, label, theme.fail, vec![Span::styled(line, theme.strong)]));
    }
    told(scene, "what to do", failure.kind.advice(), theme.text, room, lines);
    if scene.is_live() {
        let key = vec![
            Span::styled(scene.keymap.key(Action::Retry), theme.key),
            Span::styled(" tries it again", theme.text),
        ];
        lines.push(labelled(scene, "", theme.muted, key));
    }
    true
}

fn title<'a>(scene: &Scene<'a>, id: HostId, host: &'a HostRecord, lines: &mut Vec<Line<'a>>) {
    let (theme, dot) = (scene.theme, scene.symbols.dot);
    let style = theme.host(host);
    let mut spans = vec![
        Span::styled(scene.symbols.host(host), style),
        Span::raw(" "),
        Span::styled(host.name().as_str(), style),
    ];
    if host.share() > 0.0 && host.name() == StateName::Fetching {
        spans.push(Span::styled(format!(" {:.0} %", (host.share() * 100.0).floor()), theme.text));
    }
    if host.name().phase().is_some() {
        let ago = scene.now.saturating_sub(host.heard) / 1000;
        let text = format!(" {dot} heard {ago} s ago");
        spans.push(Span::styled(text, theme.muted));
    }
    let remark = scene.fleet.remark(id, scene.now);
    // Why an attempt before this one ended is told below.
    let told = remark.weight == Weight::Note && !host.attempts().is_empty();
    if host.failure().is_none() && !told && !remark.text.is_empty() {
        spans.push(Span::styled(format!(" {dot} "), theme.faint));
        spans.push(Span::styled(remark.text, theme.weight(remark.weight)));
    }
    lines.push(Line::from(spans));
    let mut facts = vec![host.info.address.clone()];
    if !host.info.rack.is_empty() {
        facts.push(format!("rack {}", host.info.rack));
    }
    if !host.info.groups.is_empty() {
        facts.push(host.info.groups.join(" "));
    }
    facts.extend(host.info.labels.iter().map(|(key, value)| format!("{key}={value}")));
    if !host.info.dest.is_empty() {
        facts.push(host.info.dest.clone());
    }
    let tries = attempt(scene, host);
    if !tries.is_empty() {
        facts.push(format!("attempt {tries}"));
    }
    facts.retain(|fact| !fact.is_empty());
    lines.push(Line::styled(facts.join(&format!(" {dot} ")), theme.muted));
}

fn phases<'a>(scene: &Scene<'a>, host: &'a HostRecord, room: usize, lines: &mut Vec<Line<'a>>) {
    let theme = scene.theme;
    let mut rows: Vec<(usize, Vec<Span<'a>>)> = vec![(0, Vec::new())];
    for span in host.spans().iter().filter(|span| span.state != StateName::Staged || span.end.is_none()) {
        let lasts = span.end.is_none() && span.state == host.name();
        if span.state == StateName::Queued && span.millis(scene.now) < 100 {
            continue;
        }
        let took = format_duration(Duration::from_millis(span.millis(scene.now)));
        let word = format!("{} ", span.state);
        let time = if lasts { format!("{took} so far") } else { took };
        let width = word.len() + time.len() + 3;
        if rows.last().is_some_and(|(used, _)| used + width > room) {
            rows.push((0, Vec::new()));
        }
        if let Some((used, spans)) = rows.last_mut() {
            *used += width;
            spans.push(Span::styled(word, if lasts { theme.accent } else { theme.muted }));
            spans.push(Span::styled(format!("{time}   "), theme.text));
        }
    }
    for (index, (used, spans)) in rows.into_iter().enumerate() {
        let spans = if used == 0 { vec![Span::styled("not begun", theme.muted)] } else { spans };
        lines.push(labelled(scene, if index == 0 { "phases" } else { "" }, Style::default(), spans));
    }
    told(scene, "its time", &scene.fleet.why_slow(host, scene.now), theme.text, room, lines);
}

fn transfer<'a>(scene: &Scene<'a>, host: &'a HostRecord, room: usize, lines: &mut Vec<Line<'a>>) {
    let (theme, symbols) = (scene.theme, scene.symbols);
    if host.rates().is_empty() {
        return;
    }
    let rates: Vec<u64> = host.rates().iter().map(|rate| u64::from(*rate)).collect();
    let largest = rates.iter().copied().max().unwrap_or(0);
    let spark: String = rates.iter().map(|rate| level(symbols, *rate, largest)).collect();
    let now = if host.name() == StateName::Fetching {
        format!("  {} now, {} at most", format_rate(host.progress.down_rate), format_rate(largest))
    } else {
        format!("  {} at most", format_rate(largest))
    };
    lines.push(labelled(
        scene,
        "rate",
        Style::default(),
        vec![Span::styled(spark, theme.accent), Span::styled(now, theme.text)],
    ));
    let progress = &host.progress;
    let mut sums = format!(
        "{} of {}, {} from the seeder, {} sent on, {} here before, {} twice",
        format_bytes(host.fetched),
        format_bytes(host.to_fetch),
        format_bytes(progress.from_seeder),
        format_bytes(progress.up),
        format_bytes(progress.reused),
        format_bytes(progress.duplicate),
    );
    if progress.reused == 0 && progress.duplicate == 0 {
        let end = sums.find(", 0 B here").unwrap_or(sums.len());
        sums.truncate(end);
    }
    told(scene, "bytes", &sums, theme.text, room, lines);
    for (label, count) in [("from", (|link| link.down) as fn(&LinkCount) -> u64), ("to", |link| link.up)] {
        let text = neighbours(scene, host, count);
        told(scene, label, &text, theme.text, room, lines);
    }
}

fn neighbours(scene: &Scene<'_>, host: &HostRecord, count: fn(&LinkCount) -> u64) -> String {
    let mut links: Vec<&LinkCount> = host.links().iter().filter(|link| count(link) > 0).collect();
    links.sort_by_key(|link| std::cmp::Reverse(count(link)));
    let named = links.iter().take(NAMED);
    let mut text: Vec<String> = named
        .map(|link| format!("{} {}", scene.fleet.host_name(link.id), format_bytes(count(link))))
        .collect();
    if links.len() > NAMED {
        text.push(format!("+{}", links.len() - NAMED));
    }
    text.join(&format!(" {} ", scene.symbols.dot))
}

fn attempts<'a>(scene: &Scene<'a>, host: &'a HostRecord, room: usize, lines: &mut Vec<Line<'a>>) {
    for attempt in host.attempts().iter() {
        let phase = attempt.phase.map_or(String::new(), |phase| format!("{phase}, "));
        let took = format_duration(Duration::from_millis(attempt.millis));
        let text = format!("{phase}after {took}: {}", attempt.reason);
        told(scene, &format!("attempt {}", attempt.number), &text, scene.theme.text, room, lines);
    }
}

fn said<'a>(scene: &Scene<'a>, host: &'a HostRecord, lines: &mut Vec<Line<'a>>) {
    let theme = scene.theme;
    if host.lines().is_empty() {
        lines.push(labelled(
            scene,
            "output",
            Style::default(),
            vec![Span::styled("nothing said", theme.muted)],
        ));
        return;
    }
    for (index, line) in host.lines().iter().enumerate() {
        let at = format_clock(Duration::from_millis(scene.fleet.clock_at(line.at)));
        let source = match line.source {
            LogSource::Murder => "murder",
            LogSource::Stderr => "stderr",
            LogSource::Hook => "hook",
        };
        lines.push(labelled(
            scene,
            if index == 0 { "output" } else { "" },
            Style::default(),
            vec![
                Span::styled(format!("{at:>5} {source:<6} "), theme.muted),
                Span::styled(line.text.as_str(), theme.text),
            ],
        ));
    }
}
