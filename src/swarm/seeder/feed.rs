use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::gate::Gate;
use crate::control::HostId;
use crate::swarm::BitSet;
use crate::swarm::limiter::Direction;
use crate::swarm::noise::{self, Channel, NoiseError};
use crate::swarm::reveal;
use crate::swarm::wire::{self, BLOCK, HANDSHAKE, Message, PIECE_HEADER, Parsed, Piece, Request, WireError};

/// Bytes that wait for a host's stream at most, a block more or less. What is queued here can no longer be cancelled,
/// and delays the next HAVE.
const UNSENT: usize = 64 << 10;

/// Requests of a host that wait at most: four times what an engine has outstanding.
const MAX_QUEUE: usize = 2048;

/// Bytes of a turn at the limiter: whole pieces of the usual length rather than a block of each host, so that a piece is
/// soon complete somewhere and can be passed on. Simulated with 32 hosts, that is worth a hundredth of the time.
const TURN: u32 = 64 << 10;

/// Bytes around a block on its way: the message's header, a frame of Noise, a packet of SSH.
const AROUND: usize = PIECE_HEADER + 18 + 37;

/// How often a host's rate and window are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// A host that says nothing for so long after its handshake has nothing.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// Looks after which a round trip is forgotten, so that a path that became longer is noticed.
const MEMORY: u32 = 40;

/// A word to the host when nothing else was said.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How long what is ready may take to leave when there will be no more.
const LAST_SEND: Duration = Duration::from_secs(1);

/// Why a feed ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedEnd {
    /// The host closed it.
    Closed,
    /// It was stopped, or another feed of the same host took its place.
    Stopped,
    /// The connection broke, or what came was not from an engine of this run.
    Broken(String),
    /// The seeder itself failed; its events say why.
    Source,
}

/// A host's feed as others see it.
#[derive(Debug)]
pub(super) struct FeedState {
    pub(super) host: HostId,
    /// Which life of its agent.
    pub(super) life: u32,
    pub(super) sent: AtomicU64,
    pub(super) wake: Notify,
    pub(super) stop: CancellationToken,
    pub(super) end: watch::Sender<Option<FeedEnd>>,
}

impl FeedState {
    pub(super) fn new(host: HostId, life: u32, stop: CancellationToken) -> Self {
        let (end, _) = watch::channel(None);
        Self { host, life, sent: AtomicU64::new(0), wake: Notify::new(), stop, end }
    }
}

/// A host that is fed. Dropping it changes nothing: a feed ends with its stream, or when it is stopped.
#[derive(Debug, Clone)]
pub struct FeedHandle {
    pub(super) state: Arc<FeedState>,
}

impl FeedHandle {
    /// The host.
    pub fn host(&self) -> HostId {
        self.state.host
    }

    /// Payload bytes sent to it through this feed, repeats included.
    pub fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::Relaxed)
    }

    /// Ends it.
    pub fn stop(&self) {
        self.state.stop.cancel();
    }

    /// Waits for its end.
    pub async fn ended(&self) -> FeedEnd {
        let mut end = self.state.end.subscribe();
        let ended = end.wait_for(Option::is_some).await;
        ended.ok().and_then(|end| end.clone()).unwrap_or(FeedEnd::Stopped)
    }
}

impl From<io::Error> for FeedEnd {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Broken(error.to_string()),
        }
    }
}

impl From<NoiseError> for FeedEnd {
    fn from(error: NoiseError) -> Self {
        Self::from(io::Error::from(error))
    }
}

impl From<WireError> for FeedEnd {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Channel(error) => error.into(),
            other => Self::Broken(other.to_string()),
        }
    }
}

/// A block that is due next: being fetched, or waiting for its turn. Gives its piece, and the bytes that were let through.
type Due = Pin<Box<dyn Future<Output = Result<(Bytes, usize), FeedEnd>> + Send>>;

