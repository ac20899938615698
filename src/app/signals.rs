use tokio::signal::unix::{Signal, SignalKind, signal};

use super::AppError;

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
    pub(super) fn new() -> Result<Self, AppError> {
        let listen =
            |kind| signal(kind).map_err(|error| AppError::System { what: "listen to signals", error });
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
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
