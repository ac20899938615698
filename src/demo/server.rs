use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKey};
use russh::server::{
    self, Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, MethodKind, MethodSet};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::account::Account;
use super::exec::Exec;
use super::forward;
use super::{DemoError, Fault};

/// Connections to one host at a time; one more waits. A deployment has one or two.
const MAX_CONNECTIONS: usize = 32;

/// Channels of one connection at a time; one more is refused. A deployment has a few.
const MAX_CHANNELS: usize = 64;

/// Messages of a channel between the session and whoever reads them, who takes them at once as a rule.
const CHANNEL_BUFFER: usize = 64;

/// Whoever says nothing for so long after connecting is sent away.
const GREETING: Duration = Duration::from_secs(30);

/// How often a connection is looked at whose session may be too busy to see its end.
const LOOK: Duration = Duration::from_secs(1);

/// A pause after accepting failed, which it does when no file descriptor is left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// One host as its SSH server knows it.
pub(super) struct Server {
    account: Account,
    login: PublicKey,
    fault: Option<Fault>,
    broken: AtomicBool,
    own: Arc<Config>,
    impostor: Arc<Config>,
}

impl Server {
    /// A host that lets `login` in and shows the key `own`; `impostor` while its fault is [`Fault::HostKey`].
    pub(super) fn new(
        account: Account,
        login: PublicKey,
        fault: Option<Fault>,
        own: PrivateKey,
        impostor: PrivateKey,
    ) -> Self {
        Self {
            account,
            login,
            fault,
            broken: AtomicBool::new(fault.is_some()),
            own: Arc::new(config(own)),
            impostor: Arc::new(config(impostor)),
        }
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// The fault that it has at present.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.filter(|_| self.broken.load(Ordering::Acquire))
    }

    /// The fault is over. Answers which one it was, if there was one.
    pub(super) fn mend(&self) -> Option<Fault> {
        self.fault.filter(|_| self.broken.swap(false, Ordering::AcqRel))
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(if self.fault() == Some(Fault::HostKey) { &self.impostor } else { &self.own })
    }

    fn knows(&self, user: &str, key: &PublicKey) -> bool {
        self.fault() != Some(Fault::Auth)
            && user == self.account.user()
            && key.key_data() == self.login.key_data()
    }
}

fn config(key: PrivateKey) -> Config {
    Config {
        keys: vec![key],
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        // Nothing here can be guessed.
        auth_rejection_time: Duration::ZERO,
        // The client keeps the connection alive, or leaves it.
        inactivity_timeout: None,
        channel_buffer_size: CHANNEL_BUFFER,
        nodelay: true,
        ..Config::default()
    }
}

/// The threads and tasks that all hosts share.
#[derive(Clone)]
pub(super) struct Tasks {
    pub(super) stop: CancellationToken,
    pub(super) tracker: TaskTracker,
}

/// Answers on `socket`, which is bound and non-blocking, until told to stop. Must be called within a tokio runtime.
pub(super) fn open(server: Arc<Server>, socket: socket2::Socket, tasks: &Tasks) -> Result<(), DemoError> {
    let host = server.account.user().to_owned();
    let listener = socket
        .listen(i32::try_from(MAX_CONNECTIONS).unwrap_or(i32::MAX))
        .and_then(|()| TcpListener::from_std(socket.into()))
        .map_err(|source| DemoError::Listen { host, source })?;
    tasks.tracker.spawn(accept(server, listener, tasks.clone()));
    Ok(())
}

async fn accept(server: Arc<Server>, listener: TcpListener, tasks: Tasks) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = tasks.stop.cancelled() => return,
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                listener.accept().await.map(|(stream, client)| (stream, client, place))
            } => accepted,
        };
        match accepted {
            Ok((stream, client, place)) => {
                let (server, inner) = (Arc::clone(&server), tasks.clone());
                tasks.tracker.spawn(async move {
                    // A connection that breaks is the client's affair, who sees it.
                    let _ = converse(server, stream, client, inner).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
    }
}

async fn converse(
    server: Arc<Server>,
    stream: TcpStream,
    client: SocketAddr,
    tasks: Tasks,
) -> Result<(), russh::Error> {
    stream.set_nodelay(true)?;
    let address = stream.local_addr()?;
    let stream = stream.into_std()?;
    let twin = TcpStream::from_std(stream.try_clone()?)?;
    let stream = TcpStream::from_std(stream)?;

    let closed = tasks.stop.child_token();
    let _closes = closed.clone().drop_guard();
    let (config, tracker, stop) = (server.config(), tasks.tracker, tasks.stop);
    let connection = Connection {
        server,
        client,
        address,
        closed: closed.clone(),
        stop,
        tracker,
        places: Arc::new(Semaphore::new(MAX_CHANNELS)),
        waiting: HashMap::new(),
    };
    let greeted = tokio::time::timeout(GREETING, server::run_stream(config, stream, connection));
    let mut session = tokio::select! {
        greeted = greeted => greeted.map_err(|_| russh::Error::ConnectionTimeout)??,
        () = closed.cancelled() => return Ok(()),
    };
    tokio::select! {
        end = &mut session => return end,
        () = hung_up(&twin) => {}
        () = closed.cancelled() => {}
    }
    // Children end first: a session may be waiting for one of them to take its input.
    closed.cancel();
    SockRef::from(&twin).shutdown(std::net::Shutdown::Both)?;
    session.await
}

/// Ends when the client has closed the connection, which a session does not see while it waits for a slow reader.
async fn hung_up(stream: &TcpStream) {
    while let Ok(ready) = stream.ready(Interest::READABLE).await {
        if ready.is_read_closed() {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What one client may do.
struct Connection {
    server: Arc<Server>,
    client: SocketAddr,
    address: SocketAddr,
    closed: CancellationToken,
    /// The whole fleet ends.
    stop: CancellationToken,
    tracker: TaskTracker,
    places: Arc<Semaphore>,
    /// Session channels that have not said yet what to run.
    waiting: HashMap<ChannelId, (Channel<Msg>, OwnedSemaphorePermit)>,
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(if self.server.knows(user, offer.public_key) { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Ok(if self.server.knows(user, key.public_key) { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            self.waiting.insert(channel.id(), (channel, place));
            reply.accept().await;
        } else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
        }
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(target) = forward::target(host, port) else {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        let closed = self.closed.clone();
        self.tracker.spawn(async move {
            forward::carry(target, channel, reply, closed).await;
            drop(place);
        });
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some((waiting, place)) = self.waiting.remove(&channel) else {
            return session.channel_failure(channel);
        };
        match Exec::start(self.server.account(), command, self.client, self.address) {
            Ok(exec) => {
                session.channel_success(channel)?;
                let (handle, closed, stop) = (session.handle(), self.closed.clone(), self.stop.clone());
                self.tracker.spawn(async move {
                    exec.converse(waiting, handle, closed, stop).await;
                    drop(place);
                });
                Ok(())
            }
            Err(error) => {
                session.extended_data(channel, 1, format!("cannot start a shell: {error}\n"))?;
                session.channel_failure(channel)
            }
        }
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn channel_close(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.waiting.remove(&channel);
        Ok(())
    }
}

/// A socket that is bound to a free port of `address` and does not listen yet, so that connections are refused.
pub(super) fn bind(address: std::net::IpAddr) -> io::Result<socket2::Socket> {
    let domain = socket2::Domain::for_address((address, 0).into());
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((address, 0)).into())?;
    Ok(socket)
}
