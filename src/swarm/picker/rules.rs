use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::begun::{Begun, Block};
use super::depth::Depth;
use super::rarity::Rarity;
use crate::swarm::bitset::BitSet;
use crate::swarm::pieces::Pieces;

/// A block that is out for so long, and for so many times as long as usual, may be asked of another peer that has
/// nothing else to do.
const LATE: (u32, Duration) = (3, Duration::from_millis(1500));
/// A peer that was asked and sends no block for so long, and so many times as long as usual, is asked no more until it
/// does.
const STOPPED: (u32, Duration) = (6, Duration::from_secs(5));
/// Looking for late blocks passes all that are out, so not at each turn.
const LATE_CHECK: Duration = Duration::from_millis(500);

/// A connection to a peer. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerKey(pub u32);

/// A block to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ask {
    /// Its piece.
    pub piece: u32,
    /// Its number in the piece.
    pub block: u32,
}

/// What an arrived block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The first copy.
    First {
        /// Its piece is complete now, and to be checked.
        complete: bool,
        /// This peer was asked for it too: send it a CANCEL.
        cancel: Option<PeerKey>,
    },
    /// It is here already, or was never wanted.
    Unneeded,
}

/// What may be under way at once, so that memory stays bounded.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Blocks asked for, over all peers; each may have a few in any case.
    pub requests: u32,
    /// Pieces begun and not yet verified.
    pub begun: u32,
}

#[derive(Debug)]
struct Peer {
    has: BitSet,
    /// Its pieces count as copies: not the seeder's, which would make nothing rare.
    counted: bool,
    choked: bool,
    /// It does not send what it is asked for; asked again when it does.
    stopped: bool,
    /// How many fresh pieces it has.
    interesting: u32,
    asked: VecDeque<(Ask, Duration)>,
    /// Pieces begun at it, which may have free blocks.
    mine: VecDeque<u32>,
    depth: Depth,
    late_checked: Duration,
}

/// Chooses blocks. Times are counted from any one start.
#[derive(Debug)]
pub struct Picker {
    pieces: Arc<Pieces>,
    limits: Limits,
    have: BitSet,
    rarity: Rarity,
    begun: BTreeMap<u32, Begun>,
    /// Free blocks of begun pieces.
    free: u32,
    /// Requests that are out.
    asked: u32,
    suspects: BTreeSet<u32>,
    peers: BTreeMap<PeerKey, Peer>,
    random: fastrand::Rng,
}

