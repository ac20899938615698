use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::tui::keymap::{Section, TABLE};

use super::confirm::panel;
use super::frame::Scene;

/// Columns of one column of the help.
const COLUMN: u16 = 58;

/// All keys, from the table of bindings; in two columns where there is room.
pub(super) fn draw(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect, scroll: u16) {
    let lines = lines(scene);
    let beside = area.width >= COLUMN * 2 + 8;
    let total = if beside { split(&lines) } else { lines.len() } as u16;
    let columns = if beside { COLUMN * 2 } else { COLUMN };
    let inner =
        panel(scene, buffer, area, columns.min(area.width.saturating_sub(8)), total + 2, scene.theme.faint);
    let room = inner.height.saturating_sub(2);
    let most = total.saturating_sub(room);
    let from = scroll.min(most);
    let mut column = |lines: &[Line<'_>], left: u16| {
        for (row, line) in lines.iter().skip(usize::from(from)).take(usize::from(room)).enumerate() {
            let mut pen = scene.edge_pen(buffer, inner, row as u16);
            pen.to(inner.x + left);
            for span in &line.spans {
                pen.put(&span.content, span.style);
            }
        }
    };
    if beside {
        let (left, right) = lines.split_at(split(&lines));
        column(left, 0);
        column(right, COLUMN);
    } else {
        column(&lines, 0);
    }
    let more = if from < most { "j k scroll, any other key closes" } else { "any key closes" };
    scene.edge_pen(buffer, inner, inner.height.saturating_sub(1)).put(more, scene.theme.muted);
}

/// Where the second column begins: at the heading that is nearest to the middle.
fn split(lines: &[Line<'_>]) -> usize {
    let starts =
        lines.iter().enumerate().filter(|(_, line)| line.spans.is_empty()).map(|(index, _)| index + 1);
    starts.min_by_key(|start| start.abs_diff(lines.len() / 2)).unwrap_or(lines.len())
}

fn lines<'a>(scene: &Scene<'a>) -> Vec<Line<'a>> {
    let theme = scene.theme;
    let mut lines = Vec::new();
    for section in Section::ALL {
        if section == Section::Replay && scene.ui.replay.is_none() {
            continue;
        }
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.push(Line::from(vec![Span::styled(section.title(), theme.strong.patch(theme.accent))]));
        for row in TABLE.iter().filter(|row| row.section == section) {
            let keys = scene.keymap.keys(row.action).join(" ");
            lines.push(Line::from(vec![
                Span::styled(format!("{keys:>9}  "), theme.key),
                Span::styled(row.long, theme.text),
            ]));
        }
    }
    lines
}
