use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
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
    Begin, Failure, FailureKind, Fetch, Hello, HostId, LEASE, LogLevel, LogSource, Neighbour, Phase, Present,
    Release, Report, Request, RunKey, VERSION, decode,
};
use crate::payload::{Artifact, Dest, LockGuard, MOST_BASES, MOST_RECIPE, io_kind};
use crate::swarm::engine::{EngineError, Event};

use super::fetch::{Fetching, next_event, opening};
use super::lines::{Lines, Outbox, shortened};
use super::listen::Listening;
use super::parts::Parts;
use super::resume::{Door, Input, Output, Return, next_return};
use super::work::{self, Activation, Begun, Opened, Opening, Place, blocking};

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

/// Releases that fit a line.
const MOST_RELEASES: usize = 200;

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

type Job = Pin<Box<dyn Future<Output = Outcome>>>;

/// What is done when the job before it has ended.
enum Todo {
    Answer(Request),
    Verify,
}

/// What came of a job.
enum Outcome {
    Begun(Result<Begun, Failure>),
    Opened(Result<Opened, Failure>),
    Verified(Result<Arc<Artifact>, Failure>),
    Staged(Result<(), Failure>),
    /// Anything that changes nothing here: its answer.
    Told(Result<Report, Failure>),
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

    fn next_job(&mut self) {
        while self.job.is_none()
            && let Some(todo) = self.waiting.pop_front()
        {
            let job = match todo {
                Todo::Answer(request) => self.start(request),
                Todo::Verify => Ok(self.start_verify()),
            };
            match job {
                Ok(job) => self.job = job,
                Err(failure) => self.fail(failure),
            }
        }
    }

    /// Starts what a request asks for; `None` if that is done already.
    fn start(&mut self, request: Request) -> Result<Option<Job>, Failure> {
        if let Request::Begin(begin) = request {
            if self.state.begin.is_some() {
                return Err(self.fault("begin came twice"));
            }
            let begin: Arc<Begin> = Arc::from(begin);
            self.state.begin = Some(Arc::clone(&begin));
            let work = work::begin(begin, self.surroundings.clone());
            return Ok(Some(Box::pin(async { Outcome::Begun(work.await) })));
        }
        let place = self.place()?;
        let tag = self.state.begin.as_ref().map(|begin| begin.tag.clone()).unwrap_or_default();
        let job: Job = match request {
            Request::Fetch(fetch) => return self.start_fetch(place.dest, tag, fetch).map(Some),
            Request::Stage => return self.start_stage(place, tag),
            Request::Before { hook } => Box::pin(async move {
                let passed = work::hook(&place, &tag, "before_activate", hook).await;
                Outcome::Told(passed.map(|()| Report::Ready))
            }),
            Request::Activate { tag, hook, rollback_on_failure, keep } => Box::pin(async move {
                let activation = Activation { tag, hook, rollback_on_failure, keep };
                Outcome::Told(work::activate(place, activation).await.map(|()| Report::Settled))
            }),
            Request::Releases => Box::pin(async move {
                let releases = blocking(Phase::Checking, move || place.dest.releases()).await;
                Outcome::Told(releases.map(|releases| Report::Releases { releases: newest(releases) }))
            }),
            Request::Clean { keep } => Box::pin(async move { Outcome::Told(work::clean(place, keep).await) }),
            _ => return Err(self.fault("a request came where it has no place")),
        };
        Ok(Some(job))
    }

    fn start_fetch(&mut self, dest: Dest, tag: String, fetch: Box<Fetch>) -> Result<Job, Failure> {
        if self.state.fetching.is_some() || self.state.listening.is_none() {
            return Err(self.fault("fetch came twice, or for a release that is there"));
        }
        self.state.manifest.clone_from(&fetch.manifest);
        let done = Arc::new(AtomicU64::new(0));
        let total = self.state.begin.as_ref().map_or(0, |begin| begin.packed_bytes);
        self.state.opening = Some((Arc::clone(&done), total));
        let info = self.state.info.take();
        let recipes = std::mem::take(&mut self.state.recipes);
        let work = work::open(Opening { dest, tag, info, recipes, fetch, done, cancel: self.cancel.clone() });
        Ok(Box::pin(async { Outcome::Opened(work.await) }))
    }

