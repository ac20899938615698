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

/// Why a host failed. The one table of kinds: word, cause, whether a retry may help by itself, advice.
///
#[doc = include_str!("failures.md")]
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
        self.row().word
    }

    /// What leads to it, one line.
    pub fn cause(self) -> &'static str {
        self.row().cause
    }

    /// Whether the same attempt, made again a little later, may succeed without anybody's help.
    pub fn retryable(self) -> bool {
        self.row().retryable
    }

    /// What a person can do about it, one line.
    pub fn advice(self) -> &'static str {
        self.row().advice
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

/// What is known of a kind.
struct Row {
    word: &'static str,
    cause: &'static str,
    retryable: bool,
    advice: &'static str,
}

/// By kind, in the order of [`FailureKind::ALL`].
const ROWS: [Row; FailureKind::ALL.len()] = [
    Row {
        word: "resolve",
        cause: "there is no address for the name",
        retryable: false,
        advice: "check the name, then retry; or give the host an `address` in the inventory and deploy again",
    },
    Row {
        word: "unreachable",
        cause: "no route leads to the host",
        retryable: true,
        advice: "check that the host is up and that a route leads to it, then retry",
    },
    Row {
        word: "refused",
        cause: "the connection was refused or reset before the login",
        retryable: true,
        advice: "check that sshd runs on that port of the host, then retry",
    },
    Row {
        word: "timeout",
        cause: "no answer within the connect timeout, or no word of the agent within a phase's timeout",
        retryable: true,
        advice: "check host and firewall; if it is only slow, raise --connect-timeout or --stall-timeout",
    },
    Row {
        word: "host_key",
        cause: "the host key is changed, revoked, or unknown under `strict`",
        retryable: false,
        advice: "if the host was reinstalled: `ssh-keygen -R HOST`, then retry; else find out who answers there",
    },
    Row {
        word: "auth",
        cause: "all ways to log in were refused, or a question could not be asked",
        retryable: false,
        advice: "check user and key: `ssh HOST true` must work without a question, then retry",
    },
    Row {
        word: "launch",
        cause: "the agent did not start; the host's own words are told",
        retryable: false,
        advice: "see the host's own words below; its shell must be able to run a program",
    },
    Row {
        word: "arch",
        cause: "there is no agent for the host's system",
        retryable: false,
        advice: "build an agent for that system and name its folder in MURDER_AGENTS",
    },
    Row {
        word: "disk_full",
        cause: "no space, inodes or quota left, or too little of them before the transfer",
        retryable: false,
        advice: "free space on the host, then retry; a deploy with --keep 2 leaves fewer old releases",
    },
    Row {
        word: "permission",
        cause: "the user may not write there, or the file system is read-only",
        retryable: false,
        advice: "give the user write access to DEST, or remount what is read-only, then retry; or set `become: sudo` and deploy again",
    },
    Row {
        word: "dest_exists",
        cause: "the tag is there with other content, or the link's place is taken by something that is no link",
        retryable: false,
        advice: "where the tag is taken, deploy with another --tag; what stands in the link's place must be moved away, then retry",
    },
    Row {
        word: "locked",
        cause: "another run holds DEST, or this one under another name of the same machine",
        retryable: false,
        advice: "wait for the other run to end, then retry; or name the machine only once in the inventory and deploy again",
    },
    Row {
        word: "port_blocked",
        cause: "only in `check`: other hosts do not reach the swarm port",
        retryable: false,
        advice: "open the swarm ports between the hosts (--ports), or let it go over SSH",
    },
    Row {
        word: "stalled",
        cause: "no verified byte for the stall timeout; the message says what it waited for",
        retryable: true,
        advice: "see the diagnosis; a retry goes on from the verified pieces",
    },
    Row {
        word: "hash_mismatch",
        cause: "what the host holds is not what was named over SSH",
        retryable: true,
        advice: "retry; if it comes again, check the host's disk and memory",
    },
    Row {
        word: "unpack",
        cause: "the release could not be written out, for a reason that has no kind of its own",
        retryable: false,
        advice: "see the path in the message, mend it on the host, then retry",
    },
    Row {
        word: "hook",
        cause: "a hook exited with another code than 0, or ran into its timeout",
        retryable: false,
        advice: "see the hook's last lines, mend the cause on the host, then retry",
    },
    Row {
        word: "activate",
        cause: "the link could not be switched, or the release is not on the host",
        retryable: false,
        advice: "see the message; `current` was left as it was",
    },
    Row {
        word: "lost",
        cause: "the connection or the agent was gone after the launch",
        retryable: true,
        advice: "check that the host is up; a retry goes on from the verified pieces",
    },
    Row {
        word: "internal",
        cause: "a fault of ours",
        retryable: false,
        advice: "this is a fault of murder: please report it with the run's folder",
    },
];

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Ends the message of `dest_exists` where the release's own folder is taken: no retry mends that, only another tag.
pub const OTHER_CONTENT: &str = "is there with other content";

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

    /// Whether the tag is taken by something else, so that the same attempt can only fail again.
    pub fn needs_other_tag(&self) -> bool {
        self.kind == FailureKind::DestExists && self.message.ends_with(OTHER_CONTENT)
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
    fn the_documented_table_is_the_one_that_is_used() {
        let mut table =
            String::from("| kind | cause | tried again by itself | what to do |\n|---|---|---|---|\n");
        for kind in FailureKind::ALL {
            let again = if kind.retryable() { "yes" } else { "no" };
            table += &format!("| `{kind}` | {} | {again} | {} |\n", kind.cause(), kind.advice());
        }
        assert_eq!(include_str!("failures.md"), table, "src/control/failures.md must be:\n{table}");
    }

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
