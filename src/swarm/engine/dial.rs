use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::connection::{NOT_SENT_LOWAT, serve};
use super::core::Core;
use super::links::{Dialled, Who};
use crate::control::{HostId, Neighbour};
use crate::socket::tune;
use crate::swarm::noise::{self, Channel};

/// The next address of a host is tried when the one before did not answer for so long.
const NEXT_ADDRESS: Duration = Duration::from_millis(300);
/// An address that does not answer for so long is given up.
const CONNECT: Duration = Duration::from_secs(5);
/// First and longest pause between dials to a host.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// The end with the higher number dials so much later, so that as a rule there is one connection and not two.
const COURTESY: Duration = Duration::from_millis(250);
/// Incoming connections whose handshake is not done. A stranger must not use up our descriptors.
const MOST_UNKNOWN: usize = 64;

/// A host and where it may be reached, best first; may change.
pub(super) type Whom = Arc<Mutex<Neighbour>>;

/// Keeps a connection to a host: dials whenever there is none, until the task is ended.
pub(super) async fn keep_dialling(core: Arc<Core>, host: HostId, whom: Whom) {
    if host < core.me {
        tokio::time::sleep(COURTESY).await;
    }
    let mut pause = BACK_OFF.0;
    loop {
        let changed = core.links_changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let (connected, banned) = {
            let state = core.lock();
            (state.by_host.contains_key(&host), state.banned.contains(&host))
        };
        if banned {
            return;
        }
        if connected {
            changed.await;
            pause = BACK_OFF.0;
            continue;
        }
        let known = whom.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((channel, address)) = reach(&core, &known).await {
            let who = Who { host: Some(host), address: Some(address), dialled: Dialled::ByUs };
            let begun = tokio::time::Instant::now();
            if let Err(error) = serve(core.clone(), channel, who).await {
                tracing::debug!(%host, %address, %error, "connection ended");
            }
            if begun.elapsed() > BACK_OFF.1 {
                pause = BACK_OFF.0;
            }
        }
        let random = fastrand::f64() * 0.5 + 0.75;
        tokio::time::sleep(pause.mul_f64(random)).await;
        pause = (pause * 2).min(BACK_OFF.1);
    }
}

/// Tries the addresses of a host, each a little after the one before; the first that proves to be that host wins.
async fn reach(core: &Arc<Core>, whom: &Neighbour) -> Option<(Channel<TcpStream>, SocketAddr)> {
    let (host, life) = (whom.id, whom.life);
    let mut attempts = JoinSet::new();
    for (place, address) in whom.addresses.iter().copied().enumerate() {
        let core = core.clone();
        attempts.spawn(async move {
            tokio::time::sleep(NEXT_ADDRESS * place as u32).await;
            (dial(&core, host, life, address).await, address)
        });
    }
    while let Some(attempt) = attempts.join_next().await {
        match attempt {
            Ok((Ok(channel), address)) => return Some((channel, address)),
            Ok((Err(error), address)) => tracing::debug!(%host, %address, %error, "not reached"),
            Err(_) => {}
        }
    }
    None
}

async fn dial(core: &Core, host: HostId, life: u32, address: SocketAddr) -> io::Result<Channel<TcpStream>> {
    let stream = tokio::time::timeout(CONNECT, TcpStream::connect(address))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    tune(&stream, NOT_SENT_LOWAT)?;
    match &core.party {
        Some(party) => Ok(noise::dial(stream, party, host, life).await?),
        None => Ok(Channel::plain(stream)),
    }
}

/// Answers who dials a listener, until the task is ended.
pub(super) async fn keep_answering(core: Arc<Core>, listener: TcpListener) {
    let unknown = Arc::new(Semaphore::new(MOST_UNKNOWN));
    let mut answers = JoinSet::new();
    loop {
        let Ok(permit) = unknown.clone().acquire_owned().await else { return };
        while answers.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, address)) => {
                let core = core.clone();
                answers.spawn(async move {
                    let tuned = tune(&stream, NOT_SENT_LOWAT);
                    if tuned.is_ok() {
                        answer(core, stream, Some(address), permit).await;
                    }
                });
            }
            Err(error) => {
                // Too many open files, most likely: some will be closed.
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(BACK_OFF.0).await;
            }
        }
    }
}

/// Answers one end. `until_known` is held until it has shown that it may join.
pub(super) async fn answer<S, P>(core: Arc<Core>, stream: S, address: Option<SocketAddr>, until_known: P)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (channel, host) = match &core.party {
        Some(party) => match noise::answer(stream, party, &core.seen).await {
            Ok((channel, host)) => (channel, Some(host)),
            Err(error) => {
                tracing::debug!(?address, %error, "not answered");
                return;
            }
        },
        None => (Channel::plain(stream), None),
    };
    drop(until_known);
    let who = Who { host, address, dialled: Dialled::ByThem };
    if let Err(error) = serve(core, channel, who).await {
        tracing::debug!(?host, ?address, %error, "connection ended");
    }
}
