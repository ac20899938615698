use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::connection::{KEEPALIVE, KEEPALIVES};

/// Bulk bytes of a connection that russh holds and the socket has not taken, at most. Four packets keep the connection
/// busy; a control line behind them is late by the time that they take.
const BULK_IN_FLIGHT: usize = 128 * 1024;

/// How long a chunk waits before it looks whether room was given back unnoticed. Far longer than a flush takes.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// For a write to make any progress; as long as a silent host is waited for.
const PATIENCE: Duration = KEEPALIVE.saturating_mul(KEEPALIVES as u32 + 1);

/// Keeps bulk data out of russh until the socket has room, because control lines queue behind whatever russh holds.
///
/// russh takes messages eagerly: without this, a fast writer fills its buffer up to the channel's window of 2 MiB, and on
/// a slow link a heartbeat would wait for all of it. A permit goes with each chunk: it is freed when russh has encrypted the
/// chunk (it drops the [`Bytes`]) *and* the socket has taken what was encrypted (russh flushes after each write).
pub(super) struct Pace {
    room: Semaphore,
    /// Encrypted, not yet flushed.
    encrypted: AtomicUsize,
    /// The socket has not taken all that russh wrote.
    blocked: AtomicBool,
}

struct Paced {
    bytes: Bytes,
    pace: Arc<Pace>,
}

impl AsRef<[u8]> for Paced {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.pace.encrypted.fetch_add(self.bytes.len(), Ordering::AcqRel);
    }
}

impl Pace {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            room: Semaphore::new(BULK_IN_FLIGHT),
            encrypted: AtomicUsize::new(0),
            blocked: AtomicBool::new(false),
        })
    }

    /// Waits for room and returns the same bytes, which give the room back by themselves.
    pub(super) async fn admit(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        let size = bytes.len().min(BULK_IN_FLIGHT);
        loop {
            // The semaphore is never closed; a chunk is far smaller than u32.
            match tokio::time::timeout(LOOK_AGAIN, self.room.acquire_many(size as u32)).await {
                Ok(Ok(permit)) => break permit.forget(),
                Ok(Err(_)) => break,
                // Whoever drops a chunk last may do it after russh has flushed it; then no flush gives the room back.
                Err(_) if !self.blocked.load(Ordering::Acquire) => self.flushed(),
                Err(_) => {}
            }
        }
        Bytes::from_owner(Paced { bytes, pace: Arc::clone(self) })
    }

    fn flushed(&self) {
        let freed = self.encrypted.swap(0, Ordering::AcqRel);
        if freed > 0 {
            self.room.add_permits(freed);
        }
    }
}

/// A connection's byte stream that tells its [`Pace`] what has gone out.
///
/// It can be cut: a session of russh goes on as long as its peer wants while a key exchange is not done, or while anybody
/// holds a channel. And it gives up when the other end takes nothing for as long as keepalives would wait: russh sends no
/// keepalive while it waits for a write, so that a host which froze under bulk data would never be noticed.
pub(super) struct PacedStream<S> {
    stream: S,
    pace: Arc<Pace>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Runs while a write waits.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> PacedStream<S> {
    pub(super) fn new(stream: S, pace: Arc<Pace>, cut: CancellationToken) -> Self {
        Self { stream, pace, cut: Box::pin(cut.cancelled_owned()), stuck: None }
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(cx) {
            Poll::Ready(()) => {
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, "we closed the connection"))
            }
            Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PacedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // russh reads only after it has written out all that it encrypted. This frees chunks of closed channels, which
        // are dropped without a write.
        self.pace.flushed();
        self.poll_cut(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PacedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_cut(cx)?;
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.pace.blocked.store(written.is_pending(), Ordering::Release);
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
        ready!(stuck.as_mut().poll(cx));
        let words = format!("the host takes no data for {} s", PATIENCE.as_secs());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, words)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        self.pace.blocked.store(false, Ordering::Release);
        self.pace.flushed();
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn bulk_waits_until_the_socket_has_taken_what_was_handed_over() {
        let pace = Pace::new();
        let chunk = Bytes::from(vec![7; 64 * 1024]);
        let first = pace.admit(chunk.clone()).await;
        let second = pace.admit(chunk.clone()).await;
        let third = tokio::spawn({
            let pace = Arc::clone(&pace);
            async move { pace.admit(chunk).await }
        });
        tokio::task::yield_now().await;
        assert!(!third.is_finished());
        assert_eq!(first, second);
        drop((first, second));
        tokio::task::yield_now().await;
        assert!(!third.is_finished(), "encrypted is not sent");
        let (near, _far) = tokio::io::duplex(16);
        PacedStream::new(near, pace, CancellationToken::new()).flush().await.unwrap();
        assert_eq!(third.await.unwrap().len(), 64 * 1024);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
        use tokio::io::AsyncReadExt as _;
        let (near, mut far) = tokio::io::duplex(1000);
        let mut stream = PacedStream::new(near, Pace::new(), CancellationToken::new());
        let slow = tokio::spawn(async move {
            for _ in 0..20 {
                tokio::time::sleep(PATIENCE / 2).await;
                far.read_exact(&mut [0; 1000]).await.unwrap();
            }
            far
        });
        stream.write_all(&[0; 20_000]).await.unwrap();
        let _far = slow.await.unwrap();
        let error = stream.write_all(&[0; 20_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn room_that_is_given_back_after_the_flush_is_found_all_the_same() {
        let pace = Pace::new();
        let all = pace.admit(Bytes::from(vec![7; BULK_IN_FLIGHT])).await;
        let (near, _far) = tokio::io::duplex(16);
        let mut stream = PacedStream::new(near, Arc::clone(&pace), CancellationToken::new());
        stream.flush().await.unwrap();
        drop(all);
        assert_eq!(pace.admit(Bytes::from_static(b"next")).await, "next");
    }

    #[tokio::test]
    async fn a_socket_that_takes_nothing_gives_no_room() {
        let pace = Pace::new();
        let (near, _far) = tokio::io::duplex(1);
        let mut stream = PacedStream::new(near, Arc::clone(&pace), CancellationToken::new());
        let stuck =
            tokio::time::timeout(Duration::from_millis(10), stream.write_all(b"more than fits")).await;
        assert!(stuck.is_err());
        drop(pace.admit(Bytes::from(vec![7; BULK_IN_FLIGHT])).await);
        let next = tokio::time::timeout(5 * LOOK_AGAIN, pace.admit(Bytes::from_static(b"next"))).await;
        assert!(next.is_err());
    }
}
