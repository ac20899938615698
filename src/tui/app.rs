use std::collections::VecDeque;

use crossterm::event::{Event as Input, KeyEvent, KeyEventKind};
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::control::FailureKind;
use crate::deploy::{Body, Command, Event};
use crate::fleet::FleetState;

use super::input;
use super::keymap::{Key, Keymap};
use super::symbols::Symbols;
use super::theme::Theme;
use super::ui::{Modal, Notice, Ui};
use super::view::{self, Canvas, Scene};

/// How long a notice stays, milliseconds.
const NOTICE_MS: u64 = 4_000;

/// What the loop does for the app, because it touches the terminal, a file, or a replay's time.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect {
    /// To the clipboard, by OSC 52.
    Copy(String),
    /// Take the mouse, or leave it to the terminal.
    Mouse(bool),
    /// Back to the shell.
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// Pictures a second.
    Fps(u8),
    /// Write text to a file.
    Write(String, String),
    /// A replay's time goes on or back by so many milliseconds.
    Seek(i64),
    /// A replay's speed, times.
    Speed(f64),
    /// A replay's time stands still, or runs.
    Pause,
    /// A replay winds to the next failure, or to the one before.
    Failure(bool),
    /// Something failed for the first time, or all is over: see [`super::notify`].
    Bell(String),
}

/// How the user leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// At once.
    Now,
    /// When the run says that it is over.
    WhenFinished,
}

/// State of the whole face: what the run is, where the user is in it. Keys and events change it; nothing here waits.
pub(super) struct App {
    pub(super) live: FleetState,
    pub(super) held: Option<Box<FleetState>>,
    pub(super) ui: Ui,
    pub(super) theme: Theme,
    pub(super) symbols: Symbols,
    pub(super) keymap: Keymap,
    pub(super) area: Rect,
    /// The body of the screen as it was drawn last.
    pub(super) canvas: Canvas,
    /// The run's clock.
    pub(super) now: u64,
    /// Milliseconds that the screen is up; what notices are timed by.
    pub(super) uptime: u64,
    pub(super) pending: Option<Key>,
    pub(super) outbox: VecDeque<Command>,
    pub(super) effects: Vec<Effect>,
    pub(super) exit: Option<Exit>,
    pub(super) aborted: bool,
    pub(super) live_run: bool,
}

impl App {
    pub(super) fn new(theme: Theme, symbols: Symbols, keymap: Keymap) -> Self {
        Self {
            live: FleetState::new(),
            held: None,
            ui: Ui::default(),
            theme,
            symbols,
            keymap,
            area: Rect::default(),
            canvas: Canvas::default(),
            now: 0,
            uptime: 0,
            pending: None,
            outbox: VecDeque::new(),
            effects: Vec::new(),
            exit: None,
            aborted: false,
            live_run: true,
        }
    }

    /// What is shown: the run as it is, or as it was when the picture was frozen.
    pub(super) fn shown(&self) -> &FleetState {
        self.held.as_deref().unwrap_or(&self.live)
    }

    /// The clock of what is shown.
    pub(super) fn shown_now(&self) -> u64 {
        self.held.as_ref().map_or(self.now, |held| held.last_at())
    }

    /// Forgets the run, to be told it again; the user stays where they are.
    pub(super) fn restart(&mut self) {
        self.live = FleetState::new();
        self.now = 0;
        self.canvas.spoil();
    }

    /// Takes in an event of the run.
    pub(super) fn apply(&mut self, event: &Event) {
        let failed_before = self.live.first_failure().is_some();
        let resting = self.live.is_resting();
        self.live.apply(event);
        self.now = self.now.max(event.at);
        if let (true, false, Some(id)) = (self.live_run, failed_before, self.live.first_failure()) {
            let kind =
                self.live.host(id).and_then(|host| host.failure()).map_or(FailureKind::Internal, |f| f.kind);
            self.effects.push(Effect::Bell(format!("{} failed: {kind}", self.live.host_name(id))));
        }
        if self.live_run && !resting && self.live.is_resting() {
            let counts = self.live.counts();
            self.effects.push(Effect::Bell(format!("{} done, {} failed", counts.done(), counts.failed())));
        }
        match &event.body {
            Body::Question(_) | Body::QuestionDone { .. } => self.ask_next(),
            Body::Resting(_) | Body::Finished(_) => self.ask_next(),
            _ => {}
        }
    }

