use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use russh::client::Msg;
use russh::{Channel, ChannelOpenFailure};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore, oneshot};

use super::SshError;
use super::channel::{Lane, run};
use super::client::Target;
use super::connection::Connection;
use super::dial::Dialer;
use super::process::Loopback;
use super::resolve::{Hop, Resolver, Route, Via, join_port};

/// Hosts behind one connection. A jump host's sshd may open 1,016 channels where systemd's default limit of 1,024 files
/// holds; fewer bound what one lost connection takes along.
const MOST_TARGETS: usize = 256;

/// Dials through one jump connection at once.
const DIALS: usize = 32;

/// Jump hosts in a row; as with OpenSSH, a longer way is taken for a circle.
const MOST_HOPS: usize = 8;

/// Connections to jump hosts, shared by the hosts behind them.
#[derive(Default)]
pub(super) struct Jumps {
    pools: Mutex<HashMap<String, Arc<Pool>>>,
}

#[derive(Default)]
struct Pool {
    members: AsyncMutex<Members>,
}

#[derive(Default)]
struct Members {
    open: Vec<Arc<Member>>,
    /// When the last connection failed, and how: those who waited for it get the same answer.
    failed: Option<(Instant, SshError)>,
}

struct Member {
    connection: Connection,
    login: String,
    targets: AtomicUsize,
    dials: Arc<Semaphore>,
}

