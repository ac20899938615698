use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::control::{Failure, FailureKind, Hello, HostId, LEASE, Phase, Report, Request, RunKey};
use crate::ssh::{AgentProcess, AgentSays, AgentSender, Session, SshError};
use crate::swarm::noise::{self, NoiseError, Party};

use super::coordinator::Word;
use super::run::Shared;
use super::sent::Sent;
use super::worker::{Do, Mouth};

/// How long to wait before a host is dialled again; twice as long each time.
const KNOCK_AGAIN: Duration = Duration::from_millis(500);

/// The longest such wait: a network that is back is to be noticed soon.
const KNOCK_SELDOM: Duration = Duration::from_secs(4);

/// For an agent to answer who came back to it.
const ANSWER: Duration = Duration::from_secs(10);

/// Connections that one attempt may lose: a host whose connections end as soon as they are there gets no further.
const MOST_RETURNS: u32 = 50;

/// What is left behind on a host that could not be told to leave.
pub(super) const UNREACHED: &str =
    "its connection is lost and its agent could not be told to leave: it ends by itself within 60 s";

/// What an operator and an agent have said to each other, so that both can go on over another connection.
pub(super) struct Talk {
    hello: Hello,
    key: RunKey,
    returns: u32,
    /// Where the agent may be come back to.
    pub(super) port: Option<u16>,
    pub(super) sent: Sent,
    /// Number of the request that is to be sent next.
    pub(super) next: u64,
    /// Numbered reports that were heard.
    pub(super) heard: u64,
}

impl Talk {
    /// Asks a new agent to outlive its connection.
    pub(super) async fn begin(id: HostId, hello: Hello, agent: AgentSender) -> Result<Self, Failure> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| {
            let message = format!("cannot make a key for the agent: {error}");
            Failure::new(Phase::Launching, FailureKind::Internal, message)
        })?;
        let key = RunKey(key);
        let asked = agent.send(&Request::Resumable { id, key: key.clone() }).await;
        asked.map_err(|error| error.failure(Phase::Launching))?;
        Ok(Self { hello, key, returns: 0, port: None, sent: Sent::default(), next: 0, heard: 0 })
    }
}

/// What came of coming back.
pub(super) enum Comeback {
    Back(Box<(Session, AgentProcess)>),
    /// The host is to be left, which its agent cannot be told.
    Left,
    Failed(Failure),
}

/// Tries to reach an agent again whose connection was lost, as long as its lease may last. Orders that come meanwhile are
/// kept for it.
pub(super) async fn come_back(
    shared: &Arc<Shared>,
    mouth: &Mouth,
    dos: &mut mpsc::Receiver<Do>,
    earlier: &Session,
    talk: &mut Talk,
    failure: Failure,
) -> Comeback {
    let Some(port) = talk.port.filter(|_| talk.returns < MOST_RETURNS) else {
        return Comeback::Failed(failure);
    };
    talk.returns += 1;
    mouth.say(Word::Cut(failure.message.clone())).await;
    let party = Party { key: talk.key.clone(), me: HostId::SEEDER, life: 0, info_hash: [0; 20] };
    let door = Door { host: mouth.host, port, party, hello: talk.hello.clone(), heard: talk.heard };
    let knocking = knock_until(Instant::now() + LEASE, shared, earlier, &door);
    tokio::pin!(knocking);
    let known = loop {
        tokio::select! {
            known = &mut knocking => break known,
            order = dos.recv() => match order {
                Some(Do::Leave { .. }) | None => return Comeback::Left,
                Some(order) => talk.sent.take(order),
            },
        }
    };
    match known {
        Ok(Known { session, agent, requests, next }) => {
            if requests < talk.sent.count() && talk.sent.get(requests).is_none() {
                let message = format!("{}; its agent is too far behind", failure.message);
                return Comeback::Failed(Failure { message, ..failure });
            }
            (talk.next, talk.heard) = (requests, next);
            mouth.say(Word::Back).await;
            Comeback::Back(Box::new((session, agent)))
        }
        Err(why) => {
            let message = format!("{}; {why}", failure.message);
            Comeback::Failed(Failure { message, ..failure })
        }
    }
}

/// Where to come back to, and as whom.
struct Door {
    host: HostId,
    port: u16,
    party: Party,
    hello: Hello,
    heard: u64,
}

/// An agent that knew us again.
struct Known {
    session: Session,
    agent: AgentProcess,
    /// Numbered requests that it has heard.
    requests: u64,
    /// Number of the report that it tells next.
    next: u64,
}

/// Why nobody opened.
enum Shut {
    /// Another time somebody may.
    Now(String),
    ForGood(String),
}

async fn knock_until(
    deadline: Instant,
    shared: &Shared,
    earlier: &Session,
    door: &Door,
) -> Result<Known, String> {
    let mut pause = KNOCK_AGAIN;
    let mut last = None;
    loop {
        match timeout_at(deadline, knock(shared, earlier, door)).await {
            Ok(Ok(known)) => return Ok(known),
            Ok(Err(Shut::ForGood(why))) => return Err(why),
            Ok(Err(Shut::Now(why))) => last = Some(why),
            Err(_) => {
                let why = last.map(|why| format!(": {why}")).unwrap_or_default();
                return Err(format!("no way back to it for {} s{why}", LEASE.as_secs()));
            }
        }
        sleep(pause.mul_f64(0.75 + fastrand::f64() * 0.5)).await;
        pause = (pause * 2).min(KNOCK_SELDOM);
    }
}

async fn knock(shared: &Shared, earlier: &Session, door: &Door) -> Result<Known, Shut> {
    let Some(target) = shared.targets.get(door.host.index()) else {
        return Err(Shut::ForGood("it is no host of this run".to_owned()));
    };
    let session = shared.ssh.connect(target).await.map_err(|error| match error.kind() {
        FailureKind::Auth | FailureKind::HostKey => Shut::ForGood(error.to_string()),
        _ => Shut::Now(error.to_string()),
    })?;
    session.follow(earlier);
    let gone = || Shut::ForGood("its agent has ended meanwhile".to_owned());
    let stream = session.open_loopback(door.port).await.map_err(|error| match error {
        SshError::Refused { .. } => gone(),
        error => Shut::Now(error.to_string()),
    })?;
    let channel = noise::dial(stream, &door.party, door.host, 0).await.map_err(|error| match error {
        NoiseError::Timeout => Shut::Now(error.to_string()),
        _ => gone(),
    })?;
    let mut agent = session.resume(door.hello.clone(), channel);
    let sender = agent.sender();
    let resume = async {
        sender.send(&Request::Resume { heard: door.heard }).await?;
        agent.next().await
    };
    match timeout(ANSWER, resume).await {
        Ok(Ok(Some(AgentSays::Report(Report::Resumed { heard, next })))) => {
            Ok(Known { session, agent, requests: heard, next })
        }
        Ok(Ok(_)) => Err(gone()),
        Ok(Err(error)) => Err(Shut::Now(error.to_string())),
        Err(_) => Err(Shut::Now("its agent does not answer".to_owned())),
    }
}
