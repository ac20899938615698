use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::frame::Scene;
use super::header::eta_text;
use super::pen::fit;

/// What answers a question.
const KEYS: &str = "y/n";

/// All of it in one line, for screens that hold no more. A question takes the line: it must not wait unseen.
pub(super) fn draw(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect) {
    let (theme, symbols, fleet) = (scene.theme, scene.symbols, scene.fleet);
    let counts = fleet.counts();
    let mut pen = scene.edge_pen(buffer, area, 0);
    let asked = match &scene.ui.modal {
        Some(crate::tui::ui::Modal::Confirm(confirm)) => {
            Some(confirm_line(&confirm.question, usize::from(pen.room()), symbols.ellipsis))
        }
        Some(crate::tui::ui::Modal::Question(question, input)) => {
            Some(format!("{}: {}", question.prompt, input.shown()))
        }
        _ => None,
    };
    if let Some(asked) = asked {
        pen.put(&asked, theme.warn);
        return;
    }
    pen.put(&format!("{:.0}%", (fleet.share() * 100.0).floor()), theme.strong);
    let list = [
        (counts.failed(), symbols.fail, theme.fail),
        (counts.moving(), symbols.moving, theme.accent),
        (counts.of(crate::deploy::StateName::Queued), symbols.waiting, theme.muted),
        (counts.done(), symbols.ok, theme.ok),
        (counts.left_out(), symbols.left_out, theme.muted),
    ];
    for (count, sign, style) in list.into_iter().filter(|(count, ..)| *count > 0) {
        pen.skip(1).put(sign, style).put(&count.to_string(), style);
    }
    if let Some(eta) = fleet.eta() {
        pen.skip(1).put(&eta_text(eta, scene.now, symbols.range), theme.text);
    }
}

/// A question with its keys: they are seen where anything is.
fn confirm_line(question: &str, room: usize, ellipsis: &str) -> String {
    match room.checked_sub(KEYS.len() + 1) {
        Some(room) if room > 0 => format!("{} {KEYS}", fit(question, room, ellipsis)),
        _ => KEYS.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_question_are_seen_however_narrow_the_screen() {
        let line = |room| confirm_line("Stop the deployment?", room, "…");
        assert_eq!(line(24), "Stop the deployment? y/n");
        assert_eq!(line(20), "Stop the deploy… y/n");
        assert_eq!(line(4), "y/n");
    }
}
