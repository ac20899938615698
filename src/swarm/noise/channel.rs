use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::cipher::{HEADER, MAX_PLAIN, TAG};
use super::{NoiseError, Opener, Sealer};

/// Room for what came in: a whole frame, and a message that is not whole yet.
const INBOX: usize = HEADER + MAX_PLAIN + TAG + (32 << 10);

/// Room below which what is left is moved to the front: two blocks, so that a read brings more than one.
const WORTH_READING: usize = 32 << 10;

/// A stream of bytes between two ends of the swarm, encrypted by frames (or plain, for clients that know no Noise).
/// Besides being a stream it hands out what it received where it lies.
///
/// A write takes all that fits a frame at once; `flush` is needed before waiting for an answer.
pub struct Channel<S> {
    stream: S,
    inbox: Inbox,
    outbox: Outbox,
}

impl<S> Channel<S> {
    /// A channel without encryption.
    pub fn plain(stream: S) -> Self {
        Self { stream, inbox: Inbox::new(None), outbox: Outbox::new(None) }
    }

    pub(super) fn sealed(stream: S, sealer: Sealer, opener: Opener) -> Self {
        Self { stream, inbox: Inbox::new(Some(opener)), outbox: Outbox::new(Some(sealer)) }
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Received and not consumed yet.
    pub fn received(&self) -> &[u8] {
        &self.inbox.buffer[self.inbox.plain_start..self.inbox.plain_end]
    }

    /// Drops the first `length` bytes of what was received.
    pub fn consume(&mut self, length: usize) {
        self.inbox.plain_start = (self.inbox.plain_start + length).min(self.inbox.plain_end);
    }

    /// Puts bytes behind what is to be sent. They leave with a flush.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), NoiseError> {
        self.outbox.push(bytes)
    }

    /// Bytes that wait to be sent, frames included.
    pub fn unsent(&self) -> usize {
        self.outbox.buffer.len() - self.outbox.sent
    }

    /// Ends the frame that is being filled, if any, so that it can leave.
    pub fn seal(&mut self) -> Result<(), NoiseError> {
        self.outbox.seal()
    }

    pub(super) fn seal_empty(&mut self) -> Result<(), NoiseError> {
        self.outbox.open_frame();
        self.outbox.seal()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Channel<S> {
    /// Reads once from the stream and decrypts what is whole. `0` bytes of the stream mean its end.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.poll_receive_some(cx, usize::MAX)
    }

    /// The same, but takes at most so many bytes from the stream.
    pub fn poll_receive_some(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        self.inbox.poll_fill(cx, &mut self.stream, most)
    }

    /// Writes what is sealed; ready when nothing is left.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_drain(cx, &mut self.stream)
    }

