use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::control::{Failure, FailureKind, HostId, LogLevel, LogSource, Phase, Report, Request};
use crate::ssh::{AgentProcess, AgentSays, AgentSender, Exit, Session, SshError};
use crate::swarm::seeder::Seeder;

use super::board::Board;
use super::coordinator::Word;
use super::run::Shared;

/// Orders that wait for a host at most: metainfo is one order, and neighbours come and go by ones.
pub(super) const DOS: usize = 64;

/// How long to wait before a feed that ended is opened again; twice as long each time that nothing went through it.
const FEED_AGAIN: Duration = Duration::from_secs(1);

/// The longest such wait: each attempt costs the host a channel, or even a process.
const FEED_SELDOM: Duration = Duration::from_secs(30);

/// What a worker is to do.
#[derive(Debug, Clone)]
pub(super) enum Do {
    /// Send it to the agent.
    Send(Request),
    /// Send these lines, then feed the host at the port of its loopback; `alone` if nobody else will.
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

    async fn warn(&self, message: String) {
        let (level, source) = (LogLevel::Warn, LogSource::Murder);
        self.say(Word::Said(Report::Log { level, source, message })).await;
    }

    async fn pass_on(&self, says: AgentSays) {
        match says {
            AgentSays::Words(line) => self.say(Word::Stderr(line)).await,
            AgentSays::Report(Report::Progress(progress)) => {
                self.board.put(self.host, self.attempt, *progress)
            }
            AgentSays::Report(report) => {
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
    let Some(target) = shared.targets.get(mouth.host.index()) else { return Ok(Vec::new()) };
    let Some(session) = unless_left(dos, shared.ssh.connect(target)).await else { return Ok(Vec::new()) };
    let session = session.map_err(|error| error.failure(Phase::Connecting))?;
    mouth.say(Word::LoggedIn).await;
    let launch = session.launch(&shared.agents);
    let Some(launched) = unless_left(dos, launch).await else { return Ok(Vec::new()) };
    let agent = launched.map_err(|error| error.failure(Phase::Launching))?;
    mouth.say(Word::Clock { offset_ms: clock_offset_ms(agent.hello.clock_ms) }).await;
    mouth.say(Word::Launched { uploaded: agent.uploaded_bytes }).await;
    let left = converse(shared, mouth, dos, &session, agent).await;
    session.close().await;
    left
}

/// How far the host's clock, which just said `theirs`, goes before ours; milliseconds.
fn clock_offset_ms(theirs: u64) -> i64 {
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    i64::try_from(i128::from(theirs) - ours as i128).unwrap_or_default()
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

/// Carries orders to the agent and its reports back, until one of both ends it.
async fn converse(
    shared: &Arc<Shared>,
    mouth: &Mouth,
    dos: &mut mpsc::Receiver<Do>,
    session: &Session,
    mut agent: AgentProcess,
) -> Result<Vec<String>, Failure> {
    let keep_partial = {
        // Beside the reports, not between them: an agent that reads slowly must still be heard.
        let orders = carry(shared, mouth, dos, session, agent.sender());
        tokio::pin!(orders);
        loop {
            tokio::select! {
                says = agent.next() => match says {
                    Ok(Some(says)) => mouth.pass_on(says).await,
                    Ok(None) => return Err(gone(&mut agent).await),
                    Err(error) => return Err(lost(&error, &agent)),
                },
                ended = &mut orders => match ended {
                    Ok(keep_partial) => break keep_partial,
                    Err(error) => return Err(lost(&error, &agent)),
                },
            }
        }
    };
    Ok(agent.leave(keep_partial).await.left)
}

/// Carries orders out until the host is to be left; says whether to keep what it has of the payload.
async fn carry(
    shared: &Shared,
    mouth: &Mouth,
    dos: &mut mpsc::Receiver<Do>,
    session: &Session,
    agent: AgentSender,
) -> Result<bool, SshError> {
    let mut _feed = None;
    loop {
        match dos.recv().await {
            Some(Do::Send(request)) => agent.send(&request).await?,
            Some(Do::Join { lines, fetch, port, alone }) => {
                for line in lines.iter().chain([&fetch]) {
                    agent.send(line).await?;
                }
                _feed = shared.seeder().map(|seeder| {
                    let task = feed_host(seeder, session.clone(), mouth.clone(), port, alone);
                    AbortOnDropHandle::new(tokio::spawn(task))
                });
            }
            Some(Do::Leave { keep_partial }) => return Ok(keep_partial),
            None => return Ok(true),
        }
    }
}

/// Keeps a way from the seeder to the host open until it is aborted.
async fn feed_host(seeder: Arc<Seeder>, session: Session, mouth: Mouth, port: u16, alone: bool) {
    let mut wait = FEED_AGAIN;
    let mut warned = false;
    while !session.is_closed() {
        match session.open_loopback(port).await {
            Ok(stream) => {
                let feed = seeder.feed(mouth.host, stream, !alone);
                feed.ended().await;
                if feed.sent() > 0 {
                    wait = FEED_AGAIN;
                }
            }
            // The end of the connection is told where the agent is heard.
            Err(SshError::Lost { .. }) => {}
            Err(error) if !warned => {
                warned = true;
                mouth.warn(unfed(&error, alone)).await;
            }
            Err(_) => {}
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(FEED_SELDOM);
    }
}

/// What it means for a host that no stream to it can be opened.
fn unfed(error: &SshError, alone: bool) -> String {
    let rest = if alone {
        "no other host reaches it either: let its sshd allow forwarding, or a second session"
    } else {
        "it gets all from other hosts"
    };
    format!("nothing can be sent to it from here: {error}; {rest}")
}

fn lost(error: &SshError, agent: &AgentProcess) -> Failure {
    Failure { detail: agent.stderr(), ..error.failure(Phase::Fetching) }
}

async fn gone(agent: &mut AgentProcess) -> Failure {
    let how = match agent.wait().await {
        Exit::Unknown => "the connection to the agent closed".to_owned(),
        exit => format!("the agent ended by itself ({exit})"),
    };
    Failure { detail: agent.stderr(), ..Failure::new(Phase::Fetching, FailureKind::Lost, how) }
}
