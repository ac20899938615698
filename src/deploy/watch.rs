use crate::control::{FailureKind, HostId, Phase};

use super::coordinator::{Coordinator, Order};
use super::event::{Mark, StateName};
use super::host::{Activation, Step, Way};
use crate::units::format_duration;

use std::time::Duration;

/// A host that is asked to check, verify, unpack or switch and says nothing for so long has lost its way, milliseconds. A hook has its
/// own time besides.
const ANSWER_MS: u64 = 120_000;

/// A host without any link is said to live from SSH after so long, milliseconds, if no probe said so before: links need a
/// moment.
const SSH_ONLY_MS: u64 = 5_000;

/// A host that was not heard for so long cannot say why, milliseconds.
const UNHEARD_MS: u64 = 5_000;

/// How long a rate below a quarter of the median makes a host slow, milliseconds.
const SLOW_MS: u64 = 10_000;

impl Coordinator {
    /// Looks for hosts that do not move: marks them, and gives them up in time.
    pub(super) fn watch(&mut self) {
        let median = self.median_rate();
        for id in self.ids() {
            if self.hosts[id.index()].cut_at.is_some() {
                // Nobody knows how it fares; whoever tries to come back to it knows when to give up.
                continue;
            }
            match self.hosts[id.index()].host.state().name() {
                StateName::Fetching => self.watch_fetch(id, median),
                StateName::Checking if self.packed.is_some() && !self.waits_for_others(id) => {
                    self.watch_answer(id, Phase::Checking, 0);
                }
                StateName::Verifying if !self.waits_for_others(id) => {
                    self.watch_answer(id, Phase::Verifying, 0);
                }
                StateName::Unpacking => self.watch_answer(id, Phase::Unpacking, 0),
                StateName::Activating if !self.waits_for_others(id) => {
                    self.watch_answer(id, Phase::Activating, self.book.hook_ms);
                }
                _ => {}
            }
        }
    }

    /// It is not asked for anything before the gate opens, or before its batch or its turn comes.
    fn waits_for_others(&self, id: HostId) -> bool {
        matches!(
            &self.hosts[id.index()].host.way,
            Way::Verifying { verified: true }
                | Way::Activating(Activation::Ready)
                | Way::Errand(Step::Waiting | Step::Answered)
        )
    }

    /// Gives a host up that owes an answer; what it does may take `more` milliseconds besides.
    fn watch_answer(&mut self, id: HostId, phase: Phase, more: u64) {
        let entry = &self.hosts[id.index()];
        let idle = self.now.saturating_sub(entry.heard_at.max(entry.since));
        if idle > more + ANSWER_MS.max(self.book.stall_ms) {
            let message = format!("no word of the agent for {} while {phase}", seconds(idle));
            self.fail(id, phase, FailureKind::Timeout, message);
        }
    }

    fn watch_fetch(&mut self, id: HostId, median: u64) {
        let entry = &self.hosts[id.index()];
        let idle = self.now.saturating_sub(entry.moved_at);
        let age = self.now.saturating_sub(entry.since);
        let cause = self.diagnosis(id);
        if idle > self.book.stall_ms {
            let message = format!("no verified byte for {}: {cause}", seconds(idle));
            return self.fail(id, Phase::Fetching, FailureKind::Stalled, message);
        }
        let slow = age > SLOW_MS && entry.progress.down_rate > 0 && entry.progress.down_rate < median / 4;
        let linkless = entry.progress.peers == 0 && self.links.degree(id) > 0;
        let alone = linkless && (age > SSH_ONLY_MS || self.is_cut_off(id));
        let stalled = idle > (self.book.stall_ms / 6).max(3_000);
        self.mark(id, Mark::Stalled, stalled, format!("no piece for {}: {cause}", seconds(idle)));
        self.mark(id, Mark::Slow, slow && !stalled, format!("under a quarter of the others' rate: {cause}"));
        let dark = self.now.saturating_sub(self.hosts[id.index()].heard_at) > 3_000;
        if !dark {
            self.hosts[id.index()].ssh_only |= alone;
            if alone != self.hosts[id.index()].marks.contains(&Mark::SshOnly) {
                self.orders.push(Order::Alone { host: id, alone });
            }
            self.mark(id, Mark::SshOnly, alone, "no other host can be reached: fed through SSH".to_owned());
        }
    }

    /// The likeliest cause in a few words, from what the host waited for and when it was last heard.
    fn diagnosis(&self, id: HostId) -> &'static str {
        let entry = &self.hosts[id.index()];
        if self.now.saturating_sub(entry.heard_at) > UNHEARD_MS {
            return "the host does not answer";
        }
        let Some(wait) = entry.progress.wait else { return "it has not said why" };
        let no_piece = if entry.progress.peers == 0 {
            "no other host reaches it"
        } else {
            "no neighbour has a piece it needs"
        };
        let causes = [
            (wait.disk, "its disk is slow"),
            (wait.cpu, "its CPU is busy"),
            (wait.limit, "its own rate limit binds"),
            (wait.no_piece, no_piece),
            (wait.choked, "its neighbours do not serve it"),
            (wait.peers, self.slow_link(id)),
        ];
        causes
            .iter()
            .max_by_key(|(share, _)| *share)
            .filter(|(share, _)| *share > 0)
            .map_or("its link is slow", |(_, words)| words)
    }

    /// Whose link is slow when a host waits for what it asked for: neighbours that send far more to others than it gets
    /// from all are not.
    fn slow_link(&self, id: HostId) -> &'static str {
        let gets = self.hosts[id.index()].progress.down_rate;
        let rates = self.links.dealt(id).iter().map(|other| self.hosts[other.index()].progress.up_rate);
        match rates.max() {
            Some(best) if best > 4 * gets.max(1) => "its link is slow: its neighbours send faster to others",
            _ => "its neighbours send slowly",
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

fn seconds(ms: u64) -> String {
    format_duration(Duration::from_millis(ms))
}
