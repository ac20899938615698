use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::control::{FailureKind, Report, Request};
use crate::ssh::{AgentSays, SshError};

use super::coordinator::Word;
use super::entry::Parting;
use super::run::Shared;
use super::worker::{Do, Mouth, part, unless_left};

/// For all of it. The run waits for it at its end, and a person with it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Logs in once more to a host whose agent did not say goodbye: an agent that takes its lock ends the older one, removes what that
/// left behind, and leaves.
pub(super) async fn sweep(shared: Arc<Shared>, mouth: Mouth, mut dos: mpsc::Receiver<Do>, begin: Request) {
    let swept = unless_left(&mut dos, timeout(PATIENCE, look_after(&shared, &mouth, &begin))).await;
    let parting = match swept {
        None => Parting::Unmet,
        Some(Ok(Ok(parting))) => parting,
        Some(Ok(Err(reason))) => Parting::Silent(reason),
        Some(Err(_)) => Parting::Silent(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    mouth.say(Word::Gone { parting }).await;
}

async fn look_after(shared: &Shared, mouth: &Mouth, begin: &Request) -> Result<Parting, String> {
    let words = |error: SshError| error.to_string();
    let target = shared.targets.get(mouth.host.index()).ok_or("there is no such host")?;
    let session = shared.ssh.connect(target).await.map_err(words)?;
    let mut agent = session.launch(&shared.agents).await.map_err(words)?;
    agent.sender().send(begin).await.map_err(words)?;
    let failure = loop {
        match agent.next().await.map_err(words)? {
            Some(AgentSays::Report(Report::Checked(_))) => break None,
            Some(AgentSays::Report(Report::Failed(failure))) => break Some(failure),
            Some(_) => {}
            None => return Err("the agent ended by itself".to_owned()),
        }
    };
    let parting = part(agent, true).await;
    session.close().await;
    match failure {
        // Whoever holds it now has removed what was left.
        None => Ok(parting),
        Some(failure) if failure.kind == FailureKind::Locked => Ok(Parting::Goodbye(Vec::new())),
        Some(failure) => Err(failure.message),
    }
}
