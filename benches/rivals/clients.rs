use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::network::which;
use crate::payload::Outcome;
use crate::place::Place;

/// Pythons that may have libtorrent's binding.
const PYTHONS: [&str; 2] = ["/usr/bin/python3", "python3"];

const LIBTORRENT: &str = include_str!("lt_peer.py");

/// Says it to whoever waits for the client.
const ARIA2_DONE: &str = "#!/bin/sh\necho done\n";

/// aria2 on a host: everything off that is not the download, nothing held back.
const ARIA2: &[&str] = &[
    "--no-conf",
    "--quiet",
    "--enable-dht=false",
    "--enable-dht6=false",
    "--bt-enable-lpd=false",
    "--enable-peer-exchange=false",
    "--bt-max-peers=0",
    "--bt-request-peer-speed-limit=1000M",
    "--bt-tracker-interval=1",
    "--bt-seed-unverified=true",
    "--seed-time=60",
    "--seed-ratio=0",
    "--file-allocation=none",
    "--summary-interval=0",
];

/// What carries a file to many hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contender {
    /// The whole product, from `murder deploy` to the release on every host.
    Murder,
    /// The engine alone, encrypted as in the product.
    Engine,
    /// The engine alone, plain BitTorrent.
    EnginePlain,
    LibtorrentForced,
    Libtorrent,
    Librqbit,
    Aria2,
    Scp,
}

impl Contender {
    pub(crate) const ON_LINKS: [Self; 6] =
        [Self::Murder, Self::LibtorrentForced, Self::Libtorrent, Self::Librqbit, Self::Aria2, Self::Scp];
    pub(crate) const ON_LOOPBACK: [Self; 7] = [
        Self::Engine,
        Self::EnginePlain,
        Self::LibtorrentForced,
        Self::Libtorrent,
        Self::Librqbit,
        Self::Aria2,
        Self::Scp,
    ];

    /// As options call it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Murder => "murder",
            Self::Engine => "engine",
            Self::EnginePlain => "engine-plain",
            Self::LibtorrentForced => "libtorrent-forced",
            Self::Libtorrent => "libtorrent",
            Self::Librqbit => "librqbit",
            Self::Aria2 => "aria2",
            Self::Scp => "scp",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Murder => "murder, whole product, encrypted",
            Self::Engine => "murder's engine, encrypted",
            Self::EnginePlain => "murder's engine, plain",
            Self::LibtorrentForced => "libtorrent, encryption forced (pe_forced)",
            Self::Libtorrent => "libtorrent, plain",
            Self::Librqbit => "librqbit session on every host",
            Self::Aria2 => "aria2",
            Self::Scp => "scp to all at once",
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Murder | Self::Engine | Self::EnginePlain)
    }

    /// Why it cannot be tried here, if so.
    pub(crate) fn obstacle(self) -> Option<String> {
        let installed =
            |program: &str| which(program).is_none().then(|| format!("{program} is not installed"));
        match self {
            Self::Engine | Self::EnginePlain | Self::Librqbit => None,
            Self::Murder => installed("sshd").or_else(|| installed("ssh-keygen")),
            Self::Scp => installed("sshd").or_else(|| installed("scp")),
            Self::Aria2 => installed("aria2c"),
            Self::Libtorrent | Self::LibtorrentForced => {
                python().is_none().then(|| "no python has libtorrent (python3-libtorrent)".to_owned())
            }
        }
    }
}

/// A Python with libtorrent.
fn python() -> Option<&'static str> {
    PYTHONS.into_iter().find(|python| {
        let mut command = Command::new(python);
        command.args(["-c", "import libtorrent"]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

/// What a client on a host is told.
pub(crate) struct Task<'a> {
    pub(crate) torrent: &'a Path,
    /// Where the payload is, or comes to lie.
    pub(crate) folder: &'a Path,
    pub(crate) host: usize,
    pub(crate) at: SocketAddr,
    /// Hosts with their addresses.
    pub(crate) peers: Vec<(usize, SocketAddr)>,
}

/// A client, not started yet. It says `ready`, waits for a line before it speaks with peers, says `done` when it has
/// everything, and ends with its input.
pub(crate) fn client(contender: Contender, place: &Place, task: &Task<'_>) -> Outcome<Command> {
    match contender {
        Contender::Engine => peer(place, "engine", task),
        Contender::EnginePlain => peer(place, "engine-plain", task),
        Contender::Librqbit => peer(place, "librqbit", task),
        Contender::Libtorrent | Contender::LibtorrentForced => {
            let mut command = place.command(task.host, python().ok_or("libtorrent is gone")?);
            let policy = if contender == Contender::LibtorrentForced { "forced" } else { "plain" };
            command.args(["-c", LIBTORRENT, policy]).args(words(task));
            command.args(task.peers.iter().map(|(_, address)| address.to_string()));
            Ok(command)
        }
        Contender::Aria2 => aria2(place, task),
        Contender::Murder | Contender::Scp => Err("that is no client".into()),
    }
}

/// The tracker that aria2 asks for its peers; on the sender.
pub(crate) fn tracker(place: &Place, task: &Task<'_>) -> Outcome<Command> {
    peer(place, "tracker", task)
}

fn peer(place: &Place, role: &str, task: &Task<'_>) -> Outcome<Command> {
    let me = std::env::current_exe()?;
    let mut command = place.command(task.host, me.to_str().ok_or("this program has an odd name")?);
    command.args(["peer", role, &task.host.to_string()]).args(words(task));
    command.args(task.peers.iter().map(|(host, address)| format!("{host}={address}")));
    Ok(command)
}

/// Torrent, folder, address.
fn words(task: &Task<'_>) -> [OsString; 3] {
    [task.torrent.into(), task.folder.into(), task.at.to_string().into()]
}

fn aria2(place: &Place, task: &Task<'_>) -> Outcome<Command> {
    let hook = task.folder.join("done.sh");
    std::fs::write(&hook, ARIA2_DONE)?;
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&hook, executable)?;
    let mut command = place.command(task.host, "sh");
    command.args(["-c", "echo ready; read go; exec aria2c \"$@\"", "sh"]).args(ARIA2);
    let option = |name: &str, value: &OsStr| {
        let mut option = OsString::from(name);
        option.push(value);
        option
    };
    let supervisor = std::process::id().to_string();
    command
        .arg(option("--stop-with-process=", supervisor.as_ref()))
        .arg(option("--listen-port=", task.at.port().to_string().as_ref()))
        .arg(option("--dir=", task.folder.as_os_str()))
        .arg(option("--on-bt-download-complete=", hook.as_os_str()))
        .arg(task.torrent);
    Ok(command)
}
