use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{HostId, RunId, RunKey};

/// What the operator asks of an agent. Each is answered by a [`super::Report`] named in its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Request {
    /// The first: preflight, and the lock if asked for. Answered by `checked`.
    Begin(Box<Begin>),
    /// A part of the bencoded info dictionary, in order; no answer.
    Metainfo {
        /// Length of the whole, bytes.
        total: u64,
        /// This part, base64 of at most 45,000 bytes.
        data: String,
    },
    /// A part of what says how to make pieces from a release that the host holds (a [`crate::payload::Recipe`]), in order; more than one
    /// may come, one after the other. No answer.
    Recipe {
        /// Length of the whole, bytes.
        total: u64,
        /// This part, base64 of at most 45,000 bytes.
        data: String,
    },
    /// Join the swarm with the metainfo sent before. Answered by `joined`, then `progress`, at last `verified`.
    Fetch(Box<Fetch>),
    /// Peers that can be dialled from now on, and such as are gone; no answer.
    Neighbours {
        /// New ones, or new addresses of known ones.
        add: Vec<Neighbour>,
        /// Gone ones.
        remove: Vec<HostId>,
    },
    /// Limit of each direction in bytes a second, `null` for none; no answer.
    Rate {
        /// The limit.
        bytes_per_second: Option<u64>,
    },
    /// Unpack and rename into place. Answered by `unpacking`, then `staged`.
    Stage,
    /// Run the hook before activation in the release's folder. Answered by `ready`.
    Before {
        /// The hook, if there is one.
        hook: Option<HookLine>,
    },
    /// Switch the link to the tag, then run the hook after. Answered by `activated`, then `settled`.
    Activate {
        /// Tag to switch to.
        tag: String,
        /// The hook after, if there is one.
        hook: Option<HookLine>,
        /// Switch back to the former release when the hook fails.
        rollback_on_failure: bool,
        /// Releases to keep besides current and the one before; `null` removes none.
        keep: Option<u32>,
    },
    /// List what is on the host. Answered by `releases`.
    Releases,
    /// Remove partial data and old releases. Answered by `cleaned`.
    Clean {
        /// Releases to keep besides current and the one before.
        keep: u32,
    },
    /// Try to dial these and say which answered. Answered by `probed`.
    Probe {
        /// Whom to dial.
        peers: Vec<Neighbour>,
    },
    /// Outlive this connection: until the lease ends, who holds the key may come back as the operator through a port of the
    /// host's loopback. To be the first request. Answered by `resumable`.
    Resumable {
        /// This host's number in the run.
        id: HostId,
        /// Lets the operator in, and nobody else: no other host knows it.
        key: RunKey,
    },
    /// The first over a new connection. Answered by `resumed`, then by what was not heard; requests go on behind those that
    /// were.
    Resume {
        /// Numbered reports that the operator has heard in all.
        heard: u64,
    },
    /// The operator lives.
    Heartbeat,
    /// For how long the agent may live without a word of the operator, seconds.
    Lease {
        /// 60 as a rule, more while the operator is suspended.
        seconds: u64,
    },
    /// Leave: lock, port, process and, unless kept for a retry, temporary files. Answered by `bye`, then the end of the stream.
    Bye {
        /// Keep verified pieces for a later attempt.
        keep_partial: bool,
    },
}

impl Request {
    /// Whether both ends count it, so that it is neither lost nor done twice when a connection is.
    pub fn is_numbered(&self) -> bool {
        !matches!(self, Self::Heartbeat | Self::Resumable { .. } | Self::Resume { .. })
    }
}

/// Who asks, and about what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// [`super::VERSION`].
    pub v: u32,
    /// The run.
    pub run: RunId,
    /// This host's number in the run.
    pub id: HostId,
    /// This host's name in the inventory, for hooks and locks.
    pub host: String,
    /// `user@machine` of the operator.
    pub operator: String,
    /// The operator's process.
    pub operator_pid: u32,
    /// Folder of releases on the host, absolute.
    pub dest: String,
    /// Name of the link in DEST.
    pub link: String,
    /// The release; empty when none is meant.
    pub tag: String,
    /// SHA-256 of the manifest of that release, hex; `null` while it is not known or for commands that ship nothing.
    pub manifest: Option<String>,
    /// Take the lock on DEST.
    pub lock: bool,
    /// Change nothing below DEST (`check`, `releases`).
    pub read_only: bool,
    /// Bytes that the unpacked release takes.
    pub unpacked_bytes: u64,
    /// Bytes of the artifact.
    pub packed_bytes: u64,
    /// Bytes that must be free although nothing is shipped.
    pub least_room: u64,
    /// Files and folders of the release, for the inodes.
    pub entries: u64,
    /// Ports for the swarm, first and last; `null` for any.
    pub ports: Option<(u16, u16)>,
    /// Address or net (`10.0.0.0/8`) at which the other hosts reach this one, from the inventory.
    pub swarm: Option<String>,
}

/// What an agent needs to join the swarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fetch {
    /// SHA-1 of the info dictionary, hex.
    pub info_hash: String,
    /// SHA-256 of the release's manifest, hex.
    pub manifest: String,
    /// Lets an end into the swarm.
    pub key: RunKey,
    /// Which life of the host's agent in this run this is: a dial that was recorded before a restart is not answered.
    #[serde(default)]
    pub life: u32,
    /// Limit of each direction in bytes a second.
    pub rate: Option<u64>,
    /// Peers known so far.
    pub neighbours: Vec<Neighbour>,
}

/// A peer of the swarm and where to dial it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Which host.
    pub id: HostId,
    /// Which life of its agent; it answers no dial that means another.
    #[serde(default)]
    pub life: u32,
    /// Its addresses, best first.
    pub addresses: Vec<SocketAddr>,
}

/// A shell line to run on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookLine {
    /// Given to `sh -c`.
    pub command: String,
    /// It is ended after so many seconds.
    pub timeout_seconds: u64,
}
