use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::AsyncWrite;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::{CancellationToken, PollSender};

use super::pace::Pace;
use super::process::{Exit, Process, Stdin, StdinKind};
use super::queue::{ByteQueue, Full};

/// Bytes of a stream that its reader may be behind: four of russh's windows. What a well-behaved peer has under way fits in.
const READ_BEHIND: usize = 8 * 1024 * 1024;

/// The end of standard error that is kept when nobody reads it.
const STDERR_KEPT: usize = 16 * 1024;

/// Chunks between a writer and its task: one on its way and one ready.
const WRITES_AHEAD: usize = 2;

/// Bytes of one chunk; OpenSSH's largest packet.
const CHUNK: usize = 32 * 1024;

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
    let exit_sender = Arc::new(exit_sender);
    let (chunks, chunks_receiver) = mpsc::channel(WRITES_AHEAD);
    let ends = Ends::default();
    runtime.spawn(read_all(read, stdout, stderr, Arc::clone(&exit_sender), ends.clone()));
    runtime.spawn(write_all(write, chunks_receiver, lane, exit_sender, ends));
    Process {
        stdin: Stdin(StdinKind::Channel(ChannelWriter { chunks: PollSender::new(chunks) })),
        stdout: Box::new(stdout_reader),
        stderr: Box::new(stderr_reader),
        exit,
    }
}

/// What the two tasks of a channel tell each other.
#[derive(Clone, Default)]
struct Ends {
    /// Nothing can be written any more, or nothing more is to be read.
    unwritable: CancellationToken,
    /// We have closed the channel. russh drops all that comes for it then, its end too.
    closed: CancellationToken,
    /// A message came; it may say that the channel's window is wider.
    news: Arc<Notify>,
}

async fn read_all(
    mut channel: ChannelReadHalf,
    stdout: ByteQueue,
    stderr: ByteQueue,
    exit: Arc<watch::Sender<Option<Exit>>>,
    ends: Ends,
) {
    let mut ended = None;
    let mut clean = false;
    loop {
        let message = tokio::select! {
            message = channel.wait() => message,
            () = ends.closed.cancelled() => None,
        };
        ends.news.notify_one();
        match message {
            Some(ChannelMsg::Data { data }) => {
                if !stdout.push(data) {
                    ends.unwritable.cancel();
                }
            }
            Some(ChannelMsg::ExtendedData { data, ext: 1 }) => {
                stderr.push(data);
            }
            Some(ChannelMsg::Eof) => {
                clean = true;
                stdout.end();
                stderr.end();
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => ended = Some(Exit::Code(exit_status)),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                ended = Some(Exit::Signal(signal(&signal_name)));
            }
            Some(ChannelMsg::Failure) => {
                clean = true;
                stderr.push(Bytes::from_static(b"sshd refused to run the command\n"));
                ends.unwritable.cancel();
            }
            Some(ChannelMsg::Close) => {
                clean = true;
                break;
            }
            Some(_) => {}
            None => break,
        }
    }
    if clean {
        stdout.end();
    } else {
        stdout.fail("the connection is gone");
    }
    stderr.end();
    exit.send_replace(Some(ended.unwrap_or(Exit::Unknown)));
    ends.unwritable.cancel();
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
    exit: Arc<watch::Sender<Option<Exit>>>,
    ends: Ends,
) {
    let copy = async {
        // The end of the chunks means that whoever wrote is gone.
        while let Some(Write::Data(bytes)) = chunks.recv().await {
            let sent = match &lane {
                Lane::Control => channel.data_bytes(bytes).await,
                Lane::Bulk(pace) => send_paced(&channel, bytes, pace, &ends.news).await,
            };
            if sent.is_err() {
                return;
            }
        }
        let _ = channel.eof().await;
        // To close it earlier would lose how the command ended.
        exit.closed().await;
    };
    tokio::select! {
        () = ends.unwritable.cancelled() => {}
        () = copy => {}
    }
    drop(chunks);
    // After the other end closed it, this says nothing any more.
    let _ = channel.close().await;
    ends.closed.cancel();
}

/// Takes a place in the connection only for what the channel's window takes too: a host that reads nothing must not hold the
/// places of others behind the same jump host.
async fn send_paced(
    channel: &ChannelWriteHalf<Msg>,
    mut bytes: Bytes,
    pace: &Arc<Pace>,
    news: &Notify,
) -> Result<(), russh::Error> {
    while !bytes.is_empty() {
        let room = loop {
            match channel.writable_packet_size().await {
                0 => news.notified().await,
                room => break room,
            }
        };
        let part = bytes.split_to(bytes.len().min(room));
        channel.data_bytes(pace.admit(part).await).await?;
    }
    Ok(())
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
