//! Keys: a process of its own shows ten thousand hosts on a terminal of its own, by the loop that users have; keys are typed into it,
//! and it is measured how soon what they do is on the screen.

use std::fs;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use murder::deploy::{Command, Event};
use murder::tui::{TuiOptions, run};
use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};
use tokio::sync::mpsc;
use vt100::{Parser, Screen};

use super::{Failure, MANY, SIZE, VIEWS, sim, stream};

/// The first argument of the process that shows them.
pub(super) const SHOW: &str = "show";
/// Of each host, bytes a second: no host is done while this is measured.
const LINK: f64 = 1.2 * 1024.0 * 1024.0;
/// The second from which on all hosts fetch.
const MOMENT: u64 = 110;
/// As many events wait for the screen in a run.
const EVENTS: usize = 8192;
/// How often the keys of a view are typed.
const ROUNDS: usize = 12;
/// A key that is not answered by then never is.
const PATIENCE: Duration = Duration::from_secs(5);
/// The time for the run to be told up to [`MOMENT`].
const BEGINNING: Duration = Duration::from_secs(120);

fn wall() -> Result<u64, Failure> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64)
}

/// Shows the run until it is told to stop, and says in a file how many events a second there were.
pub(super) fn show(log: &str) -> Result<(), Failure> {
    let log = PathBuf::from(log);
    tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build()?.block_on(async {
        let (events, shown) = mpsc::channel(EVENTS);
        let (commands, asked) = mpsc::channel(8);
        let told =
            tokio::spawn(async move { tell(events, asked, &log).await.map_err(|error| error.to_string()) });
        run(shown, commands, TuiOptions::default()).await?;
        Ok(told.await??)
    })
}

async fn tell(
    events: mpsc::Sender<Event>,
    mut asked: mpsc::Receiver<Command>,
    log: &Path,
) -> Result<(), Failure> {
    // The clock of the run is that of the wall when its beginning has been told.
    let mut sim = sim::Sim::with_links(MANY, MANY / 100, 0, LINK);
    let mut before = Vec::new();
    while sim.now() < MOMENT * 1000 {
        before.extend(sim.step());
    }
    let start = wall()? + 1000 - MOMENT * 1000;
    let at = |mut event: Event| {
        event.at += start;
        event
    };
    for event in before {
        events.send(at(event)).await?;
    }
    fs::write(log, "")?;
    let (begun, mut sent, mut rate) = (Instant::now(), 0u64, 0.0);
    loop {
        let wait = (sim.now() + start + sim::STEP_MS).saturating_sub(wall()?);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait)) => {}
            Some(_stop) = asked.recv() => break,
        }
        for event in stream::step(&mut sim, MANY) {
            events.send(at(event)).await?;
            sent += 1;
        }
        // A second is over with its reports.
        if sim.now().is_multiple_of(1000) {
            rate = sent as f64 / begun.elapsed().as_secs_f64();
        }
    }
    fs::write(log, format!("{rate:.0}"))?;
    Ok(())
}

/// The terminal, as a person has it.
struct Watched {
    keys: Box<dyn Write + Send>,
    bytes: Receiver<(Instant, Vec<u8>)>,
    parser: Parser,
    child: Box<dyn Child + Send + Sync>,
    written: usize,
}

