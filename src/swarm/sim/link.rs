use std::collections::VecDeque;

use crate::swarm::picker::Ask;

/// Nanoseconds since the start.
pub(super) type Time = u64;

/// A host's sending side: a queue for each receiver in its order, a block of each in turn, as TCP shares a link.
#[derive(Debug, Default)]
pub(super) struct Uplink {
    /// Bytes a second.
    rate: f64,
    queues: Vec<(u32, VecDeque<Ask>)>,
    /// Whose turn is next.
    next: usize,
    /// Whom a block is on its way to now.
    pub(super) busy: Option<(u32, Ask)>,
}

impl Uplink {
    pub(super) fn new(rate: f64) -> Self {
        Self { rate, ..Self::default() }
    }

    pub(super) fn push(&mut self, to: u32, ask: Ask) {
        match self.queues.iter_mut().find(|(other, _)| *other == to) {
            Some((_, queue)) => queue.push_back(ask),
            None => self.queues.push((to, VecDeque::from([ask]))),
        }
    }

    pub(super) fn cancel(&mut self, to: u32, ask: Ask) {
        if let Some((_, queue)) = self.queues.iter_mut().find(|(other, _)| *other == to) {
            queue.retain(|other| *other != ask);
        }
    }

    pub(super) fn forget(&mut self, to: u32) {
        self.queues.retain(|(other, _)| *other != to);
    }

    /// Begins with the next block, if the link is free and there is one. How long it takes.
    pub(super) fn start(&mut self, size: impl Fn(Ask) -> u32) -> Option<Time> {
        if self.busy.is_some() {
            return None;
        }
        let receivers = self.queues.len();
        for step in 0..receivers {
            let at = (self.next + step) % receivers;
            if let Some(ask) = self.queues[at].1.pop_front() {
                self.next = at + 1;
                self.busy = Some((self.queues[at].0, ask));
                return Some(time(f64::from(size(ask)) / self.rate));
            }
        }
        None
    }
}

/// A host's receiving side: what comes waits for what came before.
#[derive(Debug)]
pub(super) struct Downlink {
    rate: f64,
    free: Time,
}

impl Downlink {
    pub(super) fn new(rate: f64) -> Self {
        Self { rate, free: 0 }
    }

    /// When so many bytes that arrive at `at` have passed.
    pub(super) fn pass(&mut self, at: Time, bytes: u32) -> Time {
        self.free = self.free.max(at) + time(f64::from(bytes) / self.rate);
        self.free
    }
}

pub(super) fn time(seconds: f64) -> Time {
    (seconds * 1e9) as Time
}
