use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::control::{HEARTBEAT, Hello, MAX_LINE, Report, Request, decode, encode};

use super::SshError;
use super::lines::Lines;
use super::process::{Exit, Reader, wait};
use super::session::Inner;

/// Requests on their way to an agent; a metainfo of some hundred kilobytes goes in parts of [`crate::control::MAX_LINE`].
const REQUESTS_WAITING: usize = 16;

/// Lines of standard error that wait to be told; what is beyond is only in the ring.
const WORDS_WAITING: usize = 64;

/// Bytes of standard error that are kept for an error's detail.
const STDERR_KEPT: usize = 16 * 1024;

/// Longer lines of standard error are not told.
const LONGEST_WORDS: usize = 4 * 1024;

/// For an agent to leave by itself, which takes as long as its locks and files do.
const LEAVE: Duration = Duration::from_secs(10);

/// For its process to end after its goodbye, or after the end of its stdin.
const END: Duration = Duration::from_secs(2);

/// An agent that runs on a host. While it is held the host hears a heartbeat; dropping it is the end of the agent's stdin,
/// at which it leaves.
pub struct AgentProcess {
    /// How it introduced itself.
    pub hello: Hello,
    /// Bytes sent to bring it there; 0 if it was there.
    pub uploaded_bytes: u64,
    host: Arc<Inner>,
    requests: AgentSender,
    lines: Lines<Reader>,
    words: mpsc::Receiver<String>,
    stderr: Arc<Mutex<StderrTail>>,
    exit: watch::Receiver<Option<Exit>>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

/// What an agent says.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentSays {
    /// A report.
    Report(Report),
    /// A line of its standard error, or one of standard output that is no report.
    Words(String),
}

/// How an agent left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    /// What it could not remove; `None` if it said nothing.
    pub left: Option<Vec<String>>,
    /// How its process ended.
    pub exit: Exit,
}

/// Sends requests to an agent; clones send to the same one.
#[derive(Clone)]
pub struct AgentSender {
    /// `None` is the end of the agent's stdin.
    sender: mpsc::Sender<Option<Bytes>>,
    host: Arc<Inner>,
}

impl AgentSender {
    /// Sends a request. Waits while the agent reads slowly; an error says that it is gone.
    pub async fn send(&self, request: &Request) -> Result<(), SshError> {
        let line = encode(request).map_err(|error| SshError::Internal(error.to_string()))?;
        self.sender.send(Some(line.into())).await.map_err(|_| self.host.lost("before a request"))
    }
}

impl AgentProcess {
    pub(super) fn new(
        host: &Arc<Inner>,
        hello: Hello,
        stdin: impl AsyncWrite + Send + Unpin + 'static,
        lines: Lines<Reader>,
        stderr: Reader,
        exit: watch::Receiver<Option<Exit>>,
    ) -> Self {
        let runtime = host.shared.runtime();
        let (sender, requests) = mpsc::channel(REQUESTS_WAITING);
        let (teller, words) = mpsc::channel(WORDS_WAITING);
        let tail = Arc::<Mutex<StderrTail>>::default();
        let tasks = [
            AbortOnDropHandle::new(runtime.spawn(write(stdin, requests, exit.clone()))),
            AbortOnDropHandle::new(runtime.spawn(listen(stderr, Arc::clone(&tail), teller))),
        ];
        Self {
            hello,
            uploaded_bytes: 0,
            requests: AgentSender { sender, host: Arc::clone(host) },
            host: Arc::clone(host),
            lines,
            words,
            stderr: tail,
            exit,
            _tasks: tasks,
        }
    }

    /// An agent that was launched over another connection and is spoken with through a stream of this one.
    pub(super) fn resumed<S>(host: &Arc<Inner>, hello: Hello, stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (input, output) = tokio::io::split(stream);
        let (open, exit) = watch::channel(None);
        let input = Box::new(UntilEnd { input, open: Some(open) });
        let lines = Lines::new(input as Reader, MAX_LINE);
        Self::new(host, hello, output, lines, Box::new(tokio::io::empty()), exit)
    }

    /// Sends requests from elsewhere.
    pub fn sender(&self) -> AgentSender {
        self.requests.clone()
    }

    /// Sends a request. Waits while the agent reads slowly; an error says that it is gone.
    pub async fn send(&self, request: &Request) -> Result<(), SshError> {
        self.requests.send(request).await
    }

