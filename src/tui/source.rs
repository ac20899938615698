use std::future::Future;

use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep_until};

use crate::clock;
use crate::deploy::{Body, Event, HostState};
use crate::journal::Replay as Tape;

use super::ui::ReplayBar;

/// Events taken at a time. A face that is behind catches up in a few steps, and keys are looked at in between.
const BATCH: usize = 4096;
/// How often a replay looks what is due.
const BEAT: Duration = Duration::from_millis(50);
/// Speeds of a replay.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.125..=64.0;

/// What waiting for events came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pull {
    /// There are events.
    Events,
    /// The run is told anew from its start: these events, and what was before is void.
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
    /// To the next failure, or to the one before.
    Failure(bool),
}

/// How a replay begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReplayStart {
    /// Milliseconds from the start of the run.
    pub at: u64,
    /// Seconds of the run in a second, 1/8 to 64.
    pub speed: f64,
    /// Whether time stands still at first.
    pub paused: bool,
}

impl Default for ReplayStart {
    fn default() -> Self {
        Self { at: 0, speed: 1.0, paused: false }
    }
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
        clock::now()
    }
}

/// A recorded run, told again at its own pace or another.
#[derive(Debug)]
pub(super) struct Recorded {
    tape: Tape,
    speed: f64,
    paused: bool,
    /// Where to wind to, milliseconds from the start.
    wanted: Option<u64>,
    since: Instant,
    due: Instant,
}

impl Recorded {
    pub(super) fn new(tape: Tape, start: ReplayStart) -> Self {
        let now = Instant::now();
        let speed = start.speed.clamp(*SPEEDS.start(), *SPEEDS.end());
        Self { tape, speed, paused: start.paused, wanted: Some(start.at), since: now, due: now }
    }

    fn failed(event: &Event) -> bool {
        matches!(&event.body, Body::Host { state: HostState::Failed(_), .. })
    }
}

impl Source for Recorded {
    async fn next(&mut self, into: &mut Vec<Event>) -> Pull {
        loop {
            if let Some(wanted) = self.wanted.take() {
                let (anew, events) = self.tape.seek(wanted);
                into.extend_from_slice(events);
                return if anew { Pull::Restart } else { Pull::Events };
            }
            sleep_until(self.due).await;
            let now = Instant::now();
            let past = now.saturating_duration_since(std::mem::replace(&mut self.since, now));
            self.due = now + BEAT;
            let speed = if self.paused { 0.0 } else { self.speed };
            let events = self.tape.advance(past.as_millis() as u64, speed);
            if !events.is_empty() {
                into.extend_from_slice(events);
                return Pull::Events;
            }
        }
    }

    fn now(&self) -> u64 {
        self.tape.clock()
    }

    fn bar(&self) -> Option<ReplayBar> {
        let (position, length) = (self.tape.position(), self.tape.length());
        Some(ReplayBar { position, length, speed: self.speed, paused: self.paused })
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::Seek(by) => self.wanted = Some(self.tape.position().saturating_add_signed(by)),
            Control::Failure(forward) => self.wanted = self.tape.find(forward, Self::failed).or(self.wanted),
            Control::Speed(times) => self.speed = (self.speed * times).clamp(*SPEEDS.start(), *SPEEDS.end()),
            Control::Pause => self.paused = !self.paused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(start: ReplayStart) -> Recorded {
        let event = |n| Event { at: 1_000_000 + n * 1000, body: Body::QuestionDone { id: n as u32 } };
        Recorded::new(Tape::new((0..5u64).map(event)), start)
    }

    async fn pull(replay: &mut Recorded) -> (Pull, Vec<u64>) {
        let mut into = Vec::new();
        let pull = replay.next(&mut into).await;
        (pull, into.iter().map(|event| event.at - 1_000_000).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn a_replay_keeps_the_pace_that_it_is_given() {
        let start = Instant::now();
        let mut replay = recorded(ReplayStart { speed: 2.0, ..ReplayStart::default() });
        let mut seen = Vec::new();
        while seen.len() < 5 {
            seen.extend(pull(&mut replay).await.1);
        }
        assert_eq!(seen, [0, 1000, 2000, 3000, 4000]);
        assert!((2000..2200).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn going_back_tells_the_run_anew_up_to_where_it_went() {
        let mut replay = recorded(ReplayStart { at: 3_500, paused: true, ..ReplayStart::default() });
        assert_eq!(pull(&mut replay).await, (Pull::Events, vec![0, 1000, 2000, 3000]));
        replay.control(Control::Seek(-2_000));
        assert_eq!(pull(&mut replay).await, (Pull::Restart, vec![0, 1000]));
        replay.control(Control::Seek(-60_000));
        assert_eq!(pull(&mut replay).await, (Pull::Restart, vec![0]));
        assert_eq!(replay.bar().map(|bar| bar.position), Some(0));
    }
}
