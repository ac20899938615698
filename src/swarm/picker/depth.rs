use std::time::Duration;

/// Requests out to a new host, and the fewest: less would leave it idle between two blocks.
const HOST: (u32, u32) = (4, 2);
/// The same to the seeder. It reveals no more than it means to send, and its path through SSH may be long.
const SEEDER: (u32, u32) = (16, 8);
const MOST: u32 = 512;
/// Latency up to which more is asked for. A new piece waits so long behind what was asked for before, at each host on
/// its way, so that the last one is late by some times this: measured with 32 hosts of 20 Mbit/s the last host needed
/// 15.05, 14.95, 14.80, 14.71 and 14.57 s with 250, 180, 120, 90 and 60 ms.
const TARGET: Duration = Duration::from_millis(60);
/// However long the path, what is behind this much latency is a queue.
const TARGET_MOST: Duration = Duration::from_secs(2);

/// Latency that is assumed before there was a block.
const UNKNOWN: Duration = Duration::from_millis(30);

/// How many requests to keep out to a peer, from the latency of its blocks.
#[derive(Debug, Clone)]
pub(super) struct Depth {
    requests: u32,
    least: u32,
    /// The shortest latency seen, which is that of the path without a queue.
    path: Option<Duration>,
    /// Mean latency of the last blocks.
    recent: Option<Duration>,
}

impl Depth {
    pub(super) fn new(seeder: bool) -> Self {
        let (requests, least) = if seeder { SEEDER } else { HOST };
        Self { requests, least, path: None, recent: None }
    }

    pub(super) fn requests(&self) -> u32 {
        self.requests
    }

    /// What it may have out however much is out elsewhere.
    pub(super) fn least(&self) -> u32 {
        self.least
    }

    /// A block came `latency` after it was asked for; `used`: as many as allowed were out.
    pub(super) fn block_came(&mut self, latency: Duration, used: bool) {
        let path = self.path.map_or(latency, |path| path.min(latency));
        self.path = Some(path);
        self.recent = Some(self.recent.map_or(latency, |recent| (recent * 3 + latency) / 4));
        let target = (path * 5 / 2).clamp(TARGET, TARGET_MOST);
        if latency < target && used {
            self.requests = (self.requests + 1).min(MOST);
        } else if latency > target * 3 / 2 {
            self.requests = (self.requests - 1).max(self.least);
        }
    }

    /// Whether a block that this peer was asked for `ago` is worth asking another for, whose depth is `other`: it is
    /// overdue, or the other would send it much earlier.
    pub(super) fn is_worth_asking_again(&self, ago: Duration, other: &Self) -> bool {
        let expected = self.recent.unwrap_or(UNKNOWN);
        let left = expected.saturating_sub(ago);
        ago > expected * 3 / 2 || left > other.path.unwrap_or(UNKNOWN) * 2
    }

    /// How long a block may take before it counts as late, or the peer as one that sends no more: some times what its
    /// blocks take as a rule, for a slow link is no fault.
    pub(super) fn patience(&self, times: u32, least: Duration) -> Duration {
        self.recent.map_or(least * 3, |recent| (recent * times).max(least))
    }

    /// It stopped sending: start again from the least.
    pub(super) fn stopped(&mut self) {
        self.requests = self.least;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_asked_for_again_when_it_is_overdue_or_another_is_much_faster() {
        let after = |ms| {
            let mut depth = Depth::new(false);
            depth.block_came(Duration::from_millis(ms), true);
            depth
        };
        let (near, far, slow) = (after(2), after(60), after(300));
        for (by, ago, other, worth) in [
            (&near, 1, &near, false),
            (&near, 4, &near, true),
            (&slow, 0, &near, true),
            (&slow, 200, &far, false),
            (&slow, 298, &near, false),
            (&slow, 500, &far, true),
            (&Depth::new(false), 10, &Depth::new(false), false),
            (&Depth::new(false), 50, &Depth::new(false), true),
        ] {
            assert_eq!(
                by.is_worth_asking_again(Duration::from_millis(ago), other),
                worth,
                "{by:?}, {ago}, {other:?}"
            );
        }
    }

    /// Blocks through a link that passes `rate` blocks a second with `path` of latency, for so many blocks.
    fn settle(rate: f64, path: f64, blocks: usize) -> (u32, f64) {
        let mut depth = Depth::new(false);
        let mut queue = std::collections::VecDeque::new();
        let (mut now, mut free, mut latency) = (0.0f64, 0.0f64, 0.0);
        for _ in 0..blocks {
            while queue.len() < depth.requests() as usize {
                free = free.max(now + path) + 1.0 / rate;
                queue.push_back((now, free));
            }
            let used = queue.len() >= depth.requests() as usize;
            let (asked, comes) = queue.pop_front().unwrap();
            now = comes;
            latency = now - asked;
            depth.block_came(Duration::from_secs_f64(latency), used);
        }
        (depth.requests(), latency)
    }

    #[test]
    fn it_fills_the_link_and_keeps_the_queue_short_whatever_rate_and_path() {
        for (rate, path) in [(5.0, 0.001), (50.0, 0.01), (400.0, 0.05), (800.0, 0.15), (20.0, 0.3)] {
            let (requests, latency) = settle(rate, path, 5000);
            assert!(f64::from(requests) >= rate * path, "{rate}/s, {path} s: only {requests} out");
            assert!(latency < (path * 2.5).max(0.06) * 1.6 + 3.0 / rate, "{rate}/s, {path} s: {latency} s");
        }
    }
}
