use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::deploy::StateName;
use crate::fleet::{Counts, Group};
use crate::units::format_rate;

use super::frame::Scene;
use super::layout::{Areas, Size};
use super::pen::{Pen, Stack, number};

/// Lines above the first row.
pub(super) const HEADING: usize = 1;

/// Racks and groups, those that need a person first.
pub(super) fn draw(scene: &Scene<'_>, buffer: &mut Buffer, areas: &Areas) {
    let (area, theme) = (areas.body, scene.theme);
    let groups = scene.fleet.groups();
    if groups.is_empty() {
        scene.pen(buffer, area, 1).put("the inventory names no groups and no racks", theme.muted);
        return;
    }
    let longest = groups.iter().map(|group| group.name.chars().count()).max().unwrap_or(0);
    let name = (longest.max(6) as u16).min(if areas.size == Size::Narrow { 12 } else { 28 });
    let bar = match areas.size {
        Size::Tiny | Size::Narrow => 0,
        Size::Medium => 18,
        Size::Wide => 32,
        Size::Full => 60,
    };
    let mut pen = scene.row_pen(buffer, area, 0);
    pen.skip(3).left(name, "GROUP", theme.muted).skip(2).left(6, "", theme.muted);
    pen.right(6, "HOSTS", theme.muted).skip(2);
    if bar > 0 {
        pen.left(bar + 6, "PROGRESS", theme.muted).skip(1).right(10, "RATE", theme.muted).skip(3);
        pen.put("STATES", theme.muted);
    }
    for (line, index) in scene.ui.groups.seen().enumerate() {
        let Some(group) = scene.ui.group_at(scene.fleet, index) else { continue };
        let line = (line + HEADING) as u16;
        let selected = index == scene.ui.groups.index;
        row(scene, &mut scene.row_pen(buffer, area, line), group, name, bar, selected);
        if selected {
            buffer.set_style(Rect { y: area.y + line, height: 1, ..area }.intersection(area), theme.selected);
        }
    }
}

fn row(scene: &Scene<'_>, pen: &mut Pen<'_>, group: &Group, name: u16, bar: u16, selected: bool) {
    let (theme, symbols) = (scene.theme, scene.symbols);
    let worst = worst(&group.counts);
    pen.put(if selected { symbols.cursor } else { " " }, theme.cursor);
    pen.put(symbols.state(worst), theme.state(worst)).skip(1);
    pen.left(name, &group.name, theme.text).skip(2);
    pen.left(6, group.kind.as_str(), theme.muted);
    pen.right(6, &number(group.hosts.len()), theme.text).skip(2);
    if bar > 0 {
        let of = |count: u32| f64::from(count) / group.hosts.len().max(1) as f64;
        let failed = of(group.counts.failed());
        // What failed hosts hold fills nothing of the bar, nor of the number beside it.
        let moved = share(scene, group).min(1.0 - failed);
        let stack = Stack { done: of(group.counts.done()), moved, failed };
        pen.stack(bar, &stack, theme);
        pen.right(6, &format!("{:.0} %", (moved * 100.0 + 1e-9).floor()), theme.text).skip(1);
        let rate = if group.rate > 0 { format_rate(group.rate) } else { String::new() };
        pen.right(10, &rate, theme.muted).skip(3);
    }
    let counts = &group.counts;
    for (state, count) in [
        (StateName::Failed, counts.failed()),
        (StateName::Fetching, counts.moving()),
        (StateName::Queued, counts.of(StateName::Queued)),
        (StateName::Staged, counts.of(StateName::Staged)),
        (StateName::Active, counts.of(StateName::Active)),
        (StateName::Cancelled, counts.left_out()),
    ] {
        if count > 0 {
            let style = theme.state(state);
            pen.put(symbols.state(state), style).put(&number(count as usize), style).skip(2);
        }
    }
}

/// The state that stands for a group: the one that needs a person most.
pub(super) fn worst(counts: &Counts) -> StateName {
    if counts.failed() > 0 {
        return StateName::Failed;
    }
    if counts.moving() > 0 {
        return StateName::Fetching;
    }
    let rest = [StateName::Queued, StateName::Cancelled, StateName::Skipped, StateName::Staged];
    rest.into_iter().find(|state| counts.of(*state) > 0).unwrap_or(StateName::Active)
}

fn share(scene: &Scene<'_>, group: &Group) -> f64 {
    let hosts = group.hosts.len().max(1) as f64;
    let all = scene.fleet.packed_bytes() as f64 * hosts;
    if all > 0.0 { (group.done as f64 / all).clamp(0.0, 1.0) } else { f64::from(group.counts.done()) / hosts }
}
