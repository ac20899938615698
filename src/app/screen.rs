use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use tokio::sync::mpsc;

use crate::cli::FaceOptions;
use crate::deploy::{Body, Command, Event, RunHandle};
use crate::exit;
use crate::fleet::FleetState;
use crate::inventory::Output;
use crate::report::{Ci, Face, Json, Plain, PlainOptions, Quiet, Style, summary};
use crate::tui::{self, Ended, TuiOptions};

use super::AppError;
use super::follow::{Record, follow};
use super::signals::Signals;

/// Events on their way from the record to the screen: the screen draws once a frame and takes all that is there.
const TO_SCREEN: usize = 8192;

/// Whether a person sits at both ends of this process.
pub(super) fn at_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Whether a run is shown on the full screen, where it rests for retries when it is over.
pub(super) fn is_full_screen(face: &FaceOptions) -> bool {
    face.output(at_terminal()) == Output::Tui
}

/// Shows a run with the face that the options choose until it is over. Returns the exit code.
pub(super) async fn show(run: RunHandle, face: &FaceOptions, record: Record) -> Result<u8, AppError> {
    match face.output(at_terminal()) {
        Output::Tui => on_screen(run, face, record).await,
        output => Ok(follow(run, lines(output, face), record, Signals::new()?).await),
    }
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// How lines are dressed.
pub(super) fn style(face: &FaceOptions) -> Style {
    Style {
        color: face.colors(io::stdout().is_terminal(), env),
        ascii: face.ascii,
        columns: columns(io::stdout()),
    }
}

pub(super) fn lines(output: Output, face: &FaceOptions) -> Box<dyn Face> {
    let (style, verbose) = (style(face), face.verbose > 0);
    match output {
        Output::Json => {
            // Its text for people goes to standard error.
            let style = Style { columns: columns(io::stderr()), ..style };
            Box::new(Json::new(io::stdout(), io::stderr(), style, verbose))
        }
        Output::Quiet => Box::new(Quiet::new(io::stdout(), style)),
        Output::Plain | Output::Auto | Output::Tui => {
            let columns = io::stdout().is_terminal().then_some(terminal_columns as fn() -> usize);
            Box::new(Plain::new(io::stdout(), PlainOptions { style, verbose, columns, ci: Ci::detect(env) }))
        }
    }
}

fn terminal_columns() -> usize {
    columns(io::stdout()).unwrap_or(80)
}

/// Columns of a terminal; of anything else `None`.
fn columns(of: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(of).ok()?;
    // Some terminals say that they have none.
    Some(if size.ws_col == 0 { 80 } else { usize::from(size.ws_col).max(20) })
}

async fn on_screen(run: RunHandle, face: &FaceOptions, mut record: Record) -> Result<u8, AppError> {
    let RunHandle { mut events, commands, task } = run;
    let (to_screen, screen_events) = mpsc::channel::<Event>(TO_SCREEN);
    let recorder = tokio::spawn(async move {
        let mut fleet = FleetState::new();
        let mut exit_code = None;
        let mut shown = Some(to_screen);
        while let Some(event) = events.recv().await {
            record.hear(&event);
            fleet.apply(&event);
            if let Body::Finished(summary) = &event.body {
                exit_code = Some(summary.exit);
            }
            // The screen may have been left; the run is recorded to its end all the same.
            if let Some(screen) = &shown
                && screen.send(event).await.is_err()
            {
                shown = None;
            }
        }
        (fleet, exit_code, record)
    });
    let shown = tui::run(screen_events, commands.clone(), options(face)).await;
    let aborted = matches!(&shown, Ok(end) if end.ended == Ended::Aborted);
    // The run ends when it is asked to, whether the screen worked or not.
    let _ = commands.send(if aborted { Command::Abort } else { Command::Stop }).await;
    drop(commands);
    let _ = task.await;
    let recorded = recorder.await;
    shown?;
    let Ok((fleet, exit_code, record)) = recorded else { return Ok(exit::INTERNAL) };
    print!("{}", summary(&fleet, &style(face)));
    if let Some(trouble) = record.close() {
        eprintln!("murder: {trouble}");
    }
    Ok(exit_code.unwrap_or(exit::INTERNAL))
}

/// How the screen looks and behaves.
pub(super) fn options(face: &FaceOptions) -> TuiOptions {
    TuiOptions {
        theme: face.theme,
        ascii: face.ascii,
        color: face.colors(io::stdout().is_terminal(), env),
        fps: face.fps,
        notify: face.notify,
        mouse: false,
        keymap: face.keymap.clone(),
    }
}
