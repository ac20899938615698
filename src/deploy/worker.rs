use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::control::{Failure, FailureKind, Fetch, HostId, LogLevel, LogSource, Phase, Report, Request};
use crate::ssh::{AgentProcess, AgentSays, AgentSender, Exit, Session, SshError};
use crate::swarm::seeder::Seeder;

use super::board::Board;
use super::coordinator::Word;
use super::entry::Parting;
use super::run::Shared;
use super::sent::{Joined, Sent};
use super::talk::{Comeback, Talk, UNREACHED, come_back};
use super::way::{self, Way};

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
    /// Send these lines, then, when it is in the swarm, feed the host at the port of its loopback, or at its addresses; `alone` if nobody else will.
    Join {
        lines: Vec<Arc<Vec<Request>>>,
        fetch: Box<Fetch>,
        port: u16,
        addresses: Vec<SocketAddr>,
        alone: bool,
    },
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
    pub(super) async fn say(&self, word: Word) {
        // Nobody listens only when the run is over.
        let _ = self.words.send((self.host, self.attempt, word)).await;
    }

    async fn warn(&self, message: String) {
        self.log(LogLevel::Warn, message).await;
    }

    async fn note(&self, message: String) {
        self.log(LogLevel::Debug, message).await;
    }

    async fn log(&self, level: LogLevel, message: String) {
        let source = LogSource::Murder;
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
    let parting = match attempt(&shared, &mouth, &mut dos).await {
        Ok(parting) => {
            tracing::debug!(host = %mouth.host, attempt = mouth.attempt, ?parting, "left");
            parting
        }
        Err((failure, parting)) => {
            tracing::debug!(host = %mouth.host, attempt = mouth.attempt, %failure, "failed");
            mouth.say(Word::Failed(failure)).await;
            parting
        }
    };
    mouth.say(Word::Gone { parting }).await;
}

async fn attempt(
    shared: &Arc<Shared>,
    mouth: &Mouth,
    dos: &mut mpsc::Receiver<Do>,
) -> Result<Parting, (Failure, Parting)> {
    let unmet = |failure| (failure, Parting::Unmet);
    let silent = |failure: Failure| {
        let parting = Parting::Silent(failure.message.clone());
        (failure, parting)
    };
    let Some(target) = shared.targets.get(mouth.host.index()) else { return Ok(Parting::Unmet) };
    let Some(session) = unless_left(dos, shared.ssh.connect(target)).await else { return Ok(Parting::Unmet) };
    let mut session = session.map_err(|error| unmet(error.failure(Phase::Connecting)))?;
    tracing::debug!(host = %mouth.host, attempt = mouth.attempt, "logged in");
    mouth.say(Word::LoggedIn).await;
    let launch = session.launch(&shared.agents);
    let Some(launched) = unless_left(dos, launch).await else { return Ok(Parting::Unmet) };
    let mut agent = launched.map_err(|error| unmet(error.failure(Phase::Launching)))?;
    let uploaded = agent.uploaded_bytes;
    tracing::debug!(host = %mouth.host, attempt = mouth.attempt, uploaded, "the agent runs");
    mouth.say(Word::Clock { offset_ms: clock_offset_ms(agent.hello.clock_ms) }).await;
    mouth.say(Word::Launched { uploaded }).await;
    let talk = Talk::begin(mouth.host, agent.hello.clone(), agent.sender()).await;
    let mut talk = talk.map_err(silent)?;
    loop {
        let failure = match converse(shared, mouth, dos, &session, agent, &mut talk).await {
            End::Left(parting) => {
                session.close().await;
                return Ok(parting);
            }
            End::Failed(failure) => {
                session.close().await;
                return Err(silent(failure));
            }
            End::Cut(failure) => failure,
        };
        match come_back(shared, mouth, dos, &session, &mut talk, failure).await {
            Comeback::Back(new) => (session, agent) = *new,
            Comeback::Left => return Ok(Parting::Silent(UNREACHED.to_owned())),
            Comeback::Failed(failure) => return Err(silent(failure)),
        }
    }
}

/// How far the host's clock, which just said `theirs`, goes before ours; milliseconds.
fn clock_offset_ms(theirs: u64) -> i64 {
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    i64::try_from(i128::from(theirs) - ours as i128).unwrap_or_default()
}

