//! What follows for the fleet from what one host did: the gate, the barrier, who is dialled next, the end.

use crate::control::{HostId, LogLevel, LogSource};
use crate::deploy::entry::{Entry, Leave};
use crate::deploy::event::{BarrierState, Body, StateName};
use crate::deploy::host::{Input, Way};
use crate::deploy::links::Links;

use super::{Coordinator, Order};

impl Coordinator {
    /// Draws the consequences until there are none left.
    pub(super) fn settle(&mut self) {
        self.end_muster();
        self.open_gate();
        self.judge();
        loop {
            let moves = self.barrier.poll(&self.hosts, &self.counts);
            if moves.is_empty() {
                break;
            }
            moves.into_iter().for_each(|(id, input)| self.step(id, input));
        }
        self.show_barrier();
        self.tell_shut();
        self.dispatch();
        self.rest();
    }

    fn open_gate(&mut self) {
        if self.gate_open || self.packed.is_none() {
            return;
        }
        if self.hosts.iter().all(|entry| entry.past_gate || entry.host.is_final()) {
            self.gate_open = true;
            for id in self.ids() {
                self.step(id, Input::GateOpened);
            }
        }
    }

    fn dispatch(&mut self) {
        if self.book.packs_first && self.packed.is_none() {
            return;
        }
        while !self.stopping
            && self.counts.starting() < self.book.fanout
            && self.next_queued < self.hosts.len()
        {
            let entry = &self.hosts[self.next_queued];
            // The worker of the attempt before must be gone: two agents of one run would fight for the lock.
            let ready = matches!(entry.host.way, Way::Queued { not_before, .. } if not_before <= self.now)
                && !entry.worker;
            if ready {
                self.step(HostId(self.next_queued as u32), Input::Start);
            }
            self.next_queued += 1;
        }
    }

    fn show_barrier(&mut self) {
        if !self.book.barrier.activate {
            return;
        }
        let finals = self.counts.finals();
        let staged = self.counts.staged() + self.counts.active() + self.counts.of(StateName::Activating);
        let state = BarrierState {
            staged,
            failed: self.counts.failed(),
            waiting: (self.hosts.len() as u32).saturating_sub(finals + staged - self.counts.active()),
            open: self.barrier.is_open(),
            held: self.barrier.is_held(),
        };
        let changed =
            self.barrier_shown.is_none_or(|shown| (shown.open, shown.held) != (state.open, state.held));
        if changed {
            self.barrier_shown = Some(state);
            if staged > 0 && (state.open || state.held) {
                self.orders.push(Order::Emit(Body::Barrier(state)));
            }
        }
    }

    fn tell_shut(&mut self) {
        let reason = self.shut().map(str::to_owned);
        let told = std::mem::replace(&mut self.shut_told, reason.is_some());
        if let Some(reason) = reason.filter(|_| !told) {
            let message = format!("nothing more is activated: {reason}");
            self.log(None, LogLevel::Warn, LogSource::Murder, message);
        }
    }

    /// Whether nothing moves any more unless the user wants it.
    pub(in crate::deploy) fn all_final(&self) -> bool {
        let staged = if self.barrier.staged_is_final() { self.counts.staged() } else { 0 };
        (self.counts.finals() + staged) as usize == self.hosts.len()
    }

    /// When every host is final, agents leave; when they have left, the run rests, and ends unless it lingers.
    fn rest(&mut self) {
        if self.finished || !self.all_final() && !self.stopping {
            return;
        }
        for id in self.ids() {
            let entry = &self.hosts[id.index()];
            if entry.worker && entry.agent {
                let keep_partial = matches!(entry.host.way, Way::Failed(_) | Way::Cancelled);
                self.hosts[id.index()].agent = false;
                self.orders.push(Order::Leave { host: id, keep_partial });
            }
        }
        if self.hosts.iter().any(|entry| entry.worker) || self.sweep() {
            return;
        }
        if self.rested_at.is_none() {
            self.rested_at = Some(self.now);
            self.transfer = self.transfer.or_else(|| self.transfer_so_far());
            self.links = Links::new(&self.book.racks, self.book.seed);
            let summary = self.summary();
            self.orders.push(Order::Emit(Body::Resting(Box::new(summary))));
        }
        if self.stopping || !self.book.linger {
            self.finished = true;
            self.orders.push(Order::Finish);
        }
    }

    /// From the first host's fetching until the last one had all bytes, milliseconds.
    pub(in crate::deploy) fn transfer_so_far(&self) -> Option<u64> {
        let first = self.hosts.iter().filter_map(|entry| entry.fetch.0).min()?;
        let last = self
            .hosts
            .iter()
            .filter(|entry| entry.fetch.0.is_some())
            .filter_map(|entry| entry.fetch.1)
            .max()?;
        Some(last.saturating_sub(first))
    }

    /// Looks after the hosts whose agents did not say goodbye, each once; says whether there are any.
    fn sweep(&mut self) -> bool {
        let unclean = |entry: &Entry| matches!(entry.leave, Leave::Unknown(_)) && !entry.swept;
        let hosts: Vec<HostId> = self.ids().filter(|id| unclean(&self.hosts[id.index()])).collect();
        for id in &hosts {
            let entry = &mut self.hosts[id.index()];
            (entry.worker, entry.swept) = (true, true);
            self.orders.push(Order::Sweep { host: *id, attempt: entry.host.attempt });
            let words = "its agent did not say goodbye: logging in once more to remove what it left";
            self.log(Some(*id), LogLevel::Info, LogSource::Murder, words.to_owned());
        }
        !hosts.is_empty()
    }
}
