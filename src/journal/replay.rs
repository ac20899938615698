use crate::deploy::Event;

/// A recorded run as a tape: it plays at a speed and can be wound. Its time begins with the first event.
#[derive(Debug, Clone)]
pub struct Replay {
    events: Vec<Event>,
    next: usize,
    /// Milliseconds since the first event.
    position: f64,
}

impl Replay {
    /// A tape of these events, at its beginning.
    pub fn new(events: impl IntoIterator<Item = Event>) -> Self {
        Self { events: events.into_iter().collect(), next: 0, position: 0.0 }
    }

    /// Milliseconds from the first event to the last.
    pub fn length(&self) -> u64 {
        self.events.last().map_or(0, |last| last.at.saturating_sub(self.start()))
    }

    /// Milliseconds since the first event.
    pub fn position(&self) -> u64 {
        self.position as u64
    }

    /// The moment that is shown, milliseconds since the epoch.
    pub fn clock(&self) -> u64 {
        self.start() + self.position()
    }

    /// Whether everything was played.
    pub fn is_over(&self) -> bool {
        self.next == self.events.len()
    }

    /// Plays `elapsed_ms` of the watcher's time at `speed` times the run's, and gives what happened in it.
    pub fn advance(&mut self, elapsed_ms: u64, speed: f64) -> &[Event] {
        self.play_to(self.position + elapsed_ms as f64 * speed.max(0.0))
    }

    /// Winds to `position` (milliseconds since the first event). Gives what is to be applied, and whether to a state
    /// that is made anew: winding back starts over.
    pub fn seek(&mut self, position: u64) -> (bool, &[Event]) {
        let back = position < self.position();
        if back {
            self.next = 0;
            self.position = 0.0;
        }
        (back, self.play_to(position as f64))
    }

    /// Milliseconds since the first event, of the next event after here (or the last before) for which `wanted` holds:
    /// to wind to the next failure.
    pub fn find(&self, forward: bool, wanted: impl Fn(&Event) -> bool) -> Option<u64> {
        let since = |event: &Event| event.at.saturating_sub(self.start());
        let (before, after) = self.events.split_at(self.next);
        if forward {
            after.iter().find(|event| wanted(event)).map(since)
        } else {
            before.iter().rev().find(|event| since(event) < self.position() && wanted(event)).map(since)
        }
    }

    fn start(&self) -> u64 {
        self.events.first().map_or(0, |first| first.at)
    }

    fn play_to(&mut self, position: f64) -> &[Event] {
        self.position = position.min(self.length() as f64);
        let clock = self.clock();
        let from = self.next;
        while self.events.get(self.next).is_some_and(|event| event.at <= clock) {
            self.next += 1;
        }
        &self.events[from..self.next]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::Body;

    fn tape() -> Replay {
        Replay::new(
            (0..10).map(|id| Event { at: 5000 + u64::from(id) * 1000, body: Body::QuestionDone { id } }),
        )
    }

    #[test]
    fn a_tape_plays_at_its_speed_and_ends() {
        let mut tape = tape();
        assert_eq!(tape.length(), 9000);
        assert_eq!(tape.advance(0, 1.0).len(), 1);
        assert_eq!(tape.advance(1000, 2.0).len(), 2);
        assert_eq!(tape.advance(1000, 0.0).len(), 0, "it stands still at speed 0");
        assert_eq!((tape.position(), tape.clock()), (2000, 7000));
        assert_eq!(tape.advance(1 << 40, 8.0).len(), 7);
        assert!(tape.is_over());
        assert_eq!(tape.position(), 9000);
    }

    #[test]
    fn winding_forward_goes_on_and_winding_back_starts_over() {
        let mut tape = tape();
        let (anew, events) = tape.seek(4500);
        assert_eq!((anew, events.len()), (false, 5));
        let (anew, events) = tape.seek(2000);
        assert_eq!((anew, events.len()), (true, 3));
        assert_eq!(tape.find(true, |_| true), Some(3000));
        assert_eq!(tape.find(false, |_| true), Some(1000));
        assert_eq!(tape.find(true, |_| false), None);
    }

    #[test]
    fn an_empty_record_plays_nothing() {
        let mut tape = Replay::new([]);
        assert!(tape.advance(1000, 1.0).is_empty() && tape.is_over());
        assert_eq!(tape.seek(7), (false, &[][..]));
    }
}
