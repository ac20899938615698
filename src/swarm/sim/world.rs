use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::link::{Downlink, Time, Uplink};
use crate::control::HostId;
use crate::swarm::picker::{Arrival, Ask, Limits, PeerKey, Picker};
use crate::swarm::reveal::{self, Reveal};
use crate::swarm::wire::BLOCK;
use crate::swarm::{BitSet, Graph, Pieces};

/// The seeder among the peers of a host, and among the receivers of nobody.
const SEEDER: u32 = u32::MAX;

/// As in the engine: memory for blocks that are on their way, and for pieces that are begun.
const REQUESTED: u32 = 6 << 20;
const BEGUN: u32 = 12 << 20;

/// How often a host looks for blocks to ask for without being told of any.
const TICK: Time = 100_000_000;

/// How often the seeder looks at rates and windows.
const LOOK: Time = 250_000_000;

/// Who takes part, over what links.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Bytes of the payload.
    pub length: u64,
    /// Bytes of a piece.
    pub piece_length: u32,
    /// Uplink of the seeder, bytes a second.
    pub seeder: f64,
    /// Uplink and downlink of each host, bytes a second.
    pub hosts: Vec<(f64, f64)>,
    /// From any host to any other, one way.
    pub delay: Duration,
    /// From the seeder to any host, one way.
    pub seeder_delay: Duration,
    /// Chance that a block is lost on its way and comes a round trip later, and with it what is behind it on the same
    /// connection. That TCP sends more slowly then is not simulated.
    pub loss: f64,
    /// Rack of each host; may be shorter.
    pub racks: Vec<Option<String>>,
    /// Hosts that are lost on the way.
    pub deaths: Vec<Death>,
    /// Of all that is random.
    pub seed: u64,
    /// After so long it is given up.
    pub patience: Duration,
}

/// A host that is lost, with all that it held.
#[derive(Debug, Clone, Copy)]
pub struct Death {
    /// When.
    pub at: Duration,
    /// Which.
    pub host: HostId,
}

impl Scene {
    /// Equal links in both directions for the seeder and all hosts, 64 KiB pieces, half a millisecond between any two.
    pub fn equal(hosts: usize, rate: f64, length: u64, seed: u64) -> Self {
        Self {
            length,
            piece_length: 64 << 10,
            seeder: rate,
            hosts: vec![(rate, rate); hosts],
            delay: Duration::from_micros(500),
            seeder_delay: Duration::from_micros(500),
            loss: 0.0,
            racks: Vec::new(),
            deaths: Vec::new(),
            seed,
            patience: Duration::from_secs(3600),
        }
    }

    /// The least time in which all hosts can have the payload, seconds (see [`crate::deploy::least_seconds`]).
    pub fn limit(&self) -> f64 {
        let length = self.length as f64;
        let slowest = self.hosts.iter().map(|(_, down)| *down).fold(f64::INFINITY, f64::min);
        let uplinks = self.seeder + self.hosts.iter().map(|(up, _)| *up).sum::<f64>();
        (length / self.seeder).max(length / slowest).max(length * self.hosts.len() as f64 / uplinks)
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Seconds until each host had all; `None` for those that were lost, or had not when it was given up.
    pub seconds: Vec<Option<f64>>,
    /// Bytes that left the seeder, in copies of the payload.
    pub copies: f64,
    /// Block bytes received beyond the first, as a share of what was needed.
    pub duplicates: f64,
    /// Events that it took.
    pub events: u64,
}

impl Outcome {
    /// Seconds until the last host had all, if every host that lives has.
    pub fn last(&self) -> Option<f64> {
        self.seconds.iter().flatten().copied().reduce(f64::max)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A host's uplink, or the seeder's, has passed a block.
    Sent {
        from: u32,
    },
    /// A block is at its receiver.
    Block {
        to: u32,
        from: u32,
        ask: Ask,
    },
    Request {
        to: u32,
        from: u32,
        ask: Ask,
    },
    Cancel {
        to: u32,
        from: u32,
        ask: Ask,
    },
    /// At a host.
    Have {
        to: u32,
        from: u32,
        piece: u32,
    },
    Tick {
        host: u32,
    },
    Look,
    Dies {
        host: u32,
    },
}

struct Host {
    picker: Picker,
    up: Uplink,
    down: Downlink,
    alive: bool,
    done: Option<Time>,
    /// Bytes from the seeder, and what they were at its last look.
    fed: (u64, u64),
    rate: f64,
}

struct World {
    pieces: Arc<Pieces>,
    graph: Graph,
    reveal: Reveal,
    seeder: Uplink,
    hosts: Vec<Host>,
    delay: Time,
    seeder_delay: Time,
    loss: f64,
    /// When the last block on a connection arrives, where one was lost.
    held_up: HashMap<(u32, u32), Time>,
    random: fastrand::Rng,
    now: Time,
    queue: BinaryHeap<Reverse<(Time, u64, Event)>>,
    events: u64,
    sent: u64,
    duplicate: u64,
    left: usize,
}

/// Plays a scene to its end.
pub fn simulate(scene: &Scene) -> Outcome {
    let mut world = World::new(scene);
    world.open(scene);
    let patience = scene.patience.as_nanos() as Time;
    while world.left > 0
        && let Some(Reverse((at, _, event))) = world.queue.pop()
        && at <= patience
    {
        world.now = at;
        world.happen(event);
    }
    let needed = scene.length as f64 * world.hosts.iter().filter(|host| host.alive).count() as f64;
    Outcome {
        seconds: world.hosts.iter().map(|host| host.done.map(|at| at as f64 / 1e9)).collect(),
        copies: world.sent as f64 / scene.length as f64,
        duplicates: world.duplicate as f64 / needed.max(1.0),
        events: world.events,
    }
}

impl World {
    fn new(scene: &Scene) -> Self {
        let count = scene.length.div_ceil(u64::from(scene.piece_length)) as usize;
        let pieces = Pieces::new(scene.length, scene.piece_length, vec![[0; 20]; count]);
        let pieces = Arc::new(pieces.unwrap_or_else(|_| unreachable!("the count fits the length")));
        let limits =
            Limits { requests: REQUESTED / BLOCK, begun: (BEGUN / scene.piece_length).clamp(4, 4096) };
        let hosts = scene.hosts.iter().zip(0..).map(|((up, down), host)| Host {
            picker: Picker::new(pieces.clone(), BitSet::new(pieces.count()), limits, scene.seed ^ host),
            up: Uplink::new(*up),
            down: Downlink::new(*down),
            alive: true,
            done: None,
            fed: (0, 0),
            rate: 0.0,
        });
        Self {
            graph: Graph::deal(scene.hosts.len(), &scene.racks, scene.seed),
            reveal: Reveal::new(pieces.count(), scene.seed),
            seeder: Uplink::new(scene.seeder),
            hosts: hosts.collect(),
            delay: scene.delay.as_nanos() as Time,
            seeder_delay: scene.seeder_delay.as_nanos() as Time,
            loss: scene.loss,
            held_up: HashMap::new(),
            random: fastrand::Rng::with_seed(scene.seed),
            now: 0,
            queue: BinaryHeap::new(),
            events: 0,
            sent: 0,
            duplicate: 0,
            left: scene.hosts.len(),
            pieces,
        }
    }

