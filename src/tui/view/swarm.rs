use std::ops::{Range, RangeInclusive};

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr as _;

use crate::tui::action::Action;
use crate::units::{format_bytes, format_rate, plural};

use super::frame::Scene;
use super::layout::{Areas, Size};
use super::pen::{Pen, level, number};

/// Columns of a cell of the matrix.
const CELL: u16 = 8;
/// Seconds of the seeder's rate.
const SPARK: u16 = 40;
/// Pieces by copies in a line are told in no fewer columns for the sake of what stands beside them.
const FEWEST_LEVELS: u16 = 12;

/// The seeder, pieces by the number of their copies, and who feeds whom by rack.
pub(super) fn draw(scene: &Scene<'_>, buffer: &mut Buffer, areas: &Areas) {
    let area = areas.body;
    if scene.fleet.packed_bytes() == 0 {
        return found(scene, buffer, areas);
    }
    let beside = areas.size >= Size::Wide;
    let left_width = if beside { area.width / 2 } else { area.width };
    let left = Rect { width: left_width, ..area };
    let used = seeder(scene, buffer, left);
    let rest = Rect { y: left.y + used, height: left.height.saturating_sub(used), ..left };
    let pieces = if beside { pieces(scene, buffer, rest) } else { pieces_in_a_line(scene, buffer, rest) };
    let right = if beside {
        Rect { x: area.x + left_width, width: area.width - left_width, ..area }
    } else {
        let used = (used + pieces + 1).min(area.height);
        Rect { y: area.y + used, height: area.height - used, ..area }
    };
    matrix(scene, buffer, right);
}

/// What an errand found, where nothing is shipped.
fn found(scene: &Scene<'_>, buffer: &mut Buffer, areas: &Areas) {
    let lines = scene.fleet.found_lines();
    if lines.is_empty() {
        let words = if scene.fleet.plan().is_some_and(|plan| plan.payload.is_empty()) {
            "nothing is shipped; what is found on the hosts comes here"
        } else {
            "nothing is shipped yet"
        };
        scene.pen(buffer, areas.body, 1).put(words, scene.theme.muted);
        return;
    }
    let label = lines.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0) as u16;
    let first = scene.ui.swarm.index.min(lines.len() - 1);
    for (row, (name, line)) in lines.iter().skip(first).take(usize::from(areas.body.height)).enumerate() {
        let mut pen = scene.pen(buffer, areas.body, row as u16);
        pen.left(label, name, scene.theme.strong).skip(2).put(line, scene.theme.text);
    }
}

/// What the seeder did; returns the lines it took.
fn seeder(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect) -> u16 {
    let (fleet, theme, dot) = (scene.fleet, scene.theme, scene.symbols.dot);
    let seeder = fleet.seeder();
    let copies = fleet.copies_sent().unwrap_or(0.0);
    let mut pen = scene.pen(buffer, area, 0);
    pen.put("Seeder", theme.strong).skip(2);
    pen.put(&format!("{copies:.2} copies sent"), theme.text);
    pen.put(
        &format!(
            " {dot} {} {dot} feeds {}",
            format_bytes(seeder.sent),
            plural(seeder.feeds as usize, "host")
        ),
        theme.muted,
    );
    let mut pen = scene.pen(buffer, area, 1);
    let top = fleet.seeder_rates().iter().max().copied().unwrap_or(0);
    let width = pen.room().min(SPARK).min(fleet.seeder_rates().len() as u16);
    pen.spark(width, fleet.seeder_rates().iter().copied(), top, theme.accent).skip(2);
    pen.put(&format_rate(seeder.rate), theme.text);
    if let Some(quiet) = fleet.seeder_quiet(scene.now) {
        pen.put(&format!(" {} s ago", quiet / 1000), theme.warn);
    }
    let (words, style) = if seeder.may_leave {
        ("may leave: the hosts hold all of it between them", theme.ok)
    } else {
        ("still needed: some pieces are nowhere else", theme.muted)
    };
    scene.pen(buffer, area, 2).put(words, style);
    let totals = fleet.totals();
    let share = |part: u64| part as f64 * 100.0 / totals.down.max(1) as f64;
    let line = format!(
        "{} received {dot} {:.1} % from the seeder {dot} {:.1} % twice",
        format_bytes(totals.down),
        share(seeder.sent.min(totals.down)),
        share(totals.duplicate)
    );
    scene.pen(buffer, area, 3).put(&line, theme.muted);
    5.min(area.height)
}

