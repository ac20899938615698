use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::SshError;
use super::client::{ConfigSource, Shared, Target};
use super::connection::{KEEPALIVE, KEEPALIVES, io_words};
use super::host_key::{HostKeyError, HostKeyPolicy};
use super::lines::Lines;
use super::process::{Exit, Process, Stdin, StdinKind};
use super::resolve::Route;

/// Hosts reached through the system's `ssh` at once: each costs two or three processes and 8 MB.
pub(super) const MOST_HOSTS: usize = 200;

/// For everything after the connection up to the first word of the host's shell.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);

/// For a process to end after the end of its stdin.
const END: Duration = Duration::from_secs(2);

/// Lines of standard error that are kept.
const WORDS_KEPT: usize = 20;

/// Printed by the shell of a login that has succeeded.
const UP: &str = "MURDER1 UP";

/// What login shells may print in one line.
const LONGEST_LINE: usize = 64 * 1024;

/// A login by the system's `ssh`, kept as a control master: commands and streams are further processes over it, and no
/// further logins.
pub(super) struct Master {
    name: String,
    socket: PathBuf,
    words: Arc<Mutex<VecDeque<String>>>,
    /// Its end is the end of the login.
    stdin: Mutex<Option<ChildStdin>>,
    ended: watch::Receiver<Option<Exit>>,
    _place: OwnedSemaphorePermit,
    /// Removed with the last master.
    _folder: Arc<SocketFolder>,
}

/// A folder of ours for control sockets.
pub(super) struct SocketFolder {
    path: PathBuf,
}

impl SocketFolder {
    pub(super) fn create() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let place = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|place| place.is_dir());
        // Short: the path of a socket has some 100 bytes.
        let path = place.unwrap_or_else(std::env::temp_dir).join(format!(
            "murder-{}-{:04x}",
            std::process::id(),
            fastrand::u16(..)
        ));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }
}

impl Drop for SocketFolder {
    fn drop(&mut self) {
        // What cannot be removed is an empty folder in a place for such.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

impl Master {
    /// Logs in.
    pub(super) async fn connect(
        shared: &Arc<Shared>,
        target: &Target,
        route: &Route,
    ) -> Result<Self, SshError> {
        let internal =
            |error: std::io::Error| SshError::Internal(format!("sockets for ssh: {}", io_words(&error)));
        let folder = shared.sockets().map_err(internal)?;
        // Never closed.
        let place = Arc::clone(&shared.openssh).acquire_owned().await;
        let place = place.map_err(|error| SshError::Internal(error.to_string()))?;
        let _dial = shared.dialer.place().await;
        let socket = folder.path.join(format!("{:08x}", fastrand::u32(..)));
        let mut ssh = Command::new("ssh");
        ssh.args(login_arguments(shared, target, route)).args(["-o", "ControlMaster=yes"]);
        ssh.arg("-o")
            .arg(control_path(&socket))
            .arg("--")
            .arg(&target.name)
            .arg(format!("echo; echo {UP}; cat"));
        let mut child = start(&mut ssh)?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(SshError::Internal("ssh has no pipes".to_owned()));
        };
        let words = Arc::<Mutex<VecDeque<String>>>::default();
        let listening = tokio::spawn(listen(stderr, Arc::clone(&words)));
        let mut lines = Lines::new(stdout, LONGEST_LINE);
        let up = async {
            while let Ok(Some(line)) = lines.next().await {
                if line == UP {
                    return true;
                }
            }
            false
        };
        let connect = shared.dialer.connect_timeout(route);
        match tokio::time::timeout(connect + LOGIN_TIMEOUT, up).await {
            Ok(true) => {}
            Ok(false) => {
                let _ = tokio::time::timeout(END, listening).await;
                return Err(why(route, &said(&words)));
            }
            Err(_) => {
                let tried = format!(
                    "ssh to {} did not log in within {} s",
                    route.login(),
                    (connect + LOGIN_TIMEOUT).as_secs()
                );
                return Err(SshError::Timeout { host: route.name.clone(), tried });
            }
        }
        let (sender, ended) = watch::channel(None);
        tokio::spawn(async move {
            // Its shell prints nothing more; to read on is to notice nothing.
            while let Ok(Some(_)) = lines.next().await {}
            watch_child(child, sender).await;
        });
        Ok(Self {
            name: target.name.clone(),
            socket,
            words,
            stdin: Mutex::new(Some(stdin)),
            ended,
            _place: place,
            _folder: folder,
        })
    }

    /// Runs a command over the login.
    pub(super) fn exec(&self, runtime: &tokio::runtime::Handle, command: &str) -> Result<Process, SshError> {
        let mut ssh = self.over();
        ssh.arg("--").arg(&self.name).arg(command);
        run(runtime, &mut ssh)
    }

    /// A stream to a port of the host's loopback.
    pub(super) fn forward(&self, runtime: &tokio::runtime::Handle, port: u16) -> Result<Process, SshError> {
        let mut ssh = self.over();
        ssh.arg("-W").arg(format!("127.0.0.1:{port}")).arg("--").arg(&self.name);
        run(runtime, &mut ssh)
    }

    /// `ssh` over the login that is there, and never by a new one.
    fn over(&self) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-T", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]);
        ssh.args(["-o", "ControlMaster=no", "-o", "ProxyCommand=false", "-o"])
            .arg(control_path(&self.socket));
        ssh
    }

