use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::deploy::{Body, Command, Event, RunHandle};
use crate::exit;
use crate::journal::Journal;
use crate::report::Face;

use super::questions;
use super::signals::{Signals, Wish};

/// Hears every event before any face does.
pub(super) type Listener = Box<dyn FnMut(&Event) + Send>;

/// Where events go besides the face.
pub(super) struct Record {
    pub(super) journal: Option<Journal>,
    pub(super) listener: Option<Listener>,
}

impl Record {
    pub(super) fn hear(&mut self, event: &Event) {
        if let Some(journal) = &self.journal {
            journal.write(event);
        }
        if let Some(listener) = &mut self.listener {
            listener(event);
        }
    }

    /// Ends the record; says what could not be written.
    pub(super) fn close(self) -> Option<String> {
        self.journal.and_then(|journal| journal.close().err()).map(|error| error.to_string())
    }
}

/// Prints a run with a face of lines until it ends. Returns the exit code.
pub(super) async fn follow(
    mut run: RunHandle,
    mut face: Box<dyn Face>,
    mut record: Record,
    mut signals: Signals,
) -> u8 {
    let mut exit_code = exit::INTERNAL;
    let mut asking = JoinSet::new();
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = run.events.recv() => {
                let Some(event) = event else { break };
                record.hear(&event);
                face.event(&event);
                match event.body {
                    Body::Question(question) => {
                        face.hold(true);
                        let commands = run.commands.clone();
                        asking.spawn_blocking(move || questions::answer(&question, &commands));
                    }
                    Body::Finished(summary) => exit_code = summary.exit,
                    _ => {}
                }
            }
            Some(_) = asking.join_next() => face.hold(!asking.is_empty()),
            wish = signals.next() => obey(wish, &run.commands).await,
            _ = tick.tick() => face.tick(crate::journal::now()),
        }
    }
    face.hold(false);
    let _ = run.task.await;
    for trouble in record.close().into_iter().chain(face.trouble()) {
        eprintln!("murder: {trouble}");
    }
    exit_code
}

/// Passes a signal's wish on.
pub(super) async fn obey(wish: Wish, commands: &mpsc::Sender<Command>) {
    let command = match wish {
        Wish::Stop => Command::Stop,
        Wish::Abort => Command::Abort,
        Wish::Detach => return,
    };
    if command == Command::Stop {
        eprintln!("murder: stopping: agents leave and locks are released (Ctrl-C again ends at once)");
    }
    // The run may be over already; then there is nothing to stop.
    let _ = commands.send(command).await;
}
