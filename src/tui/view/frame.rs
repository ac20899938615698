use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use crate::control::HostId;
use crate::fleet::FleetState;
use crate::tui::action::{Action, View};
use crate::tui::keymap::Keymap;
use crate::tui::symbols::Symbols;
use crate::tui::theme::Theme;
use crate::tui::ui::{Modal, Ui};

use super::canvas::Canvas;
use super::layout::{Areas, Size, areas};
use super::pen::Pen;
use super::{
    confirm, detail, failures, footer, grid, groups, header, help, hosts, log, palette, strip, swarm, tabs,
    tiny,
};

/// All that a view may look at.
#[derive(Clone, Copy)]
pub(in crate::tui) struct Scene<'a> {
    /// The run.
    pub(in crate::tui) fleet: &'a FleetState,
    /// The user's place in it.
    pub(in crate::tui) ui: &'a Ui,
    /// Looks.
    pub(in crate::tui) theme: &'a Theme,
    /// Signs.
    pub(in crate::tui) symbols: &'a Symbols,
    /// Keys, for footer and help.
    pub(in crate::tui) keymap: &'a Keymap,
    /// The run's clock, milliseconds since the epoch.
    pub(in crate::tui) now: u64,
}

impl<'a> Scene<'a> {
    /// A pen at a line of an area, one column from its left and right edges.
    pub(super) fn pen<'b>(&self, buffer: &'b mut Buffer, area: Rect, line: u16) -> Pen<'b>
    where
        'a: 'b,
    {
        let inner = Rect { x: area.x + 1.min(area.width), width: area.width.saturating_sub(2), ..area };
        Pen::new(buffer, self.symbols, inner, line)
    }

    /// The first key of an action as it is shown; empty if it has none.
    pub(super) fn key(&self, action: Action) -> String {
        let key = self.keymap.key(action);
        if key == "Enter" { self.symbols.enter.to_owned() } else { key }
    }

    /// Whether the run can be changed: what was recorded cannot.
    pub(super) fn is_live(&self) -> bool {
        self.ui.replay.is_none()
    }

    /// A pen at a line of a list: the cursor's sign stands in the first column, and nothing in the last.
    pub(super) fn row_pen<'b>(&self, buffer: &'b mut Buffer, area: Rect, line: u16) -> Pen<'b>
    where
        'a: 'b,
    {
        self.edge_pen(buffer, Rect { width: area.width.saturating_sub(1), ..area }, line)
    }

    /// A pen at a line of an area, from edge to edge.
    pub(super) fn edge_pen<'b>(&self, buffer: &'b mut Buffer, area: Rect, line: u16) -> Pen<'b>
    where
        'a: 'b,
    {
        Pen::new(buffer, self.symbols, area, line)
    }
}

/// Brings selection and order up to date for a screen of that size, those of the hosts if they are wanted. Has to come
/// before [`paint`].
pub(in crate::tui) fn prepare(ui: &mut Ui, fleet: &FleetState, area: Rect, now: u64, order: bool) {
    let areas = screen(ui, area);
    let height = usize::from(areas.body.height);
    if order {
        ui.hosts.prepare(fleet, height.saturating_sub(hosts::HEADING), now);
    }
    match ui.view {
        View::Failures => ui.prepare_list(fleet, |causes| failures::Shape::of(causes, height).rows, now),
        View::Grid => grid::prepare(ui, fleet, areas.body),
        _ => ui.prepare_list(fleet, |_| height.saturating_sub(groups::HEADING), now),
    }
}

/// Whether the body of a screen of that size has to be drawn anew.
pub(in crate::tui) fn is_due(ui: &Ui, canvas: &Canvas, area: Rect, uptime: u64) -> bool {
    canvas.is_due(screen(ui, area).body, uptime)
}

/// Draws the body: the view, or the host that is open over it. Has to come after [`prepare`] and before [`draw`].
pub(in crate::tui) fn paint(scene: &Scene<'_>, canvas: &mut Canvas, area: Rect, uptime: u64) {
    let areas = screen(scene.ui, area);
    if let (View::Grid, None, Some(changes)) = (scene.ui.view, scene.ui.detail, grid::changes(scene.ui))
        && let Some(retouch) = canvas.retouch(areas.body, uptime, scene.fleet.revision())
    {
        grid::redraw(scene, retouch, &areas, changes);
        return;
    }
    let buffer = canvas.begin(areas.body, scene.theme.text, uptime, scene.fleet.revision());
    match scene.ui.detail {
        Some(id) => detail::draw(scene, buffer, areas.body, id),
        None => view(scene, buffer, &areas),
    }
}

