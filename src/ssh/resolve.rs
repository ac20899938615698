use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore};

use super::SshError;
use super::client::{ConfigSource, Target, Warn};
use super::local::{Local, Tokens};
use super::openssh_config::{Asked, DEFAULT_IDENTITIES, HostConfig, NoConfig, Scan, ask_ssh, scan};

/// The program that knows the user's configuration.
const SSH: &str = "ssh";

/// What `ssh` takes when nothing else is said.
const DEFAULT_PORT: u16 = 22;

/// Where and how a host is dialled: the inventory over the OpenSSH configuration over the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// The host as the inventory names it, for messages.
    pub(super) name: String,
    /// What is looked up and dialled.
    pub(super) hostname: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) via: Via,
    pub(super) keys: KeyRules,
    pub(super) host_key: HostKeyRules,
    /// Of one attempt to connect to one address, if the configuration says it.
    pub(super) connect_timeout: Option<Duration>,
    /// `inet` or `inet6`, if only one of them is wanted.
    pub(super) address_family: Option<String>,
}

/// What is between us and the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Via {
    /// Nothing.
    Direct,
    /// Other hosts, nearest first; never empty.
    Jump(Vec<Hop>),
    /// A command whose stdin and stdout are the connection; tokens are expanded.
    Command(String),
}

/// A host on the way, `[user@]host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Hop {
    pub(super) name: String,
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
}

/// With what to log in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KeyRules {
    /// Named by the inventory or the configuration, in order.
    pub(super) named: Vec<PathBuf>,
    /// Tried last; missing ones are no mistake.
    pub(super) defaults: Vec<PathBuf>,
    pub(super) certificates: Vec<PathBuf>,
    /// No key of the agent but the named ones.
    pub(super) only_named: bool,
    pub(super) agent: Option<PathBuf>,
    pub(super) public_key: bool,
    pub(super) password: bool,
    pub(super) keyboard_interactive: bool,
}

/// By what the host is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostKeyRules {
    /// Name in known_hosts, without port, lower case.
    pub(super) name: String,
    /// The name is an alias: it stands for host and port.
    pub(super) alias: bool,
    /// First the user's files, then the system's. New keys go to the first.
    pub(super) files: Vec<PathBuf>,
    /// New names are written hashed.
    pub(super) hash: bool,
    pub(super) strict: bool,
    /// Allowed algorithms, best first; empty if nothing is said.
    pub(super) algorithms: Vec<String>,
}

impl Route {
    /// `user@host:port`, as it is dialled.
    pub(super) fn login(&self) -> String {
        format!("{}@{}", self.user, join_port(&self.hostname, self.port))
    }
}

/// `host:port`, with brackets around IPv6.
pub(super) fn join_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl std::fmt::Display for Hop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.port {
            Some(port) => f.write_str(&join_port(&self.name, port)),
            None => f.write_str(&self.name),
        }
    }
}

impl Hop {
    /// Reads `[user@]host[:port]`, `[user@][v6]:port` or `ssh://…` of it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("ssh://").unwrap_or(text).trim_end_matches('/');
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, text),
        };
        let (name, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (name, port) = rest.split_once(']')?;
                (name, port.strip_prefix(':'))
            }
            None => match rest.split_once(':') {
                // More than one colon: an address without brackets.
                Some((name, port)) if !port.contains(':') => (name, Some(port)),
                _ => (rest, None),
            },
        };
        let port = port.map(str::parse).transpose().ok()?;
        (!name.is_empty() && user.as_deref() != Some("")).then(|| Self { name: name.to_owned(), user, port })
    }
}

/// What `ssh -G` said of a host.
type Answer = Result<Arc<HostConfig>, NoConfig>;

