mod hints;
mod keys;
mod pictures;
mod rooms;
#[path = "../../../examples/screen/sim.rs"]
mod sim;
mod terminal;
mod whole;

use crossterm::event::{Event as Input, KeyEvent};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::deploy::Event;
use crate::inventory::Theme as ThemeName;

use super::app::App;
use super::keymap::Keymap;
use super::symbols::Symbols;
use super::theme::Theme;

/// When made-up runs start.
const START: u64 = 1_795_000_000_000;

/// The first seconds of a made-up deployment.
fn run(hosts: usize, fail: usize, seconds: u64) -> Vec<Event> {
    let mut sim = sim::Sim::new(hosts, fail, START);
    let mut events = Vec::new();
    while sim.now() < START + seconds * 1000 {
        events.extend(sim.step());
    }
    events
}

/// The screen after so many seconds of a made-up deployment.
fn app(hosts: usize, fail: usize, seconds: u64) -> App {
    let mut app = App::new(Theme::new(ThemeName::Default), Symbols::UNICODE, Keymap::default());
    run(hosts, fail, seconds).iter().for_each(|event| app.apply(event));
    app.tick(START + seconds * 1000, 0);
    app.effects.clear();
    app
}

/// Presses keys, named as in the keymap, with blanks between them.
fn press(app: &mut App, keys: &str) {
    for key in keys.split_whitespace() {
        app.input(Input::Key(event(key)));
    }
}

fn event(key: &str) -> KeyEvent {
    key.parse::<super::keymap::Key>().unwrap().into()
}

/// Types text, letter by letter.
fn type_in(app: &mut App, text: &str) {
    for letter in text.chars() {
        app.input(Input::Key(KeyEvent::from(crossterm::event::KeyCode::Char(letter))));
    }
}

/// The screen at a size.
fn picture(app: &mut App, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    app.area = ratatui::layout::Rect::new(0, 0, width, height);
    app.canvas.spoil();
    app.canvas.lose();
    terminal.draw(|frame| app.draw(frame)).unwrap();
    terminal
}

/// The screen's text, a line a row.
fn text(app: &mut App, width: u16, height: u16) -> String {
    let terminal = picture(app, width, height);
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect::<Vec<String>>().join("\n")
}
