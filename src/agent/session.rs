mod jobs;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::control::{
    Begin, Failure, FailureKind, Hello, HostId, LEASE, LogLevel, LogSource, Neighbour, Phase, Present,
    Report, Request, RunKey, VERSION, decode,
};
use crate::payload::{Artifact, Dest, LockGuard, MOST_BASES, MOST_RECIPE, io_kind};
use crate::swarm::engine::{EngineError, Event};

use super::fetch::{Fetching, next_event, opening};
use super::lines::{Lines, Outbox, shortened};
use super::listen::Listening;
use super::parts::Parts;
use super::resume::{Door, Input, Output, Return, next_return};
use super::work::{self, Place, blocking};
use jobs::{Job, Todo, finished};

/// Requests that wait for the one before; an operator sends the next when it has heard of the last.
const MOST_WAITING: usize = 16;

/// Reports of what is being done, on their way to the outbox.
const NEWS: usize = 64;

/// The largest metainfo, bytes: 20 a piece, and there are at most 2^20 below 4 TiB.
const MOST_METAINFO: usize = 32 << 20;

/// How long a clean leave waits for what is being done to stop; more than a hook gets to end.
const LEAVE_PATIENCE: Duration = Duration::from_secs(8);

/// Bytes of a failure's message, and of each of its details, of which there are at most 20.
const MOST_MESSAGE: usize = 8 << 10;
const MOST_DETAIL: usize = 1 << 10;

/// What the agent finds around it.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// SSH_CONNECTION as sshd set it.
    pub ssh_connection: Option<String>,
    /// The user's umask, for hooks.
    pub umask: u32,
    /// Wait until the disk has a release before it is told to be staged.
    pub durable: bool,
    /// Cancelled when the process that started this one has ended: its stream is of no use any more.
    pub orphaned: CancellationToken,
}

/// Serves an operator until it says bye, is gone for good, or `stop` is cancelled. Whether it ended as the operator wanted it; either way
/// nothing but verified pieces is left of the run.
pub async fn run<R, W>(input: R, output: W, surroundings: Surroundings, stop: CancellationToken) -> bool
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let (news_sender, news) = mpsc::channel(NEWS);
    let session = Session {
        lines: Some(Lines::new(Box::new(input))),
        outbox: Outbox::new(Box::new(output)),
        surroundings,
        door: None,
        probes: JoinSet::new(),
        requests: 0,
        resumed: false,
        news_sender,
        news,
        cancel: CancellationToken::new(),
        state: State::default(),
        job: None,
        waiting: VecDeque::new(),
        heard: Instant::now(),
        lease: LEASE,
    };
    session.serve(stop).await
}

/// What the agent has and holds.
#[derive(Default)]
struct State {
    begin: Option<Arc<Begin>>,
    dest: Option<Dest>,
    guard: Option<LockGuard>,
    listening: Option<Listening>,
    present: Option<Present>,
    info: Parts,
    recipe: Parts,
    /// Recipes that came whole.
    recipes: Vec<Vec<u8>>,
    rate: Option<Option<u64>>,
    /// Neighbours that came before the engine was there.
    neighbours: Vec<Neighbour>,
    manifest: String,
    /// Bytes done and in all of the artifact whose partial data are being opened.
    opening: Option<(Arc<AtomicU64>, u64)>,
    fetching: Option<Fetching>,
    artifact: Option<Arc<Artifact>>,
    unpacking: Option<Unpacking>,
}

struct Unpacking {
    done: Arc<AtomicU64>,
    told: u64,
    total: u64,
}

/// How to go on after something happened.
enum Next {
    Go,
    /// The operator wants it; partial data is kept or not.
    Leave {
        keep_partial: bool,
    },
    /// The operator is gone.
    Die,
}

struct Session {
    /// `None` while there is no connection.
    lines: Option<Lines<Input>>,
    outbox: Outbox<Output>,
    surroundings: Surroundings,
    door: Option<Door>,
    probes: JoinSet<Report>,
    /// Numbered requests heard so far.
    requests: u64,
    /// Over another connection than the first.
    resumed: bool,
    news_sender: mpsc::Sender<Report>,
    news: mpsc::Receiver<Report>,
    cancel: CancellationToken,
    state: State,
    job: Option<Job>,
    waiting: VecDeque<Todo>,
    heard: Instant,
    lease: Duration,
}

