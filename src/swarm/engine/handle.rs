use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::core::Core;
use super::dial::{Whom, answer, keep_answering, keep_dialling};
use super::storage::PieceStore;
use crate::control::{HostId, LinkCount, Neighbour, Progress, RunKey};
use crate::swarm::bitset::BitSet;
use crate::swarm::limiter::Limiter;
use crate::swarm::pieces::Pieces;

/// What an engine needs to start.
pub struct EngineConfig {
    /// This host.
    pub id: HostId,
    /// Which life of its agent in the run this is; dials that mean another are not answered.
    pub life: u32,
    /// Lets ends into the swarm; `None` speaks plain BitTorrent with anybody.
    pub key: Option<RunKey>,
    /// SHA-1 of the info dictionary.
    pub info_hash: [u8; 20],
    /// The payload.
    pub pieces: Arc<Pieces>,
    /// Where its pieces lie.
    pub store: Arc<dyn PieceStore>,
    /// Pieces that are there already, verified; `None` for none.
    pub have: Option<BitSet>,
    /// Where other hosts and the seeder dial.
    pub listeners: Vec<TcpListener>,
    /// Limit of each direction in bytes a second on the wire.
    pub rate: Option<u64>,
    /// Makes the choice among equally rare pieces repeatable. Should differ from host to host.
    pub seed: u64,
}

/// Why an engine cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store failed.
    #[error("could not {what}: {error}")]
    Storage {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        error: io::Error,
    },
}

/// What happened in an engine.
#[derive(Debug)]
pub enum Event {
    /// All pieces are here, verified and written. It goes on serving others.
    Completed,
    /// A peer sent a piece that does not match its hash, and was dropped.
    BadPiece {
        /// Who.
        from: HostId,
        /// Which piece.
        piece: u32,
    },
    /// It cannot go on: all connections are closed.
    Failed(EngineError),
}

/// A running engine. Ends when it is dropped.
pub struct Engine {
    core: Arc<Core>,
    dialling: Mutex<BTreeMap<HostId, (Whom, AbortHandle)>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Engine {
    /// Starts. Must be called within a tokio runtime; tasks run there, hashing and the disk on two threads.
    pub fn start(config: EngineConfig) -> io::Result<Self> {
        let (core, done) = Core::new(&config)?;
        let engine = Self {
            core: core.clone(),
            dialling: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        for listener in config.listeners {
            engine.spawn(keep_answering(core.clone(), listener));
        }
        engine.spawn(core.run(done));
        Ok(engine)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let stop = self.stop.clone();
        self.tasks
            .spawn(async move {
                stop.run_until_cancelled(task).await;
            })
            .abort_handle()
    }

    /// Hosts to dial from now on (or at other addresses than before), and hosts to leave.
    pub fn set_neighbours(&self, add: Vec<Neighbour>, remove: &[HostId]) {
        let mut dialling = self.dialling.lock().unwrap_or_else(PoisonError::into_inner);
        for host in remove {
            if let Some((_, task)) = dialling.remove(host) {
                task.abort();
            }
            let key = self.core.lock().by_host.get(host).copied();
            if let Some(key) = key {
                self.core.leave(key);
            }
        }
        for neighbour in add.into_iter().filter(|neighbour| neighbour.id != self.core.me) {
            let id = neighbour.id;
            if let Some((known, _)) = dialling.get(&id) {
                *known.lock().unwrap_or_else(PoisonError::into_inner) = neighbour;
                continue;
            }
            let whom = Arc::new(Mutex::new(neighbour));
            let task = self.spawn(keep_dialling(self.core.clone(), id, whom.clone()));
            dialling.insert(id, (whom, task));
        }
    }

    /// Takes a stream over which another end will dial: a pipe through SSH.
    pub fn accept<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.spawn(answer(self.core.clone(), stream, None, ()));
    }

    /// Changes the limit of each direction, bytes a second on the wire.
    pub fn set_rate(&self, rate: Option<u64>) {
        self.core.limiter.set_rate(rate);
    }

    /// The limit itself, to set the directions apart.
    pub fn limiter(&self) -> &Arc<Limiter> {
        &self.core.limiter
    }

    /// How it stands. The shares of waiting are those since the last call. Links and pieces are asked for apart.
    pub fn counters(&self) -> Progress {
        let mut state = self.core.lock();
        let wait = state.counters.take_wait();
        let counters = &state.counters;
        let (down_rate, up_rate) = counters.rates();
        Progress {
            done: state.done_bytes,
            total: self.core.pieces.length(),
            down: counters.total.down,
            up: counters.total.up,
            duplicate: counters.duplicate,
            from_seeder: counters.from(HostId::SEEDER),
            down_rate,
            up_rate,
            peers: state.links.values().filter(|link| !link.is_seeder()).count() as u32,
            wait,
            links: Vec::new(),
            pieces: None,
        }
    }

    /// Bytes exchanged with each host that was ever connected.
    pub fn links(&self) -> Vec<LinkCount> {
        let state = self.core.lock();
        let hosts = state.counters.hosts.iter();
        hosts
            .map(|(id, host)| LinkCount {
                id: *id,
                address: host.address.filter(|_| *id != HostId::SEEDER),
                down: host.traffic.down,
                up: host.traffic.up,
            })
            .collect()
    }

    /// Whether the seeder is connected.
    pub fn is_fed(&self) -> bool {
        self.core.lock().by_host.contains_key(&HostId::SEEDER)
    }

    /// The verified pieces.
    pub fn pieces(&self) -> BitSet {
        self.core.lock().picker.have().clone()
    }

    /// Waits for the next event. To be called from one task.
    pub async fn event(&self) -> Event {
        loop {
            if let Some(event) = self.core.lock().events.pop_front() {
                return event;
            }
            self.core.event.notified().await;
        }
    }

    /// Closes all connections and waits until what came in is written.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let workers = self.core.lock().workers.take();
        if let Some(workers) = workers {
            let threads = workers.stop();
            let joined = tokio::task::spawn_blocking(move || {
                for thread in threads {
                    // A thread that panicked has nothing more to write.
                    let _ = thread.join();
                }
            });
            let _ = joined.await;
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
