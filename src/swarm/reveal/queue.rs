use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::budget::Budget;
use super::rarity::Rarity;
use crate::control::HostId;
use crate::swarm::BitSet;

/// Hosts that are fed at a time; more would only share the same uplink. Hosts without neighbours come on top.
pub const MAX_FEEDS: usize = 256;

/// The least pieces that are revealed to a host and not yet there: one travels while the next is asked for.
pub const WINDOW: usize = 2;

/// The least for a host that has nobody but the seeder: what it is shown is kept from nobody. 2 MiB of the usual pieces, as
/// much as a channel of sshd takes ahead, so that a relay on the way that holds small packets back costs no time.
const ALONE_WINDOW: usize = 32;

/// The most pieces revealed to a host and not yet there.
const MAX_WINDOW: usize = 256;

/// A loan is late after so many times as long as loans usually take.
const LATE: f64 = 1.5;

/// A host whose loans take so many times as long as others' is slow: at the end nobody waits for it.
const SLOW: f64 = 3.0;

/// How much a new loan counts in what loans usually take.
const NEWS: f64 = 0.1;

/// How long loans are taken to need before one was paid back, seconds: 8 of 64 KiB at 4 Mbit/s.
const FIRST_LOAN: f64 = 1.0;

/// Time for which the swarm is left to itself when every piece is out, as a share of the time that this took. Simulated
/// on equal links, pieces sent again in that time cost 5 to 7 % of a copy and bring nothing.
const REST: f64 = 0.1;

/// And the least of it.
const LEAST_REST: Duration = Duration::from_secs(1);

/// Pieces to have revealed and outstanding at a host so that its path from the seeder never runs dry: `rate` in bytes a
/// second and the path's unloaded round trip in seconds, as seen so far. A piece is out for two round trips, that of its HAVE
/// and request and that of its last block and the host's HAVE; twice that, so that the rate can double.
pub fn window(rate: f64, round_trip: f64, piece_length: u32) -> usize {
    let pieces = 4.0 * rate * round_trip / f64::from(piece_length.max(1));
    if pieces.is_finite() { (pieces.ceil() as usize + 1).clamp(WINDOW, MAX_WINDOW) } else { WINDOW }
}

/// The reveal queue: a super-seeder for many hosts at once.
///
/// A piece counts as often as a host that can pass it on holds it or is being sent it. A host is shown the rarest
/// pieces that it lacks, ties in random order, as many as its window takes, and the next one when it reports one: so a
/// slow host draws few. While all goes well each piece is shown once; what was sent to a host that dies counts nought
/// again, and is shown to another. Once every piece is out, what slow hosts and late ones sit on is shown to others. If
/// the swarm then needs long, because its uplinks are thin, the rarest pieces are shown again until all have all.
/// Over all hosts no more pieces are on their way than fill the uplink; beyond that hosts take turns.
///
/// A host without neighbours passes nothing on: it counts for nothing and is shown every piece in order.
#[derive(Debug, Clone)]
pub struct Reveal {
    pieces: u32,
    /// By hosts that can pass a piece on: holders and those that are being sent it.
    out: Rarity,
    /// By hosts of all kinds that hold it.
    copies: Rarity,
    /// By hosts that can pass it on and hold it.
    shared: Rarity,
    hosts: HashMap<HostId, Host>,
    budget: Budget,
    /// To whom pieces are revealed, with and without a place.
    fed: BTreeSet<HostId>,
    /// Places taken.
    admitted: usize,
    /// Who waits for a place, by the number of its join.
    waiting: BTreeMap<u64, HostId>,
    joins: u64,
    /// How long loans take, seconds.
    usual: Option<f64>,
    /// When loans are to be looked at next, because one may be late.
    late_at: Duration,
    /// When the first piece was revealed.
    began: Option<Duration>,
    /// Since when every piece is held by a host that can pass it on.
    all_held: Option<Duration>,
    rng: fastrand::Rng,
}

