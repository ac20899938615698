use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use crate::deploy::Command;
use crate::fleet::{Filter, Query, Scope};
use crate::ssh::Secret;

use super::action::{Action, View};
use super::app::{App, Effect};
use super::cursor::Cursor;
use super::hostlist::Row;
use super::input::{Input, Typed};
use super::keymap::{Key, Press};
use super::ui::{Modal, Then};
use super::undo::Undo;
use super::view;

impl App {
    /// A key while no dialog is open.
    pub(super) fn press(&mut self, key: Key) {
        self.ui.notice = None;
        match self.keymap.press(self.pending.take(), key) {
            Press::Action(action) => self.undoable(|app| app.act(action)),
            Press::Waits => self.pending = Some(key),
            Press::Nothing => {}
        }
    }

    /// Does what a key means.
    pub(super) fn act(&mut self, action: Action) {
        self.prepare(self.area);
        match action {
            Action::Down => self.step(1),
            Action::Up => self.step(-1),
            Action::Left => self.sideways(-1),
            Action::Right => self.sideways(1),
            Action::Top => self.go_to(0),
            Action::Bottom => self.go_to(usize::MAX),
            Action::PageDown => self.page(1, 1),
            Action::PageUp => self.page(-1, 1),
            Action::HalfDown => self.page(1, 2),
            Action::HalfUp => self.page(-1, 2),
            Action::Open => self.open(),
            Action::Back => self.back(),
            Action::NextView => self.show(self.ui.view.step(1)),
            Action::PreviousView => self.show(self.ui.view.step(View::ALL.len() - 1)),
            Action::Show(view) => self.show(view),
            Action::Filter => {
                let text = self.ui.hosts.query.filter.text().to_owned();
                self.ui.modal = Some(Modal::Filter(Input::new(text.clone()), text));
            }
            Action::NextMatch => self.next_match(true),
            Action::PreviousMatch => self.next_match(false),
            Action::FailuresOnly => {
                let query = &mut self.ui.hosts.query;
                query.failures_only = !query.failures_only;
            }
            Action::Sort => {
                let query = &mut self.ui.hosts.query;
                query.sort = query.sort.next();
                let text = format!("sorted by {}", query.sort.as_str());
                self.say(text);
            }
            Action::Reverse => self.ui.hosts.query.reverse = !self.ui.hosts.query.reverse,
            Action::Mark | Action::MarkRange | Action::MarkAll if !self.ui.shows_marks() => {
                self.complain("hosts are marked in the views Hosts and Grid");
            }
            Action::Mark if self.ui.view == View::Grid => {
                let at = self.ui.selected_host(self.shown());
                at.into_iter().for_each(|id| self.ui.hosts.toggle(id));
                self.grid_step(1, 0);
            }
            Action::Mark => self.ui.hosts.toggle_mark(),
            Action::MarkRange => self.mark_range(),
            Action::MarkAll => self.mark_all(),
            Action::ClearMarks => self.ui.hosts.clear_marks(),
            action => self.act_on_run(action),
        }
    }

    fn act_on_run(&mut self, action: Action) {
        match action {
            Action::Retry => self.retry(),
            Action::RetryFailed => self.retry_failed(),
            Action::Cancel => self.cancel(),
            Action::Stop => self.stop(),
            Action::Activate => self.activate(),
            Action::Rollback => self.roll_back(),
            Action::Undo => self.undo(),
            Action::Throttle => self.ui.modal = Some(Modal::Command(Input::new("rate "), None)),
            Action::CommandLine => self.ui.modal = Some(Modal::Command(Input::default(), None)),
            Action::CopyHost => self.copy_hosts(),
            Action::CopyError => self.copy_error(),
            Action::Help => self.ui.modal = Some(Modal::Help(0)),
            Action::Freeze => self.freeze(),
            Action::Mouse => {
                self.ui.mouse = !self.ui.mouse;
                self.effects.push(Effect::Mouse(self.ui.mouse));
                let on = "the mouse selects and scrolls; most terminals still mark text with shift held";
                self.say(if self.ui.mouse { on } else { "the mouse is the terminal's again" });
            }
            Action::Redraw => self.effects.push(Effect::Redraw),
            Action::Suspend => self.effects.push(Effect::Suspend),
            Action::Quit => self.quit(),
            Action::Interrupt => self.interrupt(),
            Action::Pause => self.effects.push(Effect::Pause),
            Action::Faster => self.effects.push(Effect::Speed(2.0)),
            Action::Slower => self.effects.push(Effect::Speed(0.5)),
            Action::SeekBack => self.effects.push(Effect::Seek(-10_000)),
            Action::FailureBefore => self.effects.push(Effect::Failure(false)),
            Action::FailureAfter => self.effects.push(Effect::Failure(true)),
            Action::SeekForward => self.effects.push(Effect::Seek(10_000)),
            _ => {}
        }
    }

