use crate::control::{FailureKind, HostId, Phase, Wait};

use super::coordinator::Coordinator;
use super::event::{Mark, StateName};
use super::host::{Step, Way};
use crate::units::format_duration;

use std::time::Duration;

/// A host that is asked to check, verify or unpack and says nothing for so long has lost its way, milliseconds.
const ANSWER_MS: u64 = 120_000;

/// A host without any link is said to live from SSH after so long, milliseconds: links need a moment.
const SSH_ONLY_MS: u64 = 5_000;

/// How long a rate below a quarter of the median makes a host slow, milliseconds.
const SLOW_MS: u64 = 10_000;

impl Coordinator {
    /// Looks for hosts that do not move: marks them, and gives them up in time.
    pub(super) fn watch(&mut self) {
        let median = self.median_rate();
        for id in self.ids() {
            match self.hosts[id.index()].host.state().name() {
                StateName::Fetching => self.watch_fetch(id, median),
                StateName::Checking if self.packed.is_some() && !self.waits_for_others(id) => {
                    self.watch_answer(id, Phase::Checking)
                }
                StateName::Verifying if !self.waits_for_gate(id) => self.watch_answer(id, Phase::Verifying),
                StateName::Unpacking => self.watch_answer(id, Phase::Unpacking),
                _ => {}
            }
        }
    }

    fn waits_for_gate(&self, id: HostId) -> bool {
        matches!(self.hosts[id.index()].host.way, Way::Verifying { verified: true })
    }

    fn waits_for_others(&self, id: HostId) -> bool {
        matches!(self.hosts[id.index()].host.way, Way::Errand(Step::Waiting | Step::Answered))
    }

    fn watch_answer(&mut self, id: HostId, phase: Phase) {
        let entry = &self.hosts[id.index()];
        let idle = self.now.saturating_sub(entry.heard_at.max(entry.since));
        if idle > ANSWER_MS.max(self.book.stall_ms) {
            let message = format!("no word of the agent for {} while {phase}", seconds(idle));
            self.fail(id, phase, FailureKind::Timeout, message);
        }
    }

    fn watch_fetch(&mut self, id: HostId, median: u64) {
        let entry = &self.hosts[id.index()];
        let idle = self.now.saturating_sub(entry.moved_at);
        let age = self.now.saturating_sub(entry.since);
        let cause =
            diagnosis(entry.progress.wait, entry.progress.peers, self.now.saturating_sub(entry.heard_at));
        if idle > self.book.stall_ms {
            let message = format!("no verified byte for {}: {cause}", seconds(idle));
            return self.fail(id, Phase::Fetching, FailureKind::Stalled, message);
        }
        let slow = age > SLOW_MS && entry.progress.down_rate > 0 && entry.progress.down_rate < median / 4;
        let alone = age > SSH_ONLY_MS && entry.progress.peers == 0 && self.links.degree(id) > 0;
        let stalled = idle > (self.book.stall_ms / 6).max(3_000);
        self.mark(id, Mark::Stalled, stalled, format!("no piece for {}: {cause}", seconds(idle)));
        self.mark(id, Mark::Slow, slow && !stalled, format!("under a quarter of the others' rate: {cause}"));
        let dark = self.now.saturating_sub(self.hosts[id.index()].heard_at) > 3_000;
        if !dark {
            self.hosts[id.index()].ssh_only |= alone;
            self.mark(id, Mark::SshOnly, alone, "no other host can be reached: fed through SSH".to_owned());
        }
    }

    fn median_rate(&self) -> u64 {
        let mut rates: Vec<u64> = self
            .hosts
            .iter()
            .filter(|entry| entry.host.state().name() == StateName::Fetching)
            .map(|entry| entry.progress.down_rate)
            .collect();
        let middle = rates.len() / 2;
        if rates.is_empty() { 0 } else { *rates.select_nth_unstable(middle).1 }
    }
}

/// The likeliest cause in a few words, from what the host waited for and when it was last heard.
fn diagnosis(wait: Option<Wait>, peers: u32, silent_ms: u64) -> &'static str {
    if silent_ms > 5_000 {
        return "the host does not answer";
    }
    let Some(wait) = wait else { return "it has not said why" };
    let causes = [
        (wait.disk, "its disk is slow"),
        (wait.cpu, "its CPU is busy"),
        (wait.limit, "its own rate limit binds"),
        (
            wait.no_piece,
            if peers == 0 { "no other host reaches it" } else { "no neighbour has a piece it needs" },
        ),
        (wait.peers, "its link, or its neighbours' links, are slow"),
    ];
    causes
        .iter()
        .max_by_key(|(share, _)| *share)
        .filter(|(share, _)| *share > 0)
        .map_or("its link is slow", |(_, words)| words)
}

fn seconds(ms: u64) -> String {
    format_duration(Duration::from_millis(ms))
}
