use std::fmt;

use serde::{Deserialize, Serialize};

use super::errand::Found;
use crate::control::{Failure, FailureKind, HostId, LinkCount, LogLevel, LogSource, Phase, RunId, Wait};

use super::limit::FluidLimit;

/// One thing that happened, in the run's one order of events. Faces, journal and tests see the same stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since the epoch, by the operator's clock.
    pub at: u64,
    /// What.
    #[serde(flatten)]
    pub body: Body,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Body {
    /// The first event: who takes part. The payload may still be packed.
    Planned(Box<Plan>),
    /// How far packing is, at most 10 times a second.
    Packing {
        /// Bytes read.
        done: u64,
        /// Bytes to read.
        total: u64,
    },
    /// The payload is packed; sizes and hashes are known. For commands that ship nothing it follows the plan at once.
    Started(Box<RunInfo>),
    /// A host is in another state, or in another attempt.
    Host {
        /// Which.
        host: HostId,
        /// Attempt, from 1; 0 before the first.
        attempt: u32,
        /// The new state.
        state: HostState,
    },
    /// How a host's transfer or unpacking stands, at most once a second a host.
    Progress {
        /// Which.
        host: HostId,
        /// Its numbers.
        progress: Box<HostProgress>,
    },
    /// A mark is set on a host or taken off.
    Mark {
        /// Which.
        host: HostId,
        /// What it says.
        mark: Mark,
        /// Set or taken off.
        on: bool,
        /// One sentence, empty when taken off.
        message: String,
    },
    /// What the seeder did, once a second while it works.
    Seeder(Box<SeederProgress>),
    /// The least possible time and what binds it: by the given rates at the start, later by those that links were seen
    /// to carry where none is given. At most once a second, when it changed.
    Limit(FluidLimit),
    /// A line for the log.
    Log(LogLine),
    /// The barrier between staging and activation.
    Barrier(BarrierState),
    /// The link on a host points at the release now.
    Activated {
        /// Which.
        host: HostId,
        /// Milliseconds since the epoch by the operator's clock, so that skew can be told.
        // The event's own `at` is flattened into the same object.
        #[serde(rename = "switched_at")]
        at: u64,
        /// The tag that it pointed at before, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<String>,
    },
    /// The link on a host points again at what was current before this run.
    RolledBack {
        /// Which.
        host: HostId,
        /// Tag that it points at.
        tag: String,
    },
    /// What an errand (`check`, `releases`, `clean`) found on a host.
    Found {
        /// Which.
        host: HostId,
        /// What.
        // Tagged by its own word, inside.
        result: Box<Found>,
    },
    /// Something must be asked of the user; the run waits for [`super::Command::Answer`].
    Question(Question),
    /// A question is answered or no longer needed.
    QuestionDone {
        /// Which.
        id: u32,
    },
    /// The user or a signal ends the run.
    Stopping {
        /// Why, one line.
        reason: String,
    },
    /// Every host is final: agents left, locks are released. A retry wakes the run up again.
    Resting(Box<Summary>),
    /// The last event.
    Finished(Box<Summary>),
}

/// Who takes part in a run, known before anything is contacted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Name of the run.
    pub run: RunId,
    /// Word of the command: `deploy`, `demo`, `activate`, `rollback`, `check`, …
    pub command: String,
    /// The release, empty if none is meant.
    pub tag: String,
    /// The payload as the user named it, empty if there is none.
    pub payload: String,
    /// The inventory that was used, as the user would name it.
    pub inventory: String,
    /// Hosts in order; a [`HostId`] is an index into it.
    pub hosts: Vec<HostInfo>,
    /// Attempts a host gets by itself, the first included.
    pub attempts: u32,
    /// Whether the release is activated when staged.
    pub activate: bool,
    /// Whether the barrier stays closed until the user opens it.
    pub hold: bool,
    /// Folder where the run is recorded.
    pub folder: String,
}

/// A host as faces show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInfo {
    /// Name in the inventory.
    pub name: String,
    /// `user@address:port` as dialled, for the detail pane.
    pub address: String,
    /// Folder of releases.
    pub dest: String,
    /// Groups it belongs to.
    pub groups: Vec<String>,
    /// Rack, empty if not said.
    pub rack: String,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// Limit of its rate in bytes a second, if the inventory says one.
    pub rate: Option<u64>,
}

