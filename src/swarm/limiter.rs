//! A host's rate limit: bytes a second in each direction, shared by all its connections, changeable while it runs.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What may be sent at once after a pause, as time at the full rate; also what a timer that fires late is forgiven.
const BURST: Duration = Duration::from_millis(20);
/// Bytes of [`BURST`] at the least: a packet or two, or low rates would never start.
const LEAST_BURST: f64 = 3000.0;
/// Longest sleep, after which the rate is looked at again: it may have been raised.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);
/// Bytes that pass at once are about so long at the full rate, so that traffic is even and turns come often.
const QUANTUM: Duration = Duration::from_millis(10);
/// Bounds of what passes at once, bytes.
const QUANTUM_BOUNDS: (f64, f64) = (2048.0, 65536.0);

/// Payload bytes in a full packet, IPv4 with timestamps.
const PACKET: u64 = 1448;
/// Ethernet, IP and TCP around them.
const PACKET_OVERHEAD: u64 = 66;

/// Way of bytes, as the host sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To it.
    Down,
    /// From it.
    Up,
}

/// A place in the queue of a direction: the bytes that must have passed before.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Turn(f64);

/// Token buckets for both directions.
///
/// Each is a clock that counts the bytes which could have passed since it was made; what wants to pass takes a turn
/// behind what came before it, so that connections pass in the order in which they asked.
#[derive(Debug)]
pub struct Limiter {
    down: Mutex<Bucket>,
    up: Mutex<Bucket>,
}

impl Limiter {
    /// With a limit for each direction in bytes a second, as they are on the wire; `None` for none.
    pub fn new(rate: Option<u64>) -> Self {
        let now = Instant::now();
        Self { down: Mutex::new(Bucket::new(rate, now)), up: Mutex::new(Bucket::new(rate, now)) }
    }

    /// Changes the limit of both directions, for what waits too.
    pub fn set_rate(&self, rate: Option<u64>) {
        self.set_direction(Direction::Down, rate);
        self.set_direction(Direction::Up, rate);
    }

    /// Changes the limit of one direction.
    pub fn set_direction(&self, direction: Direction, rate: Option<u64>) {
        self.with(direction, |bucket, now| bucket.set_rate(rate, now));
    }

    /// Takes the turn for `bytes` of a stream that are about to pass.
    pub fn take(&self, direction: Direction, bytes: usize) -> Turn {
        self.with(direction, |bucket, now| bucket.take(on_the_wire(bytes), now))
    }

    /// Takes the turn behind `bytes` of a stream that passed already: it comes when they are paid for.
    pub fn passed(&self, direction: Direction, bytes: usize) -> Turn {
        let cost = on_the_wire(bytes);
        self.with(direction, |bucket, now| Turn(bucket.take(cost, now).0 + cost))
    }

    /// How long to sleep before asking again whether it is that turn; `None`: it is.
    pub fn wait(&self, direction: Direction, turn: Turn) -> Option<Duration> {
        self.with(direction, |bucket, now| bucket.wait(turn, now))
    }

    /// The most that should pass at once, bytes.
    pub fn quantum(&self, direction: Direction) -> usize {
        self.with(direction, |bucket, _| bucket.quantum())
    }

    /// Waits for the turn of `bytes` of a stream.
    pub async fn pass(&self, direction: Direction, bytes: usize) {
        let turn = self.take(direction, bytes);
        while let Some(time) = self.wait(direction, turn) {
            tokio::time::sleep(time).await;
        }
    }

    fn with<T>(&self, direction: Direction, act: impl FnOnce(&mut Bucket, Instant) -> T) -> T {
        let bucket = match direction {
            Direction::Down => &self.down,
            Direction::Up => &self.up,
        };
        act(&mut bucket.lock().unwrap_or_else(PoisonError::into_inner), Instant::now())
    }
}

/// Bytes that a part of a stream takes on a link, if it goes in full packets.
pub fn on_the_wire(bytes: usize) -> f64 {
    (bytes as f64) * ((PACKET + PACKET_OVERHEAD) as f64) / (PACKET as f64)
}

#[derive(Debug)]
struct Bucket {
    /// Bytes a second.
    rate: Option<f64>,
    /// Bytes that could have passed until `at`.
    clock: f64,
    at: Instant,
    /// Bytes that turns were given for.
    tail: f64,
}

impl Bucket {
    fn new(rate: Option<u64>, now: Instant) -> Self {
        Self { rate: rate.map(|rate| rate.max(1) as f64), clock: 0.0, at: now, tail: 0.0 }
    }

    fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.clock = match self.rate {
            Some(rate) => self.clock + passed * rate,
            // Without a limit all that wants to has passed.
            None => self.clock.max(self.tail),
        };
    }

    fn set_rate(&mut self, rate: Option<u64>, now: Instant) {
        self.advance(now);
        self.rate = rate.map(|rate| rate.max(1) as f64);
    }

    fn take(&mut self, cost: f64, now: Instant) -> Turn {
        self.advance(now);
        let burst = self.rate.map_or(0.0, |rate| (rate * BURST.as_secs_f64()).max(LEAST_BURST));
        let turn = self.tail.max(self.clock - burst);
        self.tail = turn + cost;
        Turn(turn)
    }

    fn wait(&mut self, turn: Turn, now: Instant) -> Option<Duration> {
        self.advance(now);
        let rate = self.rate?;
        let missing = turn.0 - self.clock;
        (missing > 0.0).then(|| {
            let least = Duration::from_micros(50);
            Duration::try_from_secs_f64(missing / rate)
                .map_or(LONGEST_SLEEP, |time| time.clamp(least, LONGEST_SLEEP))
        })
    }

    fn quantum(&self) -> usize {
        let (least, most) = QUANTUM_BOUNDS;
        self.rate.map_or(most, |rate| (rate * QUANTUM.as_secs_f64()).clamp(least, most)) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Bytes on the wire that `streams` pass in parts of `part` within `time`, each.
    async fn passed(limiter: &Arc<Limiter>, streams: usize, part: usize, time: Duration) -> Vec<f64> {
        let end = Instant::now() + time;
        let tasks: Vec<_> = (0..streams)
            .map(|_| {
                let limiter = limiter.clone();
                tokio::spawn(async move {
                    let mut bytes = 0.0;
                    loop {
                        limiter.pass(Direction::Up, part).await;
                        if Instant::now() >= end {
                            return bytes;
                        }
                        bytes += on_the_wire(part);
                    }
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.push(task.await.unwrap());
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_holds_within_five_percent_whatever_the_rate_and_the_parts() {
        for rate in [20_000u64, 625_000, 12_500_000, 125_000_000] {
            for (streams, part) in [(1, 1448), (1, 16_413), (9, 16_413)] {
                let limiter = Arc::new(Limiter::new(Some(rate)));
                let seconds = if rate < 100_000 { 60 } else { 4 };
                let each = passed(&limiter, streams, part, Duration::from_secs(seconds)).await;
                let share = each.iter().sum::<f64>() / (rate * seconds) as f64;
                assert!((0.95..1.05).contains(&share), "{rate}/s, {streams} x {part}: {share}");
                let (least, most) =
                    (each.iter().copied().fold(f64::MAX, f64::min), each.iter().copied().fold(0.0, f64::max));
                assert!(most - least <= 2.5 * on_the_wire(part), "turns are even: {least} to {most}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_rate_holds_at_once_for_what_waits_too() {
        let limiter = Arc::new(Limiter::new(Some(1000)));
        limiter.take(Direction::Up, 100_000);
        let waiting = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.pass(Direction::Up, 1000).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished(), "that takes 100 s");
        let raised = Instant::now();
        limiter.set_rate(Some(1_000_000));
        waiting.await.unwrap();
        assert!(raised.elapsed() < Duration::from_millis(300), "{:?}", raised.elapsed());

        limiter.take(Direction::Up, 100_000_000);
        limiter.set_rate(None);
        let lifted = Instant::now();
        limiter.pass(Direction::Up, 1000).await;
        assert!(lifted.elapsed() < Duration::from_millis(1));
        limiter.set_rate(Some(100_000));
        let share = passed(&limiter, 2, 1448, Duration::from_secs(5)).await.iter().sum::<f64>() / 500_000.0;
        assert!((0.95..1.05).contains(&share), "and lowered again: {share}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_not_saved_up() {
        let limiter = Arc::new(Limiter::new(Some(100_000)));
        tokio::time::sleep(Duration::from_secs(100)).await;
        let share = passed(&limiter, 1, 1448, Duration::from_secs(2)).await.iter().sum::<f64>() / 200_000.0;
        assert!((0.95..1.05).contains(&share), "{share}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_passed_already_is_paid_before_the_next() {
        let limiter = Limiter::new(Some(100_000));
        let begun = Instant::now();
        for _ in 0..20 {
            let turn = limiter.passed(Direction::Down, 14_480);
            while let Some(time) = limiter.wait(Direction::Down, turn) {
                tokio::time::sleep(time).await;
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        let expected = 20.0 * on_the_wire(14_480) / 100_000.0;
        assert!((0.95..1.05).contains(&(seconds / expected)), "{seconds} s, not {expected} s");
    }
}