/// Finds routes. Asks `ssh -G` only for hosts that are dialled, one process a core, and once for the same question.
pub(super) struct Resolver {
    source: ConfigSource,
    local: Local,
    warn: Warn,
    cores: Semaphore,
    scan: OnceCell<Scan>,
    asked: Mutex<HashMap<Asked, Arc<OnceCell<Answer>>>>,
    said_no_ssh: std::sync::Once,
}

impl Resolver {
    pub(super) fn new(source: ConfigSource, local: Local, warn: Warn) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            source,
            local,
            warn,
            cores: Semaphore::new(cores),
            scan: OnceCell::new(),
            asked: Mutex::default(),
            said_no_ssh: std::sync::Once::new(),
        }
    }

    pub(super) fn local(&self) -> &Local {
        &self.local
    }

    /// The route to a host. `fallback` are key files to take where neither inventory nor configuration names any.
    pub(super) async fn route(&self, target: &Target, fallback: &[PathBuf]) -> Result<Route, SshError> {
        let asked = Asked {
            name: target.name.clone(),
            address: target.address.clone(),
            user: target.user.clone(),
            port: target.port,
        };
        let config = self.config(&asked, target.use_config).await?;
        self.put_together(target, fallback, &config)
    }

    async fn config(&self, asked: &Asked, wanted: bool) -> Result<Arc<HostConfig>, SshError> {
        let ConfigSource::OpenSsh { file } = &self.source else { return Ok(Arc::default()) };
        if !wanted {
            return Ok(Arc::default());
        }
        if file.is_none() {
            let scanned = self.scan.get_or_init(|| async { scan(&self.local) }).await;
            if let Scan::Defaults { hash_known_hosts } = *scanned {
                return Ok(Arc::new(HostConfig { hash_known_hosts, ..HostConfig::default() }));
            }
        }
        let cell = {
            let mut cells = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(cells.entry(asked.clone()).or_default())
        };
        let answer = cell.get_or_init(|| async {
            let _core = self.cores.acquire().await;
            ask_ssh(SSH, asked, file.as_deref()).await.map(Arc::new)
        });
        match answer.await {
            Ok(config) => Ok(Arc::clone(config)),
            Err(NoConfig::NoProgram) => {
                self.said_no_ssh.call_once(|| {
                    (self.warn)(
                        "there is no `ssh` program here, so the OpenSSH configuration is not read; \
                         hosts get the defaults and what the inventory says"
                            .to_owned(),
                    );
                });
                Ok(Arc::default())
            }
            Err(NoConfig::Failed(reason)) => {
                Err(SshError::Resolve { host: asked.name.clone(), reason: reason.clone() })
            }
        }
    }

    fn put_together(
        &self,
        target: &Target,
        fallback: &[PathBuf],
        config: &HostConfig,
    ) -> Result<Route, SshError> {
        let pick = |own: &Option<String>, theirs: &Option<String>| own.clone().or_else(|| theirs.clone());
        let hostname = pick(&target.address, &config.hostname).unwrap_or_else(|| target.name.clone());
        let port = target.port.or(config.port).unwrap_or(DEFAULT_PORT);
        let user = pick(&target.user, &config.user).unwrap_or_else(|| self.local.user.clone());
        let tokens = Tokens {
            local: &self.local,
            name: &target.name,
            hostname: &hostname,
            port,
            user: &user,
            alias: config.host_key_alias.as_deref(),
        };
        let via = via(target, config, &tokens)?;
        let keys = self.keys(target, fallback, config, &tokens);
        let host_key = self.host_key(config, &tokens);
        Ok(Route {
            name: target.name.clone(),
            via,
            keys,
            host_key,
            connect_timeout: config.connect_timeout,
            address_family: config.address_family.clone(),
            hostname,
            port,
            user,
        })
    }

    fn keys(
        &self,
        target: &Target,
        fallback: &[PathBuf],
        config: &HostConfig,
        tokens: &Tokens<'_>,
    ) -> KeyRules {
        let alone = matches!(self.source, ConfigSource::None { .. });
        let named: Vec<PathBuf> = if target.identity.is_empty() {
            config.identity_files.iter().map(|file| tokens.path(file)).collect()
        } else {
            target.identity.iter().map(|file| tokens.path(&file.to_string_lossy())).collect()
        };
        let defaults = if !named.is_empty() {
            Vec::new()
        } else {
            let files = fallback.iter().map(|file| tokens.path(&file.to_string_lossy()));
            let ssh = DEFAULT_IDENTITIES.iter().filter(|_| !alone).map(|file| tokens.path(file));
            files.chain(ssh).collect()
        };
        let agent = match config.identity_agent.as_deref() {
            _ if alone => None,
            Some("none") => None,
            None | Some("SSH_AUTH_SOCK") => self.local.agent.clone(),
            Some(variable) if variable.starts_with('$') && !variable.starts_with("${") => {
                std::env::var_os(&variable[1..]).map(PathBuf::from)
            }
            Some(path) => Some(tokens.path(path)),
        };
        KeyRules {
            named,
            defaults,
            certificates: config.certificate_files.iter().map(|file| tokens.path(file)).collect(),
            only_named: config.identities_only,
            agent,
            public_key: !config.no_public_key,
            password: !config.no_password && !config.batch_mode,
            keyboard_interactive: !config.no_keyboard_interactive && !config.batch_mode,
        }
    }

    fn host_key(&self, config: &HostConfig, tokens: &Tokens<'_>) -> HostKeyRules {
        let files = match &self.source {
            ConfigSource::None { known_hosts } => vec![known_hosts.clone()],
            ConfigSource::OpenSsh { .. } => {
                let or = |named: &[String], defaults: [&str; 2]| -> Vec<PathBuf> {
                    if named.is_empty() {
                        defaults.iter().map(|file| tokens.path(file)).collect()
                    } else {
                        named.iter().map(|file| tokens.path(file)).collect()
                    }
                };
                let mut files = or(&config.user_known_hosts, ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]);
                files.extend(or(
                    &config.global_known_hosts,
                    ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"],
                ));
                files
            }
        };
        let name = config.host_key_alias.as_deref().unwrap_or(tokens.hostname);
        HostKeyRules {
            name: name.to_lowercase(),
            alias: config.host_key_alias.is_some(),
            files,
            hash: config.hash_known_hosts,
            strict: config.strict,
            algorithms: config.host_key_algorithms.clone(),
        }
    }
}

