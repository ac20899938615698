use std::io;

use crossterm::event::EventStream;
use tokio::sync::{mpsc, oneshot};

use crate::deploy::{Command, Event};
use crate::fleet::FleetState;
use crate::journal::Replay;

use super::app::App;
use super::drive::{Signalled, drive};
use super::options::TuiOptions;
use super::source::{Live, Recorded, ReplayStart, Source};
use super::terminal::{THREAD, TerminalGuard};

/// Signals that wait to be looked at; each kind comes rarely.
const INTERRUPTS: usize = 8;
/// A replay takes no commands; what is typed is refused before it gets here.
const NO_COMMANDS: usize = 1;

/// Why the screen could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum TuiError {
    /// The terminal cannot be used.
    #[error("cannot use the terminal: {0}; --output plain needs none")]
    Terminal(#[from] io::Error),
    /// A fault of ours. The terminal was restored and the panic printed.
    #[error("the screen failed: this is a fault of murder; --output plain does without it")]
    Panicked,
}

/// How the screen was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The run was over.
    Finished,
    /// The user ended a replay, or the run did not say in time that it was over.
    Left,
    /// A second Ctrl-C.
    Aborted,
}

/// What is left when the screen is gone.
#[derive(Debug)]
pub struct TuiEnd {
    /// All that is known of the run, for the summary.
    pub fleet: FleetState,
    /// How it was left.
    pub ended: Ended,
}

/// Shows a run until the user leaves; commands go out as keys are pressed. Runs on a thread of its own with a runtime of
/// its own, so that neither waits for the other. While it runs, SIGINT, SIGTERM, SIGHUP, SIGTSTP and SIGCONT are its.
pub async fn run(
    events: mpsc::Receiver<Event>,
    commands: mpsc::Sender<Command>,
    options: TuiOptions,
) -> Result<TuiEnd, TuiError> {
    on_thread(Live(events), commands, options, true).await
}

/// Shows a recorded run until the user leaves.
pub async fn replay(tape: Replay, start: ReplayStart, options: TuiOptions) -> Result<TuiEnd, TuiError> {
    let (commands, _none) = mpsc::channel(NO_COMMANDS);
    on_thread(Recorded::new(tape, start), commands, options, false).await
}

async fn on_thread<S: Source + Send + 'static>(
    source: S,
    commands: mpsc::Sender<Command>,
    options: TuiOptions,
    live: bool,
) -> Result<TuiEnd, TuiError> {
    let (done, result) = oneshot::channel();
    std::thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
        let outcome = show(source, commands, &options, live);
        // Nobody waits any more if the caller went away.
        let _ = done.send(outcome);
    })?;
    result.await.unwrap_or(Err(TuiError::Panicked))
}

fn show<S: Source>(
    mut source: S,
    commands: mpsc::Sender<Command>,
    options: &TuiOptions,
    live: bool,
) -> Result<TuiEnd, TuiError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let interrupts = interrupts()?;
        let mut app = App::new(options.theme(), options.symbols(), options.keymap.clone());
        app.live_run = live;
        let mut screen = TerminalGuard::enter()?;
        if options.mouse {
            app.act(super::action::Action::Mouse);
        }
        let ended =
            drive(&mut app, &mut screen, EventStream::new(), interrupts, &mut source, &commands, options)
                .await?;
        drop(screen);
        Ok(TuiEnd { fleet: app.live, ended })
    })
}

/// Signals of the system as they come.
fn interrupts() -> io::Result<mpsc::Receiver<Signalled>> {
    use tokio::signal::unix::{SignalKind, signal};
    // SIGCONT and SIGTSTP are 18 and 20 on Linux, 19 and 18 on macOS.
    let (cont, tstp) = (rustix::process::Signal::CONT.as_raw(), rustix::process::Signal::TSTP.as_raw());
    let (sender, receiver) = mpsc::channel(INTERRUPTS);
    for (kind, interrupt) in [
        (SignalKind::interrupt(), Signalled::Interrupt),
        (SignalKind::terminate(), Signalled::Terminate),
        (SignalKind::hangup(), Signalled::Hangup),
        (SignalKind::from_raw(tstp), Signalled::Suspend),
        (SignalKind::from_raw(cont), Signalled::Continue),
    ] {
        let mut signal = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                if sender.send(interrupt).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(receiver)
}
