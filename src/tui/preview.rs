use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;

use crossterm::event::{Event as Input, KeyEvent};
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};

use crate::deploy::Event;
use crate::fleet::FleetState;

use super::app::App;
use super::keymap::{Key, KeymapError};
use super::options::TuiOptions;
use super::svg;

/// The screen without a terminal: the same pictures, for documentation and for measuring what they cost.
pub struct Preview {
    app: App,
    terminal: Terminal<CrosstermBackend<Counter>>,
    written: Rc<Cell<usize>>,
}

impl Preview {
    /// An empty screen of so many columns and rows.
    pub fn new(columns: u16, rows: u16, options: &TuiOptions) -> io::Result<Self> {
        let written = Rc::new(Cell::new(0));
        let backend = CrosstermBackend::new(Counter(Rc::clone(&written)));
        let area = Rect::new(0, 0, columns, rows);
        let terminal = Terminal::with_options(backend, TerminalOptions { viewport: Viewport::Fixed(area) })?;
        let mut app = App::new(options.theme(), options.symbols(), options.keymap.clone());
        app.area = area;
        Ok(Self { app, terminal, written })
    }

    /// Takes in an event of a run.
    pub fn apply(&mut self, event: &Event) {
        self.app.apply(event);
        self.app.effects.clear();
    }

    /// Lets the run's clock go on, milliseconds since the epoch.
    pub fn tick(&mut self, now: u64) {
        self.app.tick(now, now);
    }

    /// Presses keys, named as in the keymap, with blanks between them.
    pub fn press(&mut self, keys: &str) -> Result<(), KeymapError> {
        for key in keys.split_whitespace() {
            self.app.input(Input::Key(KeyEvent::from(key.parse::<Key>()?)));
            self.app.prepare(self.app.area);
        }
        Ok(())
    }

    /// What is known of the run.
    pub fn fleet(&self) -> &FleetState {
        &self.app.live
    }

    /// Draws a picture, and returns the bytes that a terminal would have been sent for what is new in it.
    pub fn draw(&mut self) -> io::Result<usize> {
        let before = self.written.get();
        self.terminal.draw(|frame| self.app.draw(frame))?;
        Ok(self.written.get() - before)
    }

    /// Draws a picture and returns its cells.
    pub fn cells(&mut self) -> io::Result<Buffer> {
        self.app.canvas.lose();
        Ok(self.terminal.draw(|frame| self.app.draw(frame))?.buffer.clone())
    }

    /// Draws a picture as SVG, on a dark or a light background.
    pub fn svg(&mut self, dark: bool) -> io::Result<String> {
        self.app.canvas.spoil();
        Ok(svg::picture(&self.cells()?, dark))
    }
}

/// Counts bytes and forgets them.
struct Counter(Rc<Cell<usize>>);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.set(self.0.get() + bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