/// One host's connection: HAVEs out as the reveal queue says, REQUESTs in, blocks out in their order.
pub(super) struct Feed<S> {
    gate: Arc<Gate>,
    state: Arc<FeedState>,
    channel: Channel<S>,
    queue: VecDeque<Request>,
    due: Option<(Request, Due)>,
    /// Bytes that the limiter has let through and that are not sent yet.
    paid: usize,
    /// Whether the host has said what it has.
    heard: bool,
    /// Pieces revealed and not asked for yet, since when.
    revealed: HashMap<u32, Instant>,
    path: Path,
    last_word: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Feed<S> {
    /// Introduces the seeder to the engine at the other end of the stream.
    pub(super) async fn dial(gate: Arc<Gate>, state: Arc<FeedState>, stream: S) -> Result<Self, FeedEnd> {
        let mut channel = noise::dial(stream, &gate.party, state.host, state.life).await?;
        channel.push(&wire::handshake(gate.party.info_hash, HostId::SEEDER))?;
        wire::push(&mut channel, &Message::Unchoke)?;
        channel.seal()?;
        let theirs = introduce(&mut channel, gate.party.info_hash);
        let theirs = tokio::time::timeout(noise::HANDSHAKE_TIMEOUT, theirs).await;
        let theirs = theirs.unwrap_or_else(|_| Err(NoiseError::Timeout.into()))?;
        if wire::host_of(&theirs) != Some(state.host) {
            return Err(FeedEnd::Broken("another host answers at the other end".to_owned()));
        }
        channel.consume(HANDSHAKE);
        Ok(Self {
            gate,
            state,
            channel,
            queue: VecDeque::new(),
            due: None,
            paid: 0,
            heard: false,
            revealed: HashMap::new(),
            path: Path::new(),
            last_word: Instant::now(),
        })
    }

    /// Feeds until the stream ends.
    pub(super) async fn run(mut self) -> FeedEnd {
        let end = match self.serve().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        if end == FeedEnd::Source {
            // What was taken from the source before it failed is right, and the host is to have it.
            let _ = tokio::time::timeout(LAST_SEND, self.send_rest()).await;
        }
        end
    }

    async fn send_rest(&mut self) -> Result<(), FeedEnd> {
        self.channel.seal()?;
        Ok(poll_fn(|cx| self.channel.poll_send(cx)).await?)
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, FeedEnd> {
        let started = Instant::now();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.read_messages()?;
            self.reveal()?;
            self.prepare();
            self.channel.seal()?;
            let busy = self.channel.unsent() > 0;
            let room = self.channel.unsent() < UNSENT;
            tokio::select! {
                io = poll_io(&mut self.channel, busy) => io?,
                due = due(&mut self.due), if room => {
                    let (piece, cost) = due?;
                    self.send(&piece, cost)?;
                }
                () = self.state.wake.notified() => {}
                _ = look.tick() => {
                    self.path.look(self.state.sent.load(Ordering::Relaxed));
                    let window = self.path.window(self.gate.metainfo.piece_length);
                    self.gate.reveal().set_window(self.state.host, window);
                    if !self.heard && started.elapsed() > FIRST_WORD {
                        self.has_nothing();
                    }
                    if self.last_word.elapsed() > KEEP_ALIVE {
                        self.say(&Message::KeepAlive)?;
                    }
                }
            }
        }
    }

    fn read_messages(&mut self) -> Result<(), FeedEnd> {
        loop {
            let (length, word) = match wire::parse(self.channel.received())? {
                Parsed::Incomplete => return Ok(()),
                Parsed::Unknown { length } => (length, Word::Nothing),
                Parsed::Message { message, length } => (length, Word::from(&message)),
            };
            self.channel.consume(length);
            if !self.heard && !matches!(word, Word::HasAll(_)) {
                self.has_nothing();
            }
            match word {
                Word::Nothing => {}
                Word::HasAll(field) => self.hear(&field)?,
                Word::Has(piece) => self.gate.have(self.state.host, piece),
                Word::Wants(request) => self.enqueue(self.check(request)?)?,
                Word::WantsNoMore(request) => self.cancel(&request),
            }
        }
    }

    fn hear(&mut self, field: &[u8]) -> Result<(), FeedEnd> {
        let has = BitSet::from_bytes(field, self.gate.metainfo.pieces())
            .ok_or_else(|| FeedEnd::Broken("a bit field of another length came".to_owned()))?;
        self.heard = true;
        self.gate.has_exactly(self.state.host, &has);
        Ok(())
    }

    fn has_nothing(&mut self) {
        self.heard = true;
        self.gate.has_exactly(self.state.host, &BitSet::new(self.gate.metainfo.pieces()));
    }

    fn check(&self, request: Request) -> Result<Request, FeedEnd> {
        let size = self.gate.metainfo.piece_size(request.index);
        let end = request.begin.checked_add(request.length);
        if request.length == 0 || request.length > BLOCK || end.is_none_or(|end| end > size) {
            return Err(FeedEnd::Broken(format!(
                "{} bytes at {} of piece {} were asked for, which do not exist",
                request.length, request.begin, request.index
            )));
        }
        Ok(request)
    }

    fn enqueue(&mut self, request: Request) -> Result<(), FeedEnd> {
        if self.queue.len() >= MAX_QUEUE {
            return Err(FeedEnd::Broken(format!("more than {MAX_QUEUE} requests are waiting")));
        }
        if let Some(since) = self.revealed.remove(&request.index) {
            self.path.round_trip(since.elapsed());
        }
        self.queue.push_back(request);
        Ok(())
    }

    fn cancel(&mut self, request: &Request) {
        if self.due.as_ref().is_some_and(|(due, _)| same(due, request)) {
            self.due = None;
        } else {
            self.queue.retain(|waiting| !same(waiting, request));
        }
    }

    fn reveal(&mut self) -> Result<(), FeedEnd> {
        if !self.heard {
            return Ok(());
        }
        let new = self.gate.fill(self.state.host);
        for piece in new {
            self.say(&Message::Have(piece))?;
            self.revealed.insert(piece, Instant::now());
        }
        Ok(())
    }

    /// Sees to it that the next block is on its way, and the piece after it too.
    fn prepare(&mut self) {
        if self.due.is_some() {
            return;
        }
        let Some(request) = self.queue.pop_front() else { return };
        let coming = self.gate.source.piece(request.index);
        if let Some(next) = self.queue.iter().find(|next| next.index != request.index) {
            self.gate.source.expect(next.index);
        }
        let cost = self.turn(&request);
        let gate = self.gate.clone();
        let due = Box::pin(async move {
            let piece = coming.await.map_err(|_| FeedEnd::Source)?;
            if cost > 0 {
                gate.limiter.pass(Direction::Up, cost).await;
            }
            Ok((piece, cost))
        });
        self.due = Some((request, due));
    }

    /// What the limiter is to be asked for before a block may leave: nothing, or a turn for it and those behind it.
    fn turn(&self, request: &Request) -> usize {
        if self.paid >= request.length as usize + AROUND {
            return 0;
        }
        let mut turn = request.length;
        let mut cost = request.length as usize + AROUND;
        for next in self.queue.iter().take_while(|next| next.index == request.index) {
            turn += next.length;
            if turn > TURN {
                break;
            }
            cost += next.length as usize + AROUND;
        }
        cost
    }

    fn send(&mut self, piece: &Bytes, cost: usize) -> Result<(), FeedEnd> {
        let Some((request, _)) = self.due.take() else { return Ok(()) };
        self.paid = (self.paid + cost).saturating_sub(request.length as usize + AROUND);
        let from = request.begin as usize;
        let block = &piece[from..from + request.length as usize];
        self.say(&Message::Piece(Piece::from_data(request.index, request.begin, block)))?;
        self.state.sent.fetch_add(u64::from(request.length), Ordering::Relaxed);
        self.gate.sent.fetch_add(u64::from(request.length), Ordering::Relaxed);
        Ok(())
    }

    fn say(&mut self, message: &Message<'_>) -> Result<(), FeedEnd> {
        self.last_word = Instant::now();
        Ok(wire::push(&mut self.channel, message)?)
    }
}

/// What a host says that matters here.
enum Word {
    Nothing,
    HasAll(Vec<u8>),
    Has(u32),
    Wants(Request),
    WantsNoMore(Request),
}

impl From<&Message<'_>> for Word {
    fn from(message: &Message<'_>) -> Self {
        match message {
            Message::Bitfield(field) => Self::HasAll(field.as_ref().to_vec()),
            Message::Have(piece) => Self::Has(*piece),
            Message::Request(request) => Self::Wants(*request),
            Message::Cancel(request) => Self::WantsNoMore(*request),
            _ => Self::Nothing,
        }
    }
}