/// Pieces by copies; returns the lines it took.
fn pieces(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect) -> u16 {
    let theme = scene.theme;
    let copies = &scene.fleet.seeder().copies;
    scene.pen(buffer, area, 0).put("Pieces by copies", theme.strong);
    let Some(last) = copies.len().checked_sub(1) else {
        scene.pen(buffer, area, 1).put("none yet", theme.muted);
        return 2.min(area.height);
    };
    let room = usize::from(area.height.saturating_sub(1));
    let bins = bins(copies, room);
    let most = bins.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let label = |numbers: &RangeInclusive<usize>| match (*numbers.start(), *numbers.end()) {
        (from, to) if to == last && last > 1 => format!("{from}+"),
        (from, to) if from == to => from.to_string(),
        (from, to) => format!("{from}{}{to}", scene.symbols.range),
    };
    let labels: Vec<String> = bins.iter().map(|(numbers, _)| label(numbers)).collect();
    let longest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0).max(3) as u16;
    for (row, ((numbers, count), label)) in bins.iter().zip(&labels).enumerate() {
        let mut pen = scene.pen(buffer, area, row as u16 + 1);
        pen.right(longest, label, theme.muted).skip(1);
        let width = pen.room().saturating_sub(8).min(40);
        let style = if *numbers.end() == 0 { theme.warn } else { theme.accent };
        let length = (*count as f64 * f64::from(width) / most as f64).ceil() as u16;
        pen.put(&scene.symbols.full.repeat(usize::from(length.min(width))), style).skip(1);
        if *count > 0 {
            pen.put(&number(*count as usize), theme.muted);
        }
    }
    bins.len() as u16 + 1
}

/// Pieces by numbers of copies, from the fewest to the most that there are; several numbers to a line if `room` has not a
/// line for each. No copy at all is a line of its own.
fn bins(copies: &[u32], room: usize) -> Vec<(RangeInclusive<usize>, u64)> {
    let some = |count: &u32| *count > 0;
    let (Some(first), Some(last)) = (copies.iter().position(some), copies.iter().rposition(some)) else {
        return Vec::new();
    };
    let alone = usize::from(first == 0);
    let step = (last + 1 - first - alone).div_ceil(room.saturating_sub(alone).max(1)).max(1);
    let starts = (0..alone).chain((first + alone..=last).step_by(step));
    let ranges = starts.map(|from| from..=if from == 0 { 0 } else { (from + step - 1).min(last) });
    ranges
        .take(room)
        .map(|range| (range.clone(), copies[range].iter().map(|n| u64::from(*n)).sum()))
        .collect()
}

/// The same where the matrix has to stand below: a level a number of copies.
fn pieces_in_a_line(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect) -> u16 {
    let theme = scene.theme;
    let copies = &scene.fleet.seeder().copies;
    let mut pen = scene.pen(buffer, area, 0);
    pen.put("Pieces by copies", theme.strong).skip(2);
    let Some(last) = copies.len().checked_sub(1) else {
        pen.put("none yet", theme.muted);
        return 1.min(area.height);
    };
    let end = format!(" {last}+");
    let rarest = copies.iter().position(|count| *count > 0).map(|rarest| {
        let few = plural(copies[rarest] as usize, "piece");
        format!("   the rarest: {few} with {rarest}")
    });
    pen.put("0 ", theme.muted);
    let room = pen.room().saturating_sub(end.width() as u16);
    let told = rarest.filter(|text| text.width() as u16 + FEWEST_LEVELS <= room).unwrap_or_default();
    let bins = in_so_many(copies, usize::from(room.saturating_sub(told.width() as u16)));
    let most = bins.iter().max().copied().unwrap_or(0);
    for (number, count) in bins.into_iter().enumerate() {
        let sign = if count == 0 { scene.symbols.dot } else { level(scene.symbols, count, most) };
        let style = match count {
            0 => theme.faint,
            _ if number == 0 => theme.warn,
            _ => theme.accent,
        };
        pen.put(sign, style);
    }
    pen.put(&end, theme.muted).put(&told, theme.muted);
    1.min(area.height)
}

/// Pieces by numbers of copies, as few neighbouring numbers together as `room` asks for. No copy at all stays alone.
fn in_so_many(copies: &[u32], room: usize) -> Vec<u64> {
    let sum = |counts: &[u32]| counts.iter().map(|count| u64::from(*count)).sum();
    let (none, some) = copies.split_at(copies.len().min(1));
    let step = some.len().div_ceil(room.saturating_sub(1).max(1)).max(1);
    none.chunks(1).chain(some.chunks(step)).map(sum).collect()
}

