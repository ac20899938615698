use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget as _};

use crate::tui::commandline::completions;
use crate::tui::input::Input;

use super::frame::Scene;

/// Ways to go on with the command line, above it.
pub(super) fn draw(
    scene: &Scene<'_>,
    buffer: &mut Buffer,
    footer: Rect,
    input: &Input,
    picked: Option<usize>,
) {
    let theme = scene.theme;
    let list = completions(scene.fleet, input.text());
    let rows = (list.len() as u16).min(footer.y.saturating_sub(1));
    if rows == 0 {
        return;
    }
    let area = Rect { y: footer.y - rows - 1, height: rows + 1, ..footer };
    Clear.render(area, buffer);
    buffer.set_style(area, theme.panel);
    scene.edge_pen(buffer, area, 0).fill(scene.symbols.rule, theme.faint);
    let widest = list.iter().map(|completion| completion.line.len()).max().unwrap_or(0).max(16) as u16;
    for (line, completion) in list.iter().take(usize::from(rows)).enumerate() {
        let here = picked == Some(line);
        let mut pen = scene.edge_pen(buffer, area, line as u16 + 1);
        pen.put(if here { scene.symbols.cursor } else { " " }, theme.cursor);
        pen.left(widest.min(60), completion.line.trim_end(), if here { theme.strong } else { theme.text })
            .skip(2);
        pen.put(&completion.help, theme.muted);
    }
}
