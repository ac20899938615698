use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::control::HostId;
use crate::deploy::StateName;
use crate::fleet::{HostRecord, Rank, Remark, Weight};
use crate::tui::action::Action;
use crate::tui::hostlist::Row;
use crate::tui::symbols::Symbols;
use crate::units::{format_bytes, format_rate, plural};

use super::frame::Scene;
use super::layout::{Areas, Size};
use super::pen::Pen;

/// Lines above the first row.
pub(super) const HEADING: usize = 1;

/// Widths of the columns, for this screen and fleet; 0 is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Columns {
    name: u16,
    state: u16,
    bar: u16,
    done: u16,
    rate: u16,
    spark: u16,
    peers: u16,
    attempt: u16,
    /// There is room to tell what is wrong beside all numbers.
    roomy: bool,
}

const STATE: u16 = 10;
const PERCENT: u16 = 6;

fn columns(size: Size, width: u16, longest: usize) -> Columns {
    let longest = longest.max(8) as u16;
    let mut columns = Columns {
        name: longest.min(18),
        state: STATE,
        bar: 0,
        done: 7,
        rate: 9,
        spark: 0,
        peers: 0,
        attempt: 0,
        roomy: size == Size::Full,
    };
    match size {
        Size::Tiny | Size::Narrow => {
            columns.done = 0;
            columns.rate = 0;
            columns.name = longest.min(width.saturating_sub(STATE + PERCENT + 7));
        }
        Size::Medium => columns.bar = width.saturating_sub(columns.name + 43).clamp(8, 24),
        Size::Wide => {
            (columns.bar, columns.spark, columns.peers, columns.attempt) = (14, 8, 5, 3);
            columns.name = longest.min(22);
        }
        Size::Full => {
            (columns.bar, columns.spark, columns.peers, columns.attempt) = (26, 16, 5, 3);
            columns.name = longest.min(36);
        }
    }
    columns
}

/// The table: a row a host. Only rows that are seen are made.
pub(super) fn draw(scene: &Scene<'_>, buffer: &mut Buffer, areas: &Areas) {
    let area = areas.body;
    let columns = columns(areas.size, area.width, scene.fleet.longest_name());
    heading(scene, &mut scene.row_pen(buffer, area, 0), &columns);
    let list = &scene.ui.hosts;
    if list.is_empty() {
        let text =
            if scene.fleet.hosts().is_empty() { "no hosts yet" } else { "no host matches; Esc shows all" };
        scene.row_pen(buffer, area, 2).skip(3).put(text, scene.theme.muted);
        return;
    }
    for (line, index) in list.cursor().seen().enumerate() {
        let line = line as u16 + HEADING as u16;
        let mut pen = scene.row_pen(buffer, area, line);
        let selected = index == list.cursor().index;
        match list.row(index) {
            Some(Row::Host(id)) => {
                if let Some(host) = scene.fleet.host(id) {
                    row(scene, &mut pen, &columns, id, host, selected);
                }
            }
            Some(Row::Done(count)) => done_row(scene, &mut pen, count, selected),
            None => {}
        }
        if selected {
            let row = Rect { y: area.y + line, height: 1, ..area }.intersection(area);
            buffer.set_style(row, scene.theme.selected);
        }
    }
}

fn heading(scene: &Scene<'_>, pen: &mut Pen<'_>, columns: &Columns) {
    let muted = scene.theme.muted;
    pen.skip(3).left(columns.name, "HOST", muted).skip(2).left(columns.state, "STATE", muted).skip(2);
    if columns.bar == 0 {
        return;
    }
    pen.left(columns.bar + PERCENT, "PROGRESS", muted).skip(2).right(columns.done, "DONE", muted);
    pen.skip(2).right(columns.rate, "RATE", muted);
    if columns.spark > 0 {
        pen.skip(2).left(columns.spark, "", muted).skip(1).right(columns.peers, "PEERS", muted);
        pen.skip(2).right(columns.attempt, "TRY", muted);
    }
}

