use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use crate::payload::Outcome;

/// Programs that it takes.
const TOOLS: [&str; 4] = ["ip", "tc", "unshare", "nsenter"];

/// Entries of the machine's neighbour table, which all namespaces share; a full mesh that overflows it stalls.
const NEIGHBOURS: &str = "/proc/sys/net/ipv4/neigh/default/gc_thresh3";

/// What a link holds back: enough for its rate, little enough that the queue stays short.
const TBF: [&str; 4] = ["burst", "256k", "latency", "100ms"];

/// Hosts on links of their own: network namespaces on one bridge, each link shaped in both directions. Number 0 is the
/// operator. It vanishes with this value, and with this process however that ends: every namespace lives as long as a
/// process that waits for the end of its input.
pub(crate) struct Network {
    hub: Namespace,
    hosts: Vec<Namespace>,
}

impl Network {
    /// Why there can be none here, if so.
    pub(crate) fn obstacle(hosts: usize) -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("network namespaces take root".to_owned());
        }
        if let Some(tool) = TOOLS.into_iter().find(|tool| which(tool).is_none()) {
            return Some(format!("{tool} is not installed (iproute2, util-linux)"));
        }
        let pairs = (hosts + 1) * hosts;
        let room = std::fs::read_to_string(NEIGHBOURS).ok()?.trim().parse::<usize>().ok()?;
        (pairs > room).then(|| {
            format!("a mesh of {hosts} hosts takes {pairs} entries of the neighbour table, it has {room}: sysctl -w net.ipv4.neigh.default.gc_thresh3={}", pairs * 2)
        })
    }

    /// Sets up the operator and so many hosts with links of `mbit` Mbit/s. `script(host)` runs first in each.
    pub(crate) fn up(hosts: usize, mbit: u32, script: impl Fn(usize) -> String) -> Outcome<Self> {
        let hub = Namespace::start("ip link add br0 type bridge; ip link set br0 up")?;
        let mut network = Self { hub, hosts: Vec::new() };
        for host in 0..=hosts {
            let namespace = Namespace::start(&script(host))?;
            let (port, keeper) = (format!("p{host}"), namespace.keeper.id().to_string());
            let veth = ["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &keeper];
            network.hub.run("ip", &veth)?;
            network.hub.run("ip", &["link", "set", &port, "master", "br0", "up"])?;
            namespace.run("ip", &["addr", "add", &format!("{}/15", Self::address(host)), "dev", "eth0"])?;
            namespace.run("ip", &["link", "set", "eth0", "up"])?;
            let rate = format!("{mbit}mbit");
            for (side, device) in [(&namespace, "eth0"), (&network.hub, port.as_str())] {
                let shape = ["qdisc", "add", "dev", device, "root", "tbf", "rate", &rate];
                side.run("tc", &[&shape[..], &TBF[..]].concat())?;
            }
            network.hosts.push(namespace);
        }
        Ok(network)
    }

    /// Of the block that is set aside for benchmarks.
    pub(crate) fn address(host: usize) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, (host / 250) as u8, (host % 250 + 1) as u8)
    }

    /// A command that will run on a host; it becomes the program, so that its process id is the program's.
    pub(crate) fn command(&self, host: usize, program: &str) -> Command {
        self.hosts[host].command(program)
    }

    /// Process whose network is a host's.
    pub(crate) fn keeper(&self, host: usize) -> u32 {
        self.hosts[host].keeper.id()
    }

    /// Bytes that a host has sent on its link so far, all headers included.
    pub(crate) fn sent(&self, host: usize) -> Outcome<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/net/dev", self.hub.keeper.id()))?;
        let port = format!("p{host}:");
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(&port));
        let received = line.and_then(|line| line.split_whitespace().next()).ok_or("a port is gone")?;
        Ok(received.parse()?)
    }
}

/// A network and a space of process ids of their own, for as long as the keeper lives.
struct Namespace {
    keeper: Child,
}

impl Namespace {
    fn start(script: &str) -> Outcome<Self> {
        let script = format!("set -e; ip link set lo up; {script}\necho up; exec cat");
        let mut keeper = Command::new("unshare")
            .args(["--net", "--pid", "--mount-proc", "--fork", "--kill-child", "--", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = keeper.stdout.take();
        let namespace = Self { keeper };
        let mut line = String::new();
        BufReader::new(output.ok_or("a namespace says nothing")?).read_line(&mut line)?;
        if line != "up\n" {
            return Err(format!("a namespace did not come up: {script}").into());
        }
        Ok(namespace)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.keeper.id().to_string(), "--net", "--", program]);
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Outcome<()> {
        let output = self.command(program).args(arguments).output()?;
        if output.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&output.stderr);
        Err(format!("{program} {}: {}", arguments.join(" "), words.trim()).into())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What runs in its space of process ids ends with it.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// Where a program lies.
pub(crate) fn which(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    let more = ["/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|folder| folder.join(program)).find(|file| file.is_file())
}