/// Does it, unless the host is to be left before it is done.
pub(super) async fn unless_left<T>(dos: &mut mpsc::Receiver<Do>, work: impl Future<Output = T>) -> Option<T> {
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

/// How a connection to an agent came to its end.
enum End {
    /// The host was to be left.
    Left(Parting),
    /// The agent is gone.
    Failed(Failure),
    /// The connection is gone; the agent may not be.
    Cut(Failure),
}

/// Carries orders to the agent and its reports back, until one of both ends it.
async fn converse(
    shared: &Shared,
    mouth: &Mouth,
    dos: &mut mpsc::Receiver<Do>,
    session: &Session,
    mut agent: AgentProcess,
    talk: &mut Talk,
) -> End {
    let Talk { sent, next, heard, port, .. } = talk;
    let in_swarm = sent.in_swarm.clone();
    let keep_partial = {
        // Beside the reports, not between them: an agent that reads slowly must still be heard.
        let orders = carry(shared, mouth, dos, session, agent.sender(), sent, next);
        tokio::pin!(orders);
        loop {
            tokio::select! {
                says = agent.next() => match says {
                    Ok(Some(AgentSays::Report(Report::Resumable { port: at }))) => *port = Some(at),
                    Ok(Some(says)) => {
                        let numbered = matches!(&says, AgentSays::Report(report) if report.is_numbered());
                        *heard += u64::from(numbered);
                        if matches!(says, AgentSays::Report(Report::Joined { .. })) {
                            in_swarm.cancel();
                        }
                        mouth.pass_on(says).await;
                    }
                    Ok(None) => return gone(&mut agent).await,
                    Err(error) => return End::Cut(lost(&error, &agent)),
                },
                ended = &mut orders => match ended {
                    Ok(keep_partial) => break keep_partial,
                    Err(error) => return End::Cut(lost(&error, &agent)),
                },
            }
        }
    };
    End::Left(part(agent, keep_partial).await)
}

/// Lets the agent leave.
pub(super) async fn part(agent: AgentProcess, keep_partial: bool) -> Parting {
    match agent.leave(keep_partial).await.left {
        Some(left) => Parting::Goodbye(left),
        None => Parting::Silent("its agent does not answer".to_owned()),
    }
}

/// Carries orders out until the host is to be left; says whether to keep what it has of the payload.
async fn carry(
    shared: &Shared,
    mouth: &Mouth,
    dos: &mut mpsc::Receiver<Do>,
    session: &Session,
    agent: AgentSender,
    sent: &mut Sent,
    next: &mut u64,
) -> Result<bool, SshError> {
    let mut feed = None;
    loop {
        while let Some(request) = sent.get(*next) {
            agent.send(request).await?;
            *next += 1;
        }
        if let Some(joined) = &sent.joined
            && feed.is_none()
            && let Some(seeder) = shared.seeder()
        {
            let task = feed_host(seeder, session.clone(), mouth.clone(), joined.clone());
            let in_swarm = sent.in_swarm.clone();
            feed = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                // It may read what it has for minutes; a dial would run out of time.
                in_swarm.cancelled().await;
                task.await;
            })));
        }
        match dos.recv().await {
            Some(Do::Leave { keep_partial }) => return Ok(keep_partial),
            Some(order) => sent.take(order),
            None => return Ok(true),
        }
    }
}

/// Keeps a way from the seeder to the host open until it is aborted.
async fn feed_host(seeder: Arc<Seeder>, session: Session, mouth: Mouth, joined: Joined) {
    let (mut wait, mut warned, mut direct) = (FEED_AGAIN, false, true);
    let (host, life, has_neighbours) = (mouth.host, joined.life, !joined.alone);
    while !session.is_closed() {
        let feed = match way::open(&session, &joined, direct).await {
            Ok(Way::Ssh(stream)) => Some(seeder.feed(host, life, stream, has_neighbours)),
            Ok(Way::Direct(stream, round_trip)) => {
                // One that leads nowhere is not tried twice.
                direct = false;
                let ms = round_trip.as_millis();
                mouth
                    .note(format!("it is {ms} ms away: fed at its swarm port, past the window of SSH"))
                    .await;
                Some(seeder.feed(host, life, stream, has_neighbours))
            }
            // The end of the connection is told where the agent is heard.
            Err(SshError::Lost { .. }) => None,
            Err(error) if !warned => {
                warned = true;
                mouth.warn(unfed(&error, joined.alone)).await;
                None
            }
            Err(_) => None,
        };
        if let Some(feed) = feed {
            tracing::debug!(%host, port = joined.port, alone = joined.alone, "fed");
            feed.ended().await;
            tracing::debug!(%host, bytes = feed.sent(), "the feed ended");
            if feed.sent() > 0 {
                (wait, direct) = (FEED_AGAIN, true);
            }
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

/// The end of the agent's stream. A process that ended says how; ssh itself ends with 255 when its connection does.
async fn gone(agent: &mut AgentProcess) -> End {
    let failure = |how, agent: &AgentProcess| Failure {
        detail: agent.stderr(),
        ..Failure::new(Phase::Fetching, FailureKind::Lost, how)
    };
    match agent.wait().await {
        Exit::Unknown | Exit::Code(255) => {
            End::Cut(failure("the connection to the agent closed".to_owned(), agent))
        }
        exit => End::Failed(failure(format!("the agent ended by itself ({exit})"), agent)),
    }
}