fn same(a: &Request, b: &Request) -> bool {
    (a.index, a.begin, a.length) == (b.index, b.begin, b.length)
}

async fn due(due: &mut Option<(Request, Due)>) -> Result<(Bytes, usize), FeedEnd> {
    match due {
        Some((_, due)) => due.await,
        None => std::future::pending().await,
    }
}

/// Sends what waits in the channel and reads the other end's handshake; its peer id is returned.
async fn introduce<S>(channel: &mut Channel<S>, info_hash: [u8; 20]) -> Result<[u8; 20], FeedEnd>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    poll_fn(|cx| channel.poll_send(cx)).await?;
    loop {
        if let Some(id) = wire::read_handshake(channel.received(), info_hash)? {
            return Ok(id);
        }
        poll_io(channel, false).await?;
    }
}

/// Waits until something came, or, if there was something to send, until it left.
async fn poll_io<S: AsyncRead + AsyncWrite + Unpin>(
    channel: &mut Channel<S>,
    busy: bool,
) -> Result<(), FeedEnd> {
    poll_fn(|cx| {
        if busy && let Poll::Ready(sent) = channel.poll_send(cx) {
            return Poll::Ready(sent.map_err(FeedEnd::from));
        }
        match channel.poll_receive(cx) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(FeedEnd::Closed)),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// What is seen of a host's path: round trips from a HAVE to the first request for it, and the rate of what is sent.
struct Path {
    looked: Instant,
    sent: u64,
    rate: f64,
    least: Option<Duration>,
    age: u32,
}

impl Path {
    fn new() -> Self {
        Self { looked: Instant::now(), sent: 0, rate: 0.0, least: None, age: 0 }
    }

    /// The least of the last seconds counts: an engine may ask late, but never early.
    fn round_trip(&mut self, took: Duration) {
        if self.age >= MEMORY || self.least.is_none_or(|least| took < least) {
            self.least = Some(took);
            self.age = 0;
        }
    }

    fn look(&mut self, sent: u64) {
        let took = self.looked.elapsed().as_secs_f64();
        if took > 0.0 {
            // The mean of this look and those before, so that a pause does not close the window.
            self.rate = (self.rate + (sent - self.sent) as f64 / took) / 2.0;
        }
        self.sent = sent;
        self.looked = Instant::now();
        self.age += 1;
    }

    fn window(&self, piece_length: u32) -> usize {
        let round_trip = self.least.unwrap_or_default().as_secs_f64();
        reveal::window(self.rate, round_trip, piece_length)
    }
}
