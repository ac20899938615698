use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::fleet::{Cause, fold_names};
use crate::tui::action::Action;

use super::frame::Scene;
use super::layout::{Areas, Size};
use super::pen::wrap;

/// Lines of a cause, the empty one after it included.
pub(super) const LINES: usize = 4;
/// Columns of the number of hosts, and of the kind.
const COUNT: u16 = 6;
const KIND: u16 = 14;

/// Failed hosts by cause: how many, why, who, and what to do.
pub(super) fn draw(scene: &Scene<'_>, buffer: &mut Buffer, areas: &Areas) {
    let area = areas.body;
    let theme = scene.theme;
    let causes = scene.fleet.causes().list();
    if causes.is_empty() {
        let text = if scene.fleet.is_resting() { "no host failed" } else { "no host has failed so far" };
        let mut pen = scene.pen(buffer, area, 1);
        pen.put(scene.symbols.ok, theme.ok).skip(1).put(text, theme.muted);
        return;
    }
    for (place, index) in scene.ui.causes.seen().enumerate() {
        let top = (place * LINES) as u16;
        if let Some(cause) = causes.get(index).filter(|_| top < area.height) {
            let rest = Rect { y: area.y + top, height: (area.height - top).min(LINES as u16), ..area };
            one(scene, buffer, rest, areas.size, cause, index == scene.ui.causes.index);
        }
    }
}

fn one(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect, size: Size, cause: &Cause, selected: bool) {
    let (theme, symbols) = (scene.theme, scene.symbols);
    let indent = if size == Size::Narrow { 4 } else { 3 + COUNT + KIND };
    let mut pen = scene.edge_pen(buffer, area, 0);
    pen.put(if selected { symbols.cursor } else { " " }, theme.cursor).put(symbols.fail, theme.fail).skip(1);
    pen.right(COUNT - 2, &cause.hosts.len().to_string(), theme.strong).skip(2);
    pen.left(KIND, cause.kind.as_str(), theme.fail);
    pen.put(&cause.message, if selected { theme.strong } else { theme.text });
    if selected {
        buffer.set_style(Rect { height: area.height.min(1), ..area }, theme.selected);
    }
    let names = fold_names(cause.hosts.iter().map(|id| scene.fleet.host_name(*id)));
    let mut pen = scene.edge_pen(buffer, area, 1);
    if selected {
        pen.put(symbols.cursor, theme.cursor);
    }
    pen.to(area.x + indent).put(&names, theme.text);
    let mut pen = scene.edge_pen(buffer, area, 2);
    if selected {
        pen.put(symbols.cursor, theme.cursor);
        pen.to(area.x + 3).put(&scene.keymap.key(Action::Retry), theme.key).put(" retries", theme.text);
        pen.put(if cause.hosts.len() == 1 { " it " } else { " them " }, theme.text);
    }
    let room = usize::from(area.width.saturating_sub(indent + 1));
    let advice = wrap(cause.kind.advice(), room);
    for (line, text) in advice.iter().take(LINES - 2).enumerate() {
        let mut pen = scene.edge_pen(buffer, area, 2 + line as u16);
        pen.to(area.x + indent).put(text, theme.muted);
    }
}
