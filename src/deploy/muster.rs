use crate::control::{HostId, Present};

use super::coordinator::Coordinator;
use super::event::StateName;
use super::host::Input;

/// Hosts that are ready wait for the others at least and at most so long, milliseconds.
const PATIENCE_MS: (u64, u64) = (300, 3_000);

/// Hosts that passed their checks and wait a moment for those that are about to.
///
/// The payload of the first would fill the operator's uplink while the others still shake hands over it, which takes a
/// dozen round trips: measured with 32 hosts of 20 Mbit/s the last began to fetch 4 to 5 s after the first, and the whole
/// took a third longer. How long is waited is what the first host needed, so that a dead host holds up nobody for long.
#[derive(Debug, Clone, Default)]
pub(super) struct Muster {
    dialled: Option<u64>,
    first: Option<u64>,
    /// With their attempt.
    ready: Vec<(HostId, u32)>,
    over: bool,
}

impl Muster {
    /// The first host is dialled.
    pub(super) fn dialled(&mut self, now: u64) {
        self.dialled.get_or_insert(now);
    }
}

impl Coordinator {
    /// A host passed its checks.
    pub(super) fn ready(&mut self, id: HostId, present: Present) {
        if self.muster.over || present != Present::Absent || !self.book.ships {
            return self.step(id, Input::Checked(present));
        }
        self.muster.first.get_or_insert(self.now);
        self.muster.ready.push((id, self.hosts[id.index()].host.attempt));
    }

    /// Lets those that are ready begin, when all are or it took too long.
    pub(super) fn end_muster(&mut self) {
        let Some(first) = self.muster.first.filter(|_| !self.muster.over) else { return };
        let dialled = self.muster.dialled.unwrap_or(first);
        let patience = first.saturating_sub(dialled).clamp(PATIENCE_MS.0, PATIENCE_MS.1);
        let checking = self.counts.of(StateName::Checking) as usize;
        let coming = self.counts.starting() > 0 || checking > self.ready_now();
        if coming && self.now.saturating_sub(first) < patience {
            return;
        }
        self.muster.over = true;
        for (id, attempt) in std::mem::take(&mut self.muster.ready) {
            if self.is_checking(id, attempt) {
                self.step(id, Input::Checked(Present::Absent));
            }
        }
    }

    /// Those that are ready and have not failed since.
    fn ready_now(&self) -> usize {
        self.muster.ready.iter().filter(|(id, attempt)| self.is_checking(*id, *attempt)).count()
    }

    fn is_checking(&self, id: HostId, attempt: u32) -> bool {
        let host = &self.hosts[id.index()].host;
        host.attempt == attempt && host.state().name() == StateName::Checking
    }
}
