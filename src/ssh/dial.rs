use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::SshError;
use super::ask::Questions;
use super::auth::{Login, LoginError, State};
use super::client::{ClientOptions, Target};
use super::connection::{Connection, HandlerError, config, handshake, io_words, plain};
use super::host_key::HostKeyCheck;
use super::jump::{Jumps, Lease};
use super::keys::KeyStore;
use super::known_hosts::KnownHosts;
use super::learn::Learner;
use super::prompt::Prompt;
use super::proxy::CommandStream;
use super::resolve::{Resolver, Route, Via, join_port};

/// To connect to one address, where nobody says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// To look a name up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(20);

/// From the first byte to the end of the key exchange.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);

/// Dials to one address and port at once. sshd's MaxStartups starts to drop at ten that have not logged in.
const PER_ADDRESS: usize = 8;

/// Tries when a host hangs up before the login, as sshd does beyond MaxStartups.
const TRIES: u32 = 5;

/// The first pause between tries; each further one is twice as long.
const BACKOFF: Duration = Duration::from_millis(200);

/// Dials start up to so much later, so that they do not come in one burst.
const JITTER: Duration = Duration::from_millis(20);

/// Bytes in the socket that TCP has not sent yet, at most: what is written later waits behind them.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 64 * 1024;

/// Connects to hosts: everything that is shared between dials.
pub(super) struct Dialer {
    runtime: tokio::runtime::Handle,
    pub(super) options: ClientOptions,
    pub(super) resolver: Resolver,
    hosts: Arc<KnownHosts>,
    pub(super) learner: Learner,
    keys: KeyStore,
    pub(super) questions: Questions,
    places: Arc<Semaphore>,
    addresses: Mutex<HashMap<SocketAddr, Arc<Semaphore>>>,
    pub(super) jumps: Jumps,
}

/// The places that a dial holds until it is done.
#[derive(Default)]
struct Places(Vec<OwnedSemaphorePermit>);

/// Why one try failed.
enum Failed {
    /// The host hung up before the login: it may be busy.
    HungUp(String),
    /// It hung up during the login. Once, that may be because the user took long to answer.
    Dropped(String),
    For(SshError),
}

impl From<SshError> for Failed {
    fn from(error: SshError) -> Self {
        Self::For(error)
    }
}

