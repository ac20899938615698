//! What the user asks of the run while it goes on.

use crate::control::HostId;
use crate::deploy::command::Command;
use crate::deploy::entry::Entry;
use crate::deploy::event::Body;
use crate::deploy::host::{Input, Way};

use super::{Coordinator, Order};

impl Coordinator {
    /// The user wants something.
    pub(in crate::deploy) fn command(&mut self, command: Command) {
        match command {
            Command::Retry(ids) => self.retry(&ids),
            Command::RetryFailed => {
                let failed: Vec<_> = self
                    .ids()
                    .filter(|id| matches!(self.hosts[id.index()].host.way, Way::Failed(_)))
                    .collect();
                self.retry(&failed);
            }
            Command::TakeBack(ids) => ids.into_iter().for_each(|id| self.step(id, Input::TakeBack)),
            Command::Cancel(ids) => ids.into_iter().for_each(|id| self.step(id, Input::Cancel)),
            Command::Activate => self.activate(),
            Command::Throttle { host, seed } => {
                self.seen.given(host, seed);
                self.orders.extend(host.map(Order::Throttle));
                self.orders.extend(seed.map(Order::ThrottleSeeder));
            }
            Command::Lease(seconds) => self.orders.push(Order::Lease(seconds)),
            Command::Stop => self.stop("stopped by the user"),
            Command::Rollback => self.roll_back(),
            Command::Answer { .. } | Command::Abort => {}
        }
        self.next_queued = 0;
        self.settle();
    }

    /// Ends the run: agents leave, what is not final is cancelled.
    pub(in crate::deploy) fn stop(&mut self, reason: &str) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        if !self.all_final() {
            self.stopped_early = true;
            self.orders.push(Order::Emit(Body::Stopping { reason: reason.to_owned() }));
        }
        self.barrier.close();
        for id in self.ids() {
            // What is staged stays so, and can be activated later.
            if !matches!(self.hosts[id.index()].host.way, Way::Staged { .. }) {
                self.step(id, Input::Cancel);
            }
        }
        self.settle();
    }

    fn retry(&mut self, ids: &[HostId]) {
        if self.stopping {
            return;
        }
        self.wake();
        if self.barrier.shut().is_some() {
            self.recall();
        }
        self.barrier.reconsider();
        for id in ids {
            if self.hosts.get(id.index()).is_some_and(|entry| entry.worker && entry.swept) {
                // The next attempt does what the sweep was to do.
                self.orders.push(Order::Leave { host: *id, keep_partial: true });
            }
            self.step(*id, Input::Retry);
        }
    }

    fn activate(&mut self) {
        if self.stopping || !self.book.barrier.activate {
            return;
        }
        let recalled = self.recall();
        if recalled {
            self.wake();
        }
        self.barrier.force(recalled);
    }

    /// Staged hosts whose agents have left get new ones; says whether there are any.
    fn recall(&mut self) -> bool {
        let is_left = |entry: &Entry| matches!(entry.host.way, Way::Staged { .. }) && !entry.agent;
        let hosts: Vec<HostId> = self.ids().filter(|id| is_left(&self.hosts[id.index()])).collect();
        hosts.iter().for_each(|id| self.step(*id, Input::Recall));
        !hosts.is_empty()
    }
}
