use crate::control::HostId;
use crate::ssh::Secret;

/// What a face asks of a run. Given to [`crate::deploy`]; what becomes of it is seen in the events.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Try these hosts again; those that are neither failed nor cancelled are left alone.
    Retry(Vec<HostId>),
    /// Try every failed host again.
    RetryFailed,
    /// Leave these hosts as they were before they were tried again: failed, as they had, or cancelled. Those in a final state are
    /// left alone.
    TakeBack(Vec<HostId>),
    /// Give these hosts up; those in a final state are left alone.
    Cancel(Vec<HostId>),
    /// Open the barrier now: activate what is staged.
    Activate,
    /// Switch the hosts that this run activated back to what was current before.
    Rollback,
    /// Change limits while the run goes on; `None` leaves one as it is, `Some(None)` lifts it. Bytes a second.
    Throttle {
        /// Each host, both directions.
        host: Option<Option<u64>>,
        /// The seeder.
        seed: Option<Option<u64>>,
    },
    /// How long agents live without the operator, seconds; sent before a suspend and after it.
    Lease(u64),
    /// The answer to a question, `None` if it was refused.
    Answer {
        /// Which question.
        id: u32,
        /// The user's words. Never logged.
        secret: Option<Secret>,
    },
    /// End cleanly: agents leave, locks are released, what is not final is cancelled.
    Stop,
    /// End at once; agents end by their lease.
    Abort,
}
