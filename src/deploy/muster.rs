use crate::control::{HostId, Present};

use super::coordinator::Coordinator;
use super::event::StateName;
use super::host::Input;

/// Hosts that are ready wait at least so long for the next one to be, milliseconds.
const LEAST_PATIENCE_MS: u64 = 300;

/// The first host that is ready waits at most so long for the others, milliseconds.
const LONGEST_WAIT_MS: u64 = 3_000;

/// Hosts that passed their checks and wait a moment for those that are about to.
///
/// The payload of the first would fill the operator's uplink while the others still shake hands over it, which takes a
/// dozen round trips: measured with 32 hosts of 20 Mbit/s the last began to fetch 4 to 5 s after the first, and the whole
/// took a third longer. What is waited for the next host is what the first one needed, so that a dead host holds up nobody
/// for long; while they come one after the other, all are waited for.
#[derive(Debug, Clone, Default)]
pub(super) struct Muster {
    dialled: Option<u64>,
    first: Option<u64>,
    latest: u64,
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
        self.muster.latest = self.now;
        self.muster.ready.push((id, self.hosts[id.index()].host.attempt));
    }

    /// Lets those that are ready begin, when all are or it took too long.
    pub(super) fn end_muster(&mut self) {
        let Some(first) = self.muster.first.filter(|_| !self.muster.over) else { return };
        let dialled = self.muster.dialled.unwrap_or(first);
        let patience = first.saturating_sub(dialled).max(LEAST_PATIENCE_MS);
        let checking = self.counts.of(StateName::Checking) as usize;
        let coming = self.counts.starting() > 0 || checking > self.ready_now();
        let waits = self.now.saturating_sub(self.muster.latest) < patience
            && self.now.saturating_sub(first) < LONGEST_WAIT_MS;
        if coming && waits {
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
