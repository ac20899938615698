use std::future::pending;
use std::io;
use std::time::Duration;

use crossterm::event::Event as Input;
use futures::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::deploy::{Command, Event};
use crate::units::{format_duration, plural};

use super::app::{App, Effect, Exit};
use super::notify::Signal;
use super::options::TuiOptions;
use super::run::{Ended, TuiError};
use super::source::{Control, Pull, Source};
use super::terminal::{Screen, shows_progress};

/// After a key the picture comes this soon, whatever the rate of pictures.
const ECHO: Duration = Duration::from_millis(15);
/// How often ages on the screen and notices are looked at.
const TICK: Duration = Duration::from_millis(250);
/// How soon a picture is tried again when the terminal has not taken the last one.
const BUSY: Duration = Duration::from_millis(20);
/// How long leaving waits for a run that rests to say that it is over, and for commands to be taken.
const FAREWELL: Duration = Duration::from_secs(2);
/// Agents live so long while the operator is suspended, seconds.
const LEASE_SUSPENDED: u64 = 30 * 60;
/// And so long otherwise, seconds.
const LEASE: u64 = crate::control::LEASE.as_secs();
/// Time for that to reach the hosts before everything stands still.
const LEASE_SENT: Duration = Duration::from_millis(400);

/// A signal of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signalled {
    /// SIGINT that came not from the keyboard.
    Interrupt,
    /// SIGTERM: a clean stop.
    Terminate,
    /// SIGHUP: the terminal is gone, the run goes on.
    Hangup,
    /// SIGTSTP.
    Suspend,
    /// SIGCONT: somebody else had the terminal.
    Continue,
}

/// What woke the loop.
enum Wake {
    Input(Option<io::Result<Input>>),
    Interrupt(Signalled),
    Events(Pull),
    Sent(bool),
    Time,
}

/// State of the loop that is no state of the app.
struct Pace {
    frame: Duration,
    drawn: Option<Instant>,
    dirty: bool,
    touched: bool,
    ticked: Instant,
    title: String,
    progress: Option<(u8, bool)>,
    /// The terminal is gone; the run goes on without.
    headless: bool,
    leaving: Option<Instant>,
    stopped: Option<Instant>,
}

impl Pace {
    fn new(fps: u8) -> Self {
        let now = Instant::now();
        let frame = frame(fps);
        Self {
            frame,
            drawn: None,
            dirty: true,
            touched: false,
            ticked: now,
            title: String::new(),
            progress: None,
            headless: false,
            leaving: None,
            stopped: None,
        }
    }

    /// When the next picture is due, if one is.
    fn due(&self, now: Instant) -> Option<Instant> {
        if self.headless {
            return None;
        }
        let gap = match (self.touched, self.dirty) {
            (true, _) => ECHO.min(self.frame),
            (_, true) => self.frame,
            _ => return None,
        };
        Some(self.drawn.map_or(now, |drawn| drawn + gap))
    }
}

fn frame(fps: u8) -> Duration {
    Duration::from_secs(1) / u32::from(fps.max(1))
}

