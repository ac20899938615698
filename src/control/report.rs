use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Failure, HostId, LockOwner};

/// What an agent says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Report {
    /// The first line, behind the marker.
    Hello(Hello),
    /// It outlives its connection from now on.
    Resumable {
        /// Where it may be come back to, on loopback.
        port: u16,
    },
    /// The operator is back. What it has not heard follows.
    Resumed {
        /// Numbered requests that were heard in all.
        heard: u64,
        /// Number of the next report that is counted, from 0.
        next: u64,
    },
    /// Preflight passed; the lock is held if it was asked for.
    Checked(Box<Checked>),
    /// The engine runs; `done` bytes were there already, from an earlier attempt or the release before.
    Joined {
        /// Bytes in verified pieces.
        done: u64,
        /// Of these, bytes that were made from earlier releases just now.
        reused: u64,
    },
    /// How the fetch goes: at most once a second while it changes, and every two seconds while it stands still, so that
    /// silence means that the agent or its connection is in trouble.
    Progress(Box<Progress>),
    /// All pieces are here. The host goes on sending to others.
    Fetched(Box<Progress>),
    /// The artifact holds the manifest that was named over SSH.
    Verified,
    /// Unpacking, at most once a second.
    Unpacking {
        /// Bytes written and checked.
        done: u64,
        /// Bytes of the release.
        total: u64,
    },
    /// The release folder is in place.
    Staged {
        /// It was there before with the same manifest.
        already: bool,
    },
    /// The hook before activation passed, or there is none.
    Ready,
    /// The hook after it failed, and the link points at the release before again.
    SwitchedBack {
        /// That release.
        tag: String,
    },
    /// The link points at the tag.
    Activated {
        /// Milliseconds since the epoch, by the host's clock.
        at_ms: u64,
        /// Where it pointed before.
        previous: Option<String>,
    },
    /// The hook after activation passed, or there is none; old releases are removed.
    Settled,
    /// What is on the host.
    Releases {
        /// All releases, by tag.
        releases: Vec<Release>,
    },
    /// What `clean` removed.
    Cleaned {
        /// Bytes freed.
        bytes: u64,
        /// Tags removed.
        tags: Vec<String>,
        /// Files of agents removed, its own among them.
        #[serde(default)]
        agents: u32,
        /// Leftover agents that it ended.
        #[serde(default)]
        ended: u32,
    },
    /// Which of the probed peers answered.
    Probed {
        /// Reached.
        open: Vec<HostId>,
        /// Not reached, and why.
        closed: Vec<(HostId, String)>,
    },
    /// A neighbour sent a piece that does not match its hash, and was dropped.
    BadPiece {
        /// Who sent it.
        from: HostId,
        /// Which piece.
        piece: u32,
    },
    /// Something for the log.
    Log {
        /// How grave.
        level: LogLevel,
        /// Whose words.
        source: LogSource,
        /// One line.
        message: String,
    },
    /// The way ends here. The agent still answers `bye`.
    Failed(Failure),
    /// Clean leave: what is left of the run on this host, nothing if all is well.
    Bye {
        /// One line for each thing that could not be removed.
        left: Vec<String>,
    },
}

impl Report {
    /// Whether both ends count it, so that it is told again when a connection is lost before it was heard. Of what goes by,
    /// the next report says more.
    pub fn is_numbered(&self) -> bool {
        !matches!(
            self,
            Self::Hello(_)
                | Self::Progress(_)
                | Self::Unpacking { .. }
                | Self::Resumable { .. }
                | Self::Resumed { .. }
        )
    }
}

/// The agent introduces itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`super::VERSION`].
    pub v: u32,
    /// Version of murder.
    pub version: String,
    /// Its process on the host.
    pub pid: u32,
    /// Host name by uname.
    pub hostname: String,
    /// User by number.
    pub uid: u32,
    /// Milliseconds since the epoch, by the host's clock.
    pub clock_ms: u64,
}