impl Picker {
    /// For a payload of which `have` is here.
    pub fn new(pieces: Arc<Pieces>, have: BitSet, limits: Limits, seed: u64) -> Self {
        let mut rarity = Rarity::new(pieces.count());
        for piece in (0..pieces.count()).filter(|piece| !have.contains(*piece)) {
            rarity.put(piece);
        }
        Self {
            pieces,
            limits,
            have,
            rarity,
            begun: BTreeMap::new(),
            free: 0,
            asked: 0,
            suspects: BTreeSet::new(),
            peers: BTreeMap::new(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// The verified pieces.
    pub fn have(&self) -> &BitSet {
        &self.have
    }

    /// Requests that are out, over all peers.
    pub fn requests_out(&self) -> u32 {
        self.asked
    }

    /// Pieces begun, those being verified included.
    pub fn begun(&self) -> usize {
        self.begun.len()
    }

    /// Somebody has what is needed and does not serve.
    pub fn is_choked(&self) -> bool {
        let mut silent = self.peers.values().filter(|peer| peer.choked || peer.stopped);
        silent.any(|peer| peer.interesting > 0 || self.begun.keys().any(|piece| peer.has.contains(*piece)))
    }

    /// A piece is begun or being verified: what came of it is still of use.
    pub fn is_begun(&self, piece: u32) -> bool {
        self.begun.contains_key(&piece)
    }

    /// Everything that is missing is asked for.
    pub fn is_at_end(&self) -> bool {
        self.asked > 0 && self.free == 0 && self.rarity.fresh().is_empty()
    }

    /// No more pieces may be begun until some are verified.
    pub fn is_full(&self) -> bool {
        self.begun.len() >= self.limits.begun as usize
    }

    /// Copies of a piece that peers are known to have, the seeder's not counted.
    pub fn copies(&self, piece: u32) -> u16 {
        self.rarity.copies(piece)
    }

    /// A peer came; it has nothing and chokes us until it says otherwise. `counted`: its pieces count as copies; those of
    /// the seeder do not.
    pub fn join(&mut self, key: PeerKey, counted: bool) {
        let peer = Peer {
            has: BitSet::new(self.pieces.count()),
            counted,
            choked: true,
            stopped: false,
            interesting: 0,
            asked: VecDeque::new(),
            mine: VecDeque::new(),
            depth: Depth::new(!counted),
            late_checked: Duration::ZERO,
        };
        self.leave(key);
        self.peers.insert(key, peer);
    }

    /// A peer is gone.
    pub fn leave(&mut self, key: PeerKey) {
        self.release_all(key);
        let Some(peer) = self.peers.remove(&key) else { return };
        if peer.counted {
            peer.has.iter().for_each(|piece| self.rarity.lose(piece));
        }
    }

    /// A peer says what it has, for the first time.
    pub fn bitfield(&mut self, key: PeerKey, has: &BitSet) {
        for piece in has.iter() {
            self.has(key, piece);
        }
    }

    /// A peer has one more piece. Whether that was news.
    pub fn has(&mut self, key: PeerKey, piece: u32) -> bool {
        let Some(peer) = self.peers.get_mut(&key) else { return false };
        if !peer.has.insert(piece) {
            return false;
        }
        peer.interesting += u32::from(self.rarity.fresh().contains(piece));
        if peer.counted {
            self.rarity.gain(piece);
        }
        true
    }

    /// Whether a peer has a piece.
    pub fn peer_has(&self, key: PeerKey, piece: u32) -> bool {
        self.peers.get(&key).is_some_and(|peer| peer.has.contains(piece))
    }

    /// A peer will not serve requests any more: what it was asked for is lost.
    pub fn choke(&mut self, key: PeerKey) {
        self.release_all(key);
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.choked = true;
        }
    }

    /// A peer serves requests.
    pub fn unchoke(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.choked = false;
        }
    }

    /// A peer was asked and sends nothing: others may be asked for it. It is asked again once it sends something.
    pub fn stopped(&mut self, key: PeerKey) {
        self.release_all(key);
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.stopped = true;
            peer.depth.stopped();
        }
    }

    /// Whether a peer that sent its last block at `last_block` has kept us waiting for too long.
    pub fn has_stopped(&self, key: PeerKey, last_block: Duration, now: Duration) -> bool {
        let Some(peer) = self.peers.get(&key) else { return false };
        let since = peer.asked.front().map(|(_, at)| last_block.max(*at));
        since.is_some_and(|since| now.saturating_sub(since) > peer.depth.patience(STOPPED.0, STOPPED.1))
    }

    /// The next block to ask a peer for, if it should be asked for more now.
    pub fn next(&mut self, key: PeerKey, now: Duration) -> Option<Ask> {
        let peer = self.peers.get(&key)?;
        let out = peer.asked.len() as u32;
        let may_ask = !peer.choked
            && !peer.stopped
            && out < peer.depth.requests()
            && (self.asked < self.limits.requests || out < peer.depth.least());
        if !may_ask {
            return None;
        }
        let ask = self
            .of_mine(key, now)
            .or_else(|| self.of_new(key, now))
            .or_else(|| self.of_begun(key, now))
            .or_else(|| self.again(key, now))?;
        self.peers.get_mut(&key)?.asked.push_back((ask, now));
        self.asked += 1;
        Some(ask)
    }

    /// Rule 1: the next block of a piece that was begun at this peer.
    fn of_mine(&mut self, key: PeerKey, now: Duration) -> Option<Ask> {
        let peer = self.peers.get_mut(&key)?;
        while let Some(piece) = peer.mine.front().copied() {
            let begun = self.begun.get_mut(&piece).filter(|begun| begun.open_to(key));
            if let Some(block) = begun.and_then(|begun| begun.take_free(key, now)) {
                self.free -= 1;
                return Some(Ask { piece, block });
            }
            peer.mine.pop_front();
        }
        None
    }

