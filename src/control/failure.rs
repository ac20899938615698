use std::fmt;

use serde::{Deserialize, Serialize};

/// The part of a host's way in which something happened. The names are those of the states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Name, TCP, host key, login.
    Connecting,
    /// Finding or sending the agent, and its first words.
    Launching,
    /// Preflight and lock.
    Checking,
    /// Pieces on their way.
    Fetching,
    /// The artifact against the manifest's hash.
    Verifying,
    /// Files written and checked, release folder renamed into place.
    Unpacking,
    /// Hooks and the switch of `current`.
    Activating,
}

impl Phase {
    /// All phases in the order in which a host passes them.
    pub const ALL: [Self; 7] = [
        Self::Connecting,
        Self::Launching,
        Self::Checking,
        Self::Fetching,
        Self::Verifying,
        Self::Unpacking,
        Self::Activating,
    ];

    /// The word shown to users and written to JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Launching => "launching",
            Self::Checking => "checking",
            Self::Fetching => "fetching",
            Self::Verifying => "verifying",
            Self::Unpacking => "unpacking",
            Self::Activating => "activating",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a host failed. The one table of kinds: word, whether a retry may help by itself, advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No address for the name.
    Resolve,
    /// No route to the host.
    Unreachable,
    /// The connection was refused or reset.
    Refused,
    /// No answer within the connect or a phase's timeout.
    Timeout,
    /// The host key is changed, revoked, or unknown under strict.
    HostKey,
    /// All methods were refused, or a question could not be asked.
    Auth,
    /// The agent did not start.
    Launch,
    /// There is no agent for that system.
    Arch,
    /// ENOSPC, EDQUOT, or too little space at preflight.
    DiskFull,
    /// EACCES, EPERM, EROFS.
    Permission,
    /// The tag is there with other content, or `current` is no link.
    DestExists,
    /// Another run holds DEST.
    Locked,
    /// Only in `check`: the swarm's ports cannot be reached.
    PortBlocked,
    /// No verified byte for the stall timeout.
    Stalled,
    /// The artifact or a file differs from the manifest.
    HashMismatch,
    /// The artifact could not be unpacked.
    Unpack,
    /// A hook exited non-zero or ran into its timeout.
    Hook,
    /// `current` could not be switched.
    Activate,
    /// Connection or agent gone after launch.
    Lost,
    /// A fault of ours.
    Internal,
}

impl FailureKind {
    /// All kinds, in the order of SPEC.
    pub const ALL: [Self; 20] = [
        Self::Resolve,
        Self::Unreachable,
        Self::Refused,
        Self::Timeout,
        Self::HostKey,
        Self::Auth,
        Self::Launch,
        Self::Arch,
        Self::DiskFull,
        Self::Permission,
        Self::DestExists,
        Self::Locked,
        Self::PortBlocked,
        Self::Stalled,
        Self::HashMismatch,
        Self::Unpack,
        Self::Hook,
        Self::Activate,
        Self::Lost,
        Self::Internal,
    ];

    /// The word shown to users and written to JSON.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// Whether the same attempt, made again a little later, may succeed without anybody's help.
    pub fn retryable(self) -> bool {
        self.row().1
    }

    /// What a person can do about it, one line.
    pub fn advice(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (&'static str, bool, &'static str) {
        match self {
            Self::Resolve => {
                ("resolve", false, "check the name, or give the host an `address` in the inventory")
            }
            Self::Unreachable => {
                ("unreachable", true, "check that the host is up and that a route leads to it, then retry")
            }
            Self::Refused => ("refused", true, "check that sshd runs on that port of the host, then retry"),
            Self::Timeout => {
                ("timeout", true, "check host and firewall; if it is only slow, raise --connect-timeout")
            }
            Self::HostKey => (
                "host_key",
                false,
                "if the host was reinstalled: `ssh-keygen -R HOST`, then retry; else find out who answers there",
            ),
            Self::Auth => (
                "auth",
                false,
                "check user and key: `ssh HOST true` must work without a question, then retry",
            ),
            Self::Launch => {
                ("launch", false, "see the host's own words below; its shell must be able to run a program")
            }
            Self::Arch => {
                ("arch", false, "build an agent for that system and name its folder in MURDER_AGENTS")
            }
            Self::DiskFull => (
                "disk_full",
                false,
                "free space on the host, then retry; a deploy with --keep 2 leaves fewer old releases",
            ),
            Self::Permission => {
                ("permission", false, "give the user write access to DEST, or set `become: sudo`, then retry")
            }
            Self::DestExists => {
                ("dest_exists", false, "choose another --tag, or remove that release from the host")
            }
            Self::Locked => ("locked", false, "wait for the other run to end, then retry"),
            Self::PortBlocked => (
                "port_blocked",
                false,
                "open the swarm ports between the hosts (--ports), or let it go over SSH",
            ),
            Self::Stalled => ("stalled", true, "see the diagnosis; a retry goes on from the verified pieces"),
            Self::HashMismatch => {
                ("hash_mismatch", true, "retry; if it comes again, check the host's disk and memory")
            }
            Self::Unpack => ("unpack", false, "see the path in the message, mend it on the host, then retry"),
            Self::Hook => {
                ("hook", false, "see the hook's last lines, mend the cause on the host, then retry")
            }
            Self::Activate => ("activate", false, "see the message; `current` was left as it was"),
            Self::Lost => {
                ("lost", true, "check that the host is up; a retry goes on from the verified pieces")
            }
            Self::Internal => {
                ("internal", false, "this is a fault of murder: please report it with the run's folder")
            }
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What went wrong on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Where on its way.
    pub phase: Phase,
    /// The named cause.
    pub kind: FailureKind,
    /// A lowercase fragment: what was tried, on what, why it failed.
    pub message: String,
    /// The remote's own last words, oldest first; may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detail: Vec<String>,
}

impl Failure {
    /// A failure without remote output.
    pub fn new(phase: Phase, kind: FailureKind, message: impl Into<String>) -> Self {
        Self { phase, kind, message: message.into(), detail: Vec::new() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_users_and_of_json_are_the_same() {
        for kind in FailureKind::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        for phase in Phase::ALL {
            assert_eq!(serde_json::to_string(&phase).unwrap(), format!("\"{phase}\""));
        }
    }
}
