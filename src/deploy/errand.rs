use serde::{Deserialize, Serialize};

use crate::control::{HostId, Release};

/// What a run does on each host that ships nothing and switches nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// Find out what a deployment would fail on.
    Check {
        /// Bytes that the deployment would unpack on each host; 0 if nobody says.
        bytes: u64,
    },
    /// List what is there.
    Releases,
    /// Remove partial data, old releases and agents.
    Clean {
        /// Releases to keep besides current and the one before.
        keep: u32,
    },
}

impl Errand {
    /// Whether it changes nothing below DEST.
    pub fn is_read_only(self) -> bool {
        !matches!(self, Self::Clean { .. })
    }

    /// Whether hosts wait for each other: they dial each other's swarm ports.
    pub(super) fn is_together(self) -> bool {
        matches!(self, Self::Check { .. })
    }
}

/// What an errand found on a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "found", rename_all = "snake_case")]
pub enum Found {
    /// By `check`.
    Checkup(Checkup),
    /// By `releases`, by tag.
    Releases {
        /// All releases below DEST.
        releases: Vec<Release>,
    },
    /// By `clean`.
    Cleaned(Cleaned),
}

/// How fit a host is for a deployment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkup {
    /// Bytes free for the user below DEST.
    pub free_bytes: u64,
    /// Inodes free below DEST; `None` where the file system does not count them.
    pub free_inodes: Option<u64>,
    /// Tag that the link points at.
    pub current: Option<String>,
    /// The host's clock less the operator's, milliseconds; as exact as half the time that the answer took.
    pub clock_offset_ms: Option<i64>,
    /// Hosts whose swarm port it reached.
    pub reaches: Vec<HostId>,
    /// Hosts whose swarm port it did not reach, and why.
    pub blocked: Vec<(HostId, String)>,
}

/// What was removed from a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleaned {
    /// Bytes freed below DEST.
    pub bytes: u64,
    /// Releases removed.
    pub tags: Vec<String>,
    /// Files of agents removed.
    pub agents: u32,
    /// Leftover agents that were ended.
    pub ended: u32,
}