#[derive(Debug, Clone)]
struct Host {
    has: BitSet,
    alone: bool,
    feed: Option<Feed>,
}

#[derive(Debug, Clone)]
struct Feed {
    joined: u64,
    place: Place,
    window: usize,
    /// Revealed to it and not there yet.
    lent: Vec<Loan>,
    /// How long its loans take, seconds.
    usual: Option<f64>,
    /// Where a host without neighbours goes on in the row of pieces.
    next: u32,
}

#[derive(Debug, Clone, Copy)]
struct Loan {
    piece: u32,
    since: Duration,
    /// Whether it counts for the piece; late ones do not.
    counts: bool,
    /// Whether it has a place of the budget; overdue ones and those of hosts without neighbours do not.
    placed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It has all pieces and needs no place.
    Done,
    /// All places are taken.
    Waiting,
    /// One of [`MAX_FEEDS`].
    Taken,
    /// Fed without a place, because nobody else feeds it.
    Alone,
}

impl Reveal {
    /// A queue for so many pieces; what is random comes from the seed.
    pub fn new(pieces: u32, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let out = Rarity::new(pieces, &mut rng);
        let (copies, shared) = (out.clone(), out.clone());
        Self {
            pieces,
            out,
            copies,
            shared,
            hosts: HashMap::new(),
            budget: Budget::new(pieces),
            fed: BTreeSet::new(),
            admitted: 0,
            waiting: BTreeMap::new(),
            joins: 0,
            usual: None,
            late_at: Duration::ZERO,
            began: None,
            all_held: None,
            rng,
        }
    }

    /// A host is connected from now on and says itself what it has. `alone`: it has no neighbours.
    pub fn join(&mut self, id: HostId, alone: bool) {
        self.leave(id);
        self.set_alone(id, alone);
        self.joins += 1;
        let feed = Feed {
            joined: self.joins,
            place: Place::Done,
            window: WINDOW,
            lent: Vec::new(),
            usual: None,
            next: 0,
        };
        if let Some(host) = self.hosts.get_mut(&id) {
            host.feed = Some(feed);
        }
        self.settle(id);
    }

