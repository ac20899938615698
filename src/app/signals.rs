use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// End cleanly.
    Stop,
    /// End now.
    Abort,
    /// The terminal is gone; the run goes on without it.
    Detach,
}

/// SIGINT, SIGTERM and SIGHUP as wishes. The second SIGINT or SIGTERM is the impatient one.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    stopping: bool,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            stopping: false,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => return Wish::Detach,
        }
        if std::mem::replace(&mut self.stopping, true) { Wish::Abort } else { Wish::Stop }
    }
}