    fn open(&mut self, scene: &Scene) {
        for host in 0..self.hosts.len() as u32 {
            for other in self.graph.neighbours(HostId(host)).to_vec() {
                self.meet(host, other.0);
            }
            self.meet(host, SEEDER);
            self.reveal.join(HostId(host), false);
            self.at(u64::from(host) * 1000, Event::Tick { host });
        }
        (0..self.hosts.len() as u32).for_each(|host| self.show(host));
        self.at(LOOK, Event::Look);
        for death in &scene.deaths {
            self.at(death.at.as_nanos() as Time, Event::Dies { host: death.host.0 });
        }
    }

    /// One end of a link; it says what it has.
    fn meet(&mut self, host: u32, other: u32) {
        let has = self.hosts.get(other as usize).map(|other| other.picker.have().clone());
        let picker = &mut self.hosts[host as usize].picker;
        picker.join(PeerKey(other), other != SEEDER);
        picker.unchoke(PeerKey(other));
        if let Some(has) = has {
            picker.bitfield(PeerKey(other), &has);
        }
    }

    fn at(&mut self, at: Time, event: Event) {
        self.events += 1;
        self.queue.push(Reverse((at, self.events, event)));
    }

    fn say(&mut self, from: u32, to: u32, event: Event) {
        self.at(self.now + self.delay(from, to), event);
    }

    fn delay(&self, from: u32, to: u32) -> Time {
        if from == SEEDER || to == SEEDER { self.seeder_delay } else { self.delay }
    }

    /// When a block that leaves now has passed the receiver's link.
    fn arrival(&mut self, from: u32, to: u32, size: u32) -> Time {
        let delay = self.delay(from, to);
        let mut at = self.hosts[to as usize].down.pass(self.now + delay, size);
        if self.loss > 0.0 {
            if self.random.f64() < self.loss {
                at += 2 * delay;
                self.held_up.insert((from, to), at);
            }
            at = at.max(self.held_up.get(&(from, to)).copied().unwrap_or(0));
        }
        at
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Sent { from } => self.sent(from),
            Event::Block { to, from, ask } => self.block(to, from, ask),
            Event::Request { to, from, ask } => {
                self.uplink(to).push(from, ask);
                self.start(to);
            }
            Event::Cancel { to, from, ask } => self.uplink(to).cancel(from, ask),
            Event::Have { to: SEEDER, from, piece } => {
                let fed = self.reveal.is_fed(HostId(from));
                self.reveal.have(HostId(from), piece, Duration::from_nanos(self.now));
                self.show(from);
                if fed && !self.reveal.is_fed(HostId(from)) {
                    self.show_all();
                }
            }
            Event::Have { to, from, piece } => {
                if self.hosts[to as usize].picker.has(PeerKey(from), piece) {
                    self.fill(to, from);
                }
            }
            Event::Tick { host } => self.tick(host),
            Event::Look => self.look(),
            Event::Dies { host } => self.die(host),
        }
    }

