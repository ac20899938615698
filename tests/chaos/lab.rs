//! Real hosts: network namespaces on one bridge, each with an OpenSSH server, a home and a disk of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::operator::{Operator, Running};

/// Programs that it takes.
const TOOLS: [&str; 6] = ["ip", "tc", "unshare", "nsenter", "ssh-keygen", "sshd"];

/// Megabytes of a host's disk.
const DISK: u32 = 64;

/// Number 0 is the operator. All vanishes with this value, and with this process however that ends: each namespace lives as long
/// as a process that waits for the end of its input.
pub(crate) struct Lab {
    hub: Namespace,
    hosts: Vec<Namespace>,
    pub(crate) operator: Operator,
    folder: TempDir,
}

/// Networks, mounts and processes of their own.
struct Namespace {
    keeper: Child,
    /// The first process inside.
    inner: u32,
}

impl Lab {
    /// Why there can be none here, if so.
    pub(crate) fn obstacle() -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("network namespaces take root".to_owned());
        }
        if let Some(tool) = TOOLS.into_iter().find(|tool| which(tool).is_none()) {
            return Some(format!("{tool} is not installed (iproute2, util-linux, openssh-server)"));
        }
        Namespace::start("true").err()
    }

    /// Sets up the operator and so many hosts with links of `mbit` Mbit/s.
    pub(crate) fn up(hosts: usize, mbit: u32) -> Result<Self, String> {
        // Its own packages make it at boot, which no container has.
        fs::create_dir_all("/run/sshd").map_err(|error| error.to_string())?;
        let hub = Namespace::start("ip link add br0 type bridge; ip link set br0 up")?;
        let folder = tempfile::tempdir().unwrap();
        let mut lab = Self { hub, hosts: Vec::new(), operator: Operator::new(), folder };
        keygen(&lab.identity());
        for host in 0..=hosts {
            let (disk, home) = (lab.disk(host), lab.home(host));
            fs::create_dir_all(&disk).unwrap();
            fs::create_dir_all(&home).unwrap();
            let mount = format!("mount -t tmpfs -o size={DISK}m,mode=755 tmpfs {}", disk.display());
            let namespace = Namespace::start(&format!("hostname {}; {mount}", name(host)))?;
            let (port, keeper) = (format!("p{host}"), namespace.keeper.id());
            lab.hub.network(&format!("ip link add {port} type veth peer name eth0 netns {keeper}"))?;
            lab.hub.network(&format!("ip link set {port} master br0 up"))?;
            namespace.network(&format!("ip addr add {}/15 dev eth0; ip link set eth0 up", address(host)))?;
            lab.hosts.push(namespace);
            lab.shape(host, "add", mbit);
            if host > 0 {
                lab.configure_sshd(host);
                lab.sshd(host)?;
            }
        }
        Ok(lab)
    }

    /// An inventory with these users, and the hosts' keys as they are but for those in `wrong`.
    pub(crate) fn write_inventory(&self, hooks: &str, user: impl Fn(usize) -> &'static str, wrong: &[usize]) {
        let mut inventory = format!(
            "defaults:\n  ssh_config: none\n  identity: {}\ngroups:\n  lab:\n    hosts:\n",
            self.identity().display()
        );
        let mut known = String::new();
        for host in 1..self.hosts.len() {
            let (name, address, dest) = (name(host), address(host), self.dest(host));
            inventory += &format!(
                "      - {{host: {name}, address: {address}, user: {}, dest: {}}}\n",
                user(host),
                dest.display()
            );
            let key = if wrong.contains(&host) { host % (self.hosts.len() - 1) + 1 } else { host };
            known += &format!(
                "{name},{address} {}",
                fs::read_to_string(self.host_key(key).with_extension("pub")).unwrap()
            );
        }
        self.operator.knows(&known);
        self.operator.has_inventory(&format!("{inventory}{hooks}"));
    }

    /// Starts `murder` on the operator's machine.
    pub(crate) fn murder(&self, arguments: &[&str]) -> Running {
        let mut command = self.hosts[0].command(env!("CARGO_BIN_EXE_murder"));
        command.args(arguments).env_clear().envs(self.operator.environment());
        Running::start(command)
    }

    /// Runs a shell line on a host.
    pub(crate) fn run(&self, host: usize, line: &str) -> Result<(), String> {
        self.hosts[host].run(line)
    }

    /// Takes a host's link away, or gives it back.
    pub(crate) fn link(&self, host: usize, state: &str) {
        self.hub.network(&format!("ip link set p{host} {state}")).unwrap();
    }

    /// Gives a host's link another rate.
    pub(crate) fn shape(&self, host: usize, how: &str, mbit: u32) {
        let shape = format!("root tbf rate {mbit}mbit burst 256k latency 100ms");
        self.hosts[host].network(&format!("tc qdisc {how} dev eth0 {shape}")).unwrap();
        self.hub.network(&format!("tc qdisc {how} dev p{host} {shape}")).unwrap();
    }

    /// Starts a host's server.
    pub(crate) fn sshd(&self, host: usize) -> Result<(), String> {
        let program = which("sshd").unwrap_or_default();
        let root = self.root(host);
        let line =
            format!("{} -f {root}/sshd_config -E {root}/sshd.log", program.display(), root = root.display());
        self.hosts[host].run(&line)
    }

    /// Sends a signal to the processes of a host whose command line fits.
    pub(crate) fn signal(&self, host: usize, signal: Signal, fits: impl Fn(&str) -> bool) {
        for (pid, command) in self.hosts[host].processes() {
            if fits(&command) {
                let _ = kill_process(pid, signal);
            }
        }
    }

    /// A host's releases, as they can be seen from outside.
    pub(crate) fn seen_dest(&self, host: usize) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.hosts[host].inner));
        root.join(self.dest(host).strip_prefix("/").unwrap())
    }

    /// What of a run stays on a host besides releases, their records and the pieces for a retry.
    pub(crate) fn leftovers(&self, host: usize) -> Result<(), String> {
        let agents =
            self.hosts[host].processes().into_iter().filter(|(_, command)| is_agent(command)).count();
        if agents > 0 {
            return Err(format!("{}: {agents} agents", name(host)));
        }
        for entry in fs::read_dir(self.seen_dest(host).join(".murder")).into_iter().flatten().flatten() {
            let left = entry.file_name().to_string_lossy().into_owned();
            if !["records", "partial"].contains(&left.as_str()) {
                return Err(format!("{}: .murder/{left}", name(host)));
            }
        }
        Ok(())
    }

    fn configure_sshd(&self, host: usize) {
        keygen(&self.host_key(host));
        let text = format!(
            "Port 22\nListenAddress {}\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}.pub\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nPermitRootLogin yes\nSetEnv HOME={}\n",
            address(host),
            self.host_key(host).display(),
            self.identity().display(),
            self.home(host).display(),
        );
        fs::write(self.root(host).join("sshd_config"), text).unwrap();
    }

    fn root(&self, host: usize) -> PathBuf {
        self.folder.path().join(name(host))
    }

    fn home(&self, host: usize) -> PathBuf {
        self.root(host).join("home")
    }

    /// Where a host's disk is mounted.
    pub(crate) fn disk(&self, host: usize) -> PathBuf {
        self.root(host).join("srv")
    }

    fn dest(&self, host: usize) -> PathBuf {
        self.disk(host).join("app")
    }

    fn host_key(&self, host: usize) -> PathBuf {
        self.root(host).join("host_key")
    }

    fn identity(&self) -> PathBuf {
        self.folder.path().join("id")
    }
}