/// One host's place on a jump connection.
pub(super) struct Lease {
    member: Arc<Member>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.member.targets.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Jumps {
    /// A place on a connection to the last of the hops, which is reached through the ones before.
    pub(super) async fn lease(
        &self,
        dialer: &Arc<Dialer>,
        hops: &[Hop],
        from: &Target,
    ) -> Result<Lease, SshError> {
        let Some((last, before)) = hops.split_last() else {
            return Err(SshError::Internal("a way over no jump host".to_owned()));
        };
        let fail = |error| SshError::Jump { jump: last.name.clone(), error: Box::new(error) };
        let target = hop_target(last, before, from);
        // A name that `ssh -G` gives another address leads to another place with another configuration.
        let key = format!("{} {} {}", last, target.jump.join(","), target.use_config);
        let pool = {
            let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(pools.entry(key).or_default())
        };
        let asked = Instant::now();
        let mut members = pool.members.lock().await;
        members.open.retain(|member| !member.connection.is_closed());
        let free = |member: &&Arc<Member>| member.targets.load(Ordering::Relaxed) < MOST_TARGETS;
        if let Some(member) = members.open.iter().find(free) {
            return Ok(Lease::on(member));
        }
        if let Some((at, error)) = &members.failed
            && *at > asked
        {
            return Err(error.clone());
        }
        let fallback: Vec<PathBuf> = from.identity.clone();
        match dialer.connect(target, fallback).await {
            Ok((connection, route)) => {
                let member = Arc::new(Member {
                    connection,
                    login: route.login(),
                    targets: AtomicUsize::new(0),
                    dials: Arc::new(Semaphore::new(DIALS)),
                });
                members.failed = None;
                members.open.push(Arc::clone(&member));
                Ok(Lease::on(&member))
            }
            Err(error) => {
                let error = fail(error);
                members.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Says goodbye to all jump hosts.
    pub(super) async fn disconnect(&self) {
        let pools: Vec<_> =
            self.pools.lock().unwrap_or_else(PoisonError::into_inner).drain().map(|(_, pool)| pool).collect();
        for pool in pools {
            for member in pool.members.lock().await.open.drain(..) {
                member.connection.disconnect().await;
            }
        }
    }
}

/// A jump host as a host to reach.
fn hop_target(hop: &Hop, before: &[Hop], from: &Target) -> Target {
    Target {
        user: hop.user.clone(),
        port: hop.port,
        jump: before.iter().map(Hop::to_string).collect(),
        use_config: from.use_config,
        ..Target::new(hop.name.clone())
    }
}

/// Whether the way to a host comes to an end. Hosts that are reached through each other would wait for each other.
pub(super) async fn check_way(resolver: &Resolver, target: &Target) -> Result<(), SshError> {
    let mut target = target.clone();
    let host = target.name.clone();
    for _ in 0..=MOST_HOPS {
        match resolver.route(&target, &[]).await?.via {
            Via::Jump(hops) => {
                let Some((last, before)) = hops.split_last() else { return Ok(()) };
                target = hop_target(last, before, &target);
            }
            Via::Direct | Via::Command(_) => return Ok(()),
        }
    }
    let reason =
        format!("more than {MOST_HOPS} jump hosts in a row, up to {}; the way goes in a circle", target.name);
    Err(SshError::Resolve { host, reason })
}

impl Lease {
    fn on(member: &Arc<Member>) -> Self {
        member.targets.fetch_add(1, Ordering::Relaxed);
        Self { member: Arc::clone(member) }
    }

    /// Why the jump host's connection ended, if it has.
    pub(super) fn gone(&self) -> Option<String> {
        let connection = &self.member.connection;
        let words = connection.is_closed().then(|| connection.goodbye())?;
        let words = words.map(|words| format!(": {words}")).unwrap_or_default();
        Some(format!("the connection to the jump host {} is gone{words}", self.member.login))
    }

    /// Waits for a place to dial.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.member.dials).acquire_owned().await.ok()
    }

    /// A connection from the jump host to the host; its name is looked up there.
    pub(super) async fn open(
        &self,
        dialer: &Dialer,
        route: &Route,
        timeout: Duration,
    ) -> Result<Loopback, SshError> {
        let connection = &self.member.connection;
        let opened = match tokio::time::timeout(timeout, self.open_channel(dialer, route)).await {
            Ok(opened) => opened,
            Err(_) => {
                let at = join_port(&route.hostname, route.port);
                let seconds = timeout.as_secs_f32();
                let tried = format!("{at} from {}: no answer within {seconds} s", self.member.login);
                return Err(SshError::Timeout { host: route.name.clone(), tried });
            }
        };
        match opened {
            Ok(channel) => {
                let lane = Lane::Bulk(Arc::clone(&connection.pace));
                Ok(Loopback::from(run(dialer.runtime(), channel, lane)))
            }
            Err(russh::Error::ChannelOpenFailure(failure)) => {
                let reason = connection.words.why_not_open(&failure).await;
                Err(self.not_opened(route, &failure, &reason))
            }
            Err(_) => Err(SshError::Lost {
                host: route.name.clone(),
                reason: self
                    .gone()
                    .unwrap_or_else(|| format!("the jump host {} says nothing", self.member.login)),
            }),
        }
    }

    /// Opens a channel in a task of its own, which closes it if nobody waits for it any more.
    async fn open_channel(&self, dialer: &Dialer, route: &Route) -> Result<Channel<Msg>, russh::Error> {
        let (member, host, port) = (Arc::clone(&self.member), route.hostname.clone(), u32::from(route.port));
        let (sender, receiver) = oneshot::channel();
        dialer.runtime().spawn(async move {
            let handle = &member.connection.handle;
            let opened = handle.channel_open_direct_tcpip(host, port, "127.0.0.1", 0).await;
            if let Err(Ok(late)) = sender.send(opened) {
                let _ = late.close().await;
            }
        });
        receiver.await.unwrap_or(Err(russh::Error::Disconnect))
    }

    fn not_opened(&self, route: &Route, failure: &ChannelOpenFailure, reason: &str) -> SshError {
        let host = route.name.clone();
        let tried =
            format!("{} from {}: {reason}", join_port(&route.hostname, route.port), self.member.login);
        if matches!(failure, ChannelOpenFailure::AdministrativelyProhibited) {
            let tried = format!("{tried}; the jump host forbids forwarding (AllowTcpForwarding)");
            return SshError::Refused { host, tried, retryable: false };
        }
        let lower = reason.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        if says(&["name or service", "name resolution", "not known", "unknown host"]) {
            SshError::Resolve { host, reason: tried }
        } else if says(&["timed out"]) {
            SshError::Timeout { host, tried }
        } else if says(&["refused", "reset"]) {
            SshError::Refused { host, tried, retryable: true }
        } else {
            SshError::Unreachable { host, tried }
        }
    }
}