    pub(super) fn is_closed(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Why it ended, as far as `ssh` said.
    pub(super) fn goodbye(&self) -> Option<String> {
        said(&self.words).pop()
    }

    /// Ends the login, and waits a little for that.
    pub(super) async fn disconnect(&self) {
        drop(self.stdin.lock().unwrap_or_else(PoisonError::into_inner).take());
        let mut ended = self.ended.clone();
        let _ = tokio::time::timeout(END, super::process::wait(&mut ended)).await;
    }
}

fn control_path(socket: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from("ControlPath=");
    option.push(socket);
    option
}

/// What the inventory says, as arguments; the rest `ssh` knows itself.
fn login_arguments(shared: &Shared, target: &Target, route: &Route) -> Vec<std::ffi::OsString> {
    let mut arguments: Vec<std::ffi::OsString> = vec!["-T".into()];
    let options = &shared.dialer.options;
    let mut option = |text: String| arguments.extend(["-o".into(), text.into()]);
    let strict = match options.host_keys {
        Some(HostKeyPolicy::Strict) => true,
        Some(HostKeyPolicy::AcceptNew) => false,
        None => route.host_key.strict,
    };
    option("BatchMode=yes".to_owned());
    option(format!("StrictHostKeyChecking={}", if strict { "yes" } else { "accept-new" }));
    option(format!("ConnectTimeout={}", shared.dialer.connect_timeout(route).as_secs().max(1)));
    option(format!("ServerAliveInterval={}", KEEPALIVE.as_secs()));
    option(format!("ServerAliveCountMax={KEEPALIVES}"));
    // Of the user's settings for logging in by hand.
    for setting in
        ["RemoteCommand=none", "ClearAllForwardings=yes", "PermitLocalCommand=no", "ForwardAgent=no"]
    {
        option(setting.to_owned());
    }
    if let Some(address) = &target.address {
        option(format!("HostName={address}"));
    }
    match &options.config {
        ConfigSource::None { known_hosts } => {
            option(format!("UserKnownHostsFile={}", known_hosts.display()));
            option("IdentityAgent=none".to_owned());
            arguments.extend(["-F".into(), "none".into()]);
        }
        ConfigSource::OpenSsh { .. } if !target.use_config => arguments.extend(["-F".into(), "none".into()]),
        ConfigSource::OpenSsh { file: Some(file) } => arguments.extend(["-F".into(), file.into()]),
        ConfigSource::OpenSsh { file: None } => {}
    }
    if let Some(user) = &target.user {
        arguments.extend(["-l".into(), user.into()]);
    }
    if let Some(port) = target.port {
        arguments.extend(["-p".into(), port.to_string().into()]);
    }
    if !target.identity.is_empty() {
        for file in &route.keys.named {
            arguments.extend(["-i".into(), file.into()]);
        }
    }
    if !target.jump.is_empty() {
        arguments.extend(["-J".into(), target.jump.join(",").into()]);
    }
    arguments
}

fn start(ssh: &mut Command) -> Result<Child, SshError> {
    ssh.env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| SshError::Internal(format!("cannot start ssh: {}", io_words(&error))))
}

