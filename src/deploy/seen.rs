use crate::control::HostId;

use super::coordinator::{Coordinator, Order, Rulebook};
use super::event::{Body, StateName};
use super::limit::{Binding, FluidLimit, LinkRate, least_seconds};

/// A rate says nothing of its link before the host has fetched for so long, milliseconds: it is a mean of three seconds.
const WARM_UP_MS: u64 = 3_000;

/// The limit is told anew after so long at the earliest, milliseconds.
const TELL_EVERY_MS: u64 = 1_000;

/// A change of the limit by less than this share is none. Equal links differ by as much as they are seen.
const AGREE: f64 = 0.05;

/// What links carry, by what was given or else by the highest rate that was seen.
#[derive(Debug, Clone)]
pub(super) struct SeenRates {
    /// What each host's link carries by the inventory.
    links: Vec<Option<u64>>,
    /// The run's limit of each host.
    limit: Option<u64>,
    given_seeder: Option<u64>,
    peaks: Vec<LinkRate>,
    peak_seeder: Option<u64>,
    told: Option<FluidLimit>,
    told_at: u64,
}

impl SeenRates {
    pub(super) fn new(book: &Rulebook) -> Self {
        Self {
            links: book.rates.clone(),
            limit: book.rate,
            given_seeder: book.seed_rate,
            peaks: vec![LinkRate::default(); book.names.len()],
            peak_seeder: None,
            told: None,
            told_at: 0,
        }
    }

    /// The user set limits, of each host and of the seeder; what is `None` stays as it is.
    pub(super) fn given(&mut self, host: Option<Option<u64>>, seeder: Option<Option<u64>>) {
        self.limit = host.unwrap_or(self.limit);
        self.given_seeder = seeder.unwrap_or(self.given_seeder);
    }

    fn of_host(&self, id: HostId) -> Option<u64> {
        let link = self.links.get(id.index()).copied().flatten();
        link.into_iter().chain(self.limit).min()
    }

    fn host(&mut self, id: HostId, down: u64, up: u64) {
        if let Some(peak) = self.peaks.get_mut(id.index()) {
            raise(&mut peak.down, down);
            raise(&mut peak.up, up);
        }
    }

    fn of(&self, id: HostId) -> LinkRate {
        let given = self.of_host(id);
        let peak = self.peaks.get(id.index()).copied().unwrap_or_default();
        LinkRate { up: given.or(peak.up), down: given.or(peak.down) }
    }

    /// The limit for hosts that lack `bytes`; `None` while too little is known.
    fn least(&self, bytes: u64, hosts: &[HostId]) -> Option<FluidLimit> {
        let seeder = self.given_seeder.or(self.peak_seeder);
        if seeder.is_none() && !hosts.iter().any(|id| self.of_host(*id).is_some()) {
            return None;
        }
        let rates: Vec<LinkRate> = hosts.iter().map(|id| self.of(*id)).collect();
        let (seconds, binding) = least_seconds(bytes, seeder, &rates)?;
        // Which of equal links was seen to be the thinnest is chance: then it is the seeder's, as in the formula.
        let by_seeder = seeder.map(|rate| bytes as f64 / rate as f64);
        let binding = match (by_seeder, binding) {
            (Some(by_seeder), _) if by_seeder >= seconds * (1.0 - AGREE) => Binding::Seeder,
            (_, Binding::Host(at)) => Binding::Host(*hosts.get(at.index())?),
            (_, binding) => binding,
        };
        Some(FluidLimit { seconds, binding })
    }
}

impl Coordinator {
    /// The seeder sends at this rate now, as a mean of three seconds. What it counts in the first of them went into the
    /// buffers of all connections.
    pub(super) fn see_seeder(&mut self, rate: u64) {
        let first = self.hosts.iter().filter_map(|entry| entry.fetch.0).min();
        if first.is_some_and(|first| self.now.saturating_sub(first) >= 2 * WARM_UP_MS) {
            raise(&mut self.seen.peak_seeder, rate);
        }
    }

    /// A host that fetches reported its rates.
    pub(super) fn see_rates(&mut self, id: HostId) {
        let entry = &self.hosts[id.index()];
        let fetches = entry.host.state().name() == StateName::Fetching;
        if fetches && self.now.saturating_sub(entry.since) >= WARM_UP_MS {
            self.seen.host(id, entry.progress.down_rate, entry.progress.up_rate);
        }
    }

    /// Tells the least possible time, if it is another than before.
    pub(super) fn show_limit(&mut self) {
        let Some(info) = self.packed.as_ref().filter(|info| info.packed_bytes > 0) else { return };
        // The transfer that it is compared with is over at the first rest.
        if self.rested_at.is_some()
            || self.transfer.is_some()
            || self.now.saturating_sub(self.seen.told_at) < TELL_EVERY_MS
        {
            return;
        }
        let takes_part = |id: &HostId| {
            let entry = &self.hosts[id.index()];
            entry.fetch.0.is_some() || !entry.host.is_final() && !entry.past_gate
        };
        let hosts: Vec<HostId> = self.ids().filter(takes_part).collect();
        // Before the first host has joined nobody knows what is there already.
        let lacking = hosts.iter().map(|id| self.hosts[id.index()].to_fetch).max().filter(|bytes| *bytes > 0);
        let Some(limit) = self.seen.least(lacking.unwrap_or(info.packed_bytes), &hosts) else { return };
        let same = self.seen.told.is_some_and(|told| {
            told.binding == limit.binding && (told.seconds / limit.seconds - 1.0).abs() < AGREE
        });
        if !same {
            self.seen.told = Some(limit);
            self.seen.told_at = self.now;
            self.orders.push(Order::Emit(Body::Limit(limit)));
        }
    }
}

fn raise(peak: &mut Option<u64>, rate: u64) {
    if rate > 0 {
        *peak = Some(peak.map_or(rate, |peak| peak.max(rate)));
    }
}
