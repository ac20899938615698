use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::Instant;

use super::cache::{Cache, Slab};
use super::counters::{Counters, Waiting};
use super::handle::{EngineConfig, Event};
use super::links::{Key, Link, Outgoing, Who, gives_way};
use super::storage::{Done, Workers};
use super::transfer::Suspect;
use crate::control::HostId;
use crate::swarm::bitset::BitSet;
use crate::swarm::limiter::Limiter;
use crate::swarm::noise::{Party, SeenKeys};
use crate::swarm::picker::{Limits, Picker};
use crate::swarm::pieces::Pieces;

/// Memory for blocks that are on their way.
const REQUESTED: u32 = 6 << 20;
/// Memory for pieces that are begun.
const BEGUN: u32 = 12 << 20;
/// Memory for parts of pieces that were verified or read last.
const CACHED: usize = 4 << 20;
/// Connections at once; the operator deals 8, the seeder is one more.
const MOST_LINKS: usize = 256;

/// What the disk's threads may have to say before they wait until it is heard.
const DISK_DONE: usize = 64;

/// How often time is looked at.
const TICK: Duration = Duration::from_millis(100);
/// The same when the last blocks are out, which another peer may send earlier.
const TICK_AT_END: Duration = Duration::from_millis(25);
/// A tick that comes so much later had to wait for the CPU.
const LATE_TICK: Duration = Duration::from_millis(60);
/// A connection that has nothing to say says so.
const KEEP_ALIVE: Duration = Duration::from_secs(8);
/// A peer that says nothing for so long is gone; BitTorrent clients say something each two minutes.
const GONE: Duration = Duration::from_secs(150);

/// What all tasks of an engine share.
pub(super) struct Core {
    pub(super) me: HostId,
    pub(super) info_hash: [u8; 20],
    /// `None`: plain BitTorrent.
    pub(super) party: Option<Party>,
    pub(super) pieces: Arc<Pieces>,
    pub(super) limiter: Arc<Limiter>,
    pub(super) seen: SeenKeys,
    /// Rings when a connection ended or came.
    pub(super) links_changed: Notify,
    pub(super) event: Notify,
    state: Mutex<State>,
}

/// What changes.
pub(super) struct State {
    pub(super) pieces: Arc<Pieces>,
    pub(super) picker: Picker,
    pub(super) links: BTreeMap<Key, Link>,
    pub(super) by_host: BTreeMap<HostId, Key>,
    /// The hosts of all connections there were, to name who sent what.
    pub(super) names: BTreeMap<Key, Option<HostId>>,
    pub(super) banned: BTreeSet<HostId>,
    /// Pieces as far as they came.
    pub(super) buffers: BTreeMap<u32, Vec<u8>>,
    pub(super) cache: Cache,
    /// Parts that are being read, and who waits for them.
    pub(super) reading: BTreeMap<Slab, Vec<Key>>,
    pub(super) suspects: BTreeMap<u32, Vec<Suspect>>,
    pub(super) workers: Option<Workers>,
    /// Pieces that are hashed or written.
    pub(super) verifying: usize,
    pub(super) done_bytes: u64,
    pub(super) counters: Counters,
    pub(super) events: VecDeque<Event>,
    next_key: u32,
    started: Instant,
}

impl Core {
    /// Besides the core gives what its disk's threads say, for [`Core::run`].
    pub(super) fn new(config: &EngineConfig) -> std::io::Result<(Arc<Self>, Receiver<Done>)> {
        let pieces = config.pieces.clone();
        let limits = Limits {
            requests: REQUESTED / crate::swarm::wire::BLOCK,
            begun: (BEGUN / pieces.piece_length()).clamp(4, 4096),
        };
        let have = config.have.clone().unwrap_or_else(|| BitSet::new(pieces.count()));
        let done_bytes = have.iter().map(|piece| u64::from(pieces.size(piece))).sum();
        let complete = have.is_full();
        let party = config.key.clone().map(|key| Party {
            key,
            me: config.id,
            life: config.life,
            info_hash: config.info_hash,
        });
        let state = State {
            pieces: pieces.clone(),
            picker: Picker::new(pieces.clone(), have, limits, config.seed),
            links: BTreeMap::new(),
            by_host: BTreeMap::new(),
            names: BTreeMap::new(),
            banned: BTreeSet::new(),
            buffers: BTreeMap::new(),
            cache: Cache::new(CACHED),
            reading: BTreeMap::new(),
            suspects: BTreeMap::new(),
            workers: None,
            verifying: 0,
            done_bytes,
            counters: Counters::default(),
            events: complete.then_some(Event::Completed).into_iter().collect(),
            next_key: 0,
            started: Instant::now(),
        };
        let core = Arc::new(Self {
            me: config.id,
            info_hash: config.info_hash,
            party,
            pieces: pieces.clone(),
            limiter: Arc::new(Limiter::new(config.rate)),
            seen: SeenKeys::default(),
            links_changed: Notify::new(),
            event: Notify::new(),
            state: Mutex::new(state),
        });
        let (tell, hear) = channel(DISK_DONE);
        core.lock().workers =
            Some(Workers::start(config.store.clone(), pieces, limits.begun as usize, &tell)?);
        Ok((core, hear))
    }