    fn uplink(&mut self, of: u32) -> &mut Uplink {
        match self.hosts.get_mut(of as usize) {
            Some(host) => &mut host.up,
            None => &mut self.seeder,
        }
    }

    fn start(&mut self, from: u32) {
        let pieces = self.pieces.clone();
        if let Some(took) = self.uplink(from).start(|ask| pieces.block_size(ask.piece, ask.block)) {
            self.at(self.now + took, Event::Sent { from });
        }
    }

    fn sent(&mut self, from: u32) {
        if let Some((to, ask)) = self.uplink(from).busy.take()
            && self.hosts[to as usize].alive
        {
            let size = self.pieces.block_size(ask.piece, ask.block);
            let receiver = &mut self.hosts[to as usize];
            if from == SEEDER {
                self.sent += u64::from(size);
                receiver.fed.0 += u64::from(size);
            }
            let arrives = self.arrival(from, to, size);
            self.at(arrives, Event::Block { to, from, ask });
        }
        if self.hosts.get(from as usize).is_none_or(|host| host.alive) {
            self.start(from);
        }
    }

    fn block(&mut self, to: u32, from: u32, ask: Ask) {
        let now = Duration::from_nanos(self.now);
        let host = &mut self.hosts[to as usize];
        if !host.alive {
            return;
        }
        match host.picker.arrived(PeerKey(from), ask, now) {
            Arrival::Unneeded => {
                self.duplicate += u64::from(self.pieces.block_size(ask.piece, ask.block));
            }
            Arrival::First { complete, cancel } => {
                if let Some(PeerKey(other)) = cancel {
                    self.say(to, other, Event::Cancel { to: other, from: to, ask });
                }
                if complete {
                    self.complete(to, ask.piece);
                }
            }
        }
        self.fill(to, from);
    }

    fn complete(&mut self, host: u32, piece: u32) {
        let picker = &mut self.hosts[host as usize].picker;
        picker.verified(piece);
        let full = picker.have().is_full();
        for other in self.graph.neighbours(HostId(host)).to_vec() {
            let lacks = !self.hosts[host as usize].picker.peer_has(PeerKey(other.0), piece);
            if lacks && self.hosts[other.index()].alive {
                self.say(host, other.0, Event::Have { to: other.0, from: host, piece });
            }
        }
        self.say(host, SEEDER, Event::Have { to: SEEDER, from: host, piece });
        if full {
            self.hosts[host as usize].done = Some(self.now);
            self.left -= 1;
        }
    }

    fn fill(&mut self, host: u32, from: u32) {
        let now = Duration::from_nanos(self.now);
        while let Some(ask) = self.hosts[host as usize].picker.next(PeerKey(from), now) {
            self.say(host, from, Event::Request { to: from, from: host, ask });
        }
    }

    fn tick(&mut self, host: u32) {
        if !self.hosts[host as usize].alive || self.hosts[host as usize].done.is_some() {
            return;
        }
        for other in self.graph.neighbours(HostId(host)).to_vec() {
            self.fill(host, other.0);
        }
        self.fill(host, SEEDER);
        self.at(self.now + TICK, Event::Tick { host });
    }

    fn show(&mut self, host: u32) {
        let mut next = Some(HostId(host));
        // One that was just asked and still is next has its place already.
        let mut asked = HashSet::new();
        while let Some(host) = next.filter(|host| asked.insert(*host)) {
            for piece in self.reveal.fill(host, Duration::from_nanos(self.now)) {
                self.say(SEEDER, host.0, Event::Have { to: host.0, from: SEEDER, piece });
            }
            next = self.reveal.next_in_turn();
        }
    }

    fn show_all(&mut self) {
        let fed: Vec<HostId> = self.reveal.fed().iter().copied().collect();
        fed.into_iter().for_each(|host| self.show(host.0));
    }

    fn look(&mut self) {
        let round_trip = 2.0 * self.seeder_delay as f64 / 1e9;
        let span = LOOK as f64 / 1e9;
        for (host, id) in self.hosts.iter_mut().zip(0..) {
            host.rate = (host.rate + (host.fed.0 - host.fed.1) as f64 / span) / 2.0;
            host.fed.1 = host.fed.0;
            let window = reveal::window(host.rate, round_trip, self.pieces.piece_length());
            self.reveal.set_window(HostId(id), window);
        }
        self.show_all();
        self.at(self.now + LOOK, Event::Look);
    }

    fn die(&mut self, dead: u32) {
        let host = &mut self.hosts[dead as usize];
        if !host.alive || host.done.is_some() {
            return;
        }
        host.alive = false;
        self.left -= 1;
        self.reveal.forget(HostId(dead));
        self.seeder.forget(dead);
        for other in self.graph.neighbours(HostId(dead)).to_vec() {
            self.hosts[other.index()].picker.leave(PeerKey(dead));
            self.hosts[other.index()].up.forget(dead);
        }
        for (a, b) in self.graph.replace(HostId(dead)) {
            self.meet(a.0, b.0);
            self.meet(b.0, a.0);
        }
        self.show_all();
    }
}
