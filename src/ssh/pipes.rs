use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, Join, ReadBuf, join};

/// A byte stream over what goes out of a process and what comes into it.
pub struct Pipes<R, W, K> {
    stream: Join<R, W>,
    /// The process ends when nobody holds this.
    _keep: K,
}

impl<R: AsyncRead, W: AsyncWrite, K> Pipes<R, W, K> {
    pub(super) fn new(stdout: R, stdin: W, keep: K) -> Self {
        Self { stream: join(stdout, stdin), _keep: keep }
    }
}

impl<R: AsyncRead + Unpin, W: Unpin, K: Unpin> AsyncRead for Pipes<R, W, K> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<R: Unpin, W: AsyncWrite + Unpin, K: Unpin> AsyncWrite for Pipes<R, W, K> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
