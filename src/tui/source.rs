use std::future::Future;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep};

use crate::deploy::Event;

use super::ui::ReplayBar;

/// Events taken at a time. A face that is behind catches up in a few steps, and keys are looked at in between.
const BATCH: usize = 4096;
/// Speeds of a replay.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.125..=64.0;

/// What waiting for events came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pull {
    /// There are events.
    Events,
    /// The run is told anew from its start.
    Restart,
    /// There will be none any more.
    End,
}

/// What can be done to the time of a replay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Control {
    /// On or back by so many milliseconds.
    Seek(i64),
    /// Times as fast.
    Speed(f64),
    /// Stop, or go on.
    Pause,
}

/// Where events come from: a run that goes on, or one that was recorded.
pub(super) trait Source {
    /// Waits for events and adds them to `into`. Dropping the future loses none.
    fn next(&mut self, into: &mut Vec<Event>) -> impl Future<Output = Pull>;

    /// The run's clock, milliseconds since the epoch.
    fn now(&self) -> u64;

    /// Where a replay stands; `None` for a run that goes on.
    fn bar(&self) -> Option<ReplayBar> {
        None
    }

    /// Changes the time of a replay.
    fn control(&mut self, _control: Control) {}
}

/// A run that goes on.
#[derive(Debug)]
pub(super) struct Live(pub(super) mpsc::Receiver<Event>);

impl Source for Live {
    async fn next(&mut self, into: &mut Vec<Event>) -> Pull {
        if self.0.recv_many(into, BATCH).await == 0 { Pull::End } else { Pull::Events }
    }

    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
    }
}

/// A recorded run, told again at its own pace or another.
#[derive(Debug)]
pub struct Replay {
    events: Vec<Event>,
    next: usize,
    speed: f64,
    paused: bool,
    restart: bool,
    /// The run's clock when `since` was.
    base: u64,
    since: Instant,
}

impl Replay {
    /// From the first event on, as fast as it was.
    pub fn new(events: Vec<Event>) -> Self {
        let base = events.first().map_or(0, |event| event.at);
        Self { events, next: 0, speed: 1.0, paused: false, restart: false, base, since: Instant::now() }
    }

    /// The same from so many milliseconds after the start, paused or not, so many times as fast.
    #[must_use]
    pub fn at(mut self, millis: u64, speed: f64, paused: bool) -> Self {
        self.base += millis;
        self.speed = speed.clamp(*SPEEDS.start(), *SPEEDS.end());
        self.paused = paused;
        self
    }

    fn first(&self) -> u64 {
        self.events.first().map_or(0, |event| event.at)
    }

    fn last(&self) -> u64 {
        self.events.iter().rev().map(|event| event.at).next().unwrap_or(0).max(self.first())
    }

    fn anchor(&mut self, now: u64) {
        self.base = now.clamp(self.first(), self.last());
        self.since = Instant::now();
    }
}

impl Source for Replay {
    async fn next(&mut self, into: &mut Vec<Event>) -> Pull {
        if std::mem::take(&mut self.restart) {
            return Pull::Restart;
        }
        loop {
            let now = self.now();
            let due = self.events[self.next..].iter().take(BATCH).take_while(|event| event.at <= now).count();
            if due > 0 {
                into.extend_from_slice(&self.events[self.next..self.next + due]);
                self.next += due;
                return Pull::Events;
            }
            match self.events.get(self.next) {
                Some(event) if !self.paused => {
                    let wait = (event.at - now) as f64 / self.speed;
                    sleep(Duration::from_millis(wait.ceil() as u64 + 1)).await;
                }
                _ => std::future::pending().await,
            }
        }
    }

    fn now(&self) -> u64 {
        let past = if self.paused { 0.0 } else { self.since.elapsed().as_millis() as f64 * self.speed };
        (self.base + past as u64).min(self.last())
    }

    fn bar(&self) -> Option<ReplayBar> {
        let position = self.now() - self.first().min(self.now());
        Some(ReplayBar {
            position,
            length: self.last() - self.first(),
            speed: self.speed,
            paused: self.paused,
        })
    }

    fn control(&mut self, control: Control) {
        let now = self.now();
        match control {
            Control::Seek(by) => {
                let wanted = now.saturating_add_signed(by);
                self.anchor(wanted);
                if by < 0 {
                    self.next = 0;
                    self.restart = true;
                }
            }
            Control::Speed(times) => {
                self.anchor(now);
                self.speed = (self.speed * times).clamp(*SPEEDS.start(), *SPEEDS.end());
            }
            Control::Pause => {
                self.anchor(now);
                self.paused = !self.paused;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::Body;

    fn events() -> Vec<Event> {
        (0..5)
            .map(|n| Event { at: 1_000_000 + n * 1000, body: Body::QuestionDone { id: n as u32 } })
            .collect()
    }

    async fn pull(replay: &mut Replay) -> (Pull, Vec<u64>) {
        let mut into = Vec::new();
        let pull = replay.next(&mut into).await;
        (pull, into.iter().map(|event| event.at - 1_000_000).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn a_replay_keeps_the_pace_that_it_is_given() {
        let start = Instant::now();
        let mut replay = Replay::new(events()).at(0, 2.0, false);
        let mut seen = Vec::new();
        while seen.len() < 5 {
            seen.extend(pull(&mut replay).await.1);
        }
        assert_eq!(seen, [0, 1000, 2000, 3000, 4000]);
        assert!((2000..2100).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn going_back_tells_the_run_anew_up_to_where_it_went() {
        let mut replay = Replay::new(events()).at(3_500, 1.0, true);
        assert_eq!(pull(&mut replay).await, (Pull::Events, vec![0, 1000, 2000, 3000]));
        replay.control(Control::Seek(-2_000));
        assert_eq!(pull(&mut replay).await.0, Pull::Restart);
        assert_eq!(pull(&mut replay).await, (Pull::Events, vec![0, 1000]));
        replay.control(Control::Seek(-60_000));
        assert_eq!(replay.bar().map(|bar| bar.position), Some(0));
    }
}
