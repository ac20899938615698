use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use super::*;

/// An sshd that ends with the test.
pub(super) struct Sshd {
    folder: TempDir,
    pub(super) port: u16,
    daemon: Child,
}

impl Sshd {
    /// Starts one that knows the user's key; `None` where OpenSSH's server is not installed or may not run.
    pub(super) fn start(user: &User, more: &str) -> Option<Self> {
        Self::start_with(user, &["ed25519"], more)
    }

    /// Starts one with host keys of these kinds.
    pub(super) fn start_with(user: &User, kinds: &[&str], more: &str) -> Option<Self> {
        let program = installed("sshd")?;
        installed("ssh")?;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut host_keys = String::new();
        for kind in kinds {
            let file = path(&format!("host_{kind}"));
            keygen(&["-t", kind, "-f", &file]);
            host_keys += &format!("HostKey {file}\n");
        }
        std::fs::write(path("authorized"), user.key.public_key().to_openssh().unwrap() + "\n").unwrap();
        std::fs::create_dir(path("home")).unwrap();
        // Bound until sshd is about to start, so that no other test has the port.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "{more}\nPort {port}\nListenAddress 127.0.0.1\n{host_keys}PidFile none\nUsePAM no\n\
             StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
             AuthorizedKeysFile {}\nSetEnv HOME={}\nLogLevel VERBOSE\n",
            path("authorized"),
            path("home"),
        );
        std::fs::write(path("config"), config).unwrap();
        if rustix::process::getuid().is_root() {
            // What the service would make.
            let _ = std::fs::create_dir_all("/run/sshd");
        }
        let mut daemon = Command::new(program)
            .args(["-D", "-f", &path("config"), "-E", &path("log")])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..500 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                let sshd = Self { folder, port, daemon };
                return sshd.lets_us_in(user).then_some(sshd);
            }
            if daemon.try_wait().unwrap().is_some() {
                eprintln!(
                    "skipped: sshd does not run here: {}",
                    std::fs::read_to_string(path("log")).unwrap()
                );
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("sshd does not answer");
    }

    /// Accounts without a password are locked for sshd when it does without PAM. Tried once, by `ssh` itself.
    fn lets_us_in(&self, user: &User) -> bool {
        static ALLOWED: OnceLock<bool> = OnceLock::new();
        *ALLOWED.get_or_init(|| {
            let status = Command::new("ssh")
                .args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
                .args(["-o", "UserKnownHostsFile=/dev/null", "-p", &self.port.to_string(), "-i"])
                .arg(user.path("id"))
                .args(["127.0.0.1", "true"])
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .status();
            let log = std::fs::read_to_string(self.path("log")).unwrap();
            let locked = !status.unwrap().success() && log.contains("not allowed because account is locked");
            if locked {
                eprintln!("skipped: sshd does not let this account in: {log}");
            }
            !locked
        })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A host key's line in known_hosts.
    pub(super) fn known(&self, kind: &str, hosts: &str) -> String {
        let key = std::fs::read_to_string(self.path(&format!("host_{kind}.pub"))).unwrap();
        format!("{hosts} {key}")
    }

    pub(super) fn name(&self) -> String {
        format!("[127.0.0.1]:{}", self.port)
    }

    pub(super) fn target(&self, user: &User) -> Target {
        Target { user: Some(Local::from_environment().user), ..user.target(self.port) }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

pub(super) fn keygen(arguments: &[&str]) {
    let mut command = Command::new("ssh-keygen");
    command.arg("-q").args(arguments);
    if !arguments.contains(&"-N") && arguments.contains(&"-t") {
        command.args(["-N", ""]);
    }
    assert!(
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success(),
        "{arguments:?}"
    );
}

/// An ssh-agent that holds these keys, and its socket.
pub(super) fn ssh_agent(user: &User, keys: &[&str]) -> Option<(Child, PathBuf)> {
    let socket = user.path("agent.sock");
    let agent = Command::new(installed("ssh-agent")?)
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !socket.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    for key in keys {
        let added = Command::new("ssh-add")
            .arg(user.path(key))
            .env("SSH_AUTH_SOCK", &socket)
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(added.success());
    }
    Some((agent, socket))
}