fn run(runtime: &tokio::runtime::Handle, ssh: &mut Command) -> Result<Process, SshError> {
    // Its pipes belong to our runtime, whoever calls.
    let _context = runtime.enter();
    let mut child = start(ssh)?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(SshError::Internal("ssh has no pipes".to_owned()));
    };
    let (sender, exit) = watch::channel(None);
    runtime.spawn(watch_child(child, sender));
    Ok(Process {
        stdin: Stdin(StdinKind::Child(Some(stdin))),
        stdout: Box::new(stdout),
        stderr: Box::new(stderr),
        exit,
    })
}

/// Says how a child ended; ends it when nobody wants to know any more.
async fn watch_child(mut child: Child, exit: watch::Sender<Option<Exit>>) {
    tokio::select! {
        status = child.wait() => {
            let code = status.ok().and_then(|status| status.code());
            exit.send_replace(Some(match code {
                // 255 is ssh's own, or the command's: the connection is likelier.
                Some(255) | None => Exit::Unknown,
                Some(code) => Exit::Code(code.unsigned_abs()),
            }));
        }
        () = exit.closed() => {}
    }
}

async fn listen(stderr: tokio::process::ChildStderr, words: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = Lines::new(stderr, LONGEST_LINE);
    while let Ok(Some(line)) = lines.next().await {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.len() == WORDS_KEPT {
            words.pop_front();
        }
        words.push_back(line);
    }
}

fn said(words: &Mutex<VecDeque<String>>) -> Vec<String> {
    let words = words.lock().unwrap_or_else(PoisonError::into_inner);
    words.iter().filter(|line| !line.trim().is_empty()).cloned().collect()
}

/// What `ssh`'s own words mean.
fn why(route: &Route, words: &[String]) -> SshError {
    let text = words.join("\n").to_lowercase();
    let says = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    let (host, login) = (route.name.clone(), route.login());
    let last = words.last().cloned().unwrap_or_else(|| "it said nothing".to_owned());
    let tried = format!("ssh to {login}: {}", last.trim_start_matches("ssh: "));
    if says(&[
        "host key verification failed",
        "identification has changed",
        "revoked",
        "no matching host key",
    ]) {
        let words = words.join("; ");
        HostKeyError::Refused { host: format!("{} ({login})", route.name), words }.into()
    } else if says(&[
        "permission denied",
        "too many authentication failures",
        "no more authentication methods",
    ]) {
        SshError::Auth { login, reason: last, tried: words.to_vec() }
    } else if says(&["could not resolve", "name or service not known", "bad configuration"]) {
        SshError::Resolve { host, reason: last }
    } else if says(&["timed out"]) {
        SshError::Timeout { host, tried }
    } else if says(&["refused", "reset", "kex_exchange_identification", "connection closed"]) {
        SshError::Refused { host, tried, retryable: true }
    } else if says(&["no route", "unreachable"]) {
        SshError::Unreachable { host, tried }
    } else {
        SshError::Launch { host, reason: tried, words: words.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::FailureKind;

    #[test]
    fn the_words_of_ssh_are_understood() {
        let route = Route {
            name: "web01".into(),
            hostname: "192.0.2.1".into(),
            port: 22,
            user: "deploy".into(),
            via: super::super::resolve::Via::Direct,
            keys: Default::default(),
            host_key: Default::default(),
            connect_timeout: None,
            address_family: None,
        };
        for (words, kind) in [
            ("ssh: connect to host web01 port 22: Connection refused", FailureKind::Refused),
            ("kex_exchange_identification: read: Connection reset by peer", FailureKind::Refused),
            ("ssh: connect to host web01 port 22: Connection timed out", FailureKind::Timeout),
            ("ssh: connect to host web01 port 22: No route to host", FailureKind::Unreachable),
            ("ssh: Could not resolve hostname web01: Name or service not known", FailureKind::Resolve),
            ("deploy@web01: Permission denied (publickey).", FailureKind::Auth),
            ("Host key verification failed.", FailureKind::HostKey),
            ("This account is currently not available.", FailureKind::Launch),
        ] {
            assert_eq!(why(&route, &[words.to_owned()]).kind(), kind, "{words}");
        }
    }
}