fn row(
    scene: &Scene<'_>,
    pen: &mut Pen<'_>,
    columns: &Columns,
    id: HostId,
    host: &HostRecord,
    selected: bool,
) {
    let (theme, symbols) = (scene.theme, scene.symbols);
    let style = theme.host(host);
    pen.put(if selected { symbols.cursor } else { " " }, theme.cursor);
    pen.put(symbols.host(host), style);
    let marked = scene.ui.hosts.marks.contains(&id);
    pen.put(if marked { symbols.mark } else { " " }, theme.cursor);
    let quiet = matches!(host.name(), StateName::Queued | StateName::Cancelled | StateName::Skipped);
    let name = if quiet { theme.muted } else { theme.text };
    pen.left(columns.name, &host.info.name, name).skip(2);
    let word = if style == theme.accent { theme.text } else { style };
    pen.left(columns.state, Symbols::word(host), word).skip(2);
    let remark = scene.fleet.remark(id, scene.now);
    if matches!(host.name(), StateName::Failed | StateName::Cancelled | StateName::Skipped) {
        ended(scene, pen, columns, host, &remark);
        return;
    }
    if columns.bar == 0 {
        pen.right(PERCENT - 1, &percent(host), name);
        return;
    }
    // What needs a person is told in words before all else; its numbers are in the strip.
    let loud = remark.weight >= Weight::Warn && !columns.roomy;
    if loud && columns.spark == 0 {
        pen.left(PERCENT, &percent(host), name).put(&remark.text, theme.weight(remark.weight));
        return;
    }
    let bar = if host.name() == StateName::Queued { theme.faint } else { theme.state(host.name()) };
    pen.bar(columns.bar, host.share(), bar, theme.faint).right(PERCENT, &percent(host), name).skip(2);
    let no_numbers =
        host.name() != StateName::Fetching && (columns.spark == 0 || host.name() == StateName::Queued);
    if loud || (no_numbers && !remark.text.is_empty()) {
        pen.put(&remark.text, theme.weight(remark.weight));
        return;
    }
    numbers(scene, pen, columns, host, &remark);
}

/// A host that goes no further: where it stopped if there is room, what kind of failure it was, and why.
fn ended(scene: &Scene<'_>, pen: &mut Pen<'_>, columns: &Columns, host: &HostRecord, remark: &Remark) {
    let theme = scene.theme;
    if columns.roomy {
        let bar = theme.state(host.name());
        pen.bar(columns.bar, host.share(), bar, theme.faint).right(PERCENT, &percent(host), theme.muted);
        pen.skip(2);
    }
    if let Some(failure) = host.failure() {
        pen.put(failure.kind.as_str(), theme.fail).skip(2);
        // A few letters of it would tell nothing.
        if pen.room() < 12 {
            return;
        }
    }
    pen.put(without_name(&remark.text, &host.info.name), theme.weight(remark.weight));
    if columns.roomy && host.attempt > 1 {
        pen.put(&format!("  attempt {}", attempt(scene, host)), theme.warn);
    }
}

fn numbers(scene: &Scene<'_>, pen: &mut Pen<'_>, columns: &Columns, host: &HostRecord, remark: &Remark) {
    let theme = scene.theme;
    let (mut bytes, mut rate) = (String::new(), String::new());
    let fetching = host.name() == StateName::Fetching;
    if host.fetched > 0 {
        bytes = format_bytes(host.fetched);
    }
    if fetching {
        rate = format_rate(host.progress.down_rate);
    }
    pen.right(columns.done, &bytes, theme.muted).skip(2);
    pen.right(columns.rate, &rate, theme.text);
    // What is done is at rest: its history is in its detail.
    if columns.spark == 0 || matches!(host.name(), StateName::Staged | StateName::Active) {
        return;
    }
    // So are the rates of a host that has all bytes.
    let rates = host.rates().iter().filter(|_| fetching).map(|rate| u64::from(*rate));
    pen.skip(2).spark(columns.spark, rates, scene.fleet.top_rate(), theme.muted).skip(1);
    let peers = if fetching { host.progress.peers.to_string() } else { String::new() };
    pen.right(columns.peers, &peers, theme.muted).skip(2);
    let style = if host.attempt > 1 { theme.warn } else { theme.muted };
    pen.right(columns.attempt, &attempt(scene, host), style).skip(2);
    let style: Style = if remark.weight == Weight::Quiet { theme.muted } else { theme.weight(remark.weight) };
    pen.put(&remark.text, style);
}