/// A host's name.
pub(crate) fn name(host: usize) -> String {
    format!("h{host:02}")
}

/// Whether this is the command line of an agent.
pub(crate) fn is_agent(command: &str) -> bool {
    command.contains("/agent run")
}

/// Of the block that is set aside for benchmarks.
fn address(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 0, u8::try_from(host + 1).unwrap())
}

impl Namespace {
    fn start(script: &str) -> Result<Self, String> {
        let script =
            format!("set -e; mount --make-rprivate /; ip link set lo up; {script}\necho up; exec cat");
        let mut keeper = Command::new("unshare")
            .args([
                "--net",
                "--uts",
                "--pid",
                "--mount-proc",
                "--fork",
                "--kill-child",
                "--",
                "sh",
                "-c",
                &script,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let output = keeper.stdout.take();
        let mut namespace = Self { keeper, inner: 0 };
        let mut line = String::new();
        let _ = BufReader::new(output.ok_or("a namespace says nothing")?).read_line(&mut line);
        if line != "up\n" {
            return Err("no namespace can be made here: it takes CAP_SYS_ADMIN".to_owned());
        }
        let keeper = namespace.keeper.id();
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children"));
        let first = children.ok().and_then(|children| children.split_whitespace().next()?.parse().ok());
        namespace.inner = first.ok_or("the kernel does not tell the children of a process")?;
        Ok(namespace)
    }

    /// A command that runs inside.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let inner = self.inner.to_string();
        command.args(["--target", &inner, "--net", "--uts", "--mount", "--pid", "--", program]);
        command
    }

    fn run(&self, line: &str) -> Result<(), String> {
        succeeds(self.command("sh").args(["-ec", line]))
    }

    /// Runs a shell line in its network alone: processes elsewhere have no numbers inside.
    fn network(&self, line: &str) -> Result<(), String> {
        let inner = self.inner.to_string();
        succeeds(Command::new("nsenter").args(["--target", &inner, "--net", "--", "sh", "-ec", line]))
    }

    /// All processes inside but the keeper's, with their command lines.
    fn processes(&self) -> Vec<(Pid, String)> {
        let net = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let own = net(&self.inner.to_string());
        let keepers = [self.inner.to_string(), self.keeper.id().to_string()];
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let inside = entries.filter_map(|entry| {
            let number = entry.file_name().to_str()?.to_owned();
            let pid = number.parse().ok().and_then(Pid::from_raw)?;
            if keepers.contains(&number) || net(&number) != own {
                return None;
            }
            let command = fs::read(entry.path().join("cmdline")).ok()?;
            Some((pid, String::from_utf8_lossy(&command).replace('\0', " ")))
        });
        inside.collect()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What runs in its space of process ids ends with it.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.hosts.clear();
        eventually("the end of the namespaces", || {
            let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
            !mounts.contains(&self.folder.path().display().to_string())
        });
    }
}

fn succeeds(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn keygen(path: &Path) {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(path);
    assert!(keygen.status().unwrap().success(), "ssh-keygen made no key");
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|folder| folder.join(program)).find(|file| file.is_file())
}
