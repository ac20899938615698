use std::collections::VecDeque;
use std::time::Duration;

use crate::control::HostId;

/// Pieces that may be on their way to all hosts together in any case: half a MiB of the usual pieces. Fewer would leave
/// the uplink idle between a host's HAVE and its next request.
const LEAST: usize = 8;

/// And as a share of all pieces. While so many are on their way, the last of them waits for so much of the whole time.
/// Simulated with 300 hosts of 50 Mbit/s and 32 MiB: 63 % of the fluid limit without a bound, 76 % with 16 pieces, 84 %
/// with 8; with 100 hosts 84 %, 89 % and 92 %.
const SHARE: u32 = 64;

/// A loan that takes so many times as long as loans usually do is no measure any more: its host is slow.
const OVERDUE: f64 = 3.0;

/// A round is over when so many times as many pieces have arrived as may be on their way.
const ROUND: usize = 2;

/// More on their way is worth it if the seeder sends faster by this share, fewer if it does not send slower by a third
/// of it. What one round sends differs from the next by some hundredths.
const GAIN: f64 = 0.12;

/// Rounds between two trials.
const CALM: u32 = 4;

/// How many pieces are on their way from the seeder to all hosts together.
///
/// With a window of two a host, all pieces of a small payload may be on their way to hundreds of hosts at once; each then
/// gets its share of the uplink, all arrive at the end, and the hosts have nothing to give each other until then. So
/// there are places, and hosts take turns. As many as fill the uplink are enough: if the hosts and not the uplink are
/// slow, more places make the seeder faster, so more and fewer are tried by turns.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    least: usize,
    places: usize,
    /// Places on top, for long paths.
    extra: usize,
    taken: usize,
    /// Loans with a place, oldest first; those that are paid back may still be among them.
    row: VecDeque<(Duration, HostId, u32)>,
    /// Hosts that want a place, who waits longest first.
    waiting: VecDeque<HostId>,
    round: Round,
    /// Pieces a second with the places that are not on trial.
    rate: Option<f64>,
    trial: Option<Trial>,
    calm: u32,
    tried_more: bool,
}

#[derive(Debug, Clone, Default)]
struct Round {
    since: Option<Duration>,
    arrived: usize,
    /// Somebody had to wait.
    full: bool,
}

#[derive(Debug, Clone, Copy)]
struct Trial {
    /// Places before.
    before: usize,
    /// More than before, or fewer.
    more: bool,
    /// It is worth it from this rate on.
    worth: f64,
}

impl Budget {
    pub(super) fn new(pieces: u32) -> Self {
        let least = LEAST.max((pieces / SHARE) as usize);
        Self {
            least,
            places: least,
            extra: 0,
            taken: 0,
            row: VecDeque::new(),
            waiting: VecDeque::new(),
            round: Round::default(),
            rate: None,
            trial: None,
            calm: 0,
            tried_more: false,
        }
    }

    /// A host's path needs so many places more than before, or fewer.
    pub(super) fn stretch(&mut self, before: usize, after: usize) {
        self.extra = (self.extra + after).saturating_sub(before);
    }

    fn room(&self) -> usize {
        (self.places + self.extra).saturating_sub(self.taken)
    }

    /// Whether a host may take a place now. If not, it waits for its turn.
    pub(super) fn admits(&mut self, id: HostId) -> bool {
        let ahead = self.waiting.iter().position(|other| *other == id);
        let admitted = self.room() > ahead.unwrap_or(self.waiting.len());
        if !admitted {
            self.round.full = true;
            if ahead.is_none() {
                self.waiting.push_back(id);
            }
        }
        admitted
    }

    /// A host wants nothing, or is gone.
    pub(super) fn pass(&mut self, id: HostId) {
        self.waiting.retain(|other| *other != id);
    }

    pub(super) fn take(&mut self, id: HostId, piece: u32, now: Duration) {
        self.pass(id);
        self.taken += 1;
        self.row.push_back((now, id, piece));
        self.round.since.get_or_insert(now);
    }

    /// A place is free again, without a piece having arrived.
    pub(super) fn free(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }

    /// A piece arrived that had a place.
    pub(super) fn arrived(&mut self, now: Duration) {
        self.free();
        self.round.arrived += 1;
        let Some(since) = self.round.since else { return };
        let took = now.saturating_sub(since).as_secs_f64();
        if self.round.arrived >= ROUND * (self.places + self.extra) && took > 0.0 {
            if self.round.full {
                self.adapt(self.round.arrived as f64 / took);
            }
            self.round = Round { since: Some(now), ..Round::default() };
        }
    }

    fn adapt(&mut self, rate: f64) {
        match self.trial.take() {
            Some(trial) if rate >= trial.worth => {
                self.rate = Some(rate);
                self.calm = CALM;
                if trial.more {
                    self.start_trial(true, rate);
                }
            }
            Some(trial) => {
                self.places = trial.before;
                self.calm = CALM;
            }
            None => {
                let usual = self.rate.map_or(rate, |usual| (usual + rate) / 2.0);
                self.rate = Some(usual);
                self.calm = self.calm.saturating_sub(1);
                if self.calm == 0 {
                    let more = self.places == self.least || !self.tried_more;
                    self.start_trial(more, usual);
                }
            }
        }
    }

    fn start_trial(&mut self, more: bool, usual: f64) {
        let before = self.places;
        let (places, worth) = if more {
            (before * 2, usual * (1.0 + GAIN))
        } else {
            (self.least.max(before / 2), usual * (1.0 - GAIN / 3.0))
        };
        self.tried_more = more;
        self.places = places;
        self.trial = Some(Trial { before, more, worth });
    }

    /// The oldest loan, if it is overdue when loans usually take so many seconds. It has no place any more.
    pub(super) fn overdue(&mut self, usual: f64, now: Duration) -> Option<(HostId, u32, Duration)> {
        let (since, id, piece) = *self.row.front()?;
        let due = Duration::try_from_secs_f64(OVERDUE * usual)
            .map_or(Duration::MAX, |time| since.saturating_add(time));
        (now >= due).then(|| self.row.pop_front())?;
        Some((id, piece, since))
    }

    /// Who should be asked whether it wants a place.
    pub(super) fn next(&self) -> Option<HostId> {
        self.waiting.front().copied().filter(|_| self.room() > 0)
    }
}
