use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::fleet::Cause;
use crate::tui::action::Action;

use super::frame::Scene;
use super::layout::Areas;

/// Lines of a cause, the empty one after it included.
pub(super) const LINES: usize = 5;
/// Columns before what is told about a cause.
const INDENT: u16 = 7;

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
            one(scene, buffer, rest, cause, index == scene.ui.causes.index);
        }
    }
}

fn one(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect, cause: &Cause, selected: bool) {
    let (theme, symbols) = (scene.theme, scene.symbols);
    for line in 0..area.height.min(LINES as u16 - 1) {
        scene.edge_pen(buffer, area, line).put(if selected { symbols.cursor } else { " " }, theme.cursor);
    }
    let mut pen = scene.edge_pen(buffer, area, 0);
    pen.skip(1)
        .put(symbols.fail, theme.fail)
        .right(INDENT - 3, &cause.hosts.len().to_string(), theme.strong)
        .skip(1);
    pen.put(cause.kind.as_str(), theme.strong.patch(theme.fail))
        .put(&format!(" while {}", cause.phase), theme.muted);
    let line = |number| area.y.saturating_add(number) < area.bottom();
    let mut told = |number: u16, text: &str, style| {
        if line(number) {
            scene.edge_pen(buffer, area, number).to(area.x + INDENT).put(text, style);
        }
    };
    told(1, &cause.message, if selected { theme.strong } else { theme.text });
    told(2, cause.names(|id| scene.fleet.host_name(id)), theme.text);
    let mut pen = scene.edge_pen(buffer, area, 3);
    pen.to(area.x + INDENT);
    if selected {
        let them = if cause.hosts.len() == 1 { "retries it" } else { "retries them" };
        pen.put(&scene.keymap.key(Action::Retry), theme.key).skip(1).put(them, theme.text);
        pen.put(&format!(" {} ", symbols.dot), theme.muted);
    }
    pen.put(cause.kind.advice(), theme.muted);
}
