use std::io;
use std::path::PathBuf;

/// Why the seeder could not start, or stopped.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SeederError {
    /// A file or folder of the seeder's own.
    #[error("cannot {what} {path:?} for the seeder: {source}", path = path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::sync::Arc<io::Error>,
    },
    /// The artifact is not what was hashed.
    #[error("the packed payload {path:?} has changed since it was hashed ({what}): pack it again", path = path.display())]
    Changed {
        /// The artifact.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// The session refused the torrent, or broke.
    #[error("the BitTorrent session failed: {0}")]
    Session(String),
    /// The port of the open swarm.
    #[error("cannot listen on port {port} for the open swarm: {reason}; choose another with --open-port")]
    Port {
        /// Which.
        port: u16,
        /// Why.
        reason: String,
    },
    /// No thread or runtime to be had.
    #[error("cannot start the seeder's thread: {0}")]
    Thread(String),
    /// It was stopped.
    #[error("the seeder was stopped")]
    Stopped,
}