/// A message without the name of the host that it is about, where that stands beside it.
fn without_name<'m>(message: &'m str, name: &str) -> &'m str {
    let rest = message.strip_prefix(name).map(|rest| rest.trim_start_matches(':'));
    rest.and_then(|rest| rest.strip_prefix(' ')).unwrap_or(message)
}

fn percent(host: &HostRecord) -> String {
    let begun = host.share() > 0.0 || host.name() == StateName::Fetching;
    if begun { format!("{:.0} %", (host.share() * 100.0).floor()) } else { String::new() }
}

/// `2/3`: which attempt of how many; a user's retries go beyond.
pub(super) fn attempt(scene: &Scene<'_>, host: &HostRecord) -> String {
    let all = scene.fleet.plan().map_or(1, |plan| plan.attempts).max(host.attempt);
    if host.attempt > 1 { format!("{}/{all}", host.attempt) } else { String::new() }
}

fn done_row(scene: &Scene<'_>, pen: &mut Pen<'_>, count: usize, selected: bool) {
    let (theme, symbols) = (scene.theme, scene.symbols);
    pen.put(if selected { symbols.cursor } else { " " }, theme.cursor);
    let (sign, words) = done_words(scene, count);
    pen.put(sign, theme.ok).skip(1).put(&format!("{} {words}", plural(count, "host")), theme.text);
    pen.skip(2).put(&scene.key(Action::Open), theme.key).put(" shows them", theme.muted);
}

/// What the hosts that are folded away are; counted by glances, since they may be thousands.
fn done_words(scene: &Scene<'_>, count: usize) -> (&'static str, String) {
    let symbols = scene.symbols;
    let rank = |id: &HostId| scene.fleet.glances().get(id.index()).map(|glance| glance.rank);
    let of = |wanted| scene.ui.hosts.folded().iter().filter(|id| rank(id) == Some(wanted)).count();
    let (staged, active) = (of(Rank::Staged), of(Rank::Active));
    match (staged, active) {
        // An errand's hosts are done and run nothing new.
        (0, all) if all == count && scene.fleet.counts().of(StateName::Done) == 0 => {
            (symbols.ok, "active".to_owned())
        }
        (all, 0) if all == count => (symbols.staged, "staged".to_owned()),
        (staged, active) if staged > 0 && staged + active == count => {
            (symbols.ok, format!("done: {staged} staged, {active} active"))
        }
        _ => (symbols.ok, "done".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_not_told_twice() {
        for (message, told) in [
            ("web-05 refuses the connection", "refuses the connection"),
            ("web-05: no route", "no route"),
            ("web-051 is gone", "web-051 is gone"),
            ("cannot reach web-05", "cannot reach web-05"),
        ] {
            assert_eq!(without_name(message, "web-05"), told);
        }
    }

    #[test]
    fn columns_fit_the_screen_they_are_made_for() {
        for (size, width) in [
            (Size::Narrow, 40),
            (Size::Narrow, 79),
            (Size::Medium, 80),
            (Size::Medium, 119),
            (Size::Wide, 120),
            (Size::Full, 160),
        ] {
            for longest in [0, 8, 20, 60] {
                let columns = columns(size, width, longest);
                let mut used = 3 + columns.name + 2 + columns.state + 2 + PERCENT;
                if columns.bar > 0 {
                    used += columns.bar + 2 + columns.done + 2 + columns.rate;
                }
                if columns.spark > 0 {
                    used += 2 + columns.spark + 1 + columns.peers + 2 + columns.attempt + 2 + 16;
                }
                assert!(used <= width, "{size:?} {width} {longest}: {used}");
            }
        }
    }
}