    fn start_verify(&self) -> Option<Job> {
        let store = Arc::clone(&self.state.fetching.as_ref()?.store);
        let work = work::verify(store, self.state.manifest.clone());
        Some(Box::pin(async { Outcome::Verified(work.await) }))
    }

    fn start_stage(&mut self, place: Place, tag: String) -> Result<Option<Job>, Failure> {
        if self.state.present == Some(Present::Same) {
            self.outbox.push(Report::Staged { already: true });
            return Ok(None);
        }
        let Some(artifact) = self.state.artifact.clone() else {
            return Err(self.fault("stage came before the artifact was verified"));
        };
        let done = Arc::new(AtomicU64::new(0));
        self.state.unpacking = Some(Unpacking { done: Arc::clone(&done), told: 0, total: artifact.bytes() });
        let work = work::stage(place, tag, artifact, done);
        Ok(Some(Box::pin(async { Outcome::Staged(work.await) })))
    }

    fn conclude(&mut self, outcome: Outcome) {
        self.state.opening = None;
        let failed = match outcome {
            Outcome::Begun(Ok(begun)) => return self.begun(begun),
            Outcome::Opened(Ok(opened)) => self.join_swarm(opened).err(),
            Outcome::Verified(Ok(artifact)) => {
                self.state.artifact = Some(artifact);
                self.outbox.push(Report::Verified);
                None
            }
            Outcome::Staged(Ok(())) => {
                self.state.unpacking = None;
                self.state.artifact = None;
                self.state.present = Some(Present::Same);
                self.outbox.push(Report::Staged { already: false });
                None
            }
            Outcome::Told(Ok(report)) => {
                // What the job told on its way comes first.
                while let Ok(report) = self.news.try_recv() {
                    self.outbox.push(report);
                }
                self.outbox.push(report);
                None
            }
            Outcome::Begun(Err(failure))
            | Outcome::Opened(Err(failure))
            | Outcome::Verified(Err(failure))
            | Outcome::Staged(Err(failure))
            | Outcome::Told(Err(failure)) => Some(failure),
        };
        if let Some(failure) = failed {
            self.state.unpacking = None;
            self.fail(failure);
        }
    }

    fn begun(&mut self, begun: Begun) {
        for message in begun.warnings {
            self.outbox.push(Report::Log { level: LogLevel::Warn, source: LogSource::Murder, message });
        }
        self.state.dest = Some(begun.dest);
        self.state.guard = begun.guard;
        self.set_adrift(self.lines.is_none());
        self.state.listening = begun.listening;
        self.state.present = Some(begun.checked.present);
        self.outbox.push(Report::Checked(begun.checked));
    }

    fn join_swarm(&mut self, opened: Opened) -> Result<(), Failure> {
        let Opened { store, mut fetch, reused } = opened;
        let done = store.kept_bytes();
        let me = self.state.begin.as_ref().map_or(HostId(0), |begin| begin.id);
        fetch.rate = self.state.rate.unwrap_or(fetch.rate);
        let Some(listening) = &mut self.state.listening else {
            return Err(self.fault("fetch came for a release that is there"));
        };
        let fetching = Fetching::start(me, &fetch, store, listening).map_err(|error| {
            let kind = io_kind(&error).unwrap_or(FailureKind::Internal);
            Failure::new(Phase::Fetching, kind, format!("cannot join the swarm: {error}"))
        })?;
        fetching.engine.set_neighbours(std::mem::take(&mut self.state.neighbours), &[]);
        self.state.fetching = Some(fetching);
        self.outbox.push(Report::Joined { done, reused });
        Ok(())
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

async fn finished(job: &mut Option<Job>) -> Outcome {
    let Some(running) = job else { return std::future::pending().await };
    let outcome = running.await;
    *job = None;
    outcome
}

/// So many as fit a line; who has more will not miss the oldest.
fn newest(mut releases: Vec<Release>) -> Vec<Release> {
    if releases.len() > MOST_RELEASES {
        releases.sort_by_key(|release| (!release.current, std::cmp::Reverse(release.staged_at)));
        releases.truncate(MOST_RELEASES);
        releases.sort_by(|a, b| a.tag.cmp(&b.tag));
    }
    releases
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