    /// Shows a view, out of a host's detail if one is open.
    pub(super) fn show(&mut self, view: View) {
        self.ui.detail = None;
        self.ui.view = view;
        if view == View::Log {
            self.ui.log_held = false;
        }
    }

    fn step(&mut self, by: isize) {
        if self.ui.detail.is_some() {
            self.ui.hosts.step(by);
            if let Some(id) = self.ui.hosts.host() {
                self.ui.detail = Some(id);
                self.ui.detail_scroll = 0;
            }
            return;
        }
        match self.ui.view {
            View::Hosts => self.ui.hosts.step(by),
            View::Grid => self.grid_step(0, by),
            _ => self.with_cursor(|cursor| cursor.step(by)),
        }
    }

    fn sideways(&mut self, by: isize) {
        match self.ui.view {
            _ if self.ui.detail.is_some() => {}
            View::Grid => self.grid_step(by, 0),
            View::Swarm => {
                let last = self.ui.swarm.len.saturating_sub(1);
                self.ui.swarm_left = self.ui.swarm_left.saturating_add_signed(by).min(last);
            }
            _ => {}
        }
    }

    /// Goes about in the grid by cells and lines.
    fn grid_step(&mut self, right: isize, down: isize) {
        self.ui.grid_at = view::neighbour(&self.ui, right, down).or(self.ui.grid_at);
    }

    fn go_to(&mut self, index: usize) {
        if self.ui.detail.is_some() {
            self.ui.detail_scroll = if index == 0 { 0 } else { usize::MAX / 2 };
            return;
        }
        match self.ui.view {
            View::Grid => self.grid_step(if index == 0 { isize::MIN } else { isize::MAX }, 0),
            View::Hosts if index == 0 => self.ui.hosts.go_to_top(),
            View::Hosts => self.ui.hosts.select(index),
            _ => self.with_cursor(|cursor| cursor.go(index)),
        }
    }

    fn page(&mut self, way: isize, part: isize) {
        if self.ui.detail.is_some() {
            let lines = usize::from(self.area.height / 2).max(1);
            let scroll = self.ui.detail_scroll;
            self.ui.detail_scroll =
                if way > 0 { scroll.saturating_add(lines) } else { scroll.saturating_sub(lines) };
            return;
        }
        match self.ui.view {
            View::Grid => self.grid_step(0, way * 5),
            View::Hosts => {
                let by = way * (self.ui.hosts.cursor().page() / part).max(1);
                self.ui.hosts.step(by);
            }
            _ => self.with_cursor(|cursor| cursor.step(way * (cursor.page() / part).max(1))),
        }
    }

    /// The cursor of a view that lists something else than hosts.
    fn with_cursor(&mut self, change: impl FnOnce(&mut Cursor)) {
        match self.ui.view {
            View::Groups => {
                self.ui.group = None;
                change(&mut self.ui.groups);
            }
            View::Failures => {
                self.ui.cause = None;
                change(&mut self.ui.causes);
            }
            View::Log => {
                change(&mut self.ui.log);
                self.ui.log_held = self.ui.log.index + 1 < self.ui.log.len;
            }
            View::Swarm => change(&mut self.ui.swarm),
            View::Hosts | View::Grid => {}
        }
    }

