use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::network::Network;
use crate::payload::Outcome;

/// Port of every client on a link of its own.
const PORT: u16 = 6881;

/// Where hosts are. Number 0 sends.
pub(crate) enum Where {
    /// Each behind a link.
    Links(Network),
    /// All on this machine's loopback.
    Loopback,
}

/// Hosts, and a folder for what they hold.
pub(crate) struct Place {
    pub(crate) hosts: usize,
    pub(crate) at: Where,
    root: PathBuf,
}

impl Place {
    pub(crate) fn new(hosts: usize, at: Where, root: &Path) -> Self {
        Self { hosts, at, root: root.to_owned() }
    }

    /// A host's own folder, for one contender's run.
    pub(crate) fn folder(&self, host: usize) -> Outcome<PathBuf> {
        let folder = self.root.join(format!("h{host}"));
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Forgets what the last contender left.
    pub(crate) fn clear(&self) -> Outcome<()> {
        for host in 0..=self.hosts {
            let folder = self.folder(host)?;
            std::fs::remove_dir_all(folder)?;
        }
        Ok(())
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Addresses of all hosts for their clients, the sender's first, and one more of the sender; free ones on loopback.
    pub(crate) fn addresses(&self) -> Outcome<Vec<SocketAddr>> {
        match &self.at {
            Where::Links(_) => {
                let hosts = (0..=self.hosts).map(|host| (Network::address(host), PORT).into());
                Ok(hosts.chain([(Network::address(0), PORT + 1).into()]).collect())
            }
            Where::Loopback => {
                let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
                let listeners = (0..self.hosts + 2).map(bind).collect::<Result<Vec<_>, _>>()?;
                Ok(listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?)
            }
        }
    }

    /// A command that runs on a host.
    pub(crate) fn command(&self, host: usize, program: &str) -> Command {
        match &self.at {
            Where::Links(network) => network.command(host, program),
            Where::Loopback => Command::new(program),
        }
    }

    /// Bytes that the sender has put on its link.
    pub(crate) fn sent(&self) -> Outcome<Option<u64>> {
        match &self.at {
            Where::Links(network) => network.sent(0).map(Some),
            Where::Loopback => Ok(None),
        }
    }
}