    /// A host's connection is gone; what it holds still counts.
    pub fn leave(&mut self, id: HostId) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let Some(feed) = host.feed.take() else { return };
        if !host.alone {
            feed.lent.iter().filter(|loan| loan.counts).for_each(|loan| self.out.lower(loan.piece));
        }
        feed.lent.iter().filter(|loan| loan.placed).for_each(|_| self.budget.free());
        self.budget.stretch(feed.window, WINDOW);
        self.budget.pass(id);
        self.fed.remove(&id);
        match feed.place {
            Place::Taken => self.admitted -= 1,
            Place::Waiting => drop(self.waiting.remove(&feed.joined)),
            Place::Done | Place::Alone => {}
        }
        self.admit();
    }

    /// A host is gone, with all that it held.
    pub fn forget(&mut self, id: HostId) {
        self.leave(id);
        self.note_exactly(id, &BitSet::new(self.pieces), Duration::ZERO);
        self.hosts.remove(&id);
    }

    /// Whether a host has nobody but the seeder. Hosts are taken to have neighbours until told.
    pub fn set_alone(&mut self, id: HostId, alone: bool) {
        let host = host(&mut self.hosts, id, self.pieces);
        if host.alone == alone {
            return;
        }
        host.alone = alone;
        let counted = host.feed.iter().flat_map(|feed| &feed.lent).filter(|loan| loan.counts);
        let lent = counted.map(|loan| loan.piece);
        let change: fn(&mut Rarity, u32) = if alone { Rarity::lower } else { Rarity::raise };
        host.has.iter().for_each(|piece| change(&mut self.shared, piece));
        host.has.iter().chain(lent).for_each(|piece| change(&mut self.out, piece));
        self.settle(id);
    }

    /// A host has a piece, by its own word.
    pub fn have(&mut self, id: HostId, piece: u32, now: Duration) {
        let host = host(&mut self.hosts, id, self.pieces);
        if !host.has.insert(piece) {
            return;
        }
        self.copies.raise(piece);
        let loan = host.feed.as_mut().and_then(|feed| {
            let at = feed.lent.iter().position(|loan| loan.piece == piece)?;
            let loan = feed.lent.swap_remove(at);
            let took = now.saturating_sub(loan.since).as_secs_f64();
            mix(&mut feed.usual, took);
            mix(&mut self.usual, took);
            if loan.placed {
                self.budget.arrived(now);
            }
            Some(loan)
        });
        if !host.alone {
            self.shared.raise(piece);
            if !loan.is_some_and(|loan| loan.counts) {
                self.out.raise(piece);
            }
        }
        if host.has.is_full() {
            self.settle(id);
        }
    }

    /// A host has at least these pieces; that may be older than what is known.
    pub fn note(&mut self, id: HostId, has: &BitSet, now: Duration) {
        has.iter().for_each(|piece| self.have(id, piece, now));
    }

    /// A host has these pieces and no others.
    pub fn note_exactly(&mut self, id: HostId, has: &BitSet, now: Duration) {
        if let Some(host) = self.hosts.get_mut(&id) {
            let lost: Vec<u32> = host.has.iter().filter(|piece| !has.contains(*piece)).collect();
            for piece in lost {
                host.has.remove(piece);
                self.copies.lower(piece);
                if !host.alone {
                    self.shared.lower(piece);
                    self.out.lower(piece);
                }
            }
        }
        self.note(id, has, now);
        self.settle(id);
    }

    /// How many pieces may be revealed to a host and not be there yet, from [`window`].
    pub fn set_window(&mut self, id: HostId, pieces: usize) {
        if let Some(feed) = self.hosts.get_mut(&id).and_then(|host| host.feed.as_mut()) {
            let before = std::mem::replace(&mut feed.window, pieces.max(WINDOW));
            self.budget.stretch(before, feed.window);
        }
    }

    /// Pieces to reveal to a host now, so that its window is full. To be called after anything above happened, for any
    /// host, as a place may have become free or a piece rare; and some times a second. Times count from any one start.
    pub fn fill(&mut self, id: HostId, now: Duration) -> Vec<u32> {
        let mut new = Vec::new();
        while let Some(piece) = self.choose(id, now) {
            let Some(host) = self.hosts.get_mut(&id) else { break };
            let Some(feed) = &mut host.feed else { break };
            let late_at = self.usual.map_or(Duration::ZERO, |usual| feed.late_at(now, usual));
            self.late_at = self.late_at.min(late_at);
            let placed = !host.alone && !self.usual.is_some_and(|usual| feed.is_slow(usual));
            feed.lent.push(Loan { piece, since: now, counts: true, placed });
            if placed {
                self.budget.take(id, piece, now);
            }
            if !host.alone {
                self.out.raise(piece);
            }
            new.push(piece);
        }
        new
    }

    fn choose(&mut self, id: HostId, now: Duration) -> Option<u32> {
        let host = self.hosts.get_mut(&id)?;
        let least = if host.alone { ALONE_WINDOW } else { WINDOW };
        let wants = |feed: &&mut Feed| feed.is_fed() && feed.lent.len() < feed.window.max(least);
        let Some(feed) = host.feed.as_mut().filter(wants) else {
            self.budget.pass(id);
            return None;
        };
        let unfit = |piece: u32| host.has.contains(piece) || feed.lent.iter().any(|loan| loan.piece == piece);
        if host.alone {
            let mut row = (feed.next..self.pieces).chain(0..feed.next);
            return row.find(|piece| !unfit(*piece)).inspect(|piece| feed.next = *piece + 1);
        }
        let slow = self.usual.is_some_and(|usual| feed.is_slow(usual));
        self.release_overdue(now);
        // What a slow host is shown first would come late to all others, and be sent again: measured with one of eight at
        // a tenth of the rate, an eighth of a copy, by which the others were late.
        if slow && self.out.least() == 0 && self.somebody_is_faster() {
            self.budget.pass(id);
            return None;
        }
        if !slow && !self.budget.admits(id) {
            return None;
        }
        let piece = self.choose_shared(id, now);
        if piece.is_none() {
            self.budget.pass(id);
        }
        piece
    }

    /// What is rarest among the hosts that pass pieces on.
    fn choose_shared(&mut self, id: HostId, now: Duration) -> Option<u32> {
        let began = *self.began.get_or_insert(now);
        if self.out.least() == 0 {
            self.all_held = None;
            let rarest = self.rarest_for(id)?;
            if self.out.count(rarest) == 0 {
                return Some(rarest);
            }
        }
        if self.call_in(now) {
            return self.choose_shared(id, now);
        }
        if self.shared.least() == 0 {
            self.all_held = None;
            return None;
        }
        let since = *self.all_held.get_or_insert(now);
        let rest = since.saturating_sub(began).mul_f64(REST).max(LEAST_REST);
        (now.saturating_sub(since) >= rest).then(|| self.rarest_for(id)).flatten()
    }

    /// Whether a host is fed that is not slow, and passes on what it gets.
    fn somebody_is_faster(&self) -> bool {
        let Some(usual) = self.usual else { return false };
        let mut fed = self.fed.iter().filter_map(|id| self.hosts.get(id)).filter(|host| !host.alone);
        fed.any(|host| host.feed.as_ref().is_some_and(|feed| !feed.is_slow(usual)))
    }

    /// Slow hosts must not keep the others from what the uplink carries.
    fn release_overdue(&mut self, now: Duration) {
        let usual = self.usual.unwrap_or(FIRST_LOAN);
        while let Some((id, piece, since)) = self.budget.overdue(usual, now) {
            let feed = self.hosts.get_mut(&id).and_then(|host| host.feed.as_mut());
            let mut lent = feed.into_iter().flat_map(|feed| &mut feed.lent);
            if let Some(loan) = lent.find(|loan| loan.placed && loan.piece == piece && loan.since == since) {
                loan.placed = false;
                self.budget.free();
            }
        }
    }

    /// A host that waits for its turn and may have it now: its [`Reveal::fill`] should be called.
    pub fn next_in_turn(&self) -> Option<HostId> {
        self.budget.next()
    }

    fn rarest_for(&mut self, id: HostId) -> Option<u32> {
        let host = self.hosts.get(&id)?;
        let lent = &host.feed.as_ref()?.lent;
        self.out.rarest(&mut self.rng, |piece| {
            host.has.contains(piece) || lent.iter().any(|loan| loan.piece == piece)
        })
    }

    /// Loans that are late count no longer. Whether there were any that nobody else has.
    fn call_in(&mut self, now: Duration) -> bool {
        let Some(usual) = self.usual.filter(|_| now >= self.late_at) else { return false };
        self.late_at = Duration::MAX;
        let mut free = false;
        for id in &self.fed {
            let Some(host) = self.hosts.get_mut(id).filter(|host| !host.alone) else { continue };
            let Some(feed) = &mut host.feed else { continue };
            for at in 0..feed.lent.len() {
                let loan = feed.lent[at];
                let late_at = feed.late_at(loan.since, usual);
                if loan.counts && now >= late_at {
                    feed.lent[at].counts = false;
                    self.out.lower(loan.piece);
                    free |= self.out.count(loan.piece) == 0;
                } else if loan.counts {
                    self.late_at = self.late_at.min(late_at);
                }
            }
        }
        free
    }

    /// Whether one more host with neighbours would be fed at once.
    pub fn has_room(&self) -> bool {
        self.admitted < MAX_FEEDS
    }

    /// Whether pieces are revealed to this host.
    pub fn is_fed(&self, id: HostId) -> bool {
        self.fed.contains(&id)
    }

    /// Hosts to which pieces are revealed now.
    pub fn fed(&self) -> &BTreeSet<HostId> {
        &self.fed
    }

    /// Pieces by the number of hosts that hold them; index 0 is "none". Never longer than `most`: the last entry counts
    /// all beyond.
    pub fn copies(&self, most: usize) -> Vec<u32> {
        let mut all: Vec<u32> = self.copies.histogram().collect();
        let used = all.iter().rposition(|pieces| *pieces > 0).map_or(1, |last| last + 1);
        all.truncate(used);
        if most > 0 && all.len() > most {
            let beyond: u32 = all.drain(most..).sum();
            all[most - 1] += beyond;
        }
        all
    }

    /// Every piece is held by a host that can pass it on, and hosts without neighbours have all: the swarm needs the
    /// seeder no longer.
    pub fn may_leave(&self) -> bool {
        let mut alone = self.hosts.values().filter(|host| host.alone);
        let sharing = self.hosts.values().any(|host| !host.alone);
        let shared = self.pieces == 0 || self.shared.least() > 0;
        !self.hosts.is_empty() && alone.all(|host| host.has.is_full()) && (shared || !sharing)
    }

    fn feed(&mut self, id: HostId) -> Option<&mut Feed> {
        self.hosts.get_mut(&id)?.feed.as_mut()
    }

    /// Finds the place that a host is due after what it has or whom it has changed.
    fn settle(&mut self, id: HostId) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let Some(feed) = &mut host.feed else { return };
        let was = feed.place;
        feed.place = match was {
            _ if host.has.is_full() => Place::Done,
            _ if host.alone => Place::Alone,
            Place::Taken => Place::Taken,
            Place::Done | Place::Waiting | Place::Alone => Place::Waiting,
        };
        if was == Place::Taken && feed.place != was {
            self.admitted -= 1;
        }
        if feed.is_fed() {
            self.fed.insert(id);
        } else {
            self.fed.remove(&id);
        }
        if feed.place == Place::Waiting {
            self.waiting.insert(feed.joined, id);
        } else {
            self.waiting.remove(&feed.joined);
        }
        self.admit();
    }

    /// Gives free places to those who waited longest.
    fn admit(&mut self) {
        while self.admitted < MAX_FEEDS
            && let Some((_, id)) = self.waiting.pop_first()
        {
            if let Some(feed) = self.feed(id) {
                feed.place = Place::Taken;
                self.admitted += 1;
                self.fed.insert(id);
            }
        }
    }
}

impl Feed {
    /// When what it was lent at `since` is late, if loans usually take so many seconds. Of a slow host it is at once.
    fn late_at(&self, since: Duration, usual: f64) -> Duration {
        if self.is_slow(usual) {
            since
        } else {
            Duration::try_from_secs_f64(LATE * usual).map_or(Duration::MAX, |time| since.saturating_add(time))
        }
    }

    /// Its loans take far longer than loans usually do, which is so many seconds.
    fn is_slow(&self, usual: f64) -> bool {
        self.usual.is_some_and(|its| its > SLOW * usual)
    }

    fn is_fed(&self) -> bool {
        matches!(self.place, Place::Taken | Place::Alone)
    }
}

fn host(hosts: &mut HashMap<HostId, Host>, id: HostId, pieces: u32) -> &mut Host {
    hosts.entry(id).or_insert_with(|| Host { has: BitSet::new(pieces), alone: false, feed: None })
}

/// Moves a mean towards what was seen last.
fn mix(mean: &mut Option<f64>, seen: f64) {
    *mean = Some(mean.map_or(seen, |mean| mean + NEWS * (seen - mean)));
}