/// Bytes between racks, a row for who sends and a column for who gets.
fn matrix(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect) {
    let (theme, flows) = (scene.theme, scene.fleet.flows());
    let racks = flows.racks();
    let name = |rack: usize| match racks.get(rack).map(String::as_str) {
        Some("") => "hosts",
        Some(name) => name,
        None => "seeder",
    };
    let label =
        (0..racks.len()).map(|rack| name(rack).chars().count()).max().unwrap_or(0).clamp(6, 14) as u16;
    let columns = usize::from(area.width.saturating_sub(label + 3) / CELL).min(racks.len());
    let first = scene.ui.swarm.index.min(racks.len().saturating_sub(1));
    let left = scene.ui.swarm_left.min(racks.len().saturating_sub(columns));
    matrix_title(scene, &mut scene.pen(buffer, area, 0), left..left + columns, racks.len());
    let mut pen = scene.pen(buffer, area, 1);
    pen.skip(label);
    for rack in left..left + columns {
        pen.right(CELL, name(rack), theme.muted);
    }
    let (rows, largest) = (usize::from(area.height.saturating_sub(2)), flows.largest());
    // The seeder first: it is one line, and where everything comes from.
    let senders = std::iter::once(racks.len()).chain(first..racks.len());
    for (line, from) in senders.take(rows).enumerate() {
        let mut pen = scene.pen(buffer, area, line as u16 + 2);
        pen.left(label, name(from), theme.muted);
        (left..left + columns).for_each(|to| cell(scene, &mut pen, flows.between(from, to), largest));
    }
}

/// The title, and which columns are seen if that is not all: this stays where there is no room for both it and how to read
/// the rows.
fn matrix_title(scene: &Scene<'_>, pen: &mut Pen<'_>, seen: Range<usize>, racks: usize) {
    const READ: &str = "  row sends, column gets";
    let theme = scene.theme;
    pen.put("Who feeds whom", theme.strong);
    if seen.len() >= racks {
        pen.put(READ, theme.muted);
        return;
    }
    let keys = [Action::Left, Action::Right].map(|action| scene.keymap.key(action)).join(" ");
    let (from, to) = (seen.start + 1, seen.end);
    let long = format!(" {from} to {to} of {racks} racks");
    let short = format!(" {from}{}{to} of {racks}", scene.symbols.range);
    for (read, seen) in [(READ, &long), (READ, &short), ("", &long), ("", &short)] {
        if read.width() + keys.width() + seen.width() < usize::from(pen.room()) {
            pen.put(read, theme.muted).end_with(&[(keys.into(), theme.key), (seen.into(), theme.muted)]);
            return;
        }
    }
}

fn cell(scene: &Scene<'_>, pen: &mut Pen<'_>, bytes: u64, largest: u64) {
    let share = bytes as f64 / largest.max(1) as f64;
    let style = match share {
        _ if bytes == 0 => scene.theme.faint,
        share if share > 0.66 => scene.theme.accent,
        share if share > 0.2 => scene.theme.text,
        _ => scene.theme.muted,
    };
    let text = if bytes == 0 { scene.symbols.dot.to_owned() } else { format_bytes(bytes) };
    pen.right(CELL, &text, style);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_piece_is_left_out_where_there_are_fewer_lines_than_numbers_of_copies() {
        assert_eq!(bins(&[], 5), []);
        assert!(in_so_many(&[], 5).is_empty());
        assert_eq!(in_so_many(&[9, 1, 2, 3, 4, 5], 6), [9, 1, 2, 3, 4, 5]);
        assert_eq!(in_so_many(&[9, 1, 2, 3, 4, 5], 4), [9, 3, 7, 5]);
        assert_eq!(bins(&[0, 0, 7, 0, 1, 0], 5), [(2..=2, 7), (3..=3, 0), (4..=4, 1)]);
        let all: Vec<u32> = (1..=22).collect();
        for room in 2..30 {
            let bins = bins(&all, room);
            assert!(bins.len() <= room);
            assert_eq!(
                (bins[0].clone(), bins.iter().map(|bin| bin.1).sum::<u64>()),
                ((0..=0, 1), 22 * 23 / 2)
            );
            assert_eq!(bins.last().map(|(numbers, _)| *numbers.end()), Some(21));
        }
    }
}