    fn next_match(&mut self, forward: bool) {
        match self.ui.view {
            View::Hosts | View::Grid => {
                if let (View::Grid, Some(id)) = (self.ui.view, self.ui.grid_at) {
                    self.ui.hosts.select_host(id);
                }
                self.ui.hosts.cycle(forward);
                self.ui.grid_at = self.ui.hosts.host().or(self.ui.grid_at);
                if self.ui.detail.is_some() {
                    self.ui.detail = self.ui.hosts.host();
                }
            }
            _ => self.step(if forward { 1 } else { -1 }),
        }
    }

    fn open(&mut self) {
        let fleet = self.held.as_deref().unwrap_or(&self.live);
        match self.ui.view {
            _ if self.ui.detail.is_some() => {}
            View::Grid => {
                if let Some(id) = self.ui.selected_host(fleet) {
                    self.ui.hosts.select_host(id);
                    self.ui.detail = Some(id);
                    self.ui.detail_scroll = 0;
                }
            }
            View::Hosts => match self.ui.hosts.selected() {
                Some(Row::Host(id)) => {
                    self.ui.detail = Some(id);
                    self.ui.detail_scroll = 0;
                }
                Some(Row::Done(_)) => self.ui.hosts.expanded = true,
                None => {}
            },
            View::Groups => {
                let scope = self.ui.selected_group(fleet).map(|group| {
                    let label = format!("{} {}", group.kind.as_str(), group.name);
                    Scope { label, hosts: std::sync::Arc::new(group.hosts.iter().copied().collect()) }
                });
                self.narrow(scope);
            }
            View::Failures => {
                let scope = self.ui.selected_cause(fleet).map(|cause| Scope {
                    label: cause.wrong.as_str().to_owned(),
                    hosts: std::sync::Arc::new(cause.hosts.clone()),
                });
                self.narrow(scope);
            }
            View::Log => {
                if let Some(id) = self.ui.log_host(fleet) {
                    self.ui.hosts.select_host(id);
                    self.ui.detail = Some(id);
                    self.ui.detail_scroll = 0;
                }
            }
            View::Swarm => {}
        }
    }

    fn narrow(&mut self, scope: Option<Scope>) {
        if scope.is_some() {
            self.ui.hosts.query.scope = scope;
            self.ui.hosts.go_to_top();
            self.show(View::Hosts);
        }
    }

    fn back(&mut self) {
        let ui = &mut self.ui;
        let query = &mut ui.hosts.query;
        if ui.detail.take().is_some() || ui.hosts.range_from.take().is_some() {
            return;
        }
        if query.narrows() {
            query.filter = Filter::default();
            query.scope = None;
            query.failures_only = false;
        } else if ui.hosts.expanded && ui.view == View::Hosts {
            ui.hosts.expanded = false;
        } else {
            ui.view = View::Hosts;
        }
    }

    fn mark_range(&mut self) {
        if !self.ui.hosts.range() {
            let key = self.keymap.key(Action::MarkRange);
            self.say(format!("range from here: move, then {key} again"));
        }
    }

    fn mark_all(&mut self) {
        self.ui.hosts.mark_all();
        let marked = self.ui.hosts.marks.len();
        self.say(format!("{} marked", crate::units::plural(marked, "host")));
    }

    fn freeze(&mut self) {
        self.held = match self.held.take() {
            Some(_) => None,
            None => Some(Box::new(self.live.clone())),
        };
        self.ui.frozen = self.held.is_some();
    }

