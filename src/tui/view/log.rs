use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::control::{LogLevel, LogSource};
use crate::fleet::LogEntry;
use crate::units::format_clock;

use super::frame::Scene;
use super::layout::{Areas, Size};
use super::pen::Pen;

/// Lines above the first row.
pub(super) const HEADING: usize = 1;

/// What was said, the newest at the end; it follows unless it is scrolled away.
pub(super) fn draw(scene: &Scene<'_>, buffer: &mut Buffer, areas: &Areas) {
    let (area, theme, ui) = (areas.body, scene.theme, scene.ui);
    let mut pen = scene.row_pen(buffer, area, 0);
    pen.skip(3).left(6, "TIME", theme.muted).skip(2);
    let name = (scene.fleet.longest_name().max(6) as u16).min(if areas.size == Size::Full { 30 } else { 16 });
    if areas.size > Size::Narrow {
        pen.left(name, "HOST", theme.muted).skip(2);
    }
    pen.put("MESSAGE", theme.muted);
    let dropped = scene.fleet.log().dropped();
    let state = match (ui.log_held, dropped) {
        (true, _) => format!("{} of {}", ui.log.index + 1, ui.log.len),
        (false, 0) => String::new(),
        (false, older) => format!("{older} older lines are in the run's folder"),
    };
    pen.skip(2).end_with(&[(state.into(), theme.muted)]);
    if ui.log.len == 0 {
        scene.pen(buffer, area, 2).skip(2).put("nothing was said yet", theme.muted);
    }
    for (line, index) in ui.log.seen().enumerate() {
        let Some(entry) = ui.log_line(scene.fleet, index) else { continue };
        let line = (line + HEADING) as u16;
        let selected = index == ui.log.index && ui.log_held;
        row(scene, &mut scene.row_pen(buffer, area, line), areas.size, name, entry, selected);
        if selected {
            buffer.set_style(Rect { y: area.y + line, height: 1, ..area }.intersection(area), theme.selected);
        }
    }
}

fn row(scene: &Scene<'_>, pen: &mut Pen<'_>, size: Size, name: u16, entry: &LogEntry, selected: bool) {
    let (theme, symbols) = (scene.theme, scene.symbols);
    pen.put(if selected { symbols.cursor } else { " " }, theme.cursor);
    let (sign, style) = match entry.level {
        LogLevel::Error => (symbols.fail, theme.fail),
        LogLevel::Warn => (symbols.warn, theme.warn),
        LogLevel::Info | LogLevel::Debug => (symbols.dot, theme.muted),
    };
    pen.put(sign, style).skip(1);
    let time = format_clock(Duration::from_millis(scene.fleet.clock_at(entry.at)));
    pen.left(6, &time, theme.muted).skip(2);
    if size > Size::Narrow {
        let host = entry.host.map_or("", |id| scene.fleet.host_name(id));
        pen.left(name, host, theme.text).skip(2);
    }
    match entry.source {
        LogSource::Murder => {}
        LogSource::Stderr => {
            pen.put("stderr ", theme.muted);
        }
        LogSource::Hook => {
            pen.put("hook ", theme.muted);
        }
    }
    pen.put(&entry.message, if entry.level == LogLevel::Debug { theme.muted } else { theme.text });
}