/// The loop: all events and keys that are there, then at most one picture a frame, and none if nothing changed.
pub(super) async fn drive<S: Source>(
    app: &mut App,
    screen: &mut impl Screen,
    input: impl Stream<Item = io::Result<Input>> + Unpin,
    mut interrupts: mpsc::Receiver<Signalled>,
    source: &mut S,
    commands: &mpsc::Sender<Command>,
    options: &TuiOptions,
) -> Result<Ended, TuiError> {
    let start = Instant::now();
    let mut pace = Pace::new(options.fps);
    let mut batch: Vec<Event> = Vec::new();
    let mut open = true;
    let mut input = Some(input);
    loop {
        if pace.headless && input.take().is_some() {
            screen.abandon();
        }
        let now = Instant::now();
        if now >= pace.ticked + TICK {
            pace.ticked = now;
            app.ui.replay = source.bar();
            pace.dirty |= app.tick(source.now(), (now - start).as_millis() as u64);
            pace.dirty |= app.ui.replay.is_some_and(|bar| !bar.paused);
        }
        if pace.due(now).is_some_and(|due| now >= due) {
            paint(app, screen, &mut pace, now);
        }
        if let Some(ended) = over(app, &mut pace, open, now) {
            farewell(app, commands).await;
            return Ok(ended);
        }
        let wake_at = pace.due(now).map_or(pace.ticked + TICK, |due| due.min(pace.ticked + TICK));
        let wake = tokio::select! {
            biased;
            Some(interrupt) = interrupts.recv() => Wake::Interrupt(interrupt),
            key = next_input(&mut input) => Wake::Input(key),
            sent = send_next(app, commands) => Wake::Sent(sent),
            pull = source.next(&mut batch), if open => Wake::Events(pull),
            () = sleep_until(wake_at.max(now)) => Wake::Time,
        };
        match wake {
            Wake::Input(Some(Ok(input))) => pace.touched |= app.input(input),
            // Keys will not come any more: the terminal is gone.
            Wake::Input(_) => hang_up(app, &mut pace),
            Wake::Interrupt(signal) => interrupted(app, screen, &mut pace, commands, signal).await,
            Wake::Events(pull) => {
                open = pull != Pull::End;
                if pull == Pull::Restart {
                    app.restart();
                }
                pace.dirty |= !batch.is_empty();
                batch.drain(..).for_each(|event| app.apply(&event));
            }
            Wake::Sent(taken) => {
                if !taken {
                    app.outbox.clear();
                }
            }
            Wake::Time => {}
        }
        effects(app, screen, &mut pace, source, commands, options).await?;
    }
}

/// The next key; waits for ever when there is nothing to read from any more.
async fn next_input(
    input: &mut Option<impl Stream<Item = io::Result<Input>> + Unpin>,
) -> Option<io::Result<Input>> {
    match input {
        Some(input) => input.next().await,
        None => pending().await,
    }
}

/// Sends the oldest command that waits; waits for ever if there is none. False if nobody takes commands any more.
async fn send_next(app: &mut App, commands: &mpsc::Sender<Command>) -> bool {
    if app.outbox.is_empty() {
        return pending().await;
    }
    let Ok(permit) = commands.reserve().await else { return false };
    if let Some(command) = app.outbox.pop_front() {
        permit.send(command);
    }
    true
}

fn paint(app: &mut App, screen: &mut impl Screen, pace: &mut Pace, now: Instant) {
    if !screen.is_ready() {
        // Not before the terminal has taken the last one; then the newest.
        pace.drawn = Some(now + BUSY - pace.frame.min(BUSY));
        return;
    }
    pace.drawn = Some(now);
    pace.dirty = false;
    pace.touched = false;
    let told = tell(app, screen, pace);
    if screen.draw(app).and(told).is_err() {
        hang_up(app, pace);
    }
}

/// Title and task bar, when they change.
fn tell(app: &App, screen: &mut impl Screen, pace: &mut Pace) -> io::Result<()> {
    let fleet = &app.live;
    let counts = fleet.counts();
    let failed =
        if counts.failed() > 0 { format!(" {}{}", app.symbols.fail, counts.failed()) } else { String::new() };
    let tag = fleet.plan().map_or("", |plan| plan.tag.as_str());
    let title = format!("murder {}/{}{failed} {tag}", counts.done(), counts.total());
    if title != pace.title {
        screen.signal(&Signal::Title(title.clone()))?;
        pace.title = title;
    }
    let progress = (!fleet.is_resting()).then(|| ((fleet.share() * 100.0) as u8, counts.failed() > 0));
    if progress != pace.progress && shows_progress() {
        screen.signal(
            &progress.map_or(Signal::NoProgress, |(percent, failed)| Signal::Progress(percent, failed)),
        )?;
    }
    pace.progress = progress;
    Ok(())
}

/// The terminal is gone. The run goes on and is recorded; when it rests, nobody is there to say what is next.
fn hang_up(app: &mut App, pace: &mut Pace) {
    pace.headless = true;
    if !app.live_run {
        app.exit = Some(Exit::Now);
    }
}

