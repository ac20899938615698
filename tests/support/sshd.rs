//! OpenSSH servers of this user on high ports, where `sshd` is installed.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::eventually;
use super::operator::Operator;

/// Where distributions put it; it must be started by its full path.
const SSHD: [&str; 3] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"];

/// Some hosts, each an OpenSSH server of its own with a home and a DEST of its own.
pub(crate) struct Sshd {
    folder: TempDir,
    servers: Vec<Server>,
}

struct Server {
    child: Child,
    name: String,
    port: u16,
    root: PathBuf,
}

impl Sshd {
    /// Starts `hosts` servers with more lines of configuration; `None` where OpenSSH is not installed.
    pub(crate) fn start(hosts: usize, more: &str) -> Option<Self> {
        Self::start_each(&vec![more; hosts])
    }

    /// Starts a server for each of these lines of configuration.
    pub(crate) fn start_each(configurations: &[&str]) -> Option<Self> {
        let program = SSHD.iter().map(Path::new).find(|path| path.exists())?;
        let folder = tempfile::tempdir().unwrap();
        keygen(&folder.path().join("id"));
        let mut sshd = Self { folder, servers: Vec::new() };
        if rustix::process::geteuid().is_root() {
            // Its own packages make it at boot, which no container has.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        for (number, more) in (1..).zip(configurations) {
            let server = sshd.start_one(program, &format!("ssh-{number}"), more);
            sshd.servers.push(server);
        }
        Some(sshd)
    }

    fn start_one(&self, program: &Path, name: &str, more: &str) -> Server {
        let root = self.folder.path().join(name);
        for folder in ["home", "srv"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        keygen(&root.join("host_key"));
        let port = free_port();
        let config = root.join("sshd_config");
        let text = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {root}/host_key\nPidFile none\n\
             AuthorizedKeysFile {id}.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin yes\nSetEnv HOME={root}/home\n{more}\n",
            root = root.display(),
            id = self.identity().display(),
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(root.join("log")).unwrap();
        let mut child = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        eventually("sshd's start", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("sshd ended ({status}): {}", fs::read_to_string(root.join("log")).unwrap());
            }
            TcpStream::connect(address).is_ok()
        });
        Server { child, name: name.to_owned(), port, root }
    }

    /// An operator who knows these hosts.
    pub(crate) fn operator(&self) -> Operator {
        let operator = Operator::new();
        let mut known_hosts = String::new();
        let mut inventory = format!(
            "defaults:\n  ssh_config: none\n  identity: {}\n  user: {}\n\
             groups:\n  openssh:\n    rack: r1\n    hosts:\n",
            self.identity().display(),
            user()
        );
        for server in &self.servers {
            let key = fs::read_to_string(server.root.join("host_key.pub")).unwrap();
            known_hosts += &format!("[127.0.0.1]:{0},[{1}]:{0} {key}", server.port, server.name);
            inventory += &format!(
                "      - {{host: {}, address: 127.0.0.1, port: {}, dest: {}}}\n",
                server.name,
                server.port,
                server.dest().display()
            );
        }
        operator.knows(&known_hosts);
        operator.has_inventory(&inventory);
        operator
    }

    /// The hosts' folders of releases.
    pub(crate) fn dests(&self) -> Vec<PathBuf> {
        self.servers.iter().map(Server::dest).collect()
    }

    /// The hosts' names.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.servers.iter().map(|server| server.name.as_str()).collect()
    }

    /// Cuts all connections to a host: kills what its server forked for them, and nothing else.
    pub(crate) fn cut(&self, host: usize) {
        let server = self.servers[host].child.id();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
            if parent.is_some_and(|parent| parent == server.to_string()) {
                let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
            }
        }
    }

    fn identity(&self) -> PathBuf {
        self.folder.path().join("id")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.child.kill();
            let _ = server.child.wait();
        }
    }
}

impl Server {
    fn dest(&self) -> PathBuf {
        self.root.join("srv/app")
    }
}

fn keygen(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success(), "ssh-keygen: {made}");
}

/// Free a moment ago. Another process may take it, which is seen at sshd's start.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
