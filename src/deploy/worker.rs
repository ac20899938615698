use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::control::{Failure, FailureKind, HEARTBEAT, HostId, Phase, Report, Request, encode};
use crate::ssh::{AgentProcess, Session, SshError};
use crate::swarm::seeder::Seeder;

use super::board::Board;
use super::coordinator::Word;
use super::run::Shared;

/// Orders that wait for a host at most: metainfo is one order, and neighbours come and go by ones.
pub(super) const DOS: usize = 64;

/// How long an agent may take to say good-bye.
const BYE: Duration = Duration::from_secs(10);

/// How long to wait before a feed that ended is opened again.
const FEED_AGAIN: Duration = Duration::from_secs(1);

/// What a worker is to do.
#[derive(Debug, Clone)]
pub(super) enum Do {
    /// Send it to the agent.
    Send(Request),
    /// Send these lines, then feed the host at the port of its loopback.
    Join { lines: Arc<Vec<Request>>, fetch: Request, port: u16, alone: bool },
    /// Let the agent leave.
    Leave { keep_partial: bool },
}

/// Where a worker's words go.
#[derive(Clone)]
pub(super) struct Mouth {
    pub(super) host: HostId,
    pub(super) attempt: u32,
    pub(super) words: mpsc::Sender<(HostId, u32, Word)>,
    pub(super) board: Board,
}

impl Mouth {
    async fn say(&self, word: Word) {
        // Nobody listens only when the run is over.
        let _ = self.words.send((self.host, self.attempt, word)).await;
    }

    async fn hear(&self, report: Report) {
        match report {
            Report::Progress(progress) => self.board.put(self.host, self.attempt, *progress),
            report => {
                if matches!(report, Report::Fetched(_)) {
                    self.board.drop_of(self.host, self.attempt);
                }
                self.say(Word::Said(report)).await;
            }
        }
    }
}

/// One attempt at one host, from the dial to the agent's good-bye.
pub(super) async fn work(shared: Arc<Shared>, mouth: Mouth, mut dos: mpsc::Receiver<Do>) {
    let left = match attempt(&shared, &mouth, &mut dos).await {
        Ok(left) => left,
        Err(failure) => {
            mouth.say(Word::Failed(failure)).await;
            Vec::new()
        }
    };
    mouth.say(Word::Gone { left }).await;
}

async fn attempt(
    shared: &Arc<Shared>,
    mouth: &Mouth,
    dos: &mut mpsc::Receiver<Do>,
) -> Result<Vec<String>, Failure> {
    let target = &shared.targets[mouth.host.index()];
    let Some(session) = unless_left(dos, shared.ssh.connect(target)).await else { return Ok(Vec::new()) };
    let session = Arc::new(session.map_err(|error| failure(Phase::Connecting, &error))?);
    mouth.say(Word::LoggedIn).await;
    let launched = unless_left(dos, session.launch(&shared.agents)).await;
    let Some(launched) = launched else { return Ok(Vec::new()) };
    let agent = launched.map_err(|error| failure(Phase::Launching, &error))?;
    mouth.say(Word::Launched { uploaded: agent.uploaded_bytes() }).await;
    let left = converse(shared, mouth, dos, &session, agent).await;
    session.close().await;
    left
}

/// Does it, unless the host is to be left before it is done.
async fn unless_left<T>(dos: &mut mpsc::Receiver<Do>, work: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Some(done),
            order = dos.recv() => match order {
                Some(Do::Leave { .. }) | None => return None,
                Some(_) => {}
            },
        }
    }
}

async fn converse(
    shared: &Arc<Shared>,
    mouth: &Mouth,
    dos: &mut mpsc::Receiver<Do>,
    session: &Arc<Session>,
    mut agent: AgentProcess,
) -> Result<Vec<String>, Failure> {
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut feed: Option<tokio::task::JoinHandle<()>> = None;
    let ended = loop {
        tokio::select! {
            report = agent.next_report() => match report {
                Ok(Some(report)) => mouth.hear(report).await,
                Ok(None) => break Err(gone(&agent)),
                Err(error) => break Err(failure(Phase::Fetching, &error)),
            },
            line = agent.next_stderr() => mouth.say(Word::Stderr(line)).await,
            _ = heartbeat.tick() => {
                if let Err(error) = agent.send(&Request::Heartbeat).await {
                    break Err(failure(Phase::Fetching, &error));
                }
            }
            order = dos.recv() => match order {
                Some(Do::Send(request)) => {
                    if let Err(error) = agent.send(&request).await {
                        break Err(failure(Phase::Fetching, &error));
                    }
                }
                Some(Do::Join { lines, fetch, port, alone }) => {
                    if let Err(error) = join(&mut agent, &lines, &fetch).await {
                        break Err(failure(Phase::Fetching, &error));
                    }
                    if let Some(seeder) = shared.seeder() {
                        let task = feed_host(seeder, Arc::clone(session), mouth.host, port, alone);
                        feed = Some(tokio::spawn(task));
                    }
                }
                Some(Do::Leave { keep_partial }) => break Ok(keep_partial),
                None => break Ok(true),
            },
        }
    };
    if let Some(feed) = feed {
        feed.abort();
    }
    match ended {
        Ok(keep_partial) => Ok(say_bye(agent, keep_partial).await),
        Err(failure) => Err(failure),
    }
}

async fn join(agent: &mut AgentProcess, lines: &[Request], fetch: &Request) -> Result<(), SshError> {
    for line in lines {
        agent.send(line).await?;
    }
    agent.send(fetch).await
}

/// Keeps a way from the seeder to the host open until it is aborted.
async fn feed_host(seeder: Arc<Seeder>, session: Arc<Session>, host: HostId, port: u16, alone: bool) {
    loop {
        if let Ok(stream) = session.open_loopback(port).await {
            seeder.feed(host, stream, !alone).ended().await;
        }
        tokio::time::sleep(FEED_AGAIN).await;
    }
}

async fn say_bye(mut agent: AgentProcess, keep_partial: bool) -> Vec<String> {
    let deadline = Instant::now() + BYE;
    let unknown = || vec!["the agent did not say good-bye; it ends by itself within its lease".to_owned()];
    if agent.send(&Request::Bye { keep_partial }).await.is_err() {
        return unknown();
    }
    loop {
        match timeout(deadline.saturating_duration_since(Instant::now()), agent.next_report()).await {
            Ok(Ok(Some(Report::Bye { left }))) => {
                agent.finish().await;
                return left;
            }
            Ok(Ok(Some(_))) => {}
            Ok(Ok(None) | Err(_)) | Err(_) => return unknown(),
        }
    }
}

fn failure(phase: Phase, error: &SshError) -> Failure {
    Failure { phase, kind: error.kind(), message: error.to_string(), detail: error.detail() }
}

fn gone(agent: &AgentProcess) -> Failure {
    let words = agent.last_words();
    let how = agent.exit().map_or_else(|| "the connection ended".to_owned(), |exit| format!("the agent ended, {exit}"));
    Failure { detail: words, ..Failure::new(Phase::Fetching, FailureKind::Lost, how) }
}
