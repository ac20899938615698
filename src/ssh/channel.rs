use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard, PollSender};

use super::pace::Pace;
use super::process::{Exit, Process, Stdin, StdinKind};
use super::queue::{ByteQueue, Full, QueueReader};

/// Bytes of a stream that its reader may be behind: four of russh's windows. What a well-behaved peer has under way fits in.
const READ_BEHIND: usize = 8 * 1024 * 1024;

/// The end of standard error that is kept when nobody reads it.
const STDERR_KEPT: usize = 16 * 1024;

/// Chunks between a writer and its task: one on its way and one ready.
const WRITES_AHEAD: usize = 2;

/// Bytes of one chunk; OpenSSH's largest packet.
const CHUNK: usize = 32 * 1024;

/// For the exit status to come after the end of the output.
const STATUS_LATE: Duration = Duration::from_secs(60);

/// How a channel's data queues beside that of other channels.
#[derive(Clone)]
pub(super) enum Lane {
    /// Little, and prompt.
    Control,
    /// Much: waits until the connection has room, so that control lines of the same connection do not wait behind it.
    Bulk(Arc<Pace>),
}

/// Runs a russh channel with two tasks of its own, and gives it out as streams.
///
/// A channel whose messages are not taken stalls its whole connection: the session's loop waits for room in the channel's
/// queue, and reads, keepalives and all other channels wait with it. russh also widens the window when data arrive, not
/// when they are read, so its window holds back nobody. Hence the reader task does nothing but take messages and put them
/// into byte queues that never make it wait; a reader that falls [`READ_BEHIND`] loses its stream, and nobody else does.
///
/// A writer that waits for the channel's window is never woken when the channel or the connection ends. Hence writes are
/// made by a task that watches for the end beside each write, which the reader task announces.
pub(super) fn run(runtime: &tokio::runtime::Handle, channel: Channel<Msg>, lane: Lane) -> Process {
    let (read, write) = channel.split();
    let (stdout, stdout_reader) = ByteQueue::new(READ_BEHIND, Full::Fail);
    let (stderr, stderr_reader) = ByteQueue::new(STDERR_KEPT, Full::DropOldest);
    let (exit_sender, exit) = watch::channel(None);
    let (chunks, chunks_receiver) = mpsc::channel(WRITES_AHEAD);
    let marks = Marks::default();
    let unread = marks.unread.clone();
    runtime.spawn(read_all(read, stdout, stderr, exit_sender, marks.clone()));
    runtime.spawn(write_all(write, chunks_receiver, lane, marks));
    Process {
        stdin: Stdin(StdinKind::Channel(ChannelWriter { chunks: PollSender::new(chunks) })),
        stdout: Box::new(ChannelReader { queue: stdout_reader, _unread: unread.drop_guard() }),
        stderr: Box::new(stderr_reader),
        exit,
    }
}

/// What the two tasks of a channel and its streams tell each other.
#[derive(Clone, Default)]
struct Marks {
    /// The channel is of no use any more.
    closed: CancellationToken,
    /// The other end has said all that it will.
    said_all: CancellationToken,
    /// Nobody reads what the other end says.
    unread: CancellationToken,
}

/// Standard output of a channel. When it and the writer are gone, the channel is closed.
struct ChannelReader {
    queue: QueueReader,
    _unread: DropGuard,
}

impl AsyncRead for ChannelReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.queue).poll_read(cx, buf)
    }
}

async fn read_all(
    mut channel: ChannelReadHalf,
    stdout: ByteQueue,
    stderr: ByteQueue,
    exit: watch::Sender<Option<Exit>>,
    marks: Marks,
) {
    let closed = marks.closed;
    let mut ended = None;
    let mut clean = false;
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                if !stdout.push(data) {
                    closed.cancel();
                }
            }
            ChannelMsg::Failure => {
                stderr.push(Bytes::from_static(b"sshd refused to run the command\n"));
                closed.cancel();
            }
            ChannelMsg::ExtendedData { data, ext: 1 } => {
                stderr.push(data);
            }
            ChannelMsg::Eof => {
                clean = true;
                marks.said_all.cancel();
                stdout.end();
                stderr.end();
            }
            ChannelMsg::ExitStatus { exit_status } => ended = Some(Exit::Code(exit_status)),
            ChannelMsg::ExitSignal { signal_name, .. } => {
                ended = Some(Exit::Signal(signal(&signal_name)));
            }
            ChannelMsg::Close => {
                clean = true;
                break;
            }
            _ => {}
        }
    }
    if clean {
        stdout.end();
    } else {
        stdout.fail("the connection is gone");
    }
    stderr.end();
    exit.send_replace(Some(ended.unwrap_or(Exit::Unknown)));
    closed.cancel();
}

/// Without `SIG`, as on the wire.
fn signal(signal: &russh::Sig) -> String {
    match signal {
        russh::Sig::Custom(name) => name.clone(),
        other => format!("{other:?}"),
    }
}

async fn write_all(
    channel: ChannelWriteHalf<Msg>,
    mut chunks: mpsc::Receiver<Write>,
    lane: Lane,
    marks: Marks,
) {
    let copy = async {
        // The end of the chunks means that whoever wrote is gone.
        while let Some(Write::Data(bytes)) = chunks.recv().await {
            let bytes = match &lane {
                Lane::Control => bytes,
                Lane::Bulk(pace) => pace.admit(bytes).await,
            };
            if channel.data_bytes(bytes).await.is_err() {
                return;
            }
        }
        let _ = channel.eof().await;
        marks.unread.cancelled().await;
        if marks.said_all.is_cancelled() {
            // Its exit status comes after its last word, and not at all to a channel that was closed before.
            tokio::time::sleep(STATUS_LATE).await;
        }
    };
    tokio::select! {
        () = marks.closed.cancelled() => {}
        () = copy => {}
    }
    drop(chunks);
    // After the other end closed it, this says nothing any more.
    let _ = channel.close().await;
}

enum Write {
    Data(Bytes),
    Eof,
}

/// Writes to a channel; an error as soon as the channel is closed. Dropping it is the end of what is written.
pub(super) struct ChannelWriter {
    chunks: PollSender<Write>,
}

impl ChannelWriter {
    /// Writes shared bytes without copying them.
    pub(super) async fn write_bytes(&mut self, mut bytes: Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            let chunk = bytes.split_to(bytes.len().min(CHUNK));
            std::future::poll_fn(|cx| self.chunks.poll_reserve(cx)).await.map_err(|_| broken())?;
            self.chunks.send_item(Write::Data(chunk)).map_err(|_| broken())?;
        }
        Ok(())
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the channel is closed")
}

impl AsyncWrite for ChannelWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.chunks.poll_reserve(cx)).map_err(|_| broken())?;
        let taken = &buf[..buf.len().min(CHUNK)];
        self.chunks.send_item(Write::Data(Bytes::copy_from_slice(taken))).map_err(|_| broken())?;
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if ready!(self.chunks.poll_reserve(cx)).is_ok() {
            // A channel that closed meanwhile has no use for the end either.
            let _ = self.chunks.send_item(Write::Eof);
        }
        Poll::Ready(Ok(()))
    }
}