    /// A key while a dialog is open.
    pub(super) fn modal_key(&mut self, key: KeyEvent) {
        let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        match self.ui.modal.take() {
            Some(Modal::Help(scroll)) => match key.code {
                KeyCode::Char('j') | KeyCode::Down => {
                    self.ui.modal = Some(Modal::Help(scroll.saturating_add(1)))
                }
                KeyCode::Char('k') | KeyCode::Up => {
                    self.ui.modal = Some(Modal::Help(scroll.saturating_sub(1)))
                }
                KeyCode::PageDown | KeyCode::Char(' ') => {
                    self.ui.modal = Some(Modal::Help(scroll.saturating_add(10)))
                }
                KeyCode::PageUp => self.ui.modal = Some(Modal::Help(scroll.saturating_sub(10))),
                _ if interrupt => self.interrupt(),
                _ => {}
            },
            Some(Modal::Confirm(confirm)) => match key.code {
                _ if interrupt => self.interrupt(),
                KeyCode::Char('y' | 'Y') => self.confirmed(confirm.then),
                KeyCode::Char('n' | 'N' | 'q') | KeyCode::Esc => {}
                _ => self.ui.modal = Some(Modal::Confirm(confirm)),
            },
            Some(Modal::Question(question, mut input)) => match input.key(key) {
                _ if interrupt => self.interrupt(),
                Typed::Done => {
                    let secret = Some(Secret::new(input.text()));
                    self.answer(question.id, secret);
                }
                Typed::Left => self.answer(question.id, None),
                Typed::Changed | Typed::Nothing => self.ui.modal = Some(Modal::Question(question, input)),
            },
            Some(Modal::Filter(input, before)) => self.filter_key(key, input, before),
            Some(Modal::Command(input, picked)) => self.command_key(key, input, picked),
            None => {}
        }
    }

    fn confirmed(&mut self, then: Then) {
        match then {
            Then::Send(command) => self.order(command),
            Then::Quit => self.leave(),
        }
    }

    fn answer(&mut self, id: u32, secret: Option<Secret>) {
        self.outbox.push_back(Command::Answer { id, secret });
        self.live.answered(id);
    }

    fn filter_key(&mut self, key: KeyEvent, mut input: Input, before: String) {
        match input.key(key) {
            Typed::Done if input.text() != before => {
                let query = Query { filter: Filter::parse(&before), ..self.ui.hosts.query.clone() };
                self.remember(Undo::Query(Box::new(query)));
            }
            Typed::Done => {}
            Typed::Left => self.set_filter(&before),
            Typed::Changed => {
                self.set_filter(input.text());
                self.ui.modal = Some(Modal::Filter(input, before));
            }
            Typed::Nothing => {
                match key.code {
                    KeyCode::Down => self.step(1),
                    KeyCode::Up => self.step(-1),
                    _ => {}
                }
                self.ui.modal = Some(Modal::Filter(input, before));
            }
        }
    }

    /// Narrows the view to what matches.
    pub(super) fn set_filter(&mut self, text: &str) {
        self.ui.hosts.query.filter = Filter::parse(text);
    }

    /// Text that the terminal pasted.
    pub(super) fn paste(&mut self, text: &str) {
        match &mut self.ui.modal {
            Some(Modal::Question(_, input) | Modal::Command(input, _)) => input.insert(text),
            Some(Modal::Filter(input, _)) => {
                input.insert(text);
                let filter = input.text().to_owned();
                self.set_filter(&filter);
            }
            // Keys of a paste must not act on a fleet.
            _ => {}
        }
    }

    /// The mouse, if it is ours. True if something changed.
    pub(super) fn mouse(&mut self, event: MouseEvent) -> bool {
        if !self.ui.mouse || self.ui.modal.is_some() {
            return false;
        }
        self.prepare(self.area);
        match event.kind {
            MouseEventKind::ScrollDown => self.step(3),
            MouseEventKind::ScrollUp => self.step(-3),
            MouseEventKind::Down(MouseButton::Left) => {
                return self.click(Position::new(event.column, event.row));
            }
            _ => return false,
        }
        true
    }

    fn click(&mut self, at: Position) -> bool {
        let Some(target) = view::target(&self.scene(), self.area, at) else { return false };
        match target {
            view::Target::View(view) => self.show(view),
            view::Target::Host(id) if self.ui.grid_at == Some(id) => self.open(),
            view::Target::Host(id) => self.ui.grid_at = Some(id),
            view::Target::Row(row) => match self.ui.view {
                View::Hosts if self.ui.hosts.cursor().index == row => self.open(),
                View::Hosts => self.ui.hosts.select(row),
                _ => self.with_cursor(|cursor| cursor.go(row)),
            },
        }
        true
    }
}
