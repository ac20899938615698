use std::time::Duration;

use crate::deploy::StateName;
use crate::units::format_duration;

use super::{HostRecord, WaitShares};

/// What a host's time goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Waiting for a place, for the next attempt, or at the barrier.
    Waiting,
    /// Reaching it, launching the agent, preflight.
    Ssh,
    /// Pieces on their way.
    Fetching,
    /// Checking the manifest.
    Verifying,
    /// Writing files.
    Unpacking,
    /// Hooks and the switch.
    Hooks,
}

impl Part {
    const ALL: [Self; 6] =
        [Self::Waiting, Self::Ssh, Self::Fetching, Self::Verifying, Self::Unpacking, Self::Hooks];

    /// The word shown to users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ssh => "ssh",
            Self::Fetching => "fetching",
            Self::Verifying => "verifying",
            Self::Unpacking => "unpacking",
            Self::Hooks => "hooks",
        }
    }

    fn of(state: StateName) -> Option<Self> {
        Some(match state {
            StateName::Queued | StateName::Staged => Self::Waiting,
            StateName::Connecting | StateName::Launching | StateName::Checking => Self::Ssh,
            StateName::Fetching => Self::Fetching,
            StateName::Verifying => Self::Verifying,
            StateName::Unpacking => Self::Unpacking,
            StateName::Activating => Self::Hooks,
            StateName::Active
            | StateName::Done
            | StateName::Failed
            | StateName::Cancelled
            | StateName::Skipped => return None,
        })
    }
}

/// A part of a host's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// What it went into.
    pub part: Part,
    /// How much, milliseconds.
    pub millis: u64,
}

/// Below this there is nothing worth a sentence, milliseconds.
const WORTH_SAYING_MS: u64 = 1_000;

impl HostRecord {
    /// This attempt's time by what it went into, parts without any left out.
    pub fn time_shares(&self, now: u64) -> Vec<Share> {
        let millis = |part| {
            let spans = self.spans().iter().filter(|span| Part::of(span.state) == Some(part));
            spans.map(|span| span.millis(now)).sum()
        };
        let shares = Part::ALL.into_iter().map(|part| Share { part, millis: millis(part) });
        shares.filter(|share| share.millis > 0).collect()
    }

    /// One sentence on where this attempt's time went; empty while there is nothing to tell.
    pub fn why_slow(&self, now: u64) -> String {
        let shares = self.time_shares(now);
        let all: u64 = shares.iter().map(|share| share.millis).sum();
        let Some(most) = shares.iter().max_by_key(|share| share.millis).filter(|_| all >= WORTH_SAYING_MS)
        else {
            return String::new();
        };
        let took = format!(
            "{} of {}",
            format_duration(Duration::from_millis(most.millis)),
            format_duration(Duration::from_millis(all))
        );
        match most.part {
            Part::Waiting if self.name() == StateName::Staged => {
                format!("{took} it waited at the barrier for other hosts")
            }
            Part::Waiting => format!("{took} it waited for its turn"),
            Part::Ssh => format!("{took} went into reaching it and starting the agent over SSH"),
            Part::Fetching => format!("{took} fetching{}", fetching(self.waits())),
            Part::Verifying => format!("{took} went into checking what came: its disk or CPU is slow"),
            Part::Unpacking => {
                format!("{took} went into writing files: its disk is slow or the files are many")
            }
            Part::Hooks => format!("{took} went into hooks and the switch"),
        }
    }
}

fn fetching(waits: &WaitShares) -> String {
    if waits.known_ms < WORTH_SAYING_MS {
        return String::new();
    }
    let mut causes = [
        (waits.moving(), "bytes moved as fast as its link lets them"),
        (waits.no_piece, "no neighbour had a piece it lacks"),
        (waits.peers, "its neighbours delivered slowly"),
        (waits.choked, "its neighbours did not serve it"),
        (waits.limit, "its own rate limit held it back"),
        (waits.disk, "it waited for its disk"),
        (waits.cpu, "it waited for its CPU"),
    ];
    causes.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut text = format!(": for {:.0} % of that {}", causes[0].0, causes[0].1);
    if causes[1].0 >= 10.0 {
        text.push_str(&format!(", for {:.0} % {}", causes[1].0, causes[1].1));
    }
    text
}