/// What is shipped; all zero and empty if nothing is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Unpacked bytes.
    pub bytes: u64,
    /// Bytes of the artifact, which is what a host without anything must fetch.
    pub packed_bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
    /// Pieces of the artifact.
    pub pieces: u32,
    /// Bytes of a piece.
    pub piece_length: u32,
    /// SHA-1 of the info dictionary, hex; empty if nothing is shipped.
    pub info_hash: String,
    /// SHA-256 of the manifest, hex; empty if nothing is shipped.
    pub manifest: String,
    /// The least time by the fluid limit in seconds, if rates are known.
    pub least_seconds: Option<f64>,
    /// What was left out by ignore rules, a count.
    pub ignored: u64,
}

/// A host's state; final ones are `Active`, `Done`, `Failed`, `Cancelled`, `Skipped`, and `Staged` in a run that activates nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum HostState {
    /// Waits for a place to dial, or for its next attempt.
    Queued {
        /// Why it waits, one line; empty for its first turn.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// TCP, host key, login.
    Connecting,
    /// The agent is found or sent.
    Launching,
    /// Preflight and lock.
    Checking,
    /// Pieces come in.
    Fetching,
    /// All pieces are here; the manifest is checked.
    Verifying,
    /// Files are written.
    Unpacking,
    /// The release folder is in place.
    Staged {
        /// It was there before.
        already: bool,
    },
    /// Hooks and switch.
    Activating,
    /// `current` points at the release.
    Active,
    /// What the errand asked was answered; the last state of `check`, `releases` and `clean`.
    Done,
    /// Given up after its attempts.
    Failed(Failure),
    /// The user gave it up.
    Cancelled,
    /// Never tried, because the run ended first; with the reason.
    Skipped {
        /// Why.
        reason: String,
    },
}

impl HostState {
    /// The bare name of the state.
    pub fn name(&self) -> StateName {
        match self {
            Self::Queued { .. } => StateName::Queued,
            Self::Connecting => StateName::Connecting,
            Self::Launching => StateName::Launching,
            Self::Checking => StateName::Checking,
            Self::Fetching => StateName::Fetching,
            Self::Verifying => StateName::Verifying,
            Self::Unpacking => StateName::Unpacking,
            Self::Staged { .. } => StateName::Staged,
            Self::Activating => StateName::Activating,
            Self::Active => StateName::Active,
            Self::Done => StateName::Done,
            Self::Failed(_) => StateName::Failed,
            Self::Cancelled => StateName::Cancelled,
            Self::Skipped { .. } => StateName::Skipped,
        }
    }
}

/// A state without its data, in the order of a host's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are those of HostState")]
pub enum StateName {
    Queued,
    Connecting,
    Launching,
    Checking,
    Fetching,
    Verifying,
    Unpacking,
    Staged,
    Activating,
    Active,
    Done,
    Failed,
    Cancelled,
    Skipped,
}

impl StateName {
    /// All names, in the order of a host's way.
    pub const ALL: [Self; 14] = [
        Self::Queued,
        Self::Connecting,
        Self::Launching,
        Self::Checking,
        Self::Fetching,
        Self::Verifying,
        Self::Unpacking,
        Self::Staged,
        Self::Activating,
        Self::Active,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
        Self::Skipped,
    ];

    /// The word shown to users and written to JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Connecting => "connecting",
            Self::Launching => "launching",
            Self::Checking => "checking",
            Self::Fetching => "fetching",
            Self::Verifying => "verifying",
            Self::Unpacking => "unpacking",
            Self::Staged => "staged",
            Self::Activating => "activating",
            Self::Active => "active",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }

    /// Whether a host in this state is on its way: neither final nor staged.
    pub fn is_in_flight(self) -> bool {
        self == Self::Queued || self.phase().is_some()
    }

    /// The phase that a host in this state is in, if it works.
    pub fn phase(self) -> Option<Phase> {
        Some(match self {
            Self::Connecting => Phase::Connecting,
            Self::Launching => Phase::Launching,
            Self::Checking => Phase::Checking,
            Self::Fetching => Phase::Fetching,
            Self::Verifying => Phase::Verifying,
            Self::Unpacking => Phase::Unpacking,
            Self::Activating => Phase::Activating,
            _ => return None,
        })
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A host's numbers, as of its last report. Byte counters run from the start of the attempt's agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HostProgress {
    /// Bytes verified (fetching) or written (unpacking).
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// Payload bytes received, duplicates included.
    pub down: u64,
    /// Payload bytes sent to other hosts.
    pub up: u64,
    /// Bytes a second.
    pub down_rate: u64,
    /// Bytes a second.
    pub up_rate: u64,
    /// Hosts connected.
    pub peers: u32,
    /// Of `done`, bytes that were on the host before.
    pub reused: u64,
    /// Payload bytes that came through SSH.
    pub from_seeder: u64,
    /// Block bytes received beyond the first copy.
    pub duplicate: u64,
    /// What the fetch waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Wait>,
    /// Bytes by neighbour, if they came with this report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkCount>,
}

/// Something to know about a host beside its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// No verified piece for a while, not yet the stall timeout.
    Stalled,
    /// Far slower than the others.
    Slow,
    /// Has not reported for 3 s. Set by the faces' own clock, never sent.
    Silent,
    /// Reaches no other host; lives from its SSH connection.
    SshOnly,
}

