use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::minute;

use super::RunId;

/// Starts the message of `locked` where it is the same run that holds DEST under another of the machine's names, which follows.
pub const SAME_DEST: &str = "same DEST as ";

/// Who holds DEST. Written to the lock on the host and told to whoever finds it taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockOwner {
    /// The run that took it.
    pub run: RunId,
    /// The host's name in that run's inventory.
    pub host: String,
    /// `user@machine` of the operator.
    pub operator: String,
    /// Process of the operator on its machine.
    pub operator_pid: u32,
    /// Seconds since the epoch, by the host's clock.
    pub since: u64,
}

impl fmt::Display for LockOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, operator, operator_pid, since, .. } = self;
        write!(f, "run {run} of {operator} (pid {operator_pid}) since {}", minute(since.saturating_mul(1000)))
    }
}