    /// Rule 2: a piece that nobody was asked for, of the fewest copies.
    fn of_new(&mut self, key: PeerKey, now: Duration) -> Option<Ask> {
        if self.peers.get(&key)?.interesting == 0 || (self.is_full() && !self.drop_stranded()) {
            return None;
        }
        let peer = self.peers.get(&key)?;
        let piece = self.rarity.rarest(&peer.has, &mut self.random)?;
        self.unfresh(piece);
        let only = self.suspects.contains(&piece).then_some(key);
        let begun = Begun::new(self.pieces.blocks(piece), only);
        self.free += begun.free;
        self.begun.insert(piece, begun);
        self.peers.get_mut(&key)?.mine.push_back(piece);
        self.of_mine(key, now)
    }

    /// Gives up a begun piece that nobody who is here can finish, so that its place is of use to another: that of which
    /// the least would be fetched twice. Whether there was one.
    fn drop_stranded(&mut self) -> bool {
        if self.free == 0 {
            return false;
        }
        let serves = |piece: u32, begun: &Begun| {
            self.peers.iter().any(|(key, peer)| {
                !peer.choked && !peer.stopped && begun.open_to(*key) && peer.has.contains(piece)
            })
        };
        let stranded = self
            .begun
            .iter()
            .filter(|(piece, begun)| begun.free > 0 && begun.is_idle() && !serves(**piece, begun))
            .min_by_key(|(_, begun)| begun.here)
            .map(|(piece, _)| *piece);
        let Some((piece, begun)) = stranded.and_then(|piece| Some((piece, self.begun.remove(&piece)?)))
        else {
            return false;
        };
        self.free -= begun.free;
        self.refresh(piece);
        true
    }

    /// Rule 3: a free block of any begun piece that it has, of the one with the fewest left.
    fn of_begun(&mut self, key: PeerKey, now: Duration) -> Option<Ask> {
        if self.free == 0 {
            return None;
        }
        let has = &self.peers.get(&key)?.has;
        let (piece, begun) = self
            .begun
            .iter_mut()
            .filter(|(piece, begun)| begun.free > 0 && begun.open_to(key) && has.contains(**piece))
            .min_by_key(|(_, begun)| begun.free)?;
        let block = begun.take_free(key, now)?;
        self.free -= 1;
        Some(Ask { piece: *piece, block })
    }

    /// Rule 4: when nothing is free anywhere, what another was asked for and will send later than this peer would;
    /// before that, what is late.
    fn again(&mut self, key: PeerKey, now: Duration) -> Option<Ask> {
        let at_end = self.is_at_end();
        let peer = self.peers.get_mut(&key)?;
        if !at_end {
            if now.saturating_sub(peer.late_checked) < LATE_CHECK {
                return None;
            }
            peer.late_checked = now;
        }
        let peer = self.peers.get(&key)?;
        let worth = |by: PeerKey, at: Duration| {
            let ago = now.saturating_sub(at);
            self.peers.get(&by).is_none_or(|by| {
                if at_end {
                    by.depth.is_worth_asking_again(ago, &peer.depth)
                } else {
                    ago >= by.depth.patience(LATE.0, LATE.1)
                }
            })
        };
        let (_, ask) = self
            .begun
            .iter()
            .filter(|(piece, begun)| begun.only.is_none() && peer.has.contains(**piece))
            .flat_map(|(piece, begun)| begun.asked_once(key).map(|(block, by, at)| (*piece, block, by, at)))
            .filter(|(.., by, at)| worth(*by, *at))
            .map(|(piece, block, _, at)| (at, Ask { piece, block }))
            .min()?;
        let block = self.begun.get_mut(&ask.piece)?.blocks.get_mut(ask.block as usize)?;
        let Block::Asked { by, .. } = *block else { return None };
        *block = Block::Asked { by, at: now, also: Some(key) };
        Some(ask)
    }