    /// Takes what the disk's threads did and looks after what time brings about, until the task is ended.
    pub(super) async fn run(self: Arc<Self>, mut done: Receiver<Done>) {
        let mut next_tick = Instant::now();
        let mut batch = Vec::new();
        let mut flush = None;
        let mut disk_works = true;
        loop {
            let wake = flush.unwrap_or(next_tick).min(next_tick);
            tokio::select! {
                count = done.recv_many(&mut batch, DISK_DONE), if disk_works => disk_works = count > 0,
                () = tokio::time::sleep_until(wake) => {}
            }
            let now = Instant::now();
            if now >= next_tick {
                let at_end = self.lock().tick(now - next_tick > LATE_TICK);
                next_tick = now + if at_end { TICK_AT_END } else { TICK };
            }
            let mut state = self.lock();
            if !batch.is_empty() {
                batch.drain(..).for_each(|done| state.disk_done(done));
                // A verified piece makes room to begin another, a failed one is to be fetched again.
                state.fill_all();
            }
            flush = state.flush_haves();
            if !state.events.is_empty() {
                self.event.notify_one();
            }
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection is ready. `None` if it is not wanted: another one to the same host stays, or the host is banned.
    pub(super) fn join(&self, who: Who) -> Option<Key> {
        let mut state = self.lock();
        let now = state.now();
        if state.workers.is_none()
            || state.links.len() >= MOST_LINKS
            || who.host.is_some_and(|host| state.banned.contains(&host))
        {
            return None;
        }
        if let Some(old) = who.host.and_then(|host| state.by_host.get(&host)).copied() {
            if state.links.get(&old).is_some_and(|link| !gives_way(link, &who, self.me, now)) {
                return None;
            }
            state.leave(old);
        }
        let key = state.join(who, now);
        drop(state);
        self.links_changed.notify_waiters();
        Some(key)
    }

    /// A connection ended.
    pub(super) fn leave(&self, key: Key) {
        self.lock().leave(key);
        self.links_changed.notify_waiters();
    }
}

impl State {
    /// Time since the engine was started.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn join(&mut self, who: Who, now: Duration) -> Key {
        let key = crate::swarm::picker::PeerKey(self.next_key);
        self.next_key += 1;
        let counted = who.host != Some(HostId::SEEDER);
        self.picker.join(key, counted);
        self.links.insert(key, Link::new(who, now));
        self.names.insert(key, who.host);
        if let Some(host) = who.host {
            self.by_host.insert(host, key);
            self.counters.hosts.entry(host).or_default().address = who.address;
        }
        key
    }

    pub(super) fn leave(&mut self, key: Key) {
        let Some(link) = self.links.remove(&key) else { return };
        link.wake();
        self.picker.leave(key);
        if let Some(host) = link.who.host
            && self.by_host.get(&host) == Some(&key)
        {
            self.by_host.remove(&host);
            self.counters.hosts.entry(host).or_default().address = None;
        }
        self.fill_all();
    }

    /// Rates, silence, blocks that are late. Whether only the last blocks are out.
    fn tick(&mut self, late: bool) -> bool {
        let now = self.now();
        let received = self.counters.sample(now);
        let waiting =
            if late && !self.picker.have().is_full() { Waiting::Cpu } else { self.waiting(received) };
        self.counters.waited(waiting);
        let keys: Vec<Key> = self.links.keys().copied().collect();
        for key in keys {
            self.look_after(key, now);
        }
        // Of pieces that the picker gave up.
        self.buffers.retain(|piece, _| self.picker.is_begun(*piece));
        self.picker.is_at_end()
    }

    /// Wakes connections that have waited long enough to tell of pieces; says when the next has.
    fn flush_haves(&mut self) -> Option<Instant> {
        let now = self.now();
        let mut next = None;
        for link in self.links.values() {
            match link.haves_due() {
                Some(due) if due <= now => link.wake(),
                Some(due) => next = Some(next.map_or(due, |next: Duration| next.min(due))),
                None => {}
            }
        }
        next.map(|due| self.started + due)
    }

    fn look_after(&mut self, key: Key, now: Duration) {
        let Some(link) = self.links.get_mut(&key) else { return };
        if now.saturating_sub(link.heard) > GONE {
            self.leave(key);
            return;
        }
        if now.saturating_sub(link.spoke) > KEEP_ALIVE && link.outgoing.is_empty() {
            link.spoke = now;
            link.send(Outgoing::KeepAlive);
            link.wake();
        }
        if self.picker.has_stopped(key, link.last_block, now) {
            self.picker.stopped(key);
            self.fill_all();
        }
        if self.fill(key, now)
            && let Some(link) = self.links.get(&key)
        {
            link.wake();
        }
    }

    /// What the thread that hashes and writes is at.
    fn verifier(&self) -> Waiting {
        if self.workers.as_ref().is_some_and(Workers::is_writing) { Waiting::Disk } else { Waiting::Cpu }
    }

    /// What the fetch waits for, given how much came lately.
    fn waiting(&self, received: u64) -> Waiting {
        if self.picker.have().is_full() {
            Waiting::Nothing
        } else if self.links.values().any(|link| link.limited_down) {
            Waiting::Limit
        } else if self.picker.is_full() && self.verifying > 1 {
            self.verifier()
        } else if received > 0 {
            Waiting::Nothing
        } else if self.verifying > 0 {
            self.verifier()
        } else if self.picker.requests_out() > 0 {
            Waiting::Peers
        } else if self.picker.is_choked() {
            Waiting::Choked
        } else {
            Waiting::NoPiece
        }
    }
}
