use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::storage::sha1;
use super::{Engine, EngineConfig, EngineError, Event, PieceStore};
use crate::control::{HostId, Neighbour, Progress, RunKey};
use crate::swarm::bitset::BitSet;
use crate::swarm::pieces::Pieces;

mod faults;
mod interop;
mod strangers;
mod swarms;

/// Long enough for the busiest machine.
const PATIENCE: Duration = Duration::from_secs(120);
const INFO_HASH: [u8; 20] = [0x42; 20];
const PIECE: u32 = 64 << 10;

/// A payload in memory.
struct Memory {
    bytes: Mutex<Vec<u8>>,
    fails: bool,
}

impl PieceStore for Memory {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        buffer.copy_from_slice(&self.bytes.lock().unwrap()[at as usize..][..buffer.len()]);
        Ok(())
    }

    fn write_piece(&self, _piece: u32, at: u64, bytes: &[u8]) -> io::Result<()> {
        if self.fails {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.lock().unwrap()[at as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// A payload that is shipped in a test.
struct Payload {
    bytes: Vec<u8>,
    pieces: Arc<Pieces>,
    key: Option<RunKey>,
    info_hash: [u8; 20],
}

impl Payload {
    fn new(length: usize) -> Self {
        Self::with_pieces(length, PIECE)
    }

    fn with_pieces(length: usize, piece: u32) -> Self {
        let mut bytes = vec![0; length];
        fastrand::Rng::with_seed(length as u64).fill(&mut bytes);
        let hashes = bytes.chunks(piece as usize).map(sha1).collect();
        let pieces = Arc::new(Pieces::new(length as u64, piece, hashes).unwrap());
        Self { bytes, pieces, key: Some(RunKey([3; 32])), info_hash: INFO_HASH }
    }

    /// Starts host `id` with `have` of the pieces.
    async fn host(&self, id: HostId, have: BitSet) -> Host {
        self.host_with(id, have, |_| {}).await
    }

    async fn host_with(&self, id: HostId, have: BitSet, change: impl FnOnce(&mut EngineConfig)) -> Host {
        let mut bytes = vec![0; self.bytes.len()];
        for piece in have.iter() {
            let range = piece as usize * self.pieces.piece_length() as usize..;
            let range = range.start..range.start + self.pieces.size(piece) as usize;
            bytes[range.clone()].copy_from_slice(&self.bytes[range]);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let store = Arc::new(Memory { bytes: Mutex::new(bytes), fails: false });
        let mut config = EngineConfig {
            id,
            life: 1,
            key: self.key.clone(),
            info_hash: self.info_hash,
            pieces: self.pieces.clone(),
            store: store.clone(),
            have: Some(have),
            listeners: vec![listener],
            rate: None,
            seed: u64::from(id.0),
        };
        change(&mut config);
        Host { id, address, store, engine: Engine::start(config).unwrap() }
    }

    async fn empty(&self, id: u32) -> Host {
        self.host(HostId(id), BitSet::new(self.pieces.count())).await
    }

    async fn seeder(&self) -> Host {
        self.host(HostId::SEEDER, BitSet::full(self.pieces.count())).await
    }

    async fn empties(&self, count: u32) -> Vec<Host> {
        let mut hosts = Vec::new();
        for id in 0..count {
            hosts.push(self.empty(id).await);
        }
        hosts
    }

    /// Waits until a host has all pieces, and looks at every byte.
    async fn arrives_at(&self, host: &Host) {
        match host.next_event().await {
            Event::Completed => {}
            other => panic!("{}: {other:?}", host.id),
        }
        self.is_whole_at(host);
    }

    fn is_whole_at(&self, host: &Host) {
        assert!(*host.store.bytes.lock().unwrap() == self.bytes, "{} holds other bytes", host.id);
        assert!(host.engine.pieces().is_full());
        assert_eq!(host.engine.counters().done, self.bytes.len() as u64);
    }
}

struct Host {
    id: HostId,
    address: SocketAddr,
    store: Arc<Memory>,
    engine: Engine,
}

impl Host {
    fn neighbour(&self) -> Neighbour {
        Neighbour { id: self.id, life: 1, addresses: vec![self.address] }
    }

    /// Dials another host; the other does not dial.
    fn dials(&self, other: &Host) {
        self.engine.set_neighbours(vec![other.neighbour()], &[]);
    }

    async fn next_event(&self) -> Event {
        let event = tokio::time::timeout(PATIENCE, self.engine.event()).await;
        event.unwrap_or_else(|_| panic!("{}: nothing happens; {:?}", self.id, self.engine.counters()))
    }

    fn counters(&self) -> Progress {
        self.engine.counters()
    }

    /// Waits until something is true of the counters.
    async fn until(&self, what: &str, is: impl Fn(&Progress) -> bool) {
        let begun = std::time::Instant::now();
        while !is(&self.counters()) {
            assert!(begun.elapsed() < PATIENCE, "{}: not {what}: {:?}", self.id, self.counters());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// All dial all.
fn mesh(hosts: &[Host]) {
    for host in hosts {
        host.engine.set_neighbours(hosts.iter().map(Host::neighbour).collect(), &[]);
    }
}

/// The seeder dials all, as the gate does.
fn feed(seeder: &Host, hosts: &[Host]) {
    seeder.engine.set_neighbours(hosts.iter().map(Host::neighbour).collect(), &[]);
}