    /// Opens the question that waits longest, and closes one that is no longer needed.
    pub(super) fn ask_next(&mut self) {
        let open = match &self.ui.modal {
            Some(Modal::Question(question, _)) => Some(question.id),
            _ => None,
        };
        let waits = self.live.question();
        if open == waits.map(|question| question.id) {
            return;
        }
        let modal = waits.map(|question| {
            let input = if question.echo { input::Input::default() } else { input::Input::masked() };
            Modal::Question(question.clone(), input)
        });
        if open.is_some() || modal.is_some() {
            self.ui.modal = modal;
        }
    }

    /// Lets time pass. True if the screen has to be drawn anew.
    pub(super) fn tick(&mut self, now: u64, uptime: u64) -> bool {
        let aged = now / 1000 != self.now / 1000 && !self.live.is_resting() && self.held.is_none();
        self.now = now;
        self.uptime = uptime;
        let changed = self.live.tick(now);
        let over = self.ui.notice.take_if(|notice| notice.until <= uptime).is_some();
        let behind = self.canvas.is_behind(self.shown().revision());
        aged || changed || over || behind || self.ui.shows_order() && self.ui.hosts.is_stale(self.shown())
    }

    /// A key, a paste, the mouse, another size. True if the screen has to be drawn anew.
    pub(super) fn input(&mut self, input: Input) -> bool {
        self.canvas.spoil();
        match input {
            Input::Key(key) if key.kind == KeyEventKind::Release => return false,
            Input::Key(key) => self.key(key),
            Input::Paste(text) => self.paste(&text),
            Input::Mouse(event) => return self.mouse(event),
            // The terminal has moved its letters about, even if its size is by now what it was before.
            Input::Resize(..) => self.effects.push(Effect::Redraw),
            Input::FocusGained | Input::FocusLost => return false,
        }
        true
    }

    fn key(&mut self, key: KeyEvent) {
        if self.ui.modal.is_some() {
            self.pending = None;
            self.modal_key(key);
        } else {
            self.press(key.into());
        }
        self.ask_next();
    }

    /// Draws the screen.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let mut canvas = std::mem::take(&mut self.canvas);
        if view::is_due(&self.ui, &canvas, area, self.uptime) {
            self.prepare_for(area, self.ui.shows_order());
            view::paint(&self.scene(), &mut canvas, area, self.uptime);
        }
        view::draw(&self.scene(), &mut canvas, frame);
        self.canvas = canvas;
    }

    /// What views may look at.
    pub(super) fn scene(&self) -> Scene<'_> {
        Scene {
            fleet: self.shown(),
            ui: &self.ui,
            theme: &self.theme,
            symbols: &self.symbols,
            keymap: &self.keymap,
            now: self.shown_now(),
        }
    }

    /// Brings lists in line with the fleet and the size of the screen, so that keys find what is seen.
    pub(super) fn prepare(&mut self, area: Rect) {
        self.prepare_for(area, true);
    }

    fn prepare_for(&mut self, area: Rect, hosts: bool) {
        self.area = area;
        let now = self.shown_now();
        let fleet = self.held.as_deref().unwrap_or(&self.live);
        view::prepare(&mut self.ui, fleet, area, now, hosts);
    }

    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.ui.notice = Some(Notice { text: text.into(), until: self.uptime + NOTICE_MS, wrong: false });
    }

    pub(super) fn complain(&mut self, text: impl Into<String>) {
        self.ui.notice = Some(Notice { text: text.into(), until: self.uptime + NOTICE_MS, wrong: true });
    }
}