    /// Waits for one whole frame, whatever it holds.
    pub(super) async fn await_frame(&mut self) -> Result<(), NoiseError> {
        while self.inbox.frames == 0 {
            if std::future::poll_fn(|cx| self.poll_receive(cx)).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        Ok(())
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        tokio::io::AsyncWriteExt::flush(self).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Channel<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.received().is_empty() {
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        let length = self.received().len().min(out.remaining());
        out.put_slice(&self.received()[..length]);
        self.consume(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Channel<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let mut taken = 0;
        for slice in slices {
            let part = &slice[..slice.len().min(MAX_PLAIN - taken)];
            self.push(part)?;
            taken += part.len();
        }
        self.seal()?;
        // What the stream does not take now leaves with the next write or flush.
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.seal()?;
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// One buffer for what comes in: plaintext that is ready, then (behind a gap that opened frames left) what is not whole.
struct Inbox {
    buffer: Box<[u8]>,
    plain_start: usize,
    plain_end: usize,
    raw_start: usize,
    raw_end: usize,
    opener: Option<Opener>,
    frames: u64,
}

impl Inbox {
    fn new(opener: Option<Opener>) -> Self {
        let buffer = vec![0; INBOX].into_boxed_slice();
        Self { buffer, plain_start: 0, plain_end: 0, raw_start: 0, raw_end: 0, opener, frames: 0 }
    }

    fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        self.make_room();
        let end = self.buffer.len().min(self.raw_end.saturating_add(most));
        let mut free = ReadBuf::new(&mut self.buffer[self.raw_end..end]);
        if free.remaining() == 0 {
            let text = "a message is longer than it may be";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
        }
        ready!(Pin::new(stream).poll_read(cx, &mut free))?;
        let length = free.filled().len();
        self.raw_end += length;
        self.open_frames()?;
        Poll::Ready(Ok(length))
    }

    /// Moves what is left to the front, when that is free of cost or the end of the buffer is near.
    fn make_room(&mut self) {
        let plain = self.plain_end - self.plain_start;
        let raw = self.raw_end - self.raw_start;
        let left = self.buffer.len() - self.raw_end;
        if plain + raw > 0 && left >= WORTH_READING {
            return;
        }
        self.buffer.copy_within(self.plain_start..self.plain_end, 0);
        self.buffer.copy_within(self.raw_start..self.raw_end, plain);
        (self.plain_start, self.plain_end) = (0, plain);
        (self.raw_start, self.raw_end) = (plain, plain + raw);
    }

    fn open_frames(&mut self) -> Result<(), NoiseError> {
        let Some(opener) = &mut self.opener else {
            self.raw_start = self.raw_end;
            self.plain_end = self.raw_end;
            return Ok(());
        };
        loop {
            let raw = &self.buffer[self.raw_start..self.raw_end];
            let Some((header, rest)) = raw.split_first_chunk::<HEADER>() else { return Ok(()) };
            let length = usize::from(u16::from_be_bytes(*header));
            if length < TAG {
                return Err(NoiseError::Altered);
            }
            if rest.len() < length {
                return Ok(());
            }
            if self.plain_start == self.plain_end {
                // Nothing to stay contiguous with: decrypt it where it lies.
                (self.plain_start, self.plain_end) = (self.raw_start + HEADER, self.raw_start + HEADER);
            }
            let body = self.raw_start + HEADER;
            let end = body + length;
            let from = body - self.plain_end;
            self.plain_end += opener.open(&mut self.buffer[self.plain_end..end], from)?;
            self.raw_start = end;
            self.frames += 1;
        }
    }
}

/// What goes out: sealed frames, and at their end one that is being filled.
struct Outbox {
    buffer: Vec<u8>,
    sent: usize,
    /// Where the frame that is being filled starts.
    open: Option<usize>,
    sealer: Option<Sealer>,
}

impl Outbox {
    fn new(sealer: Option<Sealer>) -> Self {
        Self { buffer: Vec::new(), sent: 0, open: None, sealer }
    }

    fn open_frame(&mut self) -> usize {
        *self.open.get_or_insert_with(|| {
            let at = self.buffer.len();
            self.buffer.extend_from_slice(&[0; HEADER]);
            at
        })
    }

    fn push(&mut self, mut bytes: &[u8]) -> Result<(), NoiseError> {
        if self.sealer.is_none() {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        while !bytes.is_empty() {
            let at = self.open_frame();
            let room = MAX_PLAIN + HEADER + at - self.buffer.len();
            let (part, rest) = bytes.split_at(bytes.len().min(room));
            self.buffer.extend_from_slice(part);
            bytes = rest;
            if part.len() == room {
                self.seal()?;
            }
        }
        Ok(())
    }

    fn seal(&mut self) -> Result<(), NoiseError> {
        match (self.open.take(), &mut self.sealer) {
            (Some(at), Some(sealer)) => sealer.seal(&mut self.buffer, at),
            _ => Ok(()),
        }
    }

    fn poll_drain<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        let end = self.open.unwrap_or(self.buffer.len());
        while self.sent < end {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, &self.buffer[self.sent..end]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
        }
        if self.open.is_none() {
            self.buffer.clear();
            self.sent = 0;
        }
        Poll::Ready(Ok(()))
    }
}
