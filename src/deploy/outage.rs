use std::time::Duration;

use crate::control::{HostId, LEASE, LogLevel, LogSource};
use crate::units::format_duration;

use super::coordinator::{Coordinator, Order};
use super::event::Mark;

/// With all connections lost it is our own network that is gone, and dials are made in vain; for so long they are not
/// counted as attempts, milliseconds.
const OUTAGE_MS: u64 = 300_000;

/// One host that is gone is not yet an outage.
const LEAST_CUT: usize = 2;

impl Coordinator {
    /// A connection is lost, and its worker tries to come back to the agent.
    pub(super) fn cut(&mut self, id: HostId, reason: &str) {
        self.hosts[id.index()].cut_at = Some(self.now);
        let lease = format_duration(LEASE);
        let message = format!("{reason}; its agent goes on alone for {lease}, trying to come back to it");
        self.log(Some(id), LogLevel::Warn, LogSource::Murder, message);
    }

    /// The worker is back at the agent.
    pub(super) fn back(&mut self, id: HostId) {
        let now = self.now;
        let entry = &mut self.hosts[id.index()];
        if entry.marks.contains(&Mark::SshOnly) {
            // Its new feed does not know.
            self.orders.push(Order::Alone { host: id, alone: true });
        }
        entry.moved_at = now;
        let cut_at = entry.cut_at.take().unwrap_or(now);
        let away = format_duration(Duration::from_millis(now.saturating_sub(cut_at)));
        let message = format!("connected again after {away}: its agent went on");
        self.log(Some(id), LogLevel::Info, LogSource::Murder, message);
    }

    /// No host can be spoken with any more, and that is not long so.
    pub(super) fn is_outage(&self) -> bool {
        let cuts = || self.hosts.iter().filter_map(|entry| entry.cut_at);
        cuts().count() >= LEAST_CUT
            && self.hosts.iter().all(|entry| !entry.agent || entry.cut_at.is_some())
            && cuts().min().is_some_and(|first| self.now.saturating_sub(first) < OUTAGE_MS)
    }
}