impl Session {
    async fn serve(mut self, stop: CancellationToken) -> bool {
        self.outbox.introduce(&Report::Hello(hello()));
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let connected = self.lines.is_some();
            let on_first = connected && !self.resumed;
            let next = tokio::select! {
                line = next_line(self.lines.as_mut()) => match line {
                    Ok(Some(line)) => self.line(&line),
                    Ok(None) | Err(_) => self.cut(),
                },
                written = self.outbox.write_some(), if connected => {
                    if written.is_ok() { Next::Go } else { self.cut() }
                }
                back = next_return(self.door.as_mut()) => {
                    self.resume(back);
                    Next::Go
                }
                () = self.surroundings.orphaned.cancelled(), if on_first => self.cut(),
                outcome = finished(&mut self.job) => {
                    self.conclude(outcome);
                    self.next_job();
                    Next::Go
                }
                Some(Ok(report)) = self.probes.join_next() => {
                    self.outbox.push(report);
                    Next::Go
                }
                Some(report) = self.news.recv() => {
                    self.outbox.push(report);
                    Next::Go
                }
                event = next_event(self.state.fetching.as_ref()) => {
                    self.engine_event(event);
                    Next::Go
                }
                _ = seconds.tick() => {
                    self.tell_progress();
                    Next::Go
                }
                () = sleep_until(self.heard + self.lease) => Next::Die,
                () = stop.cancelled() => Next::Die,
            };
            match next {
                Next::Go => {}
                Next::Leave { keep_partial } => {
                    let left = self.leave(keep_partial).await;
                    self.outbox.push(Report::Bye { left });
                    // An operator that no longer reads must not hold us up.
                    return timeout(LEAVE_PATIENCE, self.outbox.write_all())
                        .await
                        .is_ok_and(|sent| sent.is_ok());
                }
                Next::Die => {
                    self.leave(true).await;
                    return false;
                }
            }
        }
    }

    /// The connection is gone. Who may be come back to goes on until the lease ends.
    fn cut(&mut self) -> Next {
        if self.door.is_none() {
            return Next::Die;
        }
        self.lines = None;
        self.set_adrift(true);
        Next::Go
    }

    /// The operator is back, or has found a better way than the one that is still open.
    fn resume(&mut self, back: Return) {
        self.heard = Instant::now();
        self.resumed = true;
        self.lines = Some(back.lines);
        self.outbox.resume(back.output, back.heard, self.requests);
        self.set_adrift(false);
    }

    /// Whether another run may take DEST from us.
    fn set_adrift(&mut self, adrift: bool) {
        if let Some(guard) = &mut self.state.guard {
            // At worst the lock is refused to another run until the lease ends.
            let _ = guard.set_adrift(adrift);
        }
    }

    fn open_door(&mut self, id: HostId, key: RunKey) {
        match Door::open(id, key) {
            Ok(door) => {
                self.outbox.push(Report::Resumable { port: door.port });
                self.door = Some(door);
            }
            // It is then as it was before there were doors: the end of the connection is ours.
            Err(error) => {
                let message = format!("cannot listen on loopback, a lost connection ends the agent: {error}");
                self.outbox.push(Report::Log { level: LogLevel::Warn, source: LogSource::Murder, message });
            }
        }
    }

    fn line(&mut self, line: &str) -> Next {
        self.heard = Instant::now();
        let request = decode::<Request>(line);
        self.requests += u64::from(request.as_ref().map_or(true, Request::is_numbered));
        match request {
            Ok(request) => self.request(request),
            Err(error) => {
                self.fail(Failure::new(self.phase(), FailureKind::Internal, error.to_string()));
                Next::Go
            }
        }
    }

    /// What takes no time is done at once; all else one after the other.
    fn request(&mut self, request: Request) -> Next {
        match request {
            Request::Heartbeat | Request::Resume { .. } => {}
            Request::Resumable { id, key } => self.open_door(id, key),
            Request::Lease { seconds } => self.lease = Duration::from_secs(seconds),
            Request::Metainfo { total, data } => {
                if !self.state.info.add(total, &data, MOST_METAINFO) {
                    self.fail(self.fault("the metainfo came broken"));
                }
            }
            Request::Recipe { total, data } => self.recipe(total, &data),
            Request::Neighbours { add, remove } => self.neighbours(add, &remove),
            Request::Rate { bytes_per_second } => {
                self.state.rate = Some(bytes_per_second);
                if let Some(fetching) = &self.state.fetching {
                    fetching.engine.set_rate(bytes_per_second);
                }
            }
            // Beside all else: a port that does not answer takes its time.
            Request::Probe { peers } => {
                self.probes.spawn(work::probe(peers));
            }
            Request::Bye { keep_partial } => return Next::Leave { keep_partial },
            request if self.waiting.len() < MOST_WAITING => {
                self.waiting.push_back(Todo::Answer(request));
                self.next_job();
            }
            _ => self.fail(self.fault("too many requests at once")),
        }
        Next::Go
    }

    /// One too many is not used.
    fn recipe(&mut self, total: u64, data: &str) {
        let state = &mut self.state;
        if !state.recipe.add(total, data, MOST_RECIPE) {
            return self.fail(self.fault("a recipe came broken"));
        }
        if state.recipes.len() < MOST_BASES
            && let Some(recipe) = state.recipe.take_whole()
        {
            state.recipes.push(recipe);
        }
    }

    fn neighbours(&mut self, add: Vec<Neighbour>, remove: &[HostId]) {
        match &self.state.fetching {
            Some(fetching) => fetching.engine.set_neighbours(add, remove),
            None => {
                let gone = |id: HostId| remove.contains(&id) || add.iter().any(|new| new.id == id);
                self.state.neighbours.retain(|neighbour| !gone(neighbour.id));
                self.state.neighbours.extend(add);
            }
        }
    }

    fn engine_event(&mut self, event: Event) {
        match event {
            Event::BadPiece { from, piece } => self.outbox.push(Report::BadPiece { from, piece }),
            Event::Failed(EngineError::Storage { what, error }) => {
                let kind = io_kind(&error).unwrap_or(FailureKind::Unpack);
                self.fail(Failure::new(Phase::Fetching, kind, format!("cannot {what}: {error}")));
            }
            Event::Completed => {
                let Some(fetching) = &mut self.state.fetching else { return };
                self.outbox.push(Report::Fetched(fetching.last()));
                self.waiting.push_back(Todo::Verify);
                self.next_job();
            }
        }
    }

    fn tell_progress(&mut self) {
        if let Some((done, total)) = &self.state.opening {
            self.outbox.push(Report::Progress(opening(done.load(Ordering::Relaxed), *total)));
        }
        if let Some(progress) = self.state.fetching.as_mut().and_then(Fetching::news) {
            self.outbox.push(Report::Progress(progress));
        }
        if let Some(unpacking) = &mut self.state.unpacking {
            let done = unpacking.done.load(Ordering::Relaxed);
            if done != unpacking.told {
                unpacking.told = done;
                self.outbox.push(Report::Unpacking { done, total: unpacking.total });
            }
        }
    }

    /// Gives back all that the run took on this host, and says what could not be.
    async fn leave(&mut self, keep_partial: bool) -> Vec<String> {
        let mut left = Vec::new();
        self.cancel.cancel();
        self.waiting.clear();
        if let Some(mut job) = self.job.take() {
            let news = &mut self.news;
            let end = timeout(LEAVE_PATIENCE, async {
                loop {
                    tokio::select! {
                        outcome = &mut job => return outcome,
                        // It must not wait for somebody to listen.
                        _ = news.recv() => {}
                    }
                }
            });
            match end.await {
                // What it took goes with it, the lock too.
                Ok(outcome) => drop(outcome),
                Err(_) => left.push("something of it is still busy, and ends with the agent".to_owned()),
            }
        }
        let state = std::mem::take(&mut self.state);
        if let Some(fetching) = state.fetching {
            drop(fetching.store);
            if timeout(LEAVE_PATIENCE, fetching.engine.stop()).await.is_err() {
                left.push("a disk that does not answer keeps the swarm's files open".to_owned());
            }
        }
        drop(state.listening);
        let removed = blocking(Phase::Checking, move || {
            let tag = state.begin.as_ref().map(|begin| begin.tag.as_str()).unwrap_or_default();
            let locked = state.guard.is_some();
            if let Some(dest) = state.dest.as_ref().filter(|_| locked) {
                // A release that is in place needs no pieces any more.
                let staged = state.present == Some(Present::Same);
                if (!keep_partial || staged) && !tag.is_empty() {
                    dest.remove_partial(tag)?;
                }
                dest.sweep()?;
            }
            Ok(state.guard.and_then(|guard| guard.release().err()))
        });
        match removed.await {
            Ok(None) => {}
            Ok(Some(error)) => left.push(format!("cannot remove the lock: {error}")),
            Err(failure) => left.push(failure.message),
        }
        left
    }

    fn place(&self) -> Result<Place, Failure> {
        let (Some(dest), Some(begin)) = (self.state.dest.clone(), &self.state.begin) else {
            return Err(self.fault("a request came before begin had passed"));
        };
        Ok(Place {
            dest,
            host: begin.host.clone(),
            umask: self.surroundings.umask,
            news: self.news_sender.clone(),
            cancel: self.cancel.clone(),
        })
    }

    fn fail(&mut self, mut failure: Failure) {
        while let Ok(report) = self.news.try_recv() {
            self.outbox.push(report);
        }
        // With all its details it must fit a line.
        failure.message = shortened(&failure.message, MOST_MESSAGE);
        failure.detail.iter_mut().for_each(|line| *line = shortened(line, MOST_DETAIL));
        self.outbox.push(Report::Failed(failure));
    }

    fn fault(&self, message: &str) -> Failure {
        Failure::new(self.phase(), FailureKind::Internal, message)
    }

    /// Where on its way the host is, as far as the agent knows.
    fn phase(&self) -> Phase {
        let state = &self.state;
        match state.present {
            None => Phase::Checking,
            Some(Present::Same) => Phase::Activating,
            _ if state.unpacking.is_some() => Phase::Unpacking,
            _ => Phase::Fetching,
        }
    }
}

/// The operator's next line; never comes without a connection.
async fn next_line(lines: Option<&mut Lines<Input>>) -> std::io::Result<Option<String>> {
    match lines {
        Some(lines) => lines.next_line().await,
        None => std::future::pending().await,
    }
}

fn hello() -> Hello {
    Hello {
        v: VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        uid: rustix::process::getuid().as_raw(),
        clock_ms: clock::now(),
    }
}
