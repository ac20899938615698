use std::io;
use std::path::PathBuf;

use crate::units::format_bytes;

/// Why a made-up fleet could not be set up or mended.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No host, or more than the addresses that are set aside.
    #[error("a made-up fleet has 1 to {most} hosts, not {asked}; choose another --fleet")]
    Hosts {
        /// What was asked for.
        asked: usize,
        /// The most there may be.
        most: usize,
    },
    /// More faults than hosts.
    #[error("{fail} hosts cannot fail in a fleet of {hosts}; lower --fail")]
    TooManyFaults {
        /// Hosts that were to fail.
        fail: usize,
        /// Hosts in all.
        hosts: usize,
    },
    /// The disk is too small.
    #[error(
        "{} holds {} free and the demo needs {}; lower --fleet or --size, or set TMPDIR to a larger disk",
        folder.display(), format_bytes(*free), format_bytes(*needed)
    )]
    Space {
        /// Where it would be set up.
        folder: PathBuf,
        /// Bytes that this user may still write there.
        free: u64,
        /// Bytes that the demo takes at its fullest.
        needed: u64,
    },
    /// A file or folder could not be made.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `create`, `write`, `lock`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A host's port could not be opened.
    #[error("cannot open a port on loopback for {host}: {source}")]
    Listen {
        /// The host.
        host: String,
        /// Why not.
        source: io::Error,
    },
    /// Keys could not be made.
    #[error("cannot make an ssh key: {0}")]
    Key(String),
    /// The server's threads could not be started.
    #[error("cannot start the threads of the ssh server: {0}")]
    Threads(io::Error),
}

impl DemoError {
    /// For `map_err` on work with files.
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
