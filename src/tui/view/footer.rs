use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use unicode_width::UnicodeWidthStr as _;

use crate::tui::action::{Action, View};
use crate::tui::hostlist::Row;
use crate::tui::input::Input;
use crate::tui::keymap::TABLE;
use crate::tui::ui::Modal;

use super::frame::Scene;
use super::pen::Pen;

/// The last line: keys that help now, or what is typed, or what the last key did. Returns where the cursor stands if text
/// is typed.
pub(super) fn draw(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect) -> Option<Position> {
    let theme = scene.theme;
    let mut pen = scene.pen(buffer, area, 0);
    match &scene.ui.modal {
        Some(Modal::Filter(input, _)) => return Some(typed(scene, &mut pen, "/", input)),
        Some(Modal::Command(input, _)) => return Some(typed(scene, &mut pen, ":", input)),
        _ => {}
    }
    if let Some(notice) = &scene.ui.notice {
        pen.put(&notice.text, if notice.wrong { theme.fail } else { theme.accent });
        return None;
    }
    let help = (scene.key(Action::Help), "help".to_owned());
    let mut hints: Vec<(String, String)> =
        actions(scene).into_iter().map(|(action, words)| (scene.key(action), words)).collect();
    hints.retain(|(key, _)| !key.is_empty());
    let width = |(key, words): &(String, String)| (key.width() + 1 + words.width() + 2) as u16;
    let mut room = pen.room().saturating_sub(width(&help));
    for hint in hints {
        if width(&hint) > room {
            continue;
        }
        room -= width(&hint);
        show(scene, &mut pen, &hint);
    }
    show(scene, &mut pen, &help);
    None
}

fn typed(scene: &Scene<'_>, pen: &mut Pen<'_>, before: &str, input: &Input) -> Position {
    pen.put(before, scene.theme.key);
    let at = pen.x().saturating_add(input.before_cursor().width() as u16);
    let y = pen.y();
    pen.put(&input.shown(), scene.theme.text);
    Position::new(at.min(pen.x().saturating_add(pen.room())), y)
}

fn show(scene: &Scene<'_>, pen: &mut Pen<'_>, (key, words): &(String, String)) {
    pen.put(key, scene.theme.key).skip(1).put(words, scene.theme.muted).skip(2);
}

/// What helps now, the most helpful first.
fn actions(scene: &Scene<'_>) -> Vec<(Action, String)> {
    let ui = scene.ui;
    let counts = scene.fleet.counts();
    let short = |action: Action| {
        let row = TABLE.iter().find(|row| row.action == action);
        (action, row.map_or("", |row| row.short).to_owned())
    };
    let mut list = Vec::new();
    if ui.detail.is_some() {
        list.push((Action::Back, "back".to_owned()));
    } else if has_something_to_open(scene) {
        let words = match (ui.view, ui.hosts.selected()) {
            (View::Groups | View::Failures, _) => "hosts",
            (View::Hosts, Some(Row::Done(_))) => "show",
            _ => "open",
        };
        list.push((Action::Open, words.to_owned()));
    }
    let failed = counts.failed();
    let live = scene.is_live();
    if live {
        list.extend(retries(scene));
    }
    let held = scene.fleet.barrier().is_some_and(|barrier| !barrier.open && barrier.held);
    if live && (held || scene.fleet.shut().is_some()) {
        list.push(short(Action::Activate));
    }
    if let Some(replay) = &ui.replay {
        let pause = short(Action::Pause);
        list.push(if replay.paused { (pause.0, "go on".to_owned()) } else { pause });
        list.extend([Action::SeekBack, Action::SeekForward, Action::Faster].map(short));
    }
    list.push(short(Action::Quit));
    if matches!(ui.view, View::Hosts | View::Grid | View::Log) && ui.detail.is_none() {
        list.push(short(Action::Filter));
    }
    if failed > 0 && ui.view == View::Hosts && ui.detail.is_none() {
        list.push(short(Action::FailuresOnly));
    }
    let open = ui.detail.and_then(|id| scene.fleet.host(id));
    if open.is_some_and(|host| host.failure().is_some()) {
        list.push(short(Action::CopyError));
    }
    if live && ui.can_cancel(scene.fleet) {
        list.push(short(Action::Cancel));
    }
    list.push(short(Action::NextView));
    if matches!(ui.view, View::Hosts | View::Grid) && ui.detail.is_none() {
        if ui.selected_host(scene.fleet).is_some() {
            list.push(short(Action::Mark));
        }
        list.push(short(Action::Sort));
    }
    list.extend([Action::CommandLine, Action::Freeze].map(short));
    list
}

/// Whether there is a row to open in the view.
fn has_something_to_open(scene: &Scene<'_>) -> bool {
    let (ui, fleet) = (scene.ui, scene.fleet);
    match ui.view {
        View::Hosts => ui.hosts.selected().is_some(),
        View::Grid => ui.selected_host(fleet).is_some(),
        View::Groups => ui.selected_group(fleet).is_some(),
        View::Failures => ui.selected_cause(fleet).is_some(),
        View::Log => ui.log_host(fleet).is_some(),
        View::Swarm => false,
    }
}

/// Ways to try hosts again: those that are selected, and all.
fn retries(scene: &Scene<'_>) -> Vec<(Action, String)> {
    let ui = scene.ui;
    let mut list = Vec::new();
    if ui.can_retry(scene.fleet) {
        let words = if ui.uses_marks() {
            format!("retry {} marked", ui.tried(scene.fleet).count())
        } else {
            "retry".to_owned()
        };
        list.push((Action::Retry, words));
    }
    let failed = scene.fleet.counts().failed();
    if failed > 0 {
        list.push((Action::RetryFailed, format!("retry {failed} failed")));
    }
    list
}