/// Draws the screen around the body that was painted. It reads no clock and changes nothing: the same scene gives the same
/// picture.
pub(in crate::tui) fn draw(scene: &Scene<'_>, canvas: &mut Canvas, frame: &mut Frame<'_>) {
    let area = frame.area();
    let areas = screen(scene.ui, area);
    let buffer = frame.buffer_mut();
    if scene.theme.text != Style::default() {
        buffer.set_style(area, scene.theme.text);
    }
    if areas.size == Size::Tiny {
        canvas.lose();
        tiny::draw(scene, buffer, area);
        return;
    }
    header::draw(scene, buffer, &areas);
    tabs::draw(scene, buffer, &areas);
    // A filter is typed in the last line; all else that is asked lies over the body.
    let covered = scene.ui.modal.as_ref().is_some_and(|modal| !matches!(modal, Modal::Filter(..)));
    canvas.lay(buffer, covered);
    if scene.ui.detail.is_none() {
        strip::draw(scene, buffer, &areas);
    }
    let cursor = footer::draw(scene, buffer, areas.footer);
    let cursor = match &scene.ui.modal {
        Some(Modal::Help(scroll)) => {
            help::draw(scene, buffer, area, *scroll);
            None
        }
        Some(Modal::Confirm(confirm)) => {
            confirm::draw(scene, buffer, area, confirm);
            None
        }
        Some(Modal::Question(question, input)) => {
            confirm::draw_question(scene, buffer, area, question, input)
        }
        Some(Modal::Command(input, picked)) => {
            palette::draw(scene, buffer, areas.footer, input, *picked);
            cursor
        }
        Some(Modal::Filter(..)) | None => cursor,
    };
    if let Some(position) = cursor {
        frame.set_cursor_position(position);
    }
}

fn view(scene: &Scene<'_>, buffer: &mut Buffer, areas: &Areas) {
    match scene.ui.view {
        View::Hosts => hosts::draw(scene, buffer, areas),
        View::Grid => grid::draw(scene, buffer, areas),
        View::Groups => groups::draw(scene, buffer, areas),
        View::Failures => failures::draw(scene, buffer, areas),
        View::Log => log::draw(scene, buffer, areas),
        View::Swarm => swarm::draw(scene, buffer, areas),
    }
}

/// What the mouse can point at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tui) enum Target {
    /// The name of a view.
    View(View),
    /// A row of the view's list.
    Row(usize),
    /// A host's cell.
    Host(HostId),
}

/// What is drawn at a place of the screen. Mouse events may lie anywhere, outside the screen too.
pub(in crate::tui) fn target(scene: &Scene<'_>, area: Rect, at: Position) -> Option<Target> {
    let areas = screen(scene.ui, area);
    if areas.tabs.contains(at) {
        return tabs::at(scene, &areas, at.x).map(Target::View);
    }
    if !areas.body.contains(at) || scene.ui.detail.is_some() {
        return None;
    }
    let line = usize::from(at.y - areas.body.y);
    Some(match scene.ui.view {
        View::Hosts => Target::Row(scene.ui.hosts.cursor().offset + line.checked_sub(hosts::HEADING)?),
        View::Grid => Target::Host(grid::host_at(scene.ui, areas.body, at)?),
        View::Groups => Target::Row(scene.ui.groups.offset + line.checked_sub(groups::HEADING)?),
        View::Failures => {
            let shape = failures::Shape::of(scene.ui.causes.len, usize::from(areas.body.height));
            Target::Row(scene.ui.causes.offset + shape.row(line)?)
        }
        View::Log => Target::Row(scene.ui.log.offset + line.checked_sub(log::HEADING)?),
        View::Swarm => return None,
    })
}

fn screen(ui: &Ui, area: Rect) -> Areas {
    areas(area, ui.detail.is_none() && matches!(ui.view, View::Hosts | View::Grid))
}