/// Outcome of the preflight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// What is under the tag.
    pub present: Present,
    /// Tag that the link points at.
    pub current: Option<String>,
    /// Bytes free for this user below DEST.
    pub free_bytes: u64,
    /// Inodes free below DEST; `u64::MAX` where the file system does not count them.
    pub free_inodes: u64,
    /// Bytes of verified pieces kept from an earlier attempt.
    pub partial_bytes: u64,
    /// Identity of the machine and of DEST on it, to find two names of one place.
    pub place: String,
    /// Where others may dial the agent, best first. Empty if it listens nowhere but on loopback.
    pub addresses: Vec<IpAddr>,
    /// Its swarm port, the same on loopback; 0 when it does not listen.
    pub port: u16,
    /// A dead run's lock that was taken over.
    pub took_over: Option<LockOwner>,
    /// SHA-256 of the manifests of releases on the host, hex, the newest first; empty when nothing is to be fetched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holdings: Vec<String>,
}

/// What stands under a tag on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Present {
    /// Nothing.
    Absent,
    /// The same release.
    Same,
    /// Something else.
    Other,
}

/// How a host's fetch stands. All counters run from the start of the agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes in verified pieces.
    pub done: u64,
    /// Bytes of the artifact.
    pub total: u64,
    /// Payload bytes received from other hosts and the seeder, duplicates included.
    pub down: u64,
    /// Payload bytes sent to other hosts.
    pub up: u64,
    /// Block bytes received beyond the first copy.
    pub duplicate: u64,
    /// Payload bytes received through SSH (from the seeder).
    pub from_seeder: u64,
    /// Mean of the last seconds, bytes a second.
    pub down_rate: u64,
    /// Mean of the last seconds, bytes a second.
    pub up_rate: u64,
    /// Hosts connected, the seeder not counted.
    pub peers: u32,
    /// What the fetch waited for since the last report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Wait>,
    /// Bytes by neighbour; sent when they changed, at most each 5 s, else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkCount>,
    /// Verified pieces as a bit field, base64, most significant bit first; sent at most each 2 s while it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pieces: Option<String>,
}

/// Shares of the time since the last report, in percent; what is missing to 100 went into moving bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// No neighbour has a piece that is needed.
    pub no_piece: u8,
    /// Requests are out, and the neighbours' links deliver slowly.
    pub peers: u8,
    /// Those that have what is needed do not serve: they choke, or stopped sending.
    #[serde(default)]
    pub choked: u8,
    /// The limit of our own rate.
    pub limit: u8,
    /// Disk writes.
    pub disk: u8,
    /// Hashing, or no turn of the CPU at all.
    pub cpu: u8,
}

/// Bytes exchanged with one neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkCount {
    /// The neighbour, or the seeder.
    pub id: HostId,
    /// Address that it is connected at; `null` when it is not connected now, or through SSH.
    pub address: Option<SocketAddr>,
    /// Payload bytes from it.
    pub down: u64,
    /// Payload bytes to it.
    pub up: u64,
}

/// A release on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its name.
    pub tag: String,
    /// SHA-256 of its manifest, hex; `null` if there is no record of it.
    pub manifest: Option<String>,
    /// Unpacked bytes by its manifest.
    pub bytes: Option<u64>,
    /// Seconds since the epoch when it was staged.
    pub staged_at: Option<u64>,
    /// Seconds since the epoch when it was last activated.
    pub activated_at: Option<u64>,
    /// The link points at it.
    pub current: bool,
    /// Tag that the link pointed at before it was last switched to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

/// How grave a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Only with -v.
    Debug,
    /// Worth a line.
    Info,
    /// Somebody should know.
    Warn,
    /// Something failed.
    Error,
}

/// Whose words a line of the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// Ours.
    Murder,
    /// The remote's standard error.
    Stderr,
    /// A hook's output.
    Hook,
}
