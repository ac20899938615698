use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;

use crate::control::{Fetch, HostId, LinkCount, Progress, Wait};
use crate::payload::{Metainfo, PartialStore};
use crate::swarm::engine::{Engine, EngineConfig, Event, PieceStore};
use crate::swarm::{BitSet, Pieces};

use super::listen::Listening;

/// Bytes by neighbour are told this often, while they change.
const LINKS_EVERY: Duration = Duration::from_secs(5);

/// The bit field is told this often, while it changes.
const PIECES_EVERY: Duration = Duration::from_secs(2);

/// A bit field of more bytes would not fit a line with all the rest; there are never so many pieces below a terabyte.
const MOST_PIECES_BYTES: usize = 32 << 10;

/// A fetch that stands still says so after this time, so that it is not taken for dead: each second time that it is asked.
const STILL_AFTER: Duration = Duration::from_millis(1_500);

/// Partial data as the engine wants it.
struct Store(Arc<PartialStore>);

impl PieceStore for Store {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.0.read_at(buffer, at)
    }

    fn write_piece(&self, piece: u32, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(bytes, at)?;
        self.0.record(piece)
    }
}

/// How a fetch stands while what is left of an earlier attempt, or of an earlier release, is read and hashed.
pub(super) fn opening(done: u64, total: u64) -> Box<Progress> {
    let wait = Some(Wait { disk: 100, ..Wait::default() });
    Box::new(Progress { done, total, wait, ..Progress::default() })
}

/// A host's part in the swarm.
pub(super) struct Fetching {
    pub(super) engine: Engine,
    pub(super) store: Arc<PartialStore>,
    told: Progress,
    told_at: Instant,
    links: Vec<LinkCount>,
    links_at: Instant,
    pieces_done: u64,
    pieces_at: Instant,
}

impl Fetching {
    /// Joins the swarm with what is here already.
    pub(super) fn start(
        me: HostId,
        fetch: &Fetch,
        store: Arc<PartialStore>,
        listening: &mut Listening,
    ) -> io::Result<Self> {
        let metainfo = store.metainfo();
        let config = EngineConfig {
            id: me,
            life: fetch.life,
            key: Some(fetch.key.clone()),
            info_hash: metainfo.info_hash,
            pieces: Arc::new(shape(metainfo)?),
            store: Arc::new(Store(Arc::clone(&store))),
            have: Some(kept(&store)),
            listeners: std::mem::take(&mut listening.listeners),
            rate: fetch.rate,
            seed: fastrand::u64(..),
        };
        let engine = Engine::start(config)?;
        engine.set_neighbours(fetch.neighbours.clone(), &[]);
        let now = Instant::now();
        let told = Progress::default();
        Ok(Self {
            engine,
            store,
            told,
            told_at: now,
            links: Vec::new(),
            links_at: now,
            pieces_done: 0,
            pieces_at: now,
        })
    }

    /// How it stands, if there is something to tell. To be asked once a second.
    pub(super) fn news(&mut self) -> Option<Box<Progress>> {
        let now = Instant::now();
        let mut progress = self.engine.counters();
        let moved =
            Progress { wait: None, ..progress.clone() } != Progress { wait: None, ..self.told.clone() };
        let still = progress.done < progress.total && now - self.told_at >= STILL_AFTER;
        if !moved && !still {
            return None;
        }
        self.told = progress.clone();
        self.told_at = now;
        if now - self.links_at >= LINKS_EVERY {
            let links = self.engine.links();
            if links != self.links {
                self.links.clone_from(&links);
                self.links_at = now;
                progress.links = links;
            }
        }
        if progress.done != self.pieces_done && now - self.pieces_at >= PIECES_EVERY {
            self.pieces_done = progress.done;
            self.pieces_at = now;
            let bits = self.engine.pieces().to_bytes();
            progress.pieces = (bits.len() <= MOST_PIECES_BYTES).then(|| STANDARD.encode(bits));
        }
        Some(Box::new(progress))
    }

    /// How it stands at its end.
    pub(super) fn last(&mut self) -> Box<Progress> {
        let mut progress = self.engine.counters();
        self.told = progress.clone();
        progress.links = self.engine.links();
        Box::new(progress)
    }
}

/// The engine's next event; never comes without an engine.
pub(super) async fn next_event(fetching: Option<&Fetching>) -> Event {
    match fetching {
        Some(fetching) => fetching.engine.event().await,
        None => std::future::pending().await,
    }
}

fn shape(metainfo: &Metainfo) -> io::Result<Pieces> {
    Pieces::new(metainfo.length, metainfo.piece_length, metainfo.hashes.clone()).map_err(io::Error::other)
}

fn kept(store: &PartialStore) -> BitSet {
    let mut have = BitSet::new(store.metainfo().pieces());
    for (piece, kept) in (0..).zip(store.kept()) {
        if *kept {
            have.insert(piece);
        }
    }
    have
}
