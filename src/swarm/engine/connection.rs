use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

use super::core::Core;
use super::links::{Key, Outgoing, Who, request};
use crate::swarm::limiter::{Direction, Turn};
use crate::swarm::noise::{Channel, HANDSHAKE_TIMEOUT};
use crate::swarm::wire::{self, Message, Parsed};

/// Bytes that are handed to the stream at once: enough to make a system call worth it, so little that what is decided
/// now is sent now.
const BATCH: usize = 32 << 10;

/// The unsent part of a socket's buffer is kept this small, so that control messages do not queue behind data.
pub(super) const NOT_SENT_LOWAT: u32 = 32 << 10;

/// Bytes that a frame of the channel takes besides what is in it, with room for a PIECE header.
const FRAME_OVERHEAD: usize = 18 + wire::PIECE_HEADER;

/// Exchanges handshakes and bit fields, then pieces, until the stream ends or the connection is not wanted any more.
/// `who.host` is known from the channel; without encryption it is what the peer says.
pub(super) async fn serve<S>(core: Arc<Core>, mut channel: Channel<S>, mut who: Who) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let greeting = greet(&core, &mut channel);
    let peer_id = tokio::time::timeout(HANDSHAKE_TIMEOUT, greeting)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    who.host = who.host.or_else(|| wire::host_of(&peer_id));
    let Some(key) = core.join(who) else { return Ok(()) };
    let left = Leaving { core: core.clone(), key };
    introduce(&core, &mut channel)?;
    let mut connection = Connection::new(core, key, channel);
    // What came together with the handshake.
    connection.take_messages()?;
    let outcome = poll_fn(|cx| connection.poll(cx)).await;
    drop(left);
    outcome
}

/// Takes the connection off the list however its task ends.
struct Leaving {
    core: Arc<Core>,
    key: Key,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.core.leave(self.key);
    }
}

