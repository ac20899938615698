use std::io;
use std::time::Duration;

use futures::stream;
use ratatui::Terminal;
use ratatui::backend::{Backend as _, TestBackend};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::deploy::Command;
use crate::tui::drive::{Signalled, drive};
use crate::tui::notify::Signal;
use crate::tui::options::TuiOptions;
use crate::tui::run::{Ended, TuiError};
use crate::tui::source::{Pull, Source};
use crate::tui::terminal::Screen;

/// A screen that is looked at from elsewhere.
struct Glass {
    terminal: Terminal<TestBackend>,
    cleared: bool,
    shown: std::sync::Arc<std::sync::Mutex<Shown>>,
}

#[derive(Default)]
struct Shown {
    text: String,
    draws: usize,
    signals: Vec<Signal>,
    suspended: usize,
    abandoned: usize,
    busy: bool,
    broken: bool,
    /// What the terminal shows is lost before the next picture, as when it changes its size.
    wiped: bool,
}

impl Screen for Glass {
    fn draw(&mut self, app: &mut App) -> io::Result<()> {
        if std::mem::take(&mut self.shown.lock().unwrap().wiped) {
            self.terminal.backend_mut().clear().unwrap();
        }
        if std::mem::take(&mut self.cleared) {
            app.canvas.lose();
        }
        self.terminal.draw(|frame| app.draw(frame)).unwrap();
        let mut shown = self.shown.lock().unwrap();
        shown.text = self.terminal.backend().to_string();
        shown.draws += 1;
        if shown.broken { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    fn is_ready(&self) -> bool {
        !self.shown.lock().unwrap().busy
    }

    fn signal(&mut self, signal: &Signal) -> io::Result<()> {
        self.shown.lock().unwrap().signals.push(signal.clone());
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.cleared = true;
        let size = self.terminal.size().unwrap();
        self.terminal.resize(size.into()).unwrap();
        Ok(())
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.shown.lock().unwrap().suspended += 1;
        Ok(())
    }

    fn resume(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn abandon(&mut self) {
        self.shown.lock().unwrap().abandoned += 1;
    }
}

/// Events from a channel, with the clock of the test.
struct Channel(mpsc::Receiver<Event>, Instant);

impl Source for Channel {
    async fn next(&mut self, into: &mut Vec<Event>) -> Pull {
        if self.0.recv_many(into, 4096).await == 0 { Pull::End } else { Pull::Events }
    }

    fn now(&self) -> u64 {
        START + self.1.elapsed().as_millis() as u64
    }
}

/// The loop with everything around it made by hand.
struct Stage {
    keys: mpsc::Sender<Input>,
    events: mpsc::Sender<Event>,
    interrupts: mpsc::Sender<Signalled>,
    commands: mpsc::Receiver<Command>,
    shown: std::sync::Arc<std::sync::Mutex<Shown>>,
    ended: tokio::task::JoinHandle<Result<Ended, TuiError>>,
}

impl Stage {
    fn new() -> Self {
        let (keys, typed) = mpsc::channel::<Input>(64);
        let (events, heard) = mpsc::channel(100_000);
        let (interrupts, interrupted) = mpsc::channel(8);
        let (out, commands) = mpsc::channel(8);
        let shown: std::sync::Arc<std::sync::Mutex<Shown>> = std::sync::Arc::default();
        let mut glass = Glass {
            terminal: Terminal::new(TestBackend::new(80, 24)).unwrap(),
            cleared: false,
            shown: shown.clone(),
        };
        let input =
            Box::pin(stream::unfold(
                typed,
                |mut typed| async move { Some((Ok(typed.recv().await?), typed)) },
            ));
        let ended = tokio::spawn(async move {
            let mut app = App::new(Theme::new(ThemeName::Default), Symbols::UNICODE, Keymap::default());
            let mut source = Channel(heard, Instant::now());
            let options = TuiOptions::default();
            drive(&mut app, &mut glass, input, interrupted, &mut source, &out, &options).await
        });
        Self { keys, events, interrupts, commands, shown, ended }
    }

    async fn type_in(&self, keys: &str) {
        for key in keys.split_whitespace() {
            self.keys.send(Input::Key(event(key))).await.unwrap();
        }
    }

    async fn tell(&self, events: Vec<Event>) {
        for event in events {
            self.events.send(event).await.unwrap();
        }
    }

    async fn sees(&self, words: &str) {
        let seen = async {
            while !self.shown.lock().unwrap().text.contains(words) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let seen = timeout(Duration::from_secs(60), seen).await;
        assert!(seen.is_ok(), "{words:?} is not in\n{}", self.shown.lock().unwrap().text);
    }

    fn draws(&self) -> usize {
        self.shown.lock().unwrap().draws
    }
}

fn last() -> Event {
    let mut end = sim::Sim::new(24, 3, START);
    end.command(Command::Stop);
    end.step().pop().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_run_is_watched_retried_and_left() {
    let mut stage = Stage::new();
    stage.sees("getting ready").await;
    stage.tell(sim::Sim::new(24, 3, START).record()).await;
    stage.sees("3 failed").await;
    stage.type_in("R").await;
    stage.sees("Retry 3 failed hosts?").await;
    stage.type_in("y").await;
    assert_eq!(stage.commands.recv().await, Some(Command::RetryFailed));
    stage.type_in("q").await;
    assert_eq!(stage.commands.recv().await, Some(Command::Stop));
    stage.tell(vec![last()]).await;
    assert_eq!(stage.ended.await.unwrap().unwrap(), Ended::Finished);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_events_costs_a_picture_a_frame() {
    let stage = Stage::new();
    stage.sees("getting ready").await;
    let before = stage.draws();
    let events = run(200, 3, 20);
    assert!(events.len() > 3000, "{}", events.len());
    for part in events.chunks(events.len() / 50) {
        stage.tell(part.to_vec()).await;
        sleep(Duration::from_millis(20)).await;
    }
    // A second of events at 10 frames a second.
    let draws = stage.draws() - before;
    assert!((5..=14).contains(&draws), "{draws}");
}

#[tokio::test(start_paused = true)]
async fn a_terminal_that_got_its_old_size_back_is_drawn_whole() {
    let stage = Stage::new();
    stage.tell(sim::Sim::new(24, 3, START).record()).await;
    stage.sees("21 active").await;
    stage.shown.lock().unwrap().wiped = true;
    stage.keys.send(Input::Resize(80, 24)).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    stage.sees("21 active").await;
    stage.sees("web-02").await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_drawn_when_nothing_changes() {
    let stage = Stage::new();
    stage.tell(sim::Sim::new(24, 3, START).record()).await;
    stage.sees("21 active").await;
    sleep(Duration::from_secs(8)).await;
    let before = stage.draws();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(stage.draws(), before, "the run rests");
}

#[tokio::test(start_paused = true)]
async fn time_goes_on_the_screen_even_when_no_host_says_a_word() {
    let stage = Stage::new();
    stage.tell(run(24, 3, 1)).await;
    stage.sees("0:09").await;
    let before = stage.draws();
    sleep(Duration::from_secs(10)).await;
    let draws = stage.draws() - before;
    assert!((10..=22).contains(&draws), "once or twice a second: {draws}");
    stage.sees("silent for").await;
}

#[tokio::test(start_paused = true)]
async fn a_key_is_answered_before_the_next_frame() {
    let stage = Stage::new();
    stage.tell(run(24, 3, 30)).await;
    stage.sees("2 failed").await;
    sleep(Duration::from_millis(300)).await;
    let pressed = Instant::now();
    stage.type_in("?").await;
    stage.sees("any other key closes").await;
    assert!(pressed.elapsed() <= Duration::from_millis(50), "{:?}", pressed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_terminal_that_takes_nothing_does_not_hold_up_the_run() {
    let mut stage = Stage::new();
    stage.sees("getting ready").await;
    stage.shown.lock().unwrap().busy = true;
    let before = stage.draws();
    stage.tell(run(24, 3, 30)).await;
    stage.type_in("X y").await;
    assert_eq!(stage.commands.recv().await, Some(Command::Stop));
    assert_eq!(stage.draws(), before);
    stage.shown.lock().unwrap().busy = false;
    stage.sees("2 failed").await;
}

#[tokio::test(start_paused = true)]
async fn the_run_goes_on_without_a_terminal_and_ends_when_it_rests() {
    for way in 0..3 {
        let mut stage = Stage::new();
        stage.tell(run(24, 3, 30)).await;
        stage.sees("2 failed").await;
        match way {
            0 => stage.interrupts.send(Signalled::Hangup).await.unwrap(),
            1 => stage.shown.lock().unwrap().broken = true,
            // No more keys will come.
            _ => drop(std::mem::replace(&mut stage.keys, mpsc::channel(1).0)),
        }
        sleep(Duration::from_secs(10)).await;
        assert!(!stage.ended.is_finished());
        let draws = stage.draws();
        stage.tell(sim::Sim::new(24, 3, START).record()).await;
        assert_eq!(stage.commands.recv().await, Some(Command::Stop));
        stage.tell(vec![last()]).await;
        assert_eq!(stage.ended.await.unwrap().unwrap(), Ended::Finished);
        assert!(stage.shown.lock().unwrap().draws <= draws + 1, "nobody looks");
        assert_eq!(stage.shown.lock().unwrap().abandoned, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_signal_to_end_stops_cleanly() {
    let mut stage = Stage::new();
    stage.tell(run(24, 3, 30)).await;
    stage.interrupts.send(Signalled::Terminate).await.unwrap();
    assert_eq!(stage.commands.recv().await, Some(Command::Stop));
    stage.interrupts.send(Signalled::Terminate).await.unwrap();
    stage.tell(vec![last()]).await;
    assert_eq!(stage.ended.await.unwrap().unwrap(), Ended::Finished);
}

#[tokio::test(start_paused = true)]
async fn agents_get_a_longer_lease_before_a_suspend_and_the_usual_one_after() {
    let mut stage = Stage::new();
    stage.tell(run(24, 3, 30)).await;
    stage.type_in("^z").await;
    assert_eq!(stage.commands.recv().await, Some(Command::Lease(1800)));
    assert_eq!(stage.shown.lock().unwrap().suspended, 0, "first the lease");
    assert_eq!(stage.commands.recv().await, Some(Command::Lease(60)));
    assert_eq!(stage.shown.lock().unwrap().suspended, 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_never_says_that_it_is_over_is_left_after_two_seconds() {
    let stage = Stage::new();
    stage.tell(sim::Sim::new(24, 3, START).record()).await;
    stage.sees("21 active").await;
    let asked = Instant::now();
    stage.type_in("q").await;
    assert_eq!(stage.ended.await.unwrap().unwrap(), Ended::Left);
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_and_the_end_ring_once() {
    let stage = Stage::new();
    stage.tell(sim::Sim::new(24, 3, START).record()).await;
    stage.sees("21 active").await;
    let bells = stage
        .shown
        .lock()
        .unwrap()
        .signals
        .iter()
        .filter(|signal| matches!(signal, Signal::Notify(..)))
        .count();
    assert_eq!(bells, 2);
    let titles: Vec<Signal> = stage.shown.lock().unwrap().signals.clone();
    assert!(titles.contains(&Signal::Title("murder 21/24 ✗3 2026.11.23-3".to_owned())), "{titles:?}");
}
