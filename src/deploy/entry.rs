use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::control::Progress;

use super::errand::Checkup;
use super::event::Mark;
use super::host::Host;
use super::reach::Reach;

/// All that the coordinator knows of a host.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) host: Host,
    /// An agent answered and has not left.
    pub(super) agent: bool,
    /// A worker of an attempt is at it, from `Connect` to its last word.
    pub(super) worker: bool,
    /// Its lock was taken, or its first attempt ended: it does not keep the gate shut any more.
    pub(super) past_gate: bool,
    /// Identity of machine and DEST.
    pub(super) place: Option<String>,
    /// Where others dial it.
    pub(super) addresses: Vec<SocketAddr>,
    /// Port on its loopback, for the seeder; 0 when unknown.
    pub(super) port: u16,
    /// Which neighbours its agent reaches.
    pub(super) reach: Reach,
    /// Manifests of the releases on it, hex, until it joins the swarm.
    pub(super) holdings: Vec<String>,
    pub(super) progress: Progress,
    pub(super) reused: u64,
    /// Bytes that it lacked when it joined the swarm.
    pub(super) to_fetch: u64,
    /// Counters of agents of earlier attempts.
    pub(super) spent: Spent,
    /// When it began to fetch and when it had all, milliseconds since the epoch.
    pub(super) fetch: (Option<u64>, Option<u64>),
    /// When a new byte was last verified, or written.
    pub(super) moved_at: u64,
    /// When its agent last said anything.
    pub(super) heard_at: u64,
    /// When its connection was lost, until there is another.
    pub(super) cut_at: Option<u64>,
    /// When it came into its state.
    pub(super) since: u64,
    pub(super) marks: BTreeSet<Mark>,
    /// It was without any link to another host at some time.
    pub(super) ssh_only: bool,
    /// Its clock less ours, milliseconds.
    pub(super) clock_offset_ms: Option<i64>,
    /// What a check found so far.
    pub(super) checkup: Option<Checkup>,
    /// This run switched its link, and did not switch it back.
    pub(super) switched: bool,
    /// Tag that it is taken back to, if it is.
    pub(super) back: Option<String>,
    /// Where the link pointed before this run switched it.
    pub(super) previous: Option<String>,
    /// When this run switched its link.
    pub(super) switched_at: Option<u64>,
    /// What is known of what this run left on it.
    pub(super) leave: Leave,
    /// It was asked once more since its last attempt, because its agent had not said goodbye.
    pub(super) swept: bool,
}

/// What is known of what a run left on a host.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Leave {
    /// No agent was ever there, or the last one said that nothing is left.
    Clean,
    /// An agent was there and did not say goodbye; why it could not be asked.
    Unknown(String),
    /// These could not be removed.
    Left(Vec<String>),
}

/// How a worker and its agent parted.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Parting {
    /// There was no agent.
    Unmet,
    /// The agent said goodbye, and what it could not remove.
    Goodbye(Vec<String>),
    /// It did not, and why.
    Silent(String),
}

/// Bytes that an earlier agent of the host counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) duplicate: u64,
    pub(super) from_seeder: u64,
    pub(super) agent: u64,
}

impl Entry {
    pub(super) fn new(attempts: u32) -> Self {
        Self {
            host: Host::new(attempts),
            agent: false,
            worker: false,
            past_gate: false,
            place: None,
            addresses: Vec::new(),
            port: 0,
            reach: Reach::default(),
            holdings: Vec::new(),
            progress: Progress::default(),
            reused: 0,
            to_fetch: 0,
            spent: Spent::default(),
            fetch: (None, None),
            moved_at: 0,
            heard_at: 0,
            cut_at: None,
            since: 0,
            marks: BTreeSet::new(),
            ssh_only: false,
            clock_offset_ms: None,
            checkup: None,
            switched: false,
            back: None,
            previous: None,
            switched_at: None,
            leave: Leave::Clean,
            swept: false,
        }
    }

    /// A worker has ended.
    pub(super) fn part(&mut self, parting: Parting) {
        self.leave = match parting {
            Parting::Unmet => return,
            Parting::Goodbye(left) if left.is_empty() => Leave::Clean,
            Parting::Goodbye(left) => Leave::Left(left),
            Parting::Silent(why) => Leave::Unknown(why),
        };
    }

    /// Its agent is gone: what it counted is kept, what it offered is not.
    pub(super) fn agent_gone(&mut self) {
        self.agent = false;
        self.addresses.clear();
        self.port = 0;
        self.spent.duplicate += self.progress.duplicate;
        self.spent.from_seeder += self.progress.from_seeder;
        self.progress =
            Progress { done: self.progress.done, total: self.progress.total, ..Progress::default() };
    }
}