async fn greet<S>(core: &Core, channel: &mut Channel<S>) -> io::Result<[u8; 20]>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    channel.push(&wire::handshake(core.info_hash, core.me))?;
    channel.seal()?;
    poll_fn(|cx| channel.poll_send(cx)).await?;
    loop {
        if let Some(peer_id) = wire::read_handshake(channel.received(), core.info_hash)? {
            channel.consume(wire::HANDSHAKE);
            return Ok(peer_id);
        }
        if poll_fn(|cx| channel.poll_receive(cx)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The bit field must be the first message, if there is one.
fn introduce<S>(core: &Core, channel: &mut Channel<S>) -> io::Result<()> {
    let state = core.lock();
    let have = state.picker.have();
    if !have.is_empty() {
        let bytes = have.to_bytes();
        wire::push(channel, &Message::Bitfield(bytes.as_slice().into()))?;
        channel.seal()?;
    }
    Ok(())
}

/// What a direction waits for: its turn, and the timer until then.
struct Gate {
    direction: Direction,
    turn: Option<Turn>,
    sleep: Pin<Box<Sleep>>,
}

impl Gate {
    fn new(direction: Direction) -> Self {
        Self { direction, turn: None, sleep: Box::pin(tokio::time::sleep(Duration::ZERO)) }
    }

    /// Ready when it is its turn, or it has none.
    fn poll(&mut self, core: &Core, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(time) = self.turn.and_then(|turn| core.limiter.wait(self.direction, turn)) {
            self.sleep.as_mut().reset(Instant::now() + time);
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}

struct Connection<S> {
    core: Arc<Core>,
    key: Key,
    channel: Channel<S>,
    down: Gate,
    up: Gate,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(core: Arc<Core>, key: Key, channel: Channel<S>) -> Self {
        Self { core, key, channel, down: Gate::new(Direction::Down), up: Gate::new(Direction::Up) }
    }

    /// Moves all that can be moved now. Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.core.lock().links.get_mut(&self.key) {
            Some(link) => link.listen(cx.waker()),
            None => return Poll::Ready(Ok(())),
        }
        loop {
            let read = self.poll_read(cx)?;
            let written = self.poll_write(cx)?;
            match (read, written) {
                (Step::Over, _) | (_, Step::Over) => return Poll::Ready(Ok(())),
                (Step::Waits, Step::Waits) => return Poll::Pending,
                _ => {}
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> io::Result<Step> {
        let limited = self.down.poll(&self.core, cx).is_pending();
        if limited {
            self.mark_limited(true);
            return Ok(Step::Waits);
        }
        let most = self.core.limiter.quantum(Direction::Down);
        match self.channel.poll_receive_some(cx, most)? {
            Poll::Pending => Ok(Step::Waits),
            Poll::Ready(0) => Ok(Step::Over),
            Poll::Ready(bytes) => {
                self.down.turn = Some(self.core.limiter.passed(Direction::Down, bytes));
                self.take_messages()
            }
        }
    }

    fn mark_limited(&self, limited: bool) {
        if let Some(link) = self.core.lock().links.get_mut(&self.key) {
            link.limited_down = limited;
        }
    }

    fn take_messages(&mut self) -> io::Result<Step> {
        let mut state = self.core.lock();
        let now = state.now();
        match state.links.get_mut(&self.key) {
            Some(link) => {
                link.heard = now;
                link.limited_down = false;
            }
            None => return Ok(Step::Over),
        }
        loop {
            let length = match wire::parse(self.channel.received())? {
                Parsed::Incomplete => break,
                Parsed::Unknown { length } => length,
                Parsed::Message { message, length } => {
                    state.message(self.key, &message, now)?;
                    length
                }
            };
            self.channel.consume(length);
        }
        state.fill(self.key, now);
        Ok(Step::Moved)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<Step> {
        if self.channel.unsent() == 0 && !self.collect(cx)? {
            return Ok(if self.is_over() { Step::Over } else { Step::Waits });
        }
        match self.channel.poll_send(cx)? {
            Poll::Pending => Ok(Step::Waits),
            Poll::Ready(()) => Ok(Step::Moved),
        }
    }

    fn is_over(&self) -> bool {
        !self.core.lock().links.contains_key(&self.key)
    }

    /// Puts together what goes out next: all control messages, then blocks as far as the limit lets them pass.
    /// Whether there is anything.
    fn collect(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let core = self.core.clone();
        let mut state = core.lock();
        let now = state.now();
        let Some(link) = state.links.get_mut(&self.key) else { return Ok(false) };
        for piece in link.take_haves(now) {
            wire::push(&mut self.channel, &Message::Have(piece))?;
        }
        let messages = std::mem::take(&mut link.outgoing);
        for message in &messages {
            let message = match *message {
                Outgoing::Unchoke => Message::Unchoke,
                Outgoing::Interested => Message::Interested,
                Outgoing::KeepAlive => Message::KeepAlive,
                Outgoing::Request(ask) => Message::Request(request(ask, &core.pieces)),
                Outgoing::Cancel(ask) => Message::Cancel(request(ask, &core.pieces)),
            };
            wire::push(&mut self.channel, &message)?;
        }
        if self.channel.unsent() > 0 {
            core.limiter.take(Direction::Up, self.channel.unsent());
        }
        while self.channel.unsent() < BATCH {
            let Some(upload) = state.links.get(&self.key).and_then(|link| link.uploads.front()).copied()
            else {
                break;
            };
            let Some(block) = state.block_to_send(self.key, upload) else { break };
            let bytes = block.len() + FRAME_OVERHEAD;
            self.up.turn.get_or_insert_with(|| core.limiter.take(Direction::Up, bytes));
            if self.up.poll(&core, cx).is_pending() {
                break;
            }
            self.up.turn = None;
            self.channel.push(&wire::piece_header(upload.slab.piece, upload.begin, upload.length))?;
            self.channel.push(&block)?;
            self.channel.seal()?;
            let Some(link) = state.links.get_mut(&self.key) else { break };
            link.uploads.pop_front();
            let host = link.who.host;
            state.counters.sent(host, u64::from(upload.length));
        }
        if let Some(link) = state.links.get_mut(&self.key)
            && self.channel.unsent() > 0
        {
            link.spoke = now;
        }
        drop(state);
        self.channel.seal()?;
        Ok(self.channel.unsent() > 0)
    }
}

/// What a turn of a direction came to.
enum Step {
    /// Something was moved: try again.
    Moved,
    /// Nothing can be moved now; the task is woken when it can.
    Waits,
    /// The connection is over.
    Over,
}