impl Mark {
    /// The words shown to users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stalled => "stalled",
            Self::Slow => "slow",
            Self::Silent => "silent",
            Self::SshOnly => "ssh only",
        }
    }
}

/// What the operator's seeder did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SeederProgress {
    /// Payload bytes sent, repeats included.
    pub sent: u64,
    /// Bytes a second.
    pub rate: u64,
    /// Hosts that are fed now.
    pub feeds: u32,
    /// Pieces by the number of hosts that hold them: index 0 is "none", the last counts all beyond.
    pub copies: Vec<u32>,
    /// The hosts hold at least one full copy between them: the seeder may leave.
    pub may_leave: bool,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The host, if it is about one.
    pub host: Option<HostId>,
    /// How grave.
    pub level: LogLevel,
    /// Whose words.
    pub source: LogSource,
    /// The line.
    pub message: String,
}

/// The barrier between staging and activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BarrierState {
    /// Hosts staged.
    pub staged: u32,
    /// Hosts failed.
    pub failed: u32,
    /// Hosts on their way.
    pub waiting: u32,
    /// It is open: what is staged is activated.
    pub open: bool,
    /// It stays closed until the user opens it.
    pub held: bool,
}

/// A question for the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// To name it in the answer.
    pub id: u32,
    /// What is asked, one line: `passphrase for ~/.ssh/id_ed25519`.
    pub prompt: String,
    /// Whether the answer may be shown while typed.
    pub echo: bool,
}

/// How a run ended, or rests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The run.
    pub run: RunId,
    /// Exit code of the command if it ended now.
    pub exit: u8,
    /// Since the start of the run.
    pub seconds: f64,
    /// Hosts active.
    pub active: u32,
    /// Hosts on which an errand was done.
    #[serde(default)]
    pub done: u32,
    /// Hosts staged and not active.
    pub staged: u32,
    /// Hosts failed.
    pub failed: u32,
    /// Hosts cancelled or skipped.
    pub cancelled: u32,
    /// Why nothing more is activated, if a canary, a batch or `--max-fail` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shut: Option<String>,
    /// The transfer.
    pub swarm: SwarmSummary,
    /// Failures with the same kind and message, largest first.
    pub failures: Vec<FailureGroup>,
    /// The switch of the link; `None` if no host was switched.
    #[serde(default)]
    pub activation: Option<ActivationSummary>,
    /// What could not be removed, by host.
    pub left_behind: Vec<(HostId, String)>,
    /// Hosts that could not be asked whether anything is left, and why. What is there ends by its lease.
    #[serde(default)]
    pub unchecked: Vec<(HostId, String)>,
}

/// The activation in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ActivationSummary {
    /// Hosts whose link was switched.
    pub hosts: u32,
    /// From the first host's switch to the last one's, by the operator's clock.
    pub seconds: f64,
}

/// The transfer in numbers. Field for field as in SPEC.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SwarmSummary {
    /// What a host without anything must fetch, bytes.
    pub bytes: u64,
    /// Hosts that fetched.
    pub hosts: u32,
    /// From the first host's `fetching` to the last host's end of it.
    pub seconds: f64,
    /// The fluid limit, if rates are known.
    pub least_seconds: Option<f64>,
    /// Payload bytes sent by the seeder, repeats included.
    pub seeder_bytes: u64,
    /// Block bytes received beyond the first.
    pub duplicate_bytes: u64,
    /// Bytes of hosts that live from SSH alone.
    pub ssh_only_bytes: u64,
    /// Bytes that were on the hosts before.
    pub reused_bytes: u64,
    /// Bytes of agents sent.
    pub agent_bytes: u64,
}

impl SwarmSummary {
    /// The fluid limit, if the transfer can be compared with it: what was on the hosts before did not need that time.
    pub fn comparable_least(&self) -> Option<f64> {
        self.least_seconds.filter(|least| self.reused_bytes == 0 && *least > 0.0)
    }
}

/// Hosts that failed for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureGroup {
    /// The kind.
    pub kind: FailureKind,
    /// The message that they share.
    pub message: String,
    /// Who, never folded.
    pub hosts: Vec<HostId>,
}