/// What a connection runs over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Dialer {
    pub(super) fn new(runtime: tokio::runtime::Handle, options: ClientOptions) -> Self {
        let hosts = Arc::new(KnownHosts::default());
        let learner = Learner::start(&runtime, Arc::clone(&hosts), Arc::clone(&options.warn));
        Self {
            runtime,
            resolver: Resolver::new(options.config.clone(), options.local.clone(), Arc::clone(&options.warn)),
            hosts,
            learner,
            keys: KeyStore::default(),
            questions: Questions::new(Arc::clone(&options.ask)),
            places: Arc::new(Semaphore::new(options.fanout.max(1))),
            addresses: Mutex::default(),
            jumps: Jumps::default(),
            options,
        }
    }

    pub(super) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }

    /// Connects and logs in. Boxed, because jump hosts are connected to in the same way.
    pub(super) fn connect(
        self: &Arc<Self>,
        target: Target,
        fallback: Vec<PathBuf>,
    ) -> BoxFuture<'static, Result<(Connection, Route), SshError>> {
        let dialer = Arc::clone(self);
        Box::pin(async move {
            let route = dialer.resolver.route(&target, &fallback).await?;
            let connection = dialer.connect_route(&target, &route).await?;
            Ok((connection, route))
        })
    }

    async fn connect_route(self: &Arc<Self>, target: &Target, route: &Route) -> Result<Connection, SshError> {
        tracing::debug!(
            host = route.name,
            address = route.hostname,
            port = route.port,
            user = route.user,
            "dialling"
        );
        let check = self.host_key_check(route).await?;
        let give_up = |tried| SshError::Refused { host: route.name.clone(), tried, retryable: true };
        let (mut last, mut dropped) = (String::new(), false);
        for n in 0..TRIES {
            if n > 0 {
                let pause = BACKOFF * 2_u32.pow(n - 1);
                tokio::time::sleep(pause + random(pause / 2)).await;
            }
            match self.try_once(target, route, Arc::clone(&check)).await {
                Ok(connection) => return Ok(connection),
                Err(Failed::For(error)) => return Err(error),
                Err(Failed::HungUp(reason)) => {
                    tracing::debug!(host = route.name, reason, "hung up before the login");
                    last = reason;
                }
                Err(Failed::Dropped(reason)) if dropped => return Err(give_up(reason)),
                Err(Failed::Dropped(reason)) => (last, dropped) = (reason, true),
            }
        }
        Err(give_up(format!(
            "{last}, {TRIES} times; sshd drops logins beyond its MaxStartups, or punishes our address"
        )))
    }

    async fn host_key_check(&self, route: &Route) -> Result<Arc<HostKeyCheck>, SshError> {
        let (hosts, learner) = (Arc::clone(&self.hosts), self.learner.clone());
        let (local, route, policy) = (self.options.local.clone(), route.clone(), self.options.host_keys);
        let look = move || Arc::new(HostKeyCheck::new(hosts, learner, local, &route, policy));
        tokio::task::spawn_blocking(look).await.map_err(|error| SshError::Internal(error.to_string()))
    }

    async fn try_once(
        self: &Arc<Self>,
        target: &Target,
        route: &Route,
        check: Arc<HostKeyCheck>,
    ) -> Result<Connection, Failed> {
        let mut places = Places::default();
        let (stream, address, lease) = self.stream(target, route, &mut places).await?;
        let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake(stream, config(), check)).await;
        let mut connection = match shaken {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(refused(route, &address, error)),
            Err(_) => {
                return Err(Failed::For(SshError::Timeout {
                    host: route.name.clone(),
                    tried: format!("{address}: no key exchange within {} s", HANDSHAKE_TIMEOUT.as_secs()),
                }));
            }
        };
        connection.lease = lease;
        let login = Login {
            handle: &mut connection.handle,
            words: &connection.words,
            route,
            keys: &self.keys,
            questions: &self.questions,
            local: self.resolver.local(),
            before_question: &mut || places.0.clear(),
            state: State::default(),
        };
        match login.run().await {
            Ok(()) => Ok(connection),
            Err(LoginError::Refused(error)) => Err(Failed::For(error)),
            Err(LoginError::Gone(reason)) => Err(Failed::Dropped(format!("{address}: {reason}"))),
            Err(LoginError::Silent) => Err(Failed::For(SshError::Timeout {
                host: route.name.clone(),
                tried: format!("{address}: no answer to the login as {}", route.user),
            })),
        }
    }

    /// The bytes' way to the host, the address in words, and the place on a jump host.
    async fn stream(
        self: &Arc<Self>,
        target: &Target,
        route: &Route,
        places: &mut Places,
    ) -> Result<(Box<dyn Stream>, String, Option<Lease>), Failed> {
        match &route.via {
            Via::Direct => {
                places.0.extend(self.place().await);
                let (stream, address) = self.tcp(route, places).await?;
                Ok((Box::new(Prompt(stream)), address.to_string(), None))
            }
            Via::Command(command) => {
                places.0.extend(self.place().await);
                let stream = CommandStream::start(command).map_err(|error| {
                    let tried = format!("ProxyCommand `{command}`: {}", io_words(&error));
                    SshError::Unreachable { host: route.name.clone(), tried }
                })?;
                Ok((Box::new(stream), format!("ProxyCommand `{command}`"), None))
            }
            Via::Jump(hops) => {
                // Before our own place: with all places taken by hosts that wait for it, a jump host could never dial.
                let lease = self.jumps.lease(self, hops, target).await?;
                places.0.extend(lease.place().await);
                places.0.extend(self.place().await);
                let stream = lease.open(self, route, self.connect_timeout(route)).await?;
                let address = format!(
                    "{} over {}",
                    join_port(&route.hostname, route.port),
                    hops.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                );
                Ok((Box::new(stream), address, Some(lease)))
            }
        }
    }

    /// For one attempt to connect to one address.
    pub(super) fn connect_timeout(&self, route: &Route) -> Duration {
        self.options.connect_timeout.or(route.connect_timeout).unwrap_or(CONNECT_TIMEOUT)
    }

    /// Waits until one more may dial.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        tokio::time::sleep(random(JITTER)).await;
        // Never closed.
        place.ok()
    }

    async fn tcp(&self, route: &Route, places: &mut Places) -> Result<(TcpStream, SocketAddr), SshError> {
        let addresses = self.look_up(route).await?;
        let timeout = self.connect_timeout(route);
        let mut failures: Vec<(SocketAddr, io::Error)> = Vec::new();
        for address in addresses {
            let place = self.at_address(address).acquire_owned().await;
            let connected = match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
                Ok(connected) => connected,
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no answer within {} s", timeout.as_secs_f32()),
                )),
            };
            match connected.and_then(|stream| prepare(&stream).map(|()| stream)) {
                Ok(stream) => {
                    places.0.extend(place);
                    return Ok((stream, address));
                }
                Err(error) => failures.push((address, error)),
            }
        }
        Err(not_connected(route, &failures))
    }

    fn at_address(&self, address: SocketAddr) -> Arc<Semaphore> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(addresses.entry(address).or_insert_with(|| Arc::new(Semaphore::new(PER_ADDRESS))))
    }

    async fn look_up(&self, route: &Route) -> Result<Vec<SocketAddr>, SshError> {
        let wrong = |reason: String| SshError::Resolve { host: route.name.clone(), reason };
        // The host's own name stands beside the message.
        let of_name =
            if route.hostname == route.name { String::new() } else { format!("{}: ", route.hostname) };
        let looked_up =
            tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((&*route.hostname, route.port)))
                .await;
        let found = match looked_up {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                let text = io_words(&error);
                let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
                return Err(wrong(format!("{of_name}{}", text.to_lowercase())));
            }
            Err(_) => {
                return Err(wrong(format!("{of_name}no answer within {} s", LOOKUP_TIMEOUT.as_secs())));
            }
        };
        let wanted = |address: &SocketAddr| match route.address_family.as_deref() {
            Some("inet") => address.is_ipv4(),
            Some("inet6") => address.is_ipv6(),
            _ => true,
        };
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in found.filter(wanted) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() { Err(wrong(format!("{of_name}no address"))) } else { Ok(addresses) }
    }
}

