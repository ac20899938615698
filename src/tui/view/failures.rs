use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::fleet::Cause;
use crate::tui::action::Action;

use super::frame::Scene;
use super::layout::Areas;
use super::pen::{Pen, number, wrap};

/// Lines of a cause, the empty one after it included.
pub(super) const LINES: usize = 5;
/// Columns before what is told about a cause.
const INDENT: u16 = 7;

/// Failed hosts by cause, then those in trouble: how many, why, who, and what to do.
pub(super) fn draw(scene: &Scene<'_>, buffer: &mut Buffer, areas: &Areas) {
    let area = areas.body;
    let theme = scene.theme;
    let causes = scene.ui.cause_rows(scene.fleet);
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
    let failed = cause.wrong.kind().is_some();
    let (sign, style) = if failed { (symbols.fail, theme.fail) } else { (symbols.warn, theme.warn) };
    for line in 0..area.height.min(LINES as u16 - 1) {
        scene.edge_pen(buffer, area, line).put(if selected { symbols.cursor } else { " " }, theme.cursor);
    }
    let mut pen = scene.edge_pen(buffer, area, 0);
    pen.skip(1).put(sign, style).right(INDENT - 3, &number(cause.hosts.len()), theme.strong).skip(1);
    pen.put(cause.wrong.as_str(), theme.strong.patch(style));
    pen.put(&format!(" while {}", cause.phase), theme.muted);
    if selected {
        keys(scene, &mut pen, failed);
    }
    let mut told = |number: u16, text: &str, style| {
        if number < area.height {
            scene.edge_pen(buffer, area, number).to(area.x + INDENT).put(text, style);
        }
    };
    told(1, &cause.message, if selected { theme.strong } else { theme.text });
    told(2, cause.names(|id| scene.fleet.host_name(id)), theme.text);
    // What does not fit goes on in the line that else is empty.
    let advice = wrap(cause.wrong.advice(), usize::from(area.width.saturating_sub(INDENT + 1)));
    for (line, text) in (3..).zip(advice.iter().take(2)) {
        told(line, text, theme.muted);
    }
}

/// What can be done with all hosts of a cause, at the end of its first line.
fn keys(scene: &Scene<'_>, pen: &mut Pen<'_>, failed: bool) {
    let theme = scene.theme;
    let mut actions = vec![(Action::Open, "hosts"), (Action::CopyHost, "copy names")];
    if failed {
        actions.splice(0..0, [(Action::Retry, "retry"), (Action::CopyError, "copy errors")]);
    } else {
        actions.insert(0, (Action::Cancel, "give up"));
    }
    while !actions.is_empty() {
        let mut parts = Vec::new();
        for (action, words) in &actions {
            let key = scene.keymap.key(*action);
            let key = if key == "Enter" { scene.symbols.enter.to_owned() } else { key };
            parts.push((Cow::from(format!("   {key}")), theme.key));
            parts.push((Cow::from(format!(" {words}")), theme.muted));
        }
        parts.push((" ".into(), theme.muted));
        if pen.end_with(&parts) {
            return;
        }
        actions.pop();
    }
}