impl Watched {
    fn start(log: &Path) -> Result<Self, Failure> {
        let (columns, rows) = SIZE;
        let pair =
            native_pty_system().openpty(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 })?;
        let mut command = CommandBuilder::new(std::env::current_exe()?);
        command.args([SHOW.as_ref(), log.as_os_str()]);
        command.env("TERM", "xterm-256color");
        let child = pair.slave.spawn_command(command)?;
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader()?;
        let keys = pair.master.take_writer()?;
        let (sender, bytes) = channel();
        thread::spawn(move || {
            let _open = pair.master;
            let mut chunk = [0; 1 << 16];
            while let Ok(length @ 1..) = reader.read(&mut chunk) {
                if sender.send((Instant::now(), chunk[..length].to_vec())).is_err() {
                    return;
                }
            }
        });
        let size = |number: u16| NonZeroU16::new(number).ok_or("a screen has a size");
        Ok(Self { keys, bytes, parser: Parser::new(size(rows)?, size(columns)?, 0), child, written: 0 })
    }

    /// Looks on for so long.
    fn look_on(&mut self, time: Duration) -> Result<(), Failure> {
        let end = Instant::now() + time;
        loop {
            match self.bytes.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok((_, bytes)) => self.take(&bytes),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(self.parser.screen().contents().into()),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.written += bytes.len();
        self.parser.process(bytes);
    }

    /// Types a key, and measures the time until the screen shows what it does.
    fn answer(&mut self, key: &str, done: impl Fn(&Screen) -> bool) -> Result<Duration, Failure> {
        let typed = Instant::now();
        self.keys.write_all(key.as_bytes())?;
        self.keys.flush()?;
        loop {
            let (at, bytes) =
                self.bytes.recv_timeout(PATIENCE).map_err(|_| format!("{key:?} has no answer"))?;
            self.take(&bytes);
            if done(self.parser.screen()) {
                return Ok(at.saturating_duration_since(typed));
            }
            if typed.elapsed() > PATIENCE {
                return Err(format!("{key:?} has no answer on\n{}", self.parser.screen().contents()).into());
            }
        }
    }
}

/// Types keys in every view, at moments that have nothing to do with those of pictures and events, and prints how soon they are
/// answered.
pub(super) fn measure() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let mut watched = Watched::start(&log)?;
    let begun = Instant::now();
    while !log.exists() {
        if begun.elapsed() > BEGINNING {
            return Err("the run does not begin".into());
        }
        watched.look_on(Duration::from_millis(100))?;
    }
    watched.look_on(Duration::from_secs(2))?;
    let (begun, written) = (Instant::now(), watched.written);
    let mut answers = Vec::new();
    for view in VIEWS {
        let mut of_view = vec![watched.answer(view, |screen| !is_help(screen))?];
        for _ in 0..ROUNDS {
            for (key, help) in [("?", true), ("?", false)] {
                pause(&mut watched)?;
                of_view.push(watched.answer(key, |screen| is_help(screen) == help)?);
            }
        }
        answers.push((format!("view {view}, help and back"), of_view));
    }
    answers.push(("a filter, letter by letter".to_owned(), filter(&mut watched)?));
    let kib = (watched.written - written) as f64 / begun.elapsed().as_secs_f64() / 1024.0;
    for key in ["q", "y"] {
        watched.keys.write_all(key.as_bytes())?;
        watched.look_on(Duration::from_millis(300)).ok();
    }
    watched.child.wait()?;
    let rate = fs::read_to_string(&log)?;
    for (what, times) in &mut answers {
        print(what, times);
    }
    let mut all: Vec<Duration> = answers.into_iter().flat_map(|(_, times)| times).collect();
    print("all of them", &mut all);
    println!("a terminal with 10,000 hosts, {rate} events a second, {kib:.1} KiB/s with what keys changed");
    Ok(())
}

/// Each letter of it is another query over all hosts.
fn filter(watched: &mut Watched) -> Result<Vec<Duration>, Failure> {
    watched.answer("1", |screen| last_line(screen).contains("filter"))?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let mut typed = String::new();
        for letter in ["/", "w", "e", "b", "-", "0"] {
            pause(watched)?;
            typed.push_str(letter);
            times.push(watched.answer(letter, |screen| last_line(screen).trim() == typed)?);
        }
        pause(watched)?;
        times.push(watched.answer("\x1b", |screen| !last_line(screen).trim().starts_with('/'))?);
    }
    Ok(times)
}

fn pause(watched: &mut Watched) -> Result<(), Failure> {
    watched.look_on(Duration::from_millis(fastrand::u64(40..290)))
}

fn is_help(screen: &Screen) -> bool {
    screen.contents().contains("any other key closes")
}

fn last_line(screen: &Screen) -> String {
    screen.rows(0, SIZE.0).last().unwrap_or_default()
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{what}: {} keys are answered in {median:.1?}, the last in {worst:.1?}", times.len());
}
