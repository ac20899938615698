use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::account::Account;
use super::fault::{self, Strike};
use super::folder::DemoFolder;
use super::names::{MadeHost, make_up};
use super::server::{self, Server, Tasks};
use super::space::{check_space, needed_bytes};
use super::{DemoError, Fault};
use crate::control::Phase;

/// The hook before activation that [`Fault::Hook`] makes fail. It belongs into the deployment's hooks.
pub const HOOK: &str = "test ! -e \"$HOME/.hook-fails\" || \
    { echo \"check: the database is at schema 41, this release wants 42\" >&2; exit 1; }";

/// The most hosts: their addresses are 127.77.0.1 to 127.77.3.232.
const MAX_HOSTS: usize = 1000;

/// Threads of the SSH server. Its work is encryption.
const THREADS: usize = 2;

/// How long the end of connections and children is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a made-up fleet should be.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Hosts, at least 1.
    pub hosts: usize,
    /// Hosts that get a fault, at most all.
    pub fail: usize,
    /// Limit of each host's rate in bytes a second and direction, as the inventory says it.
    pub rate: Option<u64>,
    /// Bytes that will be deployed, to check the disk first.
    pub size: u64,
    /// Where the fleet's folder is made; the system's folder of temporary files if not said.
    pub base: Option<PathBuf>,
    /// Whether the folder stays when the fleet ends.
    pub keep: bool,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self { hosts: 24, fail: 0, rate: None, size: 64 << 20, base: None, keep: false }
    }
}

/// A host of a made-up fleet as its inventory names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoHost {
    /// Name, like `web-01`.
    pub name: String,
    /// Address and port of its SSH server.
    pub address: SocketAddr,
    /// The account; each host has its own.
    pub user: String,
    /// Folder of releases on it.
    pub dest: PathBuf,
    /// The account's home.
    pub home: PathBuf,
    /// Where it stands.
    pub rack: String,
    /// Its group.
    pub group: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Limit of its rate, bytes a second and direction.
    pub rate: Option<u64>,
    /// What is wrong with it until it has failed.
    pub fault: Option<Fault>,
}

/// A fleet of made-up hosts: SSH servers in this process with real children. When it is dropped its connections are closed,
/// all children are killed and reaped and its folder is removed.
pub struct DemoFleet {
    hosts: Vec<DemoHost>,
    servers: Vec<Arc<Server>>,
    /// Sockets of hosts that refuse connections.
    refusing: Mutex<BTreeMap<usize, socket2::Socket>>,
    tasks: Tasks,
    runtime: Option<Runtime>,
    identity: PathBuf,
    known_hosts: PathBuf,
    folder: DemoFolder,
}

impl DemoFleet {
    /// Sets the fleet up and opens its ports. The faults are dealt over the hosts, their kinds in turn.
    ///
    /// # Errors
    /// If the disk is too small, or a folder, key or port cannot be made.
    pub fn start(options: &DemoOptions) -> Result<Self, DemoError> {
        if options.fail > options.hosts {
            return Err(DemoError::TooManyFaults { fail: options.fail, hosts: options.hosts });
        }
        Self::start_with(options, &fault::deal(options.hosts, options.fail))
    }

