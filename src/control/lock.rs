use std::fmt;

use serde::{Deserialize, Serialize};

use super::RunId;

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
        write!(f, "run {} of {} (pid {})", self.run, self.operator, self.operator_pid)
    }
}