    /// A whole block came from a peer.
    pub fn arrived(&mut self, key: PeerKey, ask: Ask, now: Duration) -> Arrival {
        self.answered(key, ask, now);
        let Some(begun) = self.begun.get_mut(&ask.piece).filter(|begun| begun.open_to(key)) else {
            return Arrival::Unneeded;
        };
        let Some(block) = begun.blocks.get_mut(ask.block as usize) else { return Arrival::Unneeded };
        let other = match *block {
            Block::Here(_) => return Arrival::Unneeded,
            Block::Free => {
                begun.free -= 1;
                self.free -= 1;
                None
            }
            Block::Asked { by, also, .. } => {
                Some(by).filter(|by| *by != key).or(also.filter(|also| *also != key))
            }
        };
        *block = Block::Here(key);
        begun.here += 1;
        let complete = begun.is_complete();
        let cancel = other.filter(|other| self.forget(*other, ask));
        Arrival::First { complete, cancel }
    }

    /// Takes a request off a peer's list; the latency steers how many it gets.
    fn answered(&mut self, key: PeerKey, ask: Ask, now: Duration) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.stopped = false;
        let used = peer.asked.len() as u32 >= peer.depth.requests();
        let Some(place) = peer.asked.iter().position(|(other, _)| *other == ask) else { return };
        if let Some((_, at)) = peer.asked.remove(place) {
            self.asked -= 1;
            peer.depth.block_came(now.saturating_sub(at), used);
        }
    }

    fn forget(&mut self, key: PeerKey, ask: Ask) -> bool {
        let Some(peer) = self.peers.get_mut(&key) else { return false };
        let Some(place) = peer.asked.iter().position(|(other, _)| *other == ask) else { return false };
        peer.asked.remove(place);
        self.asked -= 1;
        true
    }

    /// A complete piece has its hash: it is ours.
    pub fn verified(&mut self, piece: u32) {
        self.begun.remove(&piece);
        self.suspects.remove(&piece);
        self.have.insert(piece);
    }

    /// A complete piece has another hash: it is fetched again, from one peer alone if several sent blocks of it.
    /// Says who sent each block.
    pub fn failed(&mut self, piece: u32) -> Vec<PeerKey> {
        let Some(begun) = self.begun.remove(&piece) else { return Vec::new() };
        self.free -= begun.free;
        let sources = begun.sources();
        if sources.iter().any(|source| Some(source) != sources.first()) {
            self.suspects.insert(piece);
        }
        self.refresh(piece);
        sources
    }

    /// A fresh piece is begun.
    fn unfresh(&mut self, piece: u32) {
        if self.rarity.take(piece) {
            for peer in self.peers.values_mut().filter(|peer| peer.has.contains(piece)) {
                peer.interesting -= 1;
            }
        }
    }

    /// A piece is to be fetched from its start.
    fn refresh(&mut self, piece: u32) {
        if self.rarity.put(piece) {
            for peer in self.peers.values_mut().filter(|peer| peer.has.contains(piece)) {
                peer.interesting += 1;
            }
        }
    }

    /// Gives up all that a peer was asked for. A piece of which nothing is here or on its way is fresh again.
    fn release_all(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.mine.clear();
        let asked = std::mem::take(&mut peer.asked);
        self.asked -= asked.len() as u32;
        let mut touched: BTreeSet<u32> = BTreeSet::new();
        for (ask, _) in asked {
            if let Some(begun) = self.begun.get_mut(&ask.piece) {
                self.free += u32::from(begun.release(ask.block, key));
                touched.insert(ask.piece);
            }
        }
        touched
            .extend(self.begun.iter().filter(|(_, begun)| begun.only == Some(key)).map(|(piece, _)| *piece));
        for piece in touched {
            let starts_anew = self.begun.get(&piece).is_some_and(|begun| {
                begun.is_untouched() || (begun.only == Some(key) && !begun.is_complete())
            });
            if starts_anew && let Some(begun) = self.begun.remove(&piece) {
                self.free -= begun.free;
                self.refresh(piece);
            }
        }
    }
}

#[cfg(test)]
mod tests;
