use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use russh::ChannelOpenFailure;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::control::Hello;

use super::SshError;
use super::agent_process::AgentProcess;
use super::channel::{Lane, run};
use super::client::Shared;
use super::connection::Connection;
use super::openssh::Master;
use super::process::{Loopback, Process};
use super::resolve::Route;

/// How long to wait before a channel that was refused is asked for again; twice as long each time.
const OPEN_AGAIN: Duration = Duration::from_millis(25);
/// The longest such wait: 1.6 s in all.
const OPEN_LAST: Duration = Duration::from_millis(800);

/// A login on a host. Clones are the same login; when the last one is dropped, all that runs over it ends.
#[derive(Clone)]
pub struct Session {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    /// The host as the inventory names it.
    pub(super) host: String,
    pub(super) login: String,
    pub(super) user: String,
    /// The agent runs as root.
    pub(super) sudo: bool,
    link: Link,
    /// Where the agent lies on the host, once it has started.
    pub(super) agent_path: OnceLock<String>,
    /// sshd has said that it forwards nothing.
    no_forwarding: AtomicBool,
    // After the link, whose tasks run on its runtime.
    pub(super) shared: Arc<Shared>,
}

enum Link {
    Russh(Connection),
    Openssh(Master),
}

/// Whether what goes over a channel is much or must be prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    Control,
    Bulk,
}

impl Session {
    pub(super) fn russh(connection: Connection, route: &Route, sudo: bool, shared: Arc<Shared>) -> Self {
        Self::new(Link::Russh(connection), route, sudo, shared)
    }

    pub(super) fn openssh(master: Master, route: &Route, sudo: bool, shared: Arc<Shared>) -> Self {
        Self::new(Link::Openssh(master), route, sudo, shared)
    }

    fn new(link: Link, route: &Route, sudo: bool, shared: Arc<Shared>) -> Self {
        Self {
            inner: Arc::new(Inner {
                host: route.name.clone(),
                login: route.login(),
                user: route.user.clone(),
                sudo,
                link,
                agent_path: OnceLock::new(),
                no_forwarding: AtomicBool::new(false),
                shared,
            }),
        }
    }

    /// `user@host:port`, as it was dialled.
    pub fn login(&self) -> &str {
        &self.inner.login
    }

    /// Runs a command in the user's login shell, without a terminal.
    pub async fn exec(&self, command: &str) -> Result<Process, SshError> {
        self.inner.exec(command, Load::Control).await
    }

    /// Connects to a port of the host's own loopback: through the connection, or, where sshd forbids forwarding, through
    /// the agent as a pipe, once it has been launched. It ends with the session.
    pub async fn open_loopback(&self, port: u16) -> Result<Loopback, SshError> {
        self.inner.open_loopback(port).await
    }

    /// Speaks with an agent that was launched by an `earlier` session with the host, through a stream that leads to it.
    pub fn resume<S>(&self, hello: Hello, stream: S) -> AgentProcess
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        AgentProcess::resumed(&self.inner, hello, stream)
    }

    /// Knows of the host what an `earlier` session with it has learnt: where its agent lies.
    pub fn follow(&self, earlier: &Self) {
        if let Some(path) = earlier.inner.agent_path.get() {
            let _ = self.inner.agent_path.set(path.clone());
        }
    }

    /// The connection has ended.
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    /// Says goodbye and ends the connection for all clones.
    pub async fn close(&self) {
        match &self.inner.link {
            Link::Russh(connection) => connection.disconnect().await,
            Link::Openssh(master) => master.disconnect().await,
        }
    }
}

impl Inner {
    pub(super) fn is_closed(&self) -> bool {
        match &self.link {
            Link::Russh(connection) => connection.is_closed(),
            Link::Openssh(master) => master.is_closed(),
        }
    }

    pub(super) async fn exec(&self, command: &str, load: Load) -> Result<Process, SshError> {
        match &self.link {
            Link::Russh(connection) => self.exec_russh(connection, command, load).await,
            Link::Openssh(master) => master.exec(self.shared.runtime(), command),
        }
    }

