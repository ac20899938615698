use crate::deploy::{Mark, StateName};

use super::HostRecord;

/// How much a host needs a person, those that need one most first: the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// It failed.
    Failed,
    /// It is on its way, and stalled, silent or slow.
    Trouble,
    /// It is on its way.
    Moving,
    /// It waits for its turn.
    Queued,
    /// It was cancelled or skipped.
    LeftOut,
    /// It has the release.
    Staged,
    /// It runs the release, or an errand on it is done.
    Active,
}

impl Rank {
    /// All ranks, in their order.
    pub const ALL: [Self; 7] =
        [Self::Failed, Self::Trouble, Self::Moving, Self::Queued, Self::LeftOut, Self::Staged, Self::Active];
}

/// What is seen of every host, packed: ten thousand of these lie in a processor's nearest cache, ten thousand records of some
/// kilobytes in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// How much it needs a person.
    pub rank: Rank,
    /// Whether pieces come in.
    pub fetching: bool,
    /// Share of the artifact that is on the host, in thousandths.
    pub share: u16,
}

/// What is reckoned with of every host each second, packed for the same reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pulse {
    /// Mean rate of the last seconds in bytes a second; 0 if it fetches nothing or is stalled.
    pub(super) rate: u32,
    /// Bytes that it has still to fetch.
    pub(super) left: u64,
    /// When it falls silent if nothing is heard of it, milliseconds since the epoch.
    pub(super) silent_at: u64,
}

impl Glance {
    pub(super) fn of(host: &HostRecord) -> Self {
        let fetching = host.name() == StateName::Fetching;
        Self { rank: rank(host), fetching, share: (host.share() * 1000.0) as u16 }
    }

    /// Of two hosts the one with the lower needs a person more: by rank, then the one that is less far.
    pub fn need(self) -> u32 {
        (self.rank as u32) << 16 | u32::from(self.share)
    }
}

impl Pulse {
    pub(super) fn of(host: &HostRecord, packed: u64) -> Self {
        let name = host.name();
        let moves = name == StateName::Fetching && !host.is_marked(Mark::Stalled);
        Self {
            rate: if moves { host.recent_rate() as u32 } else { 0 },
            left: if MAY_FETCH.contains(&name) {
                packed.max(host.to_fetch).saturating_sub(host.fetched)
            } else {
                0
            },
            silent_at: host.silent_at().unwrap_or(u64::MAX),
        }
    }
}

fn rank(host: &HostRecord) -> Rank {
    match host.name() {
        StateName::Failed => Rank::Failed,
        _ if host.needs_eyes() => Rank::Trouble,
        StateName::Queued => Rank::Queued,
        StateName::Cancelled | StateName::Skipped => Rank::LeftOut,
        StateName::Staged => Rank::Staged,
        StateName::Active | StateName::Done => Rank::Active,
        _ => Rank::Moving,
    }
}

/// States of hosts that fetch, or may come to it.
pub(super) const MAY_FETCH: [StateName; 5] = [
    StateName::Queued,
    StateName::Connecting,
    StateName::Launching,
    StateName::Checking,
    StateName::Fetching,
];