/// Small packets leave at once, and few bytes wait unsent.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT)?;
    Ok(())
}

/// Somewhere between nothing and `most`.
fn random(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}

/// All addresses failed: the error names them all, its kind is that of the one that came farthest.
fn not_connected(route: &Route, failures: &[(SocketAddr, io::Error)]) -> SshError {
    let host = route.name.clone();
    let words = failures.iter().map(|(address, error)| format!("{address}: {}", io_words(error)));
    let tried = words.collect::<Vec<_>>().join("; ");
    let any = |kinds: &[io::ErrorKind]| failures.iter().any(|(_, error)| kinds.contains(&error.kind()));
    let out_of_files = |error: &io::Error| {
        let error = error.raw_os_error();
        error == Some(rustix::io::Errno::MFILE.raw_os_error())
            || error == Some(rustix::io::Errno::NFILE.raw_os_error())
    };
    if failures.iter().any(|(_, error)| out_of_files(error)) {
        return SshError::Internal(format!("{tried}; raise `ulimit -n` or lower --fanout"));
    }
    if any(&[io::ErrorKind::ConnectionRefused, io::ErrorKind::ConnectionReset]) {
        SshError::Refused { host, tried, retryable: true }
    } else if any(&[io::ErrorKind::TimedOut]) {
        SshError::Timeout { host, tried }
    } else {
        SshError::Unreachable { host, tried }
    }
}

/// What a failed key exchange means.
fn refused(route: &Route, address: &str, error: HandlerError) -> Failed {
    let tried = format!("{address}: {}", plain(&error));
    match error {
        HandlerError::HostKey(error) => Failed::For(error.into()),
        HandlerError::Goodbye(_) => Failed::HungUp(tried),
        HandlerError::Russh(
            russh::Error::IO(_) | russh::Error::Disconnect | russh::Error::HUP | russh::Error::RecvError,
        ) => Failed::HungUp(tried),
        HandlerError::Russh(_) => {
            Failed::For(SshError::Refused { host: route.name.clone(), tried, retryable: false })
        }
    }
}
