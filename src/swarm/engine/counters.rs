use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::control::{HostId, Wait};

/// Rates are the mean of so long.
const RATE_WINDOW: Duration = Duration::from_secs(3);

/// Bytes of payload both ways.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traffic {
    pub(super) down: u64,
    pub(super) up: u64,
}

/// What was exchanged with a host, over all its connections.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HostTraffic {
    pub(super) traffic: Traffic,
    pub(super) address: Option<SocketAddr>,
}

/// What the fetch waits for at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    Nothing,
    NoPiece,
    Peers,
    Choked,
    Limit,
    Disk,
    Cpu,
}

/// All that is counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) total: Traffic,
    pub(super) duplicate: u64,
    pub(super) hosts: BTreeMap<HostId, HostTraffic>,
    samples: VecDeque<(Duration, Traffic)>,
    moments: [u32; 6],
    all_moments: u32,
}

impl Counters {
    pub(super) fn received(&mut self, host: Option<HostId>, bytes: u64) {
        self.total.down += bytes;
        if let Some(host) = host {
            self.hosts.entry(host).or_default().traffic.down += bytes;
        }
    }

    pub(super) fn sent(&mut self, host: Option<HostId>, bytes: u64) {
        self.total.up += bytes;
        if let Some(host) = host {
            self.hosts.entry(host).or_default().traffic.up += bytes;
        }
    }

    pub(super) fn from(&self, host: HostId) -> u64 {
        self.hosts.get(&host).map_or(0, |host| host.traffic.down)
    }

    /// Remembers how far it is, for the rates; and what is waited for. Bytes received since the last time.
    pub(super) fn sample(&mut self, now: Duration) -> u64 {
        let last = self.samples.back().map_or(0, |(_, traffic)| traffic.down);
        self.samples.push_back((now, self.total));
        while self.samples.len() > 2
            && self.samples.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= RATE_WINDOW)
        {
            self.samples.pop_front();
        }
        self.total.down - last
    }

    pub(super) fn waited(&mut self, waiting: Waiting) {
        self.all_moments += 1;
        let place = match waiting {
            Waiting::Nothing => return,
            Waiting::NoPiece => 0,
            Waiting::Peers => 1,
            Waiting::Choked => 2,
            Waiting::Limit => 3,
            Waiting::Disk => 4,
            Waiting::Cpu => 5,
        };
        self.moments[place] += 1;
    }

    /// Shares of the time since this was asked last; `None` if nothing was sampled since.
    pub(super) fn take_wait(&mut self) -> Option<Wait> {
        let all = std::mem::take(&mut self.all_moments);
        let moments = std::mem::take(&mut self.moments);
        let [no_piece, peers, choked, limit, disk, cpu] =
            moments.map(|moments| (moments * 100).checked_div(all).unwrap_or(0) as u8);
        (all > 0).then_some(Wait { no_piece, peers, choked, limit, disk, cpu })
    }

    /// Bytes a second, down and up.
    pub(super) fn rates(&self) -> (u64, u64) {
        let (Some((from, first)), Some((to, last))) = (self.samples.front(), self.samples.back()) else {
            return (0, 0);
        };
        let seconds = to.saturating_sub(*from).as_secs_f64();
        let rate = |bytes: u64| if seconds > 0.0 { (bytes as f64 / seconds) as u64 } else { 0 };
        (rate(last.down - first.down), rate(last.up - first.up))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_mean_of_the_last_three_seconds() {
        let mut counters = Counters::default();
        for tick in 0..100u64 {
            counters.sample(Duration::from_millis(tick * 100));
            counters.received(None, if tick < 50 { 1000 } else { 100 });
        }
        let (down, up) = counters.rates();
        assert_eq!(up, 0);
        assert!((950..1050).contains(&down), "{down}");
    }

    #[test]
    fn waits_are_shares_of_the_time_since_they_were_last_told() {
        let mut counters = Counters::default();
        assert_eq!(counters.take_wait(), None);
        for waiting in [Waiting::Nothing, Waiting::Limit, Waiting::Limit, Waiting::NoPiece] {
            counters.waited(waiting);
        }
        assert_eq!(counters.take_wait(), Some(Wait { no_piece: 25, limit: 50, ..Wait::default() }));
        counters.waited(Waiting::Disk);
        assert_eq!(counters.take_wait(), Some(Wait { disk: 100, ..Wait::default() }));
    }
}
