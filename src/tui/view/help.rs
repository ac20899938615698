use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::tui::keymap::{Section, TABLE};

use super::confirm::panel;
use super::frame::Scene;

/// All keys, from the table of bindings.
pub(super) fn draw(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect, scroll: u16) {
    let lines = lines(scene);
    let rows = (lines.len() as u16 + 2).min(area.height.saturating_sub(2));
    let inner = panel(scene, buffer, area, 90.min(area.width.saturating_sub(8)), rows, scene.theme.faint);
    let room = inner.height.saturating_sub(2);
    let most = (lines.len() as u16).saturating_sub(room);
    let from = scroll.min(most);
    for (row, line) in lines.iter().skip(usize::from(from)).take(usize::from(room)).enumerate() {
        let mut pen = scene.edge_pen(buffer, inner, row as u16);
        for span in &line.spans {
            pen.put(&span.content, span.style);
        }
    }
    let more = if from < most { "j and k scroll, any other key closes" } else { "any key closes" };
    scene.edge_pen(buffer, inner, inner.height.saturating_sub(1)).put(more, scene.theme.muted);
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
        lines.push(Line::styled(section.title(), theme.accent).spans(vec![Span::styled(section.title(), theme.accent.patch(theme.strong))]));
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