    /// A channel for a command. A server that allows one at a time (MaxSessions 1) counts the one before until it has cleaned
    /// up after it, and tells nobody when that is.
    async fn open_session(
        &self,
        connection: &Connection,
    ) -> Result<russh::Channel<russh::client::Msg>, SshError> {
        let mut wait = OPEN_AGAIN;
        loop {
            match connection.handle.channel_open_session().await {
                Ok(channel) => return Ok(channel),
                Err(russh::Error::ChannelOpenFailure(failure)) if wait > OPEN_LAST => {
                    let reason = connection.words.why_not_open(&failure).await;
                    return Err(SshError::Launch {
                        host: self.host.clone(),
                        reason: format!("sshd opens no channel for a command: {reason}"),
                        words: Vec::new(),
                    });
                }
                Err(russh::Error::ChannelOpenFailure(_)) => tokio::time::sleep(wait).await,
                Err(_) => return Err(self.lost("while a command was started")),
            }
            wait *= 2;
        }
    }

    async fn exec_russh(
        &self,
        connection: &Connection,
        command: &str,
        load: Load,
    ) -> Result<Process, SshError> {
        let channel = self.open_session(connection).await?;
        let started = channel.exec(true, command).await;
        started.map_err(|_| self.lost("while a command was started"))?;
        let lane = match load {
            Load::Control => Lane::Control,
            Load::Bulk => Lane::Bulk(Arc::clone(&connection.pace)),
        };
        Ok(run(self.shared.runtime(), channel, lane))
    }

    async fn open_loopback(&self, port: u16) -> Result<Loopback, SshError> {
        match &self.link {
            Link::Russh(connection) => self.forward_russh(connection, port).await,
            // Whether a forwarding succeeds cannot be seen from outside of ssh.
            Link::Openssh(_) if self.agent_path.get().is_some() => self.pipe(port).await,
            Link::Openssh(master) => Ok(master.forward(self.shared.runtime(), port)?.into()),
        }
    }

    async fn forward_russh(&self, connection: &Connection, port: u16) -> Result<Loopback, SshError> {
        if self.no_forwarding.load(Ordering::Relaxed) {
            return self.pipe(port).await;
        }
        let opened =
            connection.handle.channel_open_direct_tcpip("127.0.0.1", u32::from(port), "127.0.0.1", 0).await;
        match opened {
            Ok(channel) => {
                let lane = Lane::Bulk(Arc::clone(&connection.pace));
                Ok(run(self.shared.runtime(), channel, lane).into())
            }
            Err(russh::Error::ChannelOpenFailure(
                ChannelOpenFailure::AdministrativelyProhibited | ChannelOpenFailure::UnknownChannelType,
            )) => {
                self.no_forwarding.store(true, Ordering::Relaxed);
                self.pipe(port).await
            }
            Err(russh::Error::ChannelOpenFailure(failure)) => {
                let reason = connection.words.why_not_open(&failure).await;
                Err(SshError::Refused {
                    host: self.host.clone(),
                    tried: format!("port {port} of its loopback: {reason}"),
                    retryable: true,
                })
            }
            Err(_) => Err(self.lost("while a stream was opened")),
        }
    }

    /// The agent copies between its stdio and the port.
    async fn pipe(&self, port: u16) -> Result<Loopback, SshError> {
        let Some(agent) = self.agent_path.get() else {
            return Err(SshError::Refused {
                host: self.host.clone(),
                tried: format!(
                    "port {port} of its loopback: sshd forbids forwarding, and no agent runs there"
                ),
                retryable: false,
            });
        };
        let piped = self.exec(&format!("\"{agent}\" pipe {port}"), Load::Bulk).await;
        match piped {
            Ok(process) => Ok(process.into()),
            Err(SshError::Launch { host, reason, .. }) => Err(SshError::Refused {
                host,
                tried: format!(
                    "port {port} of its loopback: sshd forbids forwarding, and instead of it {reason}"
                ),
                // A channel that is open now may be closed later.
                retryable: true,
            }),
            Err(error) => Err(error),
        }
    }

    /// Why the connection is gone, as far as it is known.
    pub(super) fn lost(&self, when: &str) -> SshError {
        let words = match &self.link {
            Link::Russh(connection) => connection.goodbye(),
            Link::Openssh(master) => master.goodbye(),
        };
        let reason = match words {
            Some(words) => format!("the connection ended {when}: {words}"),
            None => format!("the connection ended {when}"),
        };
        SshError::Lost { host: self.host.clone(), reason }
    }
}
