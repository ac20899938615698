use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::Shared;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};

use super::SeederError;
use super::session::{Session, check_length};
use crate::control::HostId;
use crate::payload::Metainfo;
use crate::socket::quick_ack;
use crate::swarm::noise::Channel;
use crate::swarm::wire::{self, BLOCK, HANDSHAKE, Message, Parsed, Request, WireError};

/// Bytes asked of the session and not there yet. The session queues requests without bound and knows no CANCEL.
const DEPTH: u64 = 1 << 20;

/// Bytes of checked pieces that are kept for the next host that asks, besides those being sent.
const CACHE: usize = 32 << 20;

/// Connections to the session that may fail one after the other, without a piece in between.
const TRIES: u32 = 5;

/// Wait before a connection is tried again, times the tries so far.
const AGAIN: Duration = Duration::from_millis(100);

/// A word to the session when nothing else was said.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// The gate's end of the connection to the session says it is a host that no run has.
const LEECHER: HostId = HostId(u32::MAX - 1);

/// A piece that is checked, or will be; an error if the source failed before.
pub(super) type Coming = Shared<oneshot::Receiver<Bytes>>;

/// Checked pieces. One leecher takes them from the librqbit session, each once for all hosts that want it now: so the
/// session has one peer instead of hundreds, its unbounded queues hold what one depth allows, and a piece is hashed as a
/// whole before its first byte goes to anyone.
pub(super) struct Source {
    metainfo: Arc<Metainfo>,
    artifact: PathBuf,
    state: Mutex<State>,
    wanted: Notify,
}

#[derive(Default)]
struct State {
    slots: HashMap<u32, Slot>,
    /// Asked for and not requested of the session; at most two pieces a feed.
    queue: VecDeque<u32>,
    /// Checked pieces, the oldest first.
    ready: VecDeque<(u32, usize)>,
    bytes: usize,
    failed: bool,
}

struct Slot {
    coming: Coming,
    deliver: Option<oneshot::Sender<Bytes>>,
}

impl Source {
    pub(super) fn new(metainfo: Arc<Metainfo>, artifact: PathBuf) -> Self {
        Self { metainfo, artifact, state: Mutex::default(), wanted: Notify::new() }
    }

    /// A piece, from the cache or through the session.
    pub(super) fn piece(&self, piece: u32) -> Coming {
        let mut state = self.state();
        if let Some(slot) = state.slots.get(&piece) {
            return slot.coming.clone();
        }
        let (deliver, coming) = oneshot::channel();
        let coming = coming.shared();
        if !state.failed {
            state.slots.insert(piece, Slot { coming: coming.clone(), deliver: Some(deliver) });
            state.queue.push_back(piece);
            self.wanted.notify_one();
        }
        coming
    }

    /// Has a piece fetched that will be wanted soon, if there is room for it.
    pub(super) fn expect(&self, piece: u32) {
        if self.state().bytes < CACHE {
            drop(self.piece(piece));
        }
    }

    /// Fetches what is wanted, until it cannot any more. The reason is returned, and whoever waits gets an error; pieces that
    /// were checked are there still.
    pub(super) async fn run(&self, session: &Session) -> SeederError {
        let error = self.fetch_all(session).await;
        let mut state = self.state();
        state.failed = true;
        // What was checked before is right, and whoever has a part of it is to have the rest.
        state.slots.retain(|_, slot| slot.deliver.is_none());
        error
    }

    async fn fetch_all(&self, session: &Session) -> SeederError {
        let address = match session.live().await {
            Ok(address) => address,
            Err(error) => return error,
        };
        let mut failures = 0;
        loop {
            let mut line = Line { source: self, fetching: VecDeque::new(), outstanding: 0, delivered: 0 };
            let stream = TcpStream::connect(address).await;
            let outcome = match stream {
                Ok(stream) => line.serve(stream).await,
                Err(error) => Err(Broken::Line(error)),
            };
            let text = match outcome {
                Ok(never) => match never {},
                Err(Broken::Changed(piece)) => return self.changed(piece),
                Err(Broken::Line(error)) => error.to_string(),
            };
            if let Err(error) = check_length(&self.artifact, &self.metainfo) {
                return error;
            }
            failures = if line.delivered > 0 { 1 } else { failures + 1 };
            if failures >= TRIES {
                return SeederError::Session(text);
            }
            tracing::warn!(error = text, "the connection to the session broke");
            let again: Vec<u32> = line.fetching.iter().map(|fetch| fetch.piece).rev().collect();
            again.into_iter().for_each(|piece| self.state().queue.push_front(piece));
            tokio::time::sleep(AGAIN * failures).await;
        }
    }

    fn changed(&self, piece: u32) -> SeederError {
        let what = format!("piece {piece} does not match its hash");
        SeederError::Changed { path: self.artifact.clone(), what }
    }

    fn next_wanted(&self) -> Option<u32> {
        self.state().queue.pop_front()
    }

