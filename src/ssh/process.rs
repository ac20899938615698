use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

use super::channel::ChannelWriter;
use super::pipes::Pipes;

/// How a command on a host ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Code(u32),
    /// By this signal, named without `SIG`.
    Signal(String),
    /// The channel or the connection closed, and nobody said how the command ended.
    Unknown,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "killed by SIG{signal}"),
            Self::Unknown => f.write_str("no exit status"),
        }
    }
}

/// A command that runs on a host. It sees the end of its stdin when that is shut down or dropped. When the rest is dropped too,
/// its channel is closed, and nobody hears of it any more.
pub struct Process {
    /// Its standard input; shut it down to let the command see the end.
    pub stdin: Stdin,
    /// Its standard output.
    pub stdout: Reader,
    /// Its standard error; of what nobody reads the last 16 KiB are kept.
    pub stderr: Reader,
    pub(super) exit: watch::Receiver<Option<Exit>>,
}

/// A command's standard output or error.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// A command's standard input.
pub struct Stdin(pub(super) StdinKind);

pub(super) enum StdinKind {
    Channel(ChannelWriter),
    /// `None` after the end.
    Child(Option<tokio::process::ChildStdin>),
}

impl Stdin {
    /// Writes bytes without copying them, where the transport can.
    pub(super) async fn write_bytes(&mut self, bytes: Bytes) -> io::Result<()> {
        match &mut self.0 {
            StdinKind::Channel(writer) => writer.write_bytes(bytes).await,
            StdinKind::Child(Some(stdin)) => stdin.write_all(&bytes).await,
            StdinKind::Child(None) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl AsyncWrite for Stdin {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            StdinKind::Channel(writer) => Pin::new(writer).poll_write(cx, buf),
            StdinKind::Child(Some(stdin)) => Pin::new(stdin).poll_write(cx, buf),
            StdinKind::Child(None) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            StdinKind::Channel(writer) => Pin::new(writer).poll_flush(cx),
            StdinKind::Child(Some(stdin)) => Pin::new(stdin).poll_flush(cx),
            StdinKind::Child(None) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            StdinKind::Channel(writer) => Pin::new(writer).poll_shutdown(cx),
            StdinKind::Child(stdin) => {
                // A pipe ends when it is closed, and not before.
                *stdin = None;
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl Process {
    /// Waits for the end of the command.
    pub async fn wait(&mut self) -> Exit {
        wait(&mut self.exit).await
    }
}

/// Waits until it is known how a command ended.
pub(super) async fn wait(exit: &mut watch::Receiver<Option<Exit>>) -> Exit {
    match exit.wait_for(Option::is_some).await {
        Ok(exit) => exit.clone().unwrap_or(Exit::Unknown),
        Err(_) => Exit::Unknown,
    }
}

/// A byte stream to a port of a host's loopback.
pub type Loopback = Pipes<Reader, Stdin, watch::Receiver<Option<Exit>>>;

impl From<Process> for Loopback {
    fn from(process: Process) -> Self {
        Self::new(process.stdout, process.stdin, process.exit)
    }
}
