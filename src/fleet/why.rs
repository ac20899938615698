use std::time::Duration;

use crate::deploy::StateName;
use crate::units::format_duration;

use super::{FleetState, HostRecord, WaitShares};

/// What a host's time goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Waiting for a place, or for the next attempt.
    Turn,
    /// Staged, waiting for the barrier to open.
    Barrier,
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
    const ALL: [Self; 7] =
        [Self::Turn, Self::Barrier, Self::Ssh, Self::Fetching, Self::Verifying, Self::Unpacking, Self::Hooks];

    fn of(state: StateName) -> Option<Self> {
        Some(match state {
            StateName::Queued => Self::Turn,
            StateName::Staged => Self::Barrier,
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

/// Below this there is nothing worth a sentence, milliseconds.
const WORTH_SAYING_MS: u64 = 1_000;

impl FleetState {
    /// One sentence on where the time of a host's attempt went; empty while there is nothing to tell.
    pub fn why_slow(&self, host: &HostRecord, now: u64) -> String {
        let shares = self.time_shares(host, now);
        let all: u64 = shares.iter().map(|(_, millis)| millis).sum();
        let Some((part, most)) =
            shares.iter().max_by_key(|(_, millis)| *millis).filter(|_| all >= WORTH_SAYING_MS)
        else {
            return String::new();
        };
        let took = format!(
            "{} of its {}",
            format_duration(Duration::from_millis(*most)),
            format_duration(Duration::from_millis(all))
        );
        match part {
            Part::Turn => format!("{took} it waited for its turn"),
            Part::Barrier => format!("{took} it waited at the barrier"),
            Part::Ssh => format!("{took} went into reaching it and starting the agent over SSH"),
            Part::Fetching => format!("{took} went into fetching{}", fetching(host.waits())),
            Part::Verifying => format!("{took} went into checking what came: its disk or CPU is slow"),
            Part::Unpacking => {
                format!("{took} went into writing files: its disk is slow or the files are many")
            }
            Part::Hooks => format!("{took} went into hooks and the switch"),
        }
    }

    /// The attempt's milliseconds by what they went into. While the run rests nobody waits, and where nothing is to be
    /// activated there is no barrier to wait at.
    fn time_shares(&self, host: &HostRecord, now: u64) -> Vec<(Part, u64)> {
        let now = self.rests_at.map_or(now, |rest| rest.min(now));
        let activates = self.plan().is_none_or(|plan| plan.activate);
        let millis = |part| {
            let spans = host.spans().iter().filter(|span| Part::of(span.state) == Some(part));
            spans.map(|span| span.millis(now)).sum()
        };
        let parts = Part::ALL.into_iter().filter(|part| activates || *part != Part::Barrier);
        parts.map(|part| (part, millis(part))).filter(|(_, millis)| *millis > 0).collect()
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