    /// The next thing that it says; `None` when it has ended by itself. May be given up half-way without loss.
    pub async fn next(&mut self) -> Result<Option<AgentSays>, SshError> {
        tokio::select! {
            line = self.lines.next() => match line {
                Ok(Some(line)) => Ok(Some(match decode(&line) {
                    Ok(report) => AgentSays::Report(report),
                    Err(_) => AgentSays::Words(line),
                })),
                // What it said last on its other stream.
                Ok(None) => Ok(self.last_words().await),
                Err(error) => Err(match error.kind() {
                    std::io::ErrorKind::InvalidData => {
                        SshError::Lost { host: self.host.host.clone(), reason: error.to_string() }
                    }
                    _ => self.host.lost("while the agent ran"),
                }),
            },
            Some(words) = self.words.recv() => Ok(Some(AgentSays::Words(words))),
        }
    }

    async fn last_words(&mut self) -> Option<AgentSays> {
        tokio::time::timeout(END, self.words.recv()).await.ok().flatten().map(AgentSays::Words)
    }

    /// The last lines of its standard error, at most 16 KiB.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().cloned().collect()
    }

    /// Waits until its process has ended.
    pub async fn wait(&mut self) -> Exit {
        wait(&mut self.exit).await
    }

    /// Asks it to leave, waits until it has, and ends its stdin. Reports that come meanwhile are dropped.
    pub async fn leave(mut self, keep_partial: bool) -> Leave {
        let goodbye = async {
            self.requests.send(&Request::Bye { keep_partial }).await.ok()?;
            loop {
                match self.next().await {
                    Ok(Some(AgentSays::Report(Report::Bye { left }))) => return Some(left),
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return None,
                }
            }
        };
        let left = tokio::time::timeout(LEAVE, goodbye).await.ok().flatten();
        let end = async {
            // An error says that its stdin has ended already.
            let _ = self.requests.sender.send(None).await;
            wait(&mut self.exit).await
        };
        let exit = tokio::time::timeout(END, end).await.unwrap_or(Exit::Unknown);
        Leave { left, exit }
    }
}

/// A stream that cannot say how the process at its end ended, only that it did.
struct UntilEnd<R> {
    input: R,
    /// Dropped at the end.
    open: Option<watch::Sender<Option<Exit>>>,
}

impl<R: AsyncRead + Unpin> AsyncRead for UntilEnd<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.input).poll_read(cx, buf);
        if matches!(read, Poll::Ready(Err(_))) || read.is_ready() && buf.filled().len() == before {
            self.open = None;
        }
        read
    }
}

/// Writes requests, and a heartbeat where there are none, until the agent's process has ended.
async fn write(
    stdin: impl AsyncWrite + Unpin,
    requests: mpsc::Receiver<Option<Bytes>>,
    mut exit: watch::Receiver<Option<Exit>>,
) {
    tokio::select! {
        _ = wait(&mut exit) => {}
        () = write_requests(stdin, requests) => {}
    }
}

async fn write_requests(mut stdin: impl AsyncWrite + Unpin, mut requests: mpsc::Receiver<Option<Bytes>>) {
    let Ok(heartbeat) = encode(&Request::Heartbeat).map(Bytes::from) else { return };
    loop {
        let line = match tokio::time::timeout(HEARTBEAT, requests.recv()).await {
            Ok(Some(Some(line))) => line,
            Ok(Some(None) | None) => break,
            Err(_) => heartbeat.clone(),
        };
        if stdin.write_all(&line).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
    // An error here is one of a channel that is closed already.
    let _ = stdin.shutdown().await;
}

#[derive(Default)]
struct StderrTail {
    lines: VecDeque<String>,
    bytes: usize,
}

/// Keeps the end of standard error, and tells each line as long as somebody listens.
async fn listen(stderr: Reader, tail: Arc<Mutex<StderrTail>>, teller: mpsc::Sender<String>) {
    let mut lines = Lines::new(stderr, LONGEST_WORDS);
    while let Ok(Some(line)) = lines.next().await {
        {
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.bytes += line.len();
            tail.lines.push_back(line.clone());
            while tail.bytes > STDERR_KEPT {
                let Some(oldest) = tail.lines.pop_front() else { break };
                tail.bytes -= oldest.len();
            }
        }
        // Nobody waits for a listener that is behind: the ring has it all the same.
        let _ = teller.try_send(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_agent_hears_a_heartbeat_whenever_nothing_else_is_said() {
        let (near, far) = tokio::io::duplex(1000);
        let (sender, receiver) = mpsc::channel(4);
        let writer = tokio::spawn(write_requests(near, receiver));
        let mut lines = Lines::new(far, 1000);
        let start = tokio::time::Instant::now();
        for n in 1..=3 {
            assert_eq!(lines.next().await.unwrap().unwrap(), r#"{"t":"heartbeat"}"#);
            assert_eq!(start.elapsed(), HEARTBEAT * n);
        }
        sender.send(Some(encode(&Request::Stage).unwrap().into())).await.unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap(), r#"{"t":"stage"}"#);
        sender.send(None).await.unwrap();
        assert_eq!(lines.next().await.unwrap(), None);
        writer.await.unwrap();
    }
}
