use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::control::Neighbour;
use crate::swarm::engine::{Engine, EngineConfig, Event, PieceStore};
use crate::swarm::{Graph, Pieces};

struct Memory(Mutex<Vec<u8>>);

impl PieceStore for Memory {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        buffer.copy_from_slice(&self.0.lock().unwrap()[at as usize..][..buffer.len()]);
        Ok(())
    }

    fn write_piece(&self, _piece: u32, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap()[at as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

pub(super) struct Host {
    id: HostId,
    address: SocketAddr,
    store: Arc<Memory>,
    pub(super) engine: Engine,
}

impl Host {
    async fn new(stage: &Stage, id: u32, rate: Option<u64>) -> Self {
        Self::with_key(stage, id, rate, Some(KEY)).await
    }

    /// A client that knows no Noise.
    pub(super) async fn plain(stage: &Stage, id: u32) -> Self {
        Self::with_key(stage, id, None, None).await
    }

    async fn with_key(stage: &Stage, id: u32, rate: Option<u64>, key: Option<RunKey>) -> Self {
        let metainfo = &stage.metainfo;
        let pieces = Pieces::new(metainfo.length, metainfo.piece_length, metainfo.hashes.clone()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let store = Arc::new(Memory(Mutex::new(vec![0; stage.content.len()])));
        let engine = Engine::start(EngineConfig {
            id: HostId(id),
            life: 1,
            key,
            info_hash: metainfo.info_hash,
            pieces: Arc::new(pieces),
            store: store.clone(),
            have: None,
            listeners: vec![listener],
            rate,
            seed: u64::from(id),
        });
        Self { id: HostId(id), address, store, engine: engine.unwrap() }
    }

    async fn several(stage: &Stage, count: u32, rate: Option<u64>) -> Vec<Self> {
        let mut hosts = Vec::new();
        for id in 0..count {
            hosts.push(Self::new(stage, id, rate).await);
        }
        hosts
    }

    fn neighbour(&self) -> Neighbour {
        Neighbour { id: self.id, life: 1, addresses: vec![self.address] }
    }

    /// The operator's stream to its engine.
    async fn stream(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    async fn feed(&self, seeder: &Seeder, has_neighbours: bool) -> FeedHandle {
        seeder.feed(self.id, 1, self.stream().await, has_neighbours)
    }

    pub(super) async fn completes(&self, stage: &Stage) {
        match within(self.engine.event()).await {
            Event::Completed => {}
            other => panic!("{}: {other:?}", self.id),
        }
        assert!(*self.store.0.lock().unwrap() == stage.content, "{} holds other bytes", self.id);
    }

    fn fed_bytes(&self) -> u64 {
        self.engine.counters().from_seeder
    }

    async fn until_done(&self, bytes: u64) {
        within(async {
            while self.engine.counters().done < bytes {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

fn link(hosts: &[Host], links: impl Fn(HostId) -> Vec<HostId>) {
    for host in hosts {
        let add = links(host.id).into_iter().map(|other| hosts[other.index()].neighbour()).collect();
        host.engine.set_neighbours(add, &[]);
    }
}

fn mesh(hosts: &[Host]) {
    link(hosts, |_| hosts.iter().map(|host| host.id).collect());
}

async fn feed_all(seeder: &Seeder, hosts: &[Host]) {
    for host in hosts {
        host.feed(seeder, true).await;
    }
}

fn copies(seeder: &Seeder, stage: &Stage) -> f64 {
    seeder.progress().sent as f64 / stage.content.len() as f64
}

/// The least that some deployments send, until one sends less than `bound`. When a copy has left, the seeder goes on with what is
/// rare: on a machine that is too busy for the hosts to pass it on, that is more, and rightly so.
async fn least_copies(bound: f64, deployed: impl AsyncFn() -> f64) -> f64 {
    const TRIES: usize = 3;
    let mut least = f64::INFINITY;
    for _ in 0..TRIES {
        least = least.min(deployed().await);
        if least < bound {
            break;
        }
    }
    least
}

#[tokio::test]
async fn eight_engines_get_every_byte_and_the_seeder_sends_little_more_than_a_copy() {
    let stage = Stage::new(12 << 20);
    for rate in [None, Some(6 << 20)] {
        let copies = least_copies(1.1, async || {
            let (seeder, _events) = stage.limited(rate);
            let hosts = Host::several(&stage, 8, rate).await;
            mesh(&hosts);
            feed_all(&seeder, &hosts).await;
            for host in &hosts {
                host.completes(&stage).await;
            }
            let copies = copies(&seeder, &stage);
            needed_no_longer(&seeder).await;
            // A block may be on its way still to a host that got it from another meanwhile.
            within(async {
                while hosts.iter().map(Host::fed_bytes).sum::<u64>() != seeder.progress().sent {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
            within(seeder.stop()).await;
            copies
        })
        .await;
        assert!((1.0..1.1).contains(&copies), "{copies} copies at {rate:?}");
    }
}

#[tokio::test]
async fn sixteen_engines_live_from_dealt_neighbours() {
    let stage = Stage::new(6 << 20);
    let copies = least_copies(1.3, async || {
        let (seeder, _events) = stage.limited(Some(4 << 20));
        let hosts = Host::several(&stage, 16, Some(4 << 20)).await;
        let graph = Graph::deal(16, &[], 5);
        link(&hosts, |host| graph.neighbours(host).to_vec());
        feed_all(&seeder, &hosts).await;
        for host in &hosts {
            host.completes(&stage).await;
        }
        copies(&seeder, &stage)
    })
    .await;
    assert!(copies < 1.3, "{copies} copies");
}

#[tokio::test]
async fn nobody_waits_for_a_slow_host() {
    let stage = Stage::new(6 << 20);
    let (seeder, _events) = stage.limited(Some(4 << 20));
    let mut hosts = Host::several(&stage, 6, Some(4 << 20)).await;
    hosts.push(Host::new(&stage, 6, Some(100 << 10)).await);
    mesh(&hosts);
    feed_all(&seeder, &hosts).await;
    for host in &hosts[..6] {
        host.completes(&stage).await;
    }
    let slow = hosts[6].engine.counters();
    assert!(slow.done < slow.total, "the slow one alone needs a minute: {slow:?}");
}

#[tokio::test]
async fn when_hosts_die_the_rest_get_what_went_with_them() {
    let stage = Stage::new(6 << 20);
    let (seeder, _events) = stage.limited(Some(3 << 20));
    let mut hosts = Host::several(&stage, 6, Some(3 << 20)).await;
    mesh(&hosts);
    feed_all(&seeder, &hosts).await;
    hosts[4].until_done(1 << 20).await;
    for dead in hosts.drain(4..) {
        seeder.forget(dead.id);
        dead.engine.stop().await;
    }
    for host in &hosts {
        host.completes(&stage).await;
    }
}

#[tokio::test]
async fn a_host_that_no_other_reaches_gets_everything_from_the_seeder() {
    let stage = Stage::new(3 << 20);
    let (seeder, _events) = stage.seeder();
    let hosts = Host::several(&stage, 4, None).await;
    link(&hosts[..3], |_| (0..3).map(HostId).collect());
    for host in &hosts {
        host.feed(&seeder, host.id != HostId(3)).await;
    }
    for host in &hosts {
        host.completes(&stage).await;
    }
    assert_eq!(hosts[3].fed_bytes(), 3 << 20);
    let others: u64 = hosts[..3].iter().map(Host::fed_bytes).sum();
    assert!(others < 4 << 20, "{others} bytes for three that share");
}

#[tokio::test]
async fn a_feed_that_breaks_and_comes_back_costs_little() {
    let stage = Stage::new(6 << 20);
    let (seeder, _events) = stage.limited(Some(4 << 20));
    let hosts = Host::several(&stage, 3, Some(4 << 20)).await;
    mesh(&hosts);
    let mut feeds = Vec::new();
    for host in &hosts {
        feeds.push(host.feed(&seeder, true).await);
    }
    for round in 1..4_u64 {
        hosts[0].until_done(round << 20).await;
        for (host, feed) in hosts.iter().zip(&mut feeds) {
            // Now the old stream is closed first, now the new one takes its place.
            if round % 2 == 0 {
                feed.stop();
                assert_eq!(within(feed.ended()).await, FeedEnd::Stopped);
            }
            *feed = host.feed(&seeder, true).await;
        }
    }
    for host in &hosts {
        host.completes(&stage).await;
    }
    let copies = copies(&seeder, &stage);
    assert!(copies < 1.4, "{copies} copies");
}

#[tokio::test]
async fn without_the_key_nobody_is_fed() {
    let stage = Stage::new(200_000);
    let (seeder, _events) = stage.seeder();
    for key in [Some(RunKey([8; 32])), None] {
        let stranger = Host::with_key(&stage, 0, None, key).await;
        let feed = stranger.feed(&seeder, false).await;
        let end = within(feed.ended()).await;
        assert!(matches!(end, FeedEnd::Closed | FeedEnd::Broken(_)), "{end:?}");
    }
    assert_eq!(seeder.progress().sent, 0);
}
