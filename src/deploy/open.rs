use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use crate::payload::Packed;
use crate::swarm::limiter::Limiter;
use crate::swarm::seeder::{OpenSwarm, own_address};

/// A swarm for any BitTorrent client, beside that of the hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPlan {
    /// Where the torrent file is written that lets clients in.
    pub torrent: PathBuf,
    /// The port that they come to; any free one if `None`.
    pub port: Option<u16>,
    /// Folder for what it keeps on disk while it runs.
    pub scratch: PathBuf,
}

impl OpenPlan {
    /// Opens it and writes the torrent file. Returns it with a warning of what that means.
    ///
    /// # Errors
    /// In words for the user, if the port or the file cannot be had.
    pub(super) async fn open(
        &self,
        packed: &Packed,
        limiter: Arc<Limiter>,
    ) -> Result<(OpenSwarm, String), String> {
        let metainfo = Arc::new(packed.metainfo.clone());
        let port = self.port.unwrap_or(0);
        let swarm = OpenSwarm::start(&packed.artifact, metainfo, port, limiter, &self.scratch)
            .await
            .map_err(|error| error.to_string())?;
        let host = own_address().map_or_else(own_name, |address| address.to_string());
        let file = self.torrent.display();
        fs::write(&self.torrent, swarm.torrent(&host))
            .map_err(|error| format!("cannot write the torrent file {file}: {error}"))?;
        let warning = format!(
            "the release is open to anybody who is given {file} or its info-hash: plain, from {host}, port {}, while this run lasts",
            swarm.port()
        );
        Ok((swarm, warning))
    }
}

fn own_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