    fn deliver(&self, piece: u32, content: Bytes) {
        let mut state = self.state();
        let length = content.len();
        let Some(deliver) = state.slots.get_mut(&piece).and_then(|slot| slot.deliver.take()) else { return };
        let _ = deliver.send(content);
        state.ready.push_back((piece, length));
        state.bytes += length;
        while state.bytes > CACHE
            && let Some((oldest, length)) = state.ready.pop_front()
        {
            state.slots.remove(&oldest);
            state.bytes -= length;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Broken {
    /// The bytes of this piece are not those that were hashed.
    Changed(u32),
    Line(std::io::Error),
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Self::Line(error)
    }
}

impl From<WireError> for Broken {
    fn from(error: WireError) -> Self {
        Self::Line(error.into())
    }
}

/// One connection to the session.
struct Line<'a> {
    source: &'a Source,
    /// Pieces on their way, in the order in which they were asked for, which is that of the answers.
    fetching: VecDeque<Fetch>,
    outstanding: u64,
    delivered: u64,
}

struct Fetch {
    piece: u32,
    size: u32,
    /// Bytes asked for.
    asked: u32,
    content: Vec<u8>,
    hash: digest::Context,
}

impl Line<'_> {
    async fn serve(&mut self, mut stream: TcpStream) -> Result<std::convert::Infallible, Broken> {
        stream.set_nodelay(true)?;
        let info_hash = self.source.metainfo.info_hash;
        stream.write_all(&wire::handshake(info_hash, LEECHER)).await?;
        let mut theirs = [0; HANDSHAKE];
        stream.read_exact(&mut theirs).await?;
        wire::read_handshake(&theirs, info_hash)?;
        let mut channel = Channel::plain(stream);
        wire::push(&mut channel, &Message::Interested)?;
        loop {
            self.ask(&mut channel)?;
            // The session writes small pieces of a stream without TCP_NODELAY, so that its last one waits for our acknowledgement,
            // and ours waits for more data.
            quick_ack(channel.get_ref());
            tokio::select! {
                received = std::future::poll_fn(|cx| {
                    // What cannot be sent yet does not keep from reading.
                    if let std::task::Poll::Ready(Err(error)) = channel.poll_send(cx) {
                        return std::task::Poll::Ready(Err(error));
                    }
                    channel.poll_receive(cx)
                }) => {
                    if received? == 0 {
                        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                    }
                    self.take(&mut channel)?;
                }
                () = self.source.wanted.notified() => {}
                () = tokio::time::sleep(KEEP_ALIVE) => wire::push(&mut channel, &Message::KeepAlive)?,
            }
        }
    }

    fn ask(&mut self, channel: &mut Channel<TcpStream>) -> Result<(), WireError> {
        while self.outstanding < DEPTH {
            if self.fetching.back().is_none_or(|fetch| fetch.asked == fetch.size) {
                let Some(piece) = self.source.next_wanted() else { break };
                let size = self.source.metainfo.piece_size(piece);
                let content = Vec::with_capacity(size as usize);
                let hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
                self.fetching.push_back(Fetch { piece, size, asked: 0, content, hash });
            }
            let Some(fetch) = self.fetching.back_mut() else { break };
            let length = BLOCK.min(fetch.size - fetch.asked);
            wire::push(channel, &Message::Request(Request::new(fetch.piece, fetch.asked, length)))?;
            fetch.asked += length;
            self.outstanding += u64::from(length);
        }
        Ok(())
    }

    fn take(&mut self, channel: &mut Channel<TcpStream>) -> Result<(), Broken> {
        loop {
            let length = match wire::parse(channel.received())? {
                Parsed::Incomplete => return Ok(()),
                Parsed::Unknown { length } => length,
                Parsed::Message { message: Message::Piece(block), length } => {
                    let (first, second) = block.data();
                    self.take_block(block.index, block.begin, first, second)?;
                    length
                }
                Parsed::Message { length, .. } => length,
            };
            channel.consume(length);
        }
    }

    fn take_block(&mut self, index: u32, begin: u32, first: &[u8], second: &[u8]) -> Result<(), Broken> {
        let odd =
            || std::io::Error::new(std::io::ErrorKind::InvalidData, "a block came that was not asked for");
        let fetch = self.fetching.front_mut().ok_or_else(odd)?;
        let length = first.len() + second.len();
        let end = fetch.content.len() + length;
        if fetch.piece != index || fetch.content.len() != begin as usize || end > fetch.asked as usize {
            return Err(odd().into());
        }
        for part in [first, second] {
            fetch.content.extend_from_slice(part);
            fetch.hash.update(part);
        }
        self.outstanding -= length as u64;
        if end == fetch.size as usize
            && let Some(fetch) = self.fetching.pop_front()
        {
            let expected = &self.source.metainfo.hashes[index as usize];
            if fetch.hash.finish().as_ref() != expected {
                return Err(Broken::Changed(index));
            }
            self.source.deliver(index, fetch.content.into());
            self.delivered += 1;
        }
        Ok(())
    }
}
