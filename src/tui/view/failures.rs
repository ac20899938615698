use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::fleet::Cause;
use crate::tui::action::Action;

use super::frame::Scene;
use super::layout::Areas;
use super::pen::{Pen, clip, number, wrap};

/// Lines of a cause that is told in full, the empty one after it included.
const LINES: usize = 5;
/// Columns before what is told about a cause.
const INDENT: u16 = 7;
/// Columns of the kind, where each cause has but one line.
const KIND: u16 = 13;
/// Lines at most for the selected cause, where each has but one line.
const TOLD: usize = 6;

/// How causes are laid out: each in full if all of them fit, else a line each and the selected one below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Causes that are seen.
    pub(super) rows: usize,
    /// Lines of each.
    lines: usize,
}

impl Shape {
    /// For so many causes in so many lines.
    pub(super) fn of(causes: usize, height: usize) -> Self {
        if causes * LINES <= height + 1 {
            return Self { rows: causes, lines: LINES };
        }
        let told = height.saturating_sub(causes).clamp((height / 2).min(2), TOLD);
        Self { rows: height - told, lines: 1 }
    }

    /// The row at a line, counted from the first that is seen.
    pub(super) fn row(self, line: usize) -> Option<usize> {
        Some(line / self.lines).filter(|row| *row < self.rows)
    }
}

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
    let cursor = &scene.ui.causes;
    let shape = Shape::of(cursor.len, usize::from(area.height));
    for (place, index) in cursor.seen().enumerate() {
        let top = (place * shape.lines) as u16;
        let Some(cause) = causes.get(index).filter(|_| top < area.height) else { continue };
        let selected = index == cursor.index;
        if shape.lines == 1 {
            line(scene, &mut scene.row_pen(buffer, area, top), cause, selected);
            continue;
        }
        let rest = Rect { y: area.y + top, height: (area.height - top).min(LINES as u16), ..area };
        one(scene, buffer, rest, cause, selected);
    }
    let below = shape.rows.min(cursor.len) as u16;
    if let Some(cause) = causes.get(cursor.index).filter(|_| shape.lines == 1) {
        let rest = Rect { y: area.y + below, height: area.height.saturating_sub(below), ..area };
        told(scene, buffer, rest, cause);
    }
}

/// How many hosts, and what is wrong with them.
fn head(scene: &Scene<'_>, pen: &mut Pen<'_>, cause: &Cause, selected: bool) {
    let (theme, symbols) = (scene.theme, scene.symbols);
    let failed = cause.wrong.kind().is_some();
    let (sign, style) = if failed { (symbols.fail, theme.fail) } else { (symbols.warn, theme.warn) };
    pen.put(if selected { symbols.cursor } else { " " }, theme.cursor);
    pen.put(sign, style).right(INDENT - 3, &number(cause.hosts.len()), theme.strong).skip(1);
    pen.put(cause.wrong.as_str(), theme.strong.patch(style));
}

/// A cause in one line: how many, what, who, why.
fn line(scene: &Scene<'_>, pen: &mut Pen<'_>, cause: &Cause, selected: bool) {
    let theme = scene.theme;
    head(scene, pen, cause, selected);
    let start = pen.x().max(INDENT + KIND);
    let third = pen.room() / 3;
    pen.to(start).skip(2);
    let names = cause.names(|id| scene.fleet.host_name(id));
    let name_style = if selected { theme.strong } else { theme.text };
    // Names alone where there is no room for both.
    if third < 24 {
        pen.put(names, name_style);
        return;
    }
    pen.left(third, names, name_style).skip(2).put(&cause.message, theme.muted);
}

/// The selected cause below the list, in as many lines as there are.
fn told(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect, cause: &Cause) {
    let theme = scene.theme;
    let mut lines = usize::from(area.height);
    let mut top = 0;
    if lines > 3 {
        let rule = scene.symbols.rule;
        let mut pen = scene.pen(buffer, area, 0);
        pen.put(&rule.repeat(2), theme.faint).put(&format!(" while {} ", cause.phase), theme.muted);
        keys(scene, &mut pen, cause.wrong.kind().is_some());
        (top, lines) = (1, lines - 1);
    }
    let room = usize::from(area.width.saturating_sub(2));
    let advice = wrap(cause.wrong.advice(), room);
    let message = wrap(&cause.message, room);
    let most = lines.saturating_sub(advice.len()).max(1);
    let message = clip(&message, most);
    let advice = clip(&advice, lines.saturating_sub(message.len()));
    let told = message.iter().map(|text| (text, theme.text));
    for (line, (text, style)) in (top..).zip(told.chain(advice.iter().map(|text| (text, theme.muted)))) {
        scene.pen(buffer, area, line).put(text, style);
    }
}

fn one(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect, cause: &Cause, selected: bool) {
    let theme = scene.theme;
    // What does not fit goes on in the line that else is empty.
    let mut advice = wrap(cause.wrong.advice(), usize::from(area.width.saturating_sub(INDENT + 1)));
    advice.truncate(2);
    for line in 1..area.height.min(3 + advice.len() as u16) {
        scene
            .row_pen(buffer, area, line)
            .put(if selected { scene.symbols.cursor } else { " " }, theme.cursor);
    }
    let mut pen = scene.row_pen(buffer, area, 0);
    head(scene, &mut pen, cause, selected);
    pen.put(&format!(" while {}", cause.phase), theme.muted);
    if selected {
        keys(scene, &mut pen, cause.wrong.kind().is_some());
    }
    let mut told = |number: u16, text: &str, style| {
        if number < area.height {
            scene.row_pen(buffer, area, number).to(area.x + INDENT).put(text, style);
        }
    };
    told(1, &cause.message, if selected { theme.strong } else { theme.text });
    told(2, cause.names(|id| scene.fleet.host_name(id)), theme.text);
    for (line, text) in (3..).zip(&advice) {
        told(line, text, theme.muted);
    }
}

/// What can be done with all hosts of a cause, at the end of its first line.
fn keys(scene: &Scene<'_>, pen: &mut Pen<'_>, failed: bool) {
    let theme = scene.theme;
    let mut actions = Vec::new();
    if scene.is_live() {
        actions.push(if failed { (Action::Retry, "retry") } else { (Action::Cancel, "give up") });
    }
    if failed {
        actions.push((Action::CopyError, "copy errors"));
    }
    actions.extend([(Action::Open, "hosts"), (Action::CopyHost, "copy names")]);
    while !actions.is_empty() {
        let mut parts = Vec::new();
        for (action, words) in &actions {
            parts.push((Cow::from(format!("   {}", scene.key(*action))), theme.key));
            parts.push((Cow::from(format!(" {words}")), theme.muted));
        }
        parts.push((" ".into(), theme.muted));
        if pen.end_with(&parts) {
            return;
        }
        actions.pop();
    }
}
