use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::SeederError;
use super::feed::{FeedEnd, FeedHandle};
use super::gate::Gate;
use super::session::Session;
use super::source::Source;
use crate::control::{HostId, RunKey};
use crate::payload::Metainfo;
use crate::swarm::BitSet;
use crate::swarm::limiter::Limiter;
use crate::swarm::noise::Party;

/// Events that may wait: a seeder fails once.
const EVENTS: usize = 2;

/// Over how long the rate is a mean.
const RATE_SPAN: Duration = Duration::from_secs(3);

/// Bars of the histogram of copies that are kept apart; the last counts all beyond.
const MOST_COPIES: usize = 64;

/// How long [`Seeder::stop`] waits for its threads, and the gate's for its feeds.
const STOP: Duration = Duration::from_secs(3);

/// What a seeder needs besides what it sends.
#[derive(Debug, Clone)]
pub struct SeederOptions {
    /// Limit of all that leaves, as it is on the wire; to be shared with whatever else leaves by the same uplink.
    pub limiter: Arc<Limiter>,
    /// An existing folder for what the session must have on disk while it runs, some kilobytes.
    pub scratch: PathBuf,
    /// Of all that is random in the reveal queue.
    pub seed: u64,
}

impl Default for SeederOptions {
    fn default() -> Self {
        let limiter = Arc::new(Limiter::new(None));
        Self { limiter, scratch: std::env::temp_dir(), seed: fastrand::u64(..) }
    }
}

/// What a seeder has to say.
#[derive(Debug, Clone)]
pub enum SeederEvent {
    /// The artifact is not what was hashed; nothing of it is sent any more. The text says which part.
    PayloadChanged(String),
    /// The session broke and does not come back.
    Failed(String),
}

/// What a seeder did so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeederNumbers {
    /// Payload bytes sent, repeats included.
    pub sent: u64,
    /// Bytes a second, the mean of the last seconds.
    pub rate: u64,
    /// Hosts to which pieces are revealed now.
    pub feeds: u32,
    /// Pieces by the number of hosts that hold them: index 0 is "none", the last counts all beyond.
    pub copies: Vec<u32>,
    /// The hosts hold at least one full copy between them, and none depends on the seeder alone.
    pub may_leave: bool,
}

/// The operator's end of the swarm: feeds hosts through streams that the caller opens.
///
/// The bytes come from a librqbit session on loopback; what goes to whom and when is the gate's. Both have a thread of
/// their own, so that neither hashing nor a slow disk holds up the caller's runtime.
pub struct Seeder {
    gate: Arc<Gate>,
    runtime: tokio::runtime::Handle,
    thread: Option<JoinHandle<()>>,
    session: Arc<Session>,
    samples: Mutex<VecDeque<(Instant, u64)>>,
}