fn over(app: &mut App, pace: &mut Pace, open: bool, now: Instant) -> Option<Ended> {
    if pace.headless && app.live.is_resting() && app.exit.is_none() {
        app.outbox.push_back(Command::Stop);
        app.exit = Some(Exit::WhenFinished);
    }
    if pace.headless && !open {
        app.exit = Some(Exit::Now);
    }
    let finished = app.live.is_finished();
    match app.exit? {
        Exit::Now if app.aborted => Some(Ended::Aborted),
        Exit::Now => Some(if finished { Ended::Finished } else { Ended::Left }),
        Exit::WhenFinished if finished => Some(Ended::Finished),
        Exit::WhenFinished if !open => Some(Ended::Left),
        Exit::WhenFinished if app.live.is_resting() => {
            let since = *pace.leaving.get_or_insert(now);
            (now >= since + FAREWELL).then_some(Ended::Left)
        }
        Exit::WhenFinished => None,
    }
}

/// Commands that were typed last must not be lost.
async fn farewell(app: &mut App, commands: &mpsc::Sender<Command>) {
    for command in app.outbox.drain(..) {
        if timeout(FAREWELL, commands.send(command)).await.is_err() {
            return;
        }
    }
}

async fn interrupted(
    app: &mut App,
    screen: &mut impl Screen,
    pace: &mut Pace,
    commands: &mpsc::Sender<Command>,
    signal: Signalled,
) {
    match signal {
        Signalled::Interrupt => app.interrupt(),
        Signalled::Terminate if app.ui.leaving => {}
        Signalled::Terminate => app.interrupt(),
        Signalled::Hangup => hang_up(app, pace),
        Signalled::Suspend => suspend(app, screen, pace, commands).await,
        // The one that ends our own suspension was seen to already.
        Signalled::Continue if pace.stopped.take().is_some() || pace.headless => {}
        Signalled::Continue if screen.resume().is_err() => hang_up(app, pace),
        Signalled::Continue => {}
    }
    pace.dirty = true;
}

async fn suspend(app: &mut App, screen: &mut impl Screen, pace: &mut Pace, commands: &mpsc::Sender<Command>) {
    if pace.headless {
        return;
    }
    if app.live_run && !app.live.is_finished() {
        app.outbox.push_back(Command::Lease(LEASE_SUSPENDED));
        farewell(app, commands).await;
        tokio::time::sleep(LEASE_SENT).await;
        app.outbox.push_back(Command::Lease(LEASE));
    }
    let left = Instant::now();
    if screen.suspend().is_err() {
        hang_up(app, pace);
        return;
    }
    pace.stopped = Some(left);
    pace.dirty = true;
    let away = format_duration(left.elapsed());
    app.say(format!("here again after {away}; agents went on by themselves"));
}

async fn effects<S: Source>(
    app: &mut App,
    screen: &mut impl Screen,
    pace: &mut Pace,
    source: &mut S,
    commands: &mpsc::Sender<Command>,
    options: &TuiOptions,
) -> Result<(), TuiError> {
    for effect in std::mem::take(&mut app.effects) {
        match effect {
            Effect::Copy(text) => screen.signal(&Signal::Copy(text))?,
            Effect::Mouse(on) => screen.signal(&Signal::Mouse(on))?,
            Effect::Suspend => suspend(app, screen, pace, commands).await,
            Effect::Redraw => screen.clear()?,
            Effect::Fps(fps) => pace.frame = frame(fps),
            Effect::Bell(text) if !pace.headless => screen.signal(&Signal::Notify(options.notify, text))?,
            Effect::Bell(_) => {}
            Effect::Write(file, text) => match std::fs::write(&file, &text) {
                Ok(()) => app.say(format!("wrote {} to {file}", plural(text.lines().count(), "host"))),
                Err(error) => app.complain(format!("cannot write {file}: {error}")),
            },
            Effect::Seek(by) => source.control(Control::Seek(by)),
            Effect::Speed(times) => source.control(Control::Speed(times)),
            Effect::Pause => source.control(Control::Pause),
            Effect::Failure(forward) => source.control(Control::Failure(forward)),
        }
        app.ui.replay = source.bar();
        pace.touched = true;
    }
    Ok(())
}
