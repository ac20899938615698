use super::FleetState;

/// No estimate before the swarm has moved for so long, milliseconds.
const WARM_UP_MS: u64 = 3_000;
/// Two estimates that differ by less than this share are one.
const AGREE: f64 = 0.12;

/// When the last host will have the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eta {
    /// The sooner of two estimates, milliseconds from the time it was made.
    pub low_ms: u64,
    /// The later one.
    pub high_ms: u64,
    /// When it was made, milliseconds since the epoch.
    pub at: u64,
}

impl Eta {
    /// Whether the two estimates agree.
    pub fn is_steady(&self) -> bool {
        (self.high_ms - self.low_ms) as f64 <= (self.high_ms as f64 * AGREE).max(1_500.0)
    }
}

/// One estimate from all that is left at the speed of the whole, one from the slowest host at its own speed.
pub(super) fn estimate(fleet: &FleetState, now: u64) -> Option<Eta> {
    if fleet.fetch_millis(now)? < WARM_UP_MS {
        return None;
    }
    let (mut left, mut slowest): (u64, f64) = (0, 0.0);
    for host in fleet.pulses().iter().filter(|host| host.left > 0) {
        left += host.left;
        if host.rate > 0 {
            slowest = slowest.max(host.left as f64 / f64::from(host.rate));
        }
    }
    let recent: Vec<u64> = fleet.throughput().iter().rev().take(5).copied().collect();
    let speed = recent.iter().sum::<u64>() as f64 / recent.len().max(1) as f64;
    if left == 0 || speed < 1.0 {
        return None;
    }
    let swarm = left as f64 / speed;
    let slowest = if slowest > 0.0 { slowest } else { swarm };
    let millis = |seconds: f64| (seconds * 1000.0).min(1e12) as u64;
    Some(Eta { low_ms: millis(swarm.min(slowest)), high_ms: millis(swarm.max(slowest)), at: now })
}
