//! A run as events on disk, written while it goes on and read back by `show`, `retry` and `replay`.
//!
//! A run lies in `$XDG_STATE_HOME/murder/runs/RUN/`, for its owner's eyes only:
//!
//! | file | holds |
//! |---|---|
//! | `run.json` | a [`Record`]: what was asked for, with resolved hosts and options |
//! | `status.json` | a [`Status`]: one small object for listings, with the outcome once there is one |
//! | `events.jsonl` | one [`crate::deploy::Event`] a line; locked while the run's process lives |
//! | `manifest.zst` | the manifest of what was shipped, so that later releases are laid out for hosts that hold it |
//! | `log.txt` | the log's lines, for people |
//! | `trace.log` | what `murder` itself traced, to find its faults |
//! | `hosts/NAME.stderr` | the last words of a host: standard error, hooks, details of failures |

mod bases;
mod error;
mod folder;
mod history;
mod read;
mod record;
mod replay;
#[cfg(test)]
pub(crate) mod script;
#[cfg(test)]
pub(crate) mod script_errands;
mod stderr;
#[cfg(test)]
mod tests;
mod thin;
mod writer;

pub use bases::bases;
pub use error::JournalError;
pub use folder::root;
pub use history::{Retention, Run, RunState, Which, find, last, previous, prune, runs};
pub use read::{Events, Recorded, Unfinished};
pub use record::{Meta, Outcome, Record, Status};
pub use replay::Replay;
pub use writer::Journal;

pub use crate::clock::{compact, now, rfc3339};
