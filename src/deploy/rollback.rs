use crate::control::{HostId, LogLevel, LogSource};

use super::barrier::{Barrier, BarrierRules};
use super::coordinator::{Coordinator, Order};
use super::host::{Input, Way};

impl Coordinator {
    /// Takes the hosts that this run switched back to what was current before: the same two phases as an activation. Hosts
    /// that are still on their way are given up, or they would be activated behind its back.
    pub(super) fn roll_back(&mut self) {
        if self.stopping || self.book.errand.is_some() {
            return;
        }
        let switched: Vec<HostId> = self.ids().filter(|id| self.can_go_back(*id)).collect();
        let (back, bare): (Vec<HostId>, Vec<HostId>) =
            switched.into_iter().partition(|id| self.hosts[id.index()].previous.is_some());
        for id in bare {
            let words = "nothing was current here before this run: it stays as it is";
            self.log(Some(id), LogLevel::Warn, LogSource::Murder, words.to_owned());
        }
        if back.is_empty() {
            return;
        }
        for id in self.ids() {
            self.step(id, Input::Cancel);
        }
        let batch = self.book.barrier.batch;
        self.barrier = Barrier::new(BarrierRules { activate: true, batch, ..BarrierRules::default() });
        self.wake();
        for id in back {
            let entry = &mut self.hosts[id.index()];
            entry.back.clone_from(&entry.previous);
            if entry.worker {
                // The next agent takes the lock for another release.
                entry.agent = false;
                self.orders.push(Order::Leave { host: id, keep_partial: false });
            }
            self.step(id, Input::RollBack);
        }
    }

    fn can_go_back(&self, id: HostId) -> bool {
        let entry = &self.hosts[id.index()];
        entry.switched && matches!(entry.host.way, Way::Active | Way::Failed(_))
    }
}