impl Seeder {
    /// Starts on an artifact that was packed and hashed a moment ago. Returns at once: the session opens the artifact
    /// while hosts are reached, feeds that come before wait for it, and [`Seeder::ready`] says when it is done.
    pub fn start(
        artifact: &Path,
        metainfo: Arc<Metainfo>,
        key: RunKey,
        options: &SeederOptions,
    ) -> Result<(Self, mpsc::Receiver<SeederEvent>), SeederError> {
        let session = Arc::new(Session::start(artifact, &metainfo, &options.scratch)?);
        let party = Party { key, me: HostId::SEEDER, life: 0, info_hash: metainfo.info_hash };
        let source = Source::new(metainfo.clone(), artifact.to_owned());
        let gate = Arc::new(Gate::new(party, source, metainfo, options.limiter.clone(), options.seed));
        let (events, heard) = mpsc::channel(EVENTS);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| SeederError::Thread(error.to_string()))?;
        let handle = runtime.handle().clone();
        let (inner, sources) = (gate.clone(), session.clone());
        let thread = std::thread::Builder::new()
            .name("murder-gate".to_owned())
            .spawn(move || {
                runtime.block_on(work(&inner, &sources, &events));
                runtime.shutdown_background();
            })
            .map_err(|error| SeederError::Thread(error.to_string()))?;
        let seeder = Self { gate, runtime: handle, thread: Some(thread), session, samples: Mutex::default() };
        Ok((seeder, heard))
    }

    /// Waits until the session answers for the whole artifact.
    pub async fn ready(&self) -> Result<(), SeederError> {
        self.session.live().await.map(drop)
    }

    /// Feeds a host's engine at the other end of a stream, over which nothing was said yet; `life` is that of its agent
    /// ([`crate::control::Fetch::life`]). A feed of the same host
    /// that still runs is replaced. A host that has no neighbours is always fed; of the others
    /// [`crate::swarm::reveal::MAX_FEEDS`] at a time, the rest wait for a place.
    pub fn feed<S>(&self, host: HostId, life: u32, stream: S, has_neighbours: bool) -> FeedHandle
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let state = self.gate.register(host, life);
        if self.gate.stop.is_cancelled() {
            state.end.send_replace(Some(FeedEnd::Stopped));
        } else {
            let feed = self.gate.clone().feed(state.clone(), stream, !has_neighbours);
            self.gate.running.spawn_on(feed, &self.runtime);
        }
        FeedHandle { state }
    }

    /// Whether another host with neighbours would be fed at once. If not, its stream can as well be opened later.
    pub fn has_room(&self) -> bool {
        self.gate.reveal().has_room()
    }

    /// A host got its first neighbour, or lost its last.
    pub fn set_neighbours(&self, host: HostId, has_neighbours: bool) {
        self.gate.set_alone(host, !has_neighbours);
    }

    /// What a host has by its own report, as a BitTorrent bit field; for hosts that are not fed. Whether the field is
    /// of this payload.
    pub fn note_pieces(&self, host: HostId, field: &[u8]) -> bool {
        let has = BitSet::from_bytes(field, self.gate.metainfo.pieces());
        has.inspect(|has| self.gate.note(host, has)).is_some()
    }

    /// A host is gone, with all its pieces. What only it held is revealed to others.
    pub fn forget(&self, host: HostId) {
        self.gate.forget(host);
    }

    /// Limit of all that shares the limiter in bytes a second; felt within a tenth of a second.
    pub fn set_rate(&self, rate: Option<u64>) {
        self.gate.limiter.set_rate(rate);
    }

    /// How it stands.
    pub fn progress(&self) -> SeederNumbers {
        let sent = self.gate.sent.load(Ordering::Relaxed);
        let reveal = self.gate.reveal();
        SeederNumbers {
            sent,
            rate: self.rate(sent),
            feeds: u32::try_from(reveal.fed().len()).unwrap_or(u32::MAX),
            copies: reveal.copies(MOST_COPIES),
            may_leave: reveal.may_leave(),
        }
    }

    /// Ends all feeds and the session, and removes what they kept on disk.
    pub async fn stop(mut self) {
        self.gate.stop.cancel();
        let thread = self.thread.take();
        let session = self.session.clone();
        let joined = tokio::task::spawn_blocking(move || {
            thread.map(JoinHandle::join);
            session.join();
        });
        let _ = tokio::time::timeout(STOP, joined).await;
    }

    fn rate(&self, sent: u64) -> u64 {
        let now = Instant::now();
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push_back((now, sent));
        while samples.len() > 2 && samples.get(1).is_some_and(|(at, _)| now - *at > RATE_SPAN) {
            samples.pop_front();
        }
        let Some((at, before)) = samples.front() else { return 0 };
        let took = (now - *at).as_secs_f64();
        if took > 0.0 { ((sent - before) as f64 / took) as u64 } else { 0 }
    }
}

impl Drop for Seeder {
    fn drop(&mut self) {
        self.gate.stop.cancel();
    }
}

/// The gate's thread: fetches pieces until stopped. A failure is told once; then nothing leaves any more.
async fn work(gate: &Arc<Gate>, session: &Session, events: &mpsc::Sender<SeederEvent>) {
    let error = tokio::select! {
        error = gate.source.run(session) => error,
        () = gate.stop.cancelled() => SeederError::Stopped,
    };
    session.cancel();
    let event = match &error {
        SeederError::Stopped => None,
        SeederError::Changed { .. } => Some(SeederEvent::PayloadChanged(error.to_string())),
        other => Some(SeederEvent::Failed(other.to_string())),
    };
    if let Some(event) = event {
        let _ = events.send(event).await;
        gate.stop.cancelled().await;
    }
    gate.running.close();
    let _ = tokio::time::timeout(STOP, gate.running.wait()).await;
}
