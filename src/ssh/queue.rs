use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, ReadBuf};

/// What happens when the reader is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The stream ends with an error: nothing of it may be lost.
    Fail,
    /// The oldest bytes go: only the end matters.
    DropOldest,
}

/// Bytes between a channel's reader task, which must never wait, and whoever reads the stream.
#[derive(Clone)]
pub(super) struct ByteQueue {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    bound: usize,
    full: Full,
    end: Option<End>,
    reader: Option<Waker>,
    reader_gone: bool,
}

#[derive(Debug, Clone)]
enum End {
    Eof,
    Error(&'static str),
}

/// The reading end.
pub(super) struct QueueReader {
    queue: ByteQueue,
}

impl ByteQueue {
    /// A queue that holds at most so many bytes, and its reading end.
    pub(super) fn new(bound: usize, full: Full) -> (Self, QueueReader) {
        let shared = Shared {
            chunks: VecDeque::new(),
            bytes: 0,
            bound,
            full,
            end: None,
            reader: None,
            reader_gone: false,
        };
        let queue = Self { shared: Arc::new(Mutex::new(shared)) };
        (queue.clone(), QueueReader { queue })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds bytes. `false` if the stream has failed and its channel is of no use any more.
    pub(super) fn push(&self, bytes: Bytes) -> bool {
        let mut shared = self.lock();
        if shared.reader_gone || shared.end.is_some() {
            return !matches!(shared.end, Some(End::Error(_)));
        }
        shared.bytes += bytes.len();
        shared.chunks.push_back(bytes);
        if shared.bytes > shared.bound {
            match shared.full {
                Full::Fail => {
                    shared.chunks.clear();
                    shared.bytes = 0;
                    shared.end = Some(End::Error("the reader is too far behind"));
                }
                Full::DropOldest => {
                    while shared.bytes > shared.bound {
                        let Some(oldest) = shared.chunks.pop_front() else { break };
                        shared.bytes -= oldest.len();
                        let keep = shared.bound.saturating_sub(shared.bytes).min(oldest.len());
                        if keep > 0 && shared.chunks.is_empty() {
                            shared.chunks.push_front(oldest.slice(oldest.len() - keep..));
                            shared.bytes += keep;
                        }
                    }
                }
            }
        }
        let failed = matches!(shared.end, Some(End::Error(_)));
        wake(shared);
        !failed
    }

    /// No more comes; what is there can still be read.
    pub(super) fn end(&self) {
        self.close(End::Eof);
    }

    /// No more comes, and that is a fault.
    pub(super) fn fail(&self, why: &'static str) {
        self.close(End::Error(why));
    }

    fn close(&self, end: End) {
        let mut shared = self.lock();
        shared.end.get_or_insert(end);
        wake(shared);
    }
}

/// Wakes the reader outside the lock.
fn wake(mut shared: MutexGuard<'_, Shared>) {
    let waker = shared.reader.take();
    drop(shared);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl AsyncRead for QueueReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.queue.lock();
        let mut taken = false;
        while buf.remaining() > 0 {
            let Some(chunk) = shared.chunks.front_mut() else { break };
            let n = chunk.len().min(buf.remaining());
            buf.put_slice(&chunk[..n]);
            chunk.advance(n);
            if chunk.is_empty() {
                shared.chunks.pop_front();
            }
            shared.bytes -= n;
            taken = true;
        }
        if taken || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        match &shared.end {
            Some(End::Eof) => Poll::Ready(Ok(())),
            Some(End::Error(why)) => Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, *why))),
            None => {
                shared.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for QueueReader {
    fn drop(&mut self) {
        let mut shared = self.queue.lock();
        shared.reader_gone = true;
        shared.chunks.clear();
        shared.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn all_bytes_arrive_in_order_and_then_the_end() {
        let (queue, mut reader) = ByteQueue::new(100, Full::Fail);
        let task = tokio::spawn(async move {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).await.unwrap();
            all
        });
        for part in ["one ", "two ", "three"] {
            assert!(queue.push(Bytes::from_static(part.as_bytes())));
            tokio::task::yield_now().await;
        }
        queue.end();
        assert_eq!(task.await.unwrap(), b"one two three");
    }

    #[tokio::test]
    async fn a_reader_that_is_too_far_behind_gets_an_error_and_not_a_gap() {
        let (queue, mut reader) = ByteQueue::new(10, Full::Fail);
        assert!(queue.push(Bytes::from_static(b"12345")));
        assert!(!queue.push(Bytes::from_static(b"678901")));
        queue.end();
        let error = reader.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn of_standard_error_the_end_is_kept() {
        let (queue, mut reader) = ByteQueue::new(10, Full::DropOldest);
        for part in ["0123456789abcdef", "gh", "ij"] {
            assert!(queue.push(Bytes::from_static(part.as_bytes())));
        }
        queue.end();
        let mut all = String::new();
        reader.read_to_string(&mut all).await.unwrap();
        assert!(all.ends_with("ghij") && all.len() <= 10, "{all}");
    }

    #[tokio::test]
    async fn a_reader_that_left_holds_no_memory() {
        let (queue, reader) = ByteQueue::new(10, Full::Fail);
        drop(reader);
        assert!(queue.push(Bytes::from(vec![0; 1000])));
        assert_eq!(queue.lock().bytes, 0);
    }
}