fn via(target: &Target, config: &HostConfig, tokens: &Tokens<'_>) -> Result<Via, SshError> {
    let wrong = |reason: String| SshError::Resolve { host: target.name.clone(), reason };
    let parse = |text: &str| Hop::parse(text).ok_or_else(|| wrong(format!("{text:?} is no jump host")));
    let mut hops: Vec<Hop> = if !target.jump.is_empty() {
        let hops = target.jump.iter().filter(|hop| *hop != "none");
        hops.map(|hop| parse(hop)).collect::<Result<_, _>>()?
    } else if let Some(jump) = &config.proxy_jump {
        tokens.expand(jump).split(',').map(parse).collect::<Result<_, _>>()?
    } else {
        Vec::new()
    };
    // `Host *` with a ProxyJump names the jump host itself too.
    let own_port = |hop: &Hop| hop.port.map_or(target.port.is_none(), |port| port == tokens.port);
    hops.retain(|hop| !((hop.name == target.name || hop.name == tokens.hostname) && own_port(hop)));
    if !hops.is_empty() {
        return Ok(Via::Jump(hops));
    }
    match &config.proxy_command {
        Some(_) if !target.jump.is_empty() => Ok(Via::Direct),
        Some(_) if config.proxy_use_fdpass => Err(wrong(
            "its ProxyUseFdpass is not supported; give the host `transport: openssh` in the inventory"
                .to_owned(),
        )),
        Some(command) => Ok(Via::Command(tokens.expand(command))),
        None => Ok(Via::Direct),
    }
}
