use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::inventory::Transport;

use super::SshError;
use super::ask::{Ask, NobodyToAsk};
use super::dial::Dialer;
use super::host_key::HostKeyPolicy;
use super::jump::check_way;
use super::local::Local;
use super::openssh::{self, Master, SocketFolder};
use super::session::Session;

/// Threads of the runtime that all connections live on: they did 2,900 logins a second, and a key exchange that takes 60 ms
/// holds up nobody else.
const THREADS: usize = 2;

/// Agents that are sent at once.
const UPLOADS: usize = 32;

/// Dials and launches at once, where nobody says otherwise.
const FANOUT: usize = 128;

/// Takes something that the user should know; it may be called from any thread and must not block.
pub type Warn = Arc<dyn Fn(String) + Send + Sync>;

/// A host to reach. What it does not say comes from the OpenSSH configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name in the inventory, which `ssh` would be given.
    pub name: String,
    /// Where to connect, if not the name.
    pub address: Option<String>,
    /// Port of sshd.
    pub port: Option<u16>,
    /// Who to log in as.
    pub user: Option<String>,
    /// Key files; `~` and OpenSSH's tokens are expanded.
    pub identity: Vec<PathBuf>,
    /// Hosts on the way, nearest first, `[user@]host[:port]`.
    pub jump: Vec<String>,
    /// Whether the user's OpenSSH configuration counts.
    pub use_config: bool,
    /// Whose SSH is used.
    pub transport: Transport,
    /// The agent runs as root, through sudo.
    pub become_sudo: bool,
}

impl Target {
    /// A host of which only the name is known.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            address: None,
            port: None,
            user: None,
            identity: Vec::new(),
            jump: Vec::new(),
            use_config: true,
            transport: Transport::Russh,
            become_sudo: false,
        }
    }
}

/// Where the settings come from that the inventory does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigSource {
    /// From `ssh -G`.
    OpenSsh {
        /// The configuration file, if not the user's and the system's.
        file: Option<PathBuf>,
    },
    /// From nowhere: no configuration, no ssh-agent, no default keys.
    None {
        /// The only file of known hosts.
        known_hosts: PathBuf,
    },
}

/// How to reach hosts.
#[derive(Clone)]
pub struct ClientOptions {
    /// What to do with unknown host keys; `None` does for each host what `ssh` would.
    pub host_keys: Option<HostKeyPolicy>,
    /// To connect to one address; `None` takes the configuration's, else 10 s.
    pub connect_timeout: Option<Duration>,
    /// Dials, and launches, at once.
    pub fanout: usize,
    /// Where settings come from.
    pub config: ConfigSource,
    /// Who can be asked for passwords.
    pub ask: Arc<dyn Ask>,
    /// Who hears of what the user should know.
    pub warn: Warn,
    /// The user here.
    pub local: Local,
    /// The folder on hosts where the agent is looked for first, absolute; `None` for the user's cache there.
    pub agent_root: Option<String>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            host_keys: None,
            connect_timeout: None,
            fanout: FANOUT,
            config: ConfigSource::OpenSsh { file: None },
            ask: Arc::new(NobodyToAsk),
            warn: Arc::new(|warning| tracing::warn!("{warning}")),
            local: Local::from_environment(),
            agent_root: None,
        }
    }
}

/// Reaches hosts. Its connections live on a runtime of its own, so that it can be used from any other.
pub struct Client {
    shared: Arc<Shared>,
}

/// What sessions share with their client; the runtime ends with the last of them.
pub(super) struct Shared {
    pub(super) dialer: Arc<Dialer>,
    pub(super) launches: Semaphore,
    pub(super) uploads: Semaphore,
    /// Places for hosts of the system's `ssh`.
    pub(super) openssh: Arc<Semaphore>,
    sockets: Mutex<Weak<SocketFolder>>,
    runtime: Option<Runtime>,
}

impl Shared {
    pub(super) fn runtime(&self) -> &tokio::runtime::Handle {
        self.dialer.runtime()
    }

    /// The folder of control sockets, made when it is needed.
    pub(super) fn sockets(&self) -> std::io::Result<Arc<SocketFolder>> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = sockets.upgrade() {
            return Ok(folder);
        }
        let folder = Arc::new(SocketFolder::create()?);
        *sockets = Arc::downgrade(&folder);
        Ok(folder)
    }

    /// Runs something on our runtime; it is stopped when the caller does not wait any more.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, SshError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, SshError>> + Send + 'static,
    {
        match AbortOnDropHandle::new(self.runtime().spawn(work)).await {
            Ok(result) => result,
            Err(error) => Err(SshError::Internal(format!("a task of ours ended early: {error}"))),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Waiting is not allowed where this may run, in a task.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Client {
    /// Starts the runtime; nothing is contacted.
    pub fn new(options: ClientOptions) -> Result<Self, SshError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("ssh")
            .enable_all()
            .build()
            .map_err(|error| SshError::Internal(format!("cannot start threads for ssh: {error}")))?;
        let fanout = options.fanout.max(1);
        let dialer = Arc::new(Dialer::new(runtime.handle().clone(), options));
        Ok(Self {
            shared: Arc::new(Shared {
                dialer,
                launches: Semaphore::new(fanout),
                uploads: Semaphore::new(UPLOADS),
                openssh: Arc::new(Semaphore::new(openssh::MOST_HOSTS)),
                sockets: Mutex::default(),
                runtime: Some(runtime),
            }),
        })
    }

    /// Connects to a host and logs in.
    pub async fn connect(&self, target: &Target) -> Result<Session, SshError> {
        let shared = Arc::clone(&self.shared);
        let (target, sudo) = (target.clone(), target.become_sudo);
        let work = async move {
            match target.transport {
                Transport::Russh => {
                    check_way(&shared.dialer.resolver, &target).await?;
                    let (connection, route) = shared.dialer.connect(target, Vec::new()).await?;
                    Ok(Session::russh(connection, &route, sudo, shared))
                }
                Transport::Openssh => {
                    let route = shared.dialer.resolver.route(&target, &[]).await?;
                    let master = Master::connect(&shared, &target, &route).await?;
                    Ok(Session::openssh(master, &route, sudo, shared))
                }
            }
        };
        self.shared.run(work).await
    }

    /// Forgets questions that were declined or answered wrongly: a retry by hand asks again.
    pub fn ask_again(&self) {
        self.shared.dialer.questions.forget();
    }

    /// Leaves the jump hosts and waits until new host keys are on disk. Sessions are closed one by one before.
    pub async fn close(&self) {
        let shared = Arc::clone(&self.shared);
        let work = async move {
            shared.dialer.jumps.disconnect().await;
            shared.dialer.learner.flush().await;
            Ok(())
        };
        // The only error is a runtime that is gone, and then there is nothing to wait for.
        let _ = self.shared.run(work).await;
    }
}
