use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::widgets::{Block, Clear, Widget as _};
use unicode_width::UnicodeWidthStr as _;

use crate::deploy::Question;
use crate::tui::input::Input;
use crate::tui::ui::Confirm;

use super::frame::Scene;
use super::pen::wrap;

/// Columns around the text of a box.
const FRAME: u16 = 6;

/// A yes or no, with what a yes means.
pub(super) fn draw(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect, confirm: &Confirm) {
    let theme = scene.theme;
    // What a yes does is told to its end, however narrow the screen is. What is indented is a table, a line a row.
    let room = usize::from(area.width.saturating_sub(FRAME));
    let told = |line: &String| match line.width() > room && !line.starts_with(' ') {
        true => wrap(line, room),
        false => vec![line.clone()],
    };
    let lines: Vec<String> = confirm.lines.iter().flat_map(told).collect();
    let count = lines.len() as u16;
    let widest = lines.iter().chain([&confirm.question]).map(|line| line.width()).max().unwrap_or(0);
    let inner = panel(scene, buffer, area, widest as u16, count + 3 + u16::from(count > 0), theme.warn);
    scene.edge_pen(buffer, inner, 0).put(&confirm.question, theme.strong);
    // Where lines are few, those with words come before those without.
    let first = if inner.height < count + 3 { 1 } else { 2 };
    for (line, text) in lines.iter().take(usize::from(inner.height.saturating_sub(first + 1))).enumerate() {
        scene.edge_pen(buffer, inner, line as u16 + first).put(text, theme.text);
    }
    let last = inner.height.saturating_sub(1);
    let mut pen = scene.edge_pen(buffer, inner, last);
    pen.put("y", theme.key).put(" yes   ", theme.text).put("n", theme.key).put(" no", theme.text);
}

/// A question of the run; the answer may be masked. Returns where the cursor stands.
pub(super) fn draw_question(
    scene: &Scene<'_>,
    buffer: &mut Buffer,
    area: Rect,
    question: &Question,
    input: &Input,
) -> Option<Position> {
    let theme = scene.theme;
    let inner = panel(scene, buffer, area, question.prompt.width().max(44) as u16, 5, theme.accent);
    scene.edge_pen(buffer, inner, 0).put(&question.prompt, theme.strong);
    let mut pen = scene.edge_pen(buffer, inner, 2);
    pen.put("> ", theme.key);
    let (start, y) = (pen.x(), pen.y());
    pen.put(&input.shown(), theme.text);
    let end = start.saturating_add(pen.room());
    let hint = if question.echo {
        "Enter answers for all hosts, Esc refuses"
    } else {
        "not shown; Enter answers for all hosts, Esc refuses"
    };
    scene.edge_pen(buffer, inner, 4).put(hint, theme.muted);
    let at = start.saturating_add(input.before_cursor().width() as u16).min(end.max(start));
    (inner.height > 2).then(|| Position::new(at, y))
}

/// A framed box in the middle with room for so many columns and lines; returns the room in it.
pub(super) fn panel(
    scene: &Scene<'_>,
    buffer: &mut Buffer,
    area: Rect,
    columns: u16,
    lines: u16,
    frame: Style,
) -> Rect {
    let width = (columns + FRAME).min(area.width);
    let height = (lines + 2).min(area.height);
    let rect =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    // A column more on both sides, so that it stands apart from what is behind.
    let around = Rect { x: rect.x.saturating_sub(1), width: rect.width + 2, ..rect };
    Clear.render(around.intersection(area), buffer);
    buffer.set_style(around.intersection(area), scene.theme.panel);
    buffer.set_style(rect, scene.theme.panel);
    let border = if scene.symbols.rule.is_ascii() { ASCII_BORDER } else { ratatui::symbols::border::ROUNDED };
    if width < 8 || height < 3 {
        return rect;
    }
    let block = Block::bordered().border_set(border).border_style(frame);
    let inner = block.inner(rect);
    block.render(rect, buffer);
    Rect { x: inner.x + 2.min(inner.width), width: inner.width.saturating_sub(4), ..inner }
}

const ASCII_BORDER: ratatui::symbols::border::Set<'static> = ratatui::symbols::border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};