    /// The same with chosen faults; hosts beyond the end of `faults` have none.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(options: &DemoOptions, faults: &[Option<Fault>]) -> Result<Self, DemoError> {
        if options.hosts == 0 || options.hosts > MAX_HOSTS {
            return Err(DemoError::Hosts { asked: options.hosts, most: MAX_HOSTS });
        }
        let base = options.base.clone().unwrap_or_else(env::temp_dir);
        check_space(&base, needed_bytes(options.hosts, options.size))?;
        raise_open_files();
        let folder = DemoFolder::create(&base, options.keep)?;
        let identity = folder.path().join("id_ed25519");
        let login = new_key()?;
        write_secret(&identity, &login.to_openssh(LineEnding::LF).map_err(key_error)?)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("demo-sshd")
            .enable_all()
            .build()
            .map_err(DemoError::Threads)?;
        let mut fleet = Self {
            hosts: Vec::with_capacity(options.hosts),
            servers: Vec::with_capacity(options.hosts),
            refusing: Mutex::default(),
            tasks: Tasks { stop: CancellationToken::new(), tracker: TaskTracker::new() },
            runtime: Some(runtime),
            identity,
            known_hosts: folder.path().join("known_hosts"),
            folder,
        };
        let mut known_hosts = String::new();
        for (index, made) in make_up(options.hosts).into_iter().enumerate() {
            let fault = faults.get(index).copied().flatten();
            let key = fleet.add(index, made, fault, options.rate, &login)?;
            if let Some(host) = fleet.hosts.last() {
                let (address, port) = (host.address.ip(), host.address.port());
                let _ = writeln!(known_hosts, "[{address}]:{port},[{}]:{port} {key}", host.name);
            }
        }
        fs::write(&fleet.known_hosts, known_hosts).map_err(DemoError::io("write", &fleet.known_hosts))?;
        Ok(fleet)
    }

    /// Sets up one host and answers its true public key as known_hosts has it.
    fn add(
        &mut self,
        index: usize,
        made: MadeHost,
        fault: Option<Fault>,
        rate: Option<u64>,
        login: &PrivateKey,
    ) -> Result<String, DemoError> {
        let user = made.name.replace('-', "");
        let account = Account::create(user.clone(), self.folder.path().join("hosts").join(&made.name))?;
        match fault {
            Some(Fault::Permission) => account.forbid_dest()?,
            Some(Fault::Hook) => account.set_hook_fails(true)?,
            _ => {}
        }
        let listen = |source| DemoError::Listen { host: made.name.clone(), source };
        let socket = bind(index).map_err(listen)?;
        let address = socket.local_addr().map_err(listen)?;
        let address = address.as_socket().ok_or_else(|| listen(io::ErrorKind::AddrNotAvailable.into()))?;
        let (own, impostor) = (new_key()?, new_key()?);
        let shown = own.public_key().to_openssh().map_err(key_error)?;
        self.hosts.push(DemoHost {
            name: made.name.clone(),
            address,
            user,
            dest: account.dest(),
            home: account.home(),
            rack: made.rack,
            group: made.group.to_owned(),
            labels: made.labels,
            rate,
            fault,
        });
        let server = Arc::new(Server::new(account, login.public_key().clone(), fault, own, impostor));
        self.servers.push(Arc::clone(&server));
        if fault == Some(Fault::Refused) {
            self.refusing().insert(index, socket);
        } else {
            self.open(server, socket)?;
        }
        Ok(shown)
    }

    /// The hosts in the order of the inventory.
    pub fn hosts(&self) -> &[DemoHost] {
        &self.hosts
    }

    /// The private key that all accounts know; an OpenSSH file without passphrase.
    pub fn identity(&self) -> &Path {
        &self.identity
    }

    /// The hosts' keys as OpenSSH writes them.
    pub fn known_hosts(&self) -> &Path {
        &self.known_hosts
    }

    /// The fleet's folder, for what else a demo needs. Removed with all in it at the end.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The fleet as the text of a `hosts.yaml`, with [`HOOK`] before activation.
    pub fn inventory(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let path = |path: &Path| quoted(&path.to_string_lossy());
        let mut text =
            format!("defaults:\n  ssh_config: none\n  identity: {}\ngroups:\n", path(&self.identity));
        let mut group = "";
        for host in &self.hosts {
            if host.group != group {
                group = &host.group;
                let _ = writeln!(text, "  {group}:\n    hosts:");
            }
            let labels: Vec<String> =
                host.labels.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            let rate = host.rate.map_or(String::new(), |rate| format!(", rate: {rate}"));
            let _ = writeln!(
                text,
                "      - {{host: {}, address: {}, port: {}, user: {}, rack: {}, dest: {}{rate}, labels: {{{}}}}}",
                host.name,
                host.address.ip(),
                host.address.port(),
                host.user,
                host.rack,
                path(&host.dest),
                labels.join(", ")
            );
        }
        let _ = writeln!(text, "hooks:\n  before_activate: {}", quoted(HOOK));
        text
    }

    /// To be told how far a host is: faults of the transfer strike in its middle, as often as it is tried.
    pub fn progressed(&self, host: usize, phase: Phase, done_share: f64) {
        let Some(server) = self.servers.get(host) else { return };
        match server.fault().and_then(|fault| fault.strikes(phase, done_share)) {
            Some(Strike::Kill) => server.account().processes().signal(Signal::KILL),
            Some(Strike::Stop) => server.account().processes().signal(Signal::STOP),
            None => {}
        }
    }

    /// To be told that a host has failed: its fault is over, the next try succeeds. Does nothing to a host without a fault.
    ///
    /// # Errors
    /// If its port cannot be opened or its folder cannot be mended.
    pub fn heal(&self, host: usize) -> Result<(), DemoError> {
        let Some(server) = self.servers.get(host) else { return Ok(()) };
        match server.mend() {
            Some(Fault::Refused) => match self.refusing().remove(&host) {
                Some(socket) => self.open(Arc::clone(server), socket),
                None => Ok(()),
            },
            Some(Fault::Permission) => server.account().allow_dest(),
            Some(Fault::Hook) => server.account().set_hook_fails(false),
            Some(Fault::Stalled) => {
                server.account().processes().signal(Signal::CONT);
                Ok(())
            }
            Some(Fault::Auth | Fault::HostKey | Fault::Lost) | None => Ok(()),
        }
    }

    fn open(&self, server: Arc<Server>, socket: socket2::Socket) -> Result<(), DemoError> {
        let _runtime = self.runtime.as_ref().map(Runtime::enter);
        server::open(server, socket, &self.tasks)
    }

    fn refusing(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, socket2::Socket>> {
        self.refusing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DemoFleet {
    fn drop(&mut self) {
        self.tasks.stop.cancel();
        self.tasks.tracker.close();
        let end = Instant::now() + PATIENCE;
        while !self.tasks.tracker.is_empty() && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
        for server in &self.servers {
            server.account().processes().signal(Signal::KILL);
        }
        if let Some(runtime) = self.runtime.take() {
            // A runtime must not be waited for within another one.
            runtime.shutdown_background();
        }
    }
}

/// On Linux all of 127/8 is this machine, so that each host has an address of its own; elsewhere they differ by port.
fn bind(index: usize) -> io::Result<socket2::Socket> {
    let number = u16::try_from(index + 1).unwrap_or(u16::MAX).to_be_bytes();
    let own = Ipv4Addr::new(127, 77, number[0], number[1]);
    if cfg!(target_os = "linux")
        && let Ok(socket) = server::bind(IpAddr::V4(own))
    {
        return Ok(socket);
    }
    server::bind(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn new_key() -> Result<PrivateKey, DemoError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| DemoError::Key(error.to_string()))?;
    Ok(Ed25519Keypair::from_seed(&seed).into())
}

fn key_error(error: russh::keys::ssh_key::Error) -> DemoError {
    DemoError::Key(error.to_string())
}

fn write_secret(path: &Path, text: &str) -> Result<(), DemoError> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(DemoError::io("create", path))?;
    file.write_all(text.as_bytes()).map_err(DemoError::io("write", path))
}

/// A host takes about ten file descriptors here, on both ends together. If it fails, a small fleet still works.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
