use ratatui::buffer::Buffer;
use unicode_width::UnicodeWidthStr as _;

use crate::fleet::Sort;
use crate::tui::action::{Action, View};

use super::frame::Scene;
use super::layout::{Areas, Size};
use super::pen::Pen;

/// Names of the views, and at the right what narrows the one that is open.
pub(super) fn draw(scene: &Scene<'_>, buffer: &mut Buffer, areas: &Areas) {
    let theme = scene.theme;
    let mut pen = scene.pen(buffer, areas.tabs, 0);
    View::ALL.into_iter().for_each(|view| name(scene, &mut pen, areas.size, view));
    if let Some(id) = scene.ui.detail {
        pen.put(scene.fleet.host_name(id), theme.strong.patch(theme.accent));
        return;
    }
    let mut chips = chips(scene);
    let room = usize::from(pen.room());
    // The last ones stay longest: what is the user's own, and what waits for the user.
    while !chips.is_empty() {
        let text = chips.join("   ");
        if text.width() < room {
            pen.end_with(&[(text.into(), theme.warn)]);
            return;
        }
        chips.remove(0);
    }
    if let Some((_, short)) = held(scene) {
        pen.end_with(&[(short.into(), theme.warn)]);
    }
}

fn name(scene: &Scene<'_>, pen: &mut Pen<'_>, size: Size, view: View) {
    let theme = scene.theme;
    let key = scene.keymap.key(Action::Show(view));
    if size == Size::Narrow && scene.ui.view != view {
        pen.put(&key, theme.muted).skip(1);
        return;
    }
    let current = scene.ui.view == view && scene.ui.detail.is_none();
    let style = if current { theme.strong.patch(theme.accent) } else { theme.muted };
    pen.put(&key, style).skip(1).put(view.title(), style);
    let failed = scene.fleet.counts().failed();
    if view == View::Failures && failed > 0 {
        pen.put(&format!(" {failed}"), theme.fail);
    }
    pen.skip(2);
}

/// The view whose name stands in a column.
pub(super) fn at(scene: &Scene<'_>, areas: &Areas, x: u16) -> Option<View> {
    // Drawn as they are, on a screen that nobody sees.
    let mut buffer = Buffer::empty(areas.tabs);
    let mut start = areas.tabs.x;
    for view in View::ALL {
        let mut pen = scene.pen(&mut buffer, areas.tabs, 0);
        pen.to(start);
        name(scene, &mut pen, areas.size, view);
        if (start..pen.x()).contains(&x) {
            return Some(view);
        }
        start = pen.x();
    }
    None
}

fn chips(scene: &Scene<'_>) -> Vec<String> {
    let hosts = &scene.ui.hosts;
    let query = &hosts.query;
    let mut chips = Vec::new();
    if query.sort != Sort::Attention || query.reverse {
        let way = if query.reverse { scene.symbols.up } else { scene.symbols.down };
        chips.push(format!("{} {way}", query.sort.as_str()));
    }
    if hosts.range_from.is_some() && scene.ui.shows_marks() {
        chips.push("range …".to_owned());
    }
    if scene.ui.uses_marks() {
        chips.push(format!("{} {} marked", scene.symbols.mark, hosts.marks.len()));
    }
    if let Some(scope) = &query.scope {
        chips.push(scope.label.clone());
    }
    if query.failures_only {
        chips.push("failures only".to_owned());
    }
    if !query.filter.is_empty() {
        chips.push(format!("/{}", query.filter.text()));
    }
    if query.narrows() {
        let shown = hosts.hosts().len();
        chips.push(format!("{shown} of {}", scene.fleet.hosts().len()));
    }
    chips.extend(held(scene).map(|(long, _)| long));
    chips
}

/// Why hosts stay staged: that they wait for the user, with the key that lets them go on, or that something went wrong; in
/// full, and for where there is less room.
fn held(scene: &Scene<'_>) -> Option<(String, String)> {
    if let Some(reason) = scene.fleet.shut() {
        return Some((format!("not activated: {reason}"), "not activated".to_owned()));
    }
    let barrier = scene.fleet.barrier().filter(|barrier| barrier.held && !barrier.open)?;
    let staged = barrier.staged;
    if !scene.is_live() {
        return Some((format!("held: {staged} staged"), "held".to_owned()));
    }
    let activates = format!("{} activates {staged}", scene.keymap.key(Action::Activate));
    Some((format!("held: {activates}"), activates))
}
