use serde::{Deserialize, Serialize};

use crate::control::HostId;

/// The term of the fluid limit that is the largest, and so binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// The seeder's uplink: one copy must leave it.
    Seeder,
    /// This host's downlink: it must take all bytes itself.
    Host(HostId),
    /// All uplinks together: they must carry a copy for every host.
    Uplinks,
}

/// The least time that a transfer can take, whatever the swarm does, and what sets it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FluidLimit {
    /// Seconds until the last host can have all.
    pub seconds: f64,
    /// The link, or links, that bind.
    pub binding: Binding,
}

/// What a host's link carries in bytes a second; `None` where it is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkRate {
    /// Towards others.
    pub up: Option<u64>,
    /// From others.
    pub down: Option<u64>,
}

impl LinkRate {
    /// The same limit in both directions, as `--rate` sets it.
    pub fn both(rate: Option<u64>) -> Self {
        Self { up: rate, down: rate }
    }
}

/// The least time in seconds in which every host can have `bytes`, whatever the swarm does, and the term that binds.
///
/// With F bytes, seeder's uplink us, host links ui up and di down, N hosts:
/// max { F/us, F/min(di), N*F/(us + sum(ui)) }. The bound is tight in the fluid model (Kumar and Ross, "Peer-Assisted
/// File Distribution: The Minimum Distribution Time", IEEE HotWeb 2006). A rate that is not known is taken as unlimited,
/// so that the result stays a lower bound. `None` if nothing known limits the time, or there is nothing to send.
pub fn least_seconds(bytes: u64, seeder_rate: Option<u64>, hosts: &[LinkRate]) -> Option<(f64, Binding)> {
    if bytes == 0 || hosts.is_empty() {
        return None;
    }
    let file = bytes as f64;
    let seeder = seeder_rate.map(|rate| (file / rate as f64, Binding::Seeder));
    let slowest = hosts
        .iter()
        .zip(0..)
        .filter_map(|(host, index)| Some((host.down?, HostId(index))))
        .min()
        .map(|(rate, host)| (file / rate as f64, Binding::Host(host)));
    let uplinks = all_uplinks(seeder_rate, hosts)
        .map(|sum| (file * hosts.len() as f64 / sum, Binding::Uplinks))
        .filter(|(seconds, _)| seconds.is_finite());
    // Of equal terms the first is named: it is the one that the user can change.
    [seeder, slowest, uplinks]
        .into_iter()
        .flatten()
        .reduce(|best, term| if term.0 > best.0 { term } else { best })
        .filter(|(seconds, _)| seconds.is_finite())
}

fn all_uplinks(seeder: Option<u64>, hosts: &[LinkRate]) -> Option<f64> {
    hosts.iter().try_fold(seeder? as f64, |sum, host| Some(sum + host.up? as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MBIT: u64 = 125_000;

    fn fleet(hosts: usize, rate: u64) -> Vec<LinkRate> {
        vec![LinkRate::both(Some(rate)); hosts]
    }

    #[test]
    fn equal_links_are_bound_by_the_seeder_alone() {
        let file = 64 << 20;
        let (seconds, binding) = least_seconds(file, Some(50 * MBIT), &fleet(16, 50 * MBIT)).unwrap();
        assert_eq!(binding, Binding::Seeder);
        assert!((seconds - 10.737).abs() < 0.001, "{seconds}");
    }

    #[test]
    fn the_slowest_downlink_binds_when_the_seeder_is_fast() {
        let mut hosts = fleet(8, 50 * MBIT);
        hosts[3] = LinkRate::both(Some(5 * MBIT));
        let (seconds, binding) = least_seconds(5 * MBIT * 60, Some(200 * MBIT), &hosts).unwrap();
        assert_eq!(binding, Binding::Host(HostId(3)));
        assert!((seconds - 60.0).abs() < 1e-9);
    }

    #[test]
    fn thin_uplinks_bind_together() {
        let hosts = vec![LinkRate { up: Some(MBIT), down: Some(100 * MBIT) }; 9];
        let (seconds, binding) = least_seconds(19 * MBIT, Some(10 * MBIT), &hosts).unwrap();
        assert_eq!(binding, Binding::Uplinks);
        assert!((seconds - 9.0).abs() < 1e-9);
    }

    #[test]
    fn more_hosts_at_the_same_rate_need_no_more_time() {
        let few = least_seconds(1 << 30, Some(MBIT), &fleet(8, MBIT)).unwrap();
        let many = least_seconds(1 << 30, Some(MBIT), &fleet(10_000, MBIT)).unwrap();
        assert_eq!(few, many);
    }

    #[test]
    fn what_is_not_known_does_not_limit() {
        let unknown = vec![LinkRate::both(None); 4];
        assert_eq!(least_seconds(1000, None, &unknown), None);
        assert_eq!(least_seconds(1000, Some(100), &unknown), Some((10.0, Binding::Seeder)));
        assert_eq!(least_seconds(1000, None, &fleet(4, 50)), Some((20.0, Binding::Host(HostId(0)))));
        assert_eq!(least_seconds(0, Some(100), &fleet(4, 50)), None);
        assert_eq!(least_seconds(1000, Some(100), &[]), None);
    }
}
