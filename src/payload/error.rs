use std::io;
use std::path::{Path, PathBuf};

use crate::control::{Failure, FailureKind, LockOwner, OTHER_CONTENT, Phase, SAME_DEST};
use crate::units::format_bytes;

use super::manifest::ManifestError;

/// Why something on a host could not be done.
#[derive(Debug, thiserror::Error)]
pub enum DestError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The preflight found too little space.
    #[error(
        "{} has {} free, and the release needs {}: {} packed and {} unpacked, which lie there at the same time",
        path.display(), format_bytes(*free), format_bytes(packed.saturating_add(*unpacked)), format_bytes(*packed),
        format_bytes(*unpacked)
    )]
    Space {
        /// Where.
        path: PathBuf,
        /// Bytes that this user may still write.
        free: u64,
        /// Bytes of the artifact that are not there yet.
        packed: u64,
        /// Bytes of the files.
        unpacked: u64,
    },
    /// The preflight found too little space for anything.
    #[error(
        "{} has {} free: a deployment of any size wants {} there, for its lock and its records",
        path.display(), format_bytes(*free), format_bytes(*needed)
    )]
    Room {
        /// Where.
        path: PathBuf,
        /// Bytes that this user may still write.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// The preflight found too few inodes.
    #[error("{} has {free} inodes free, and the release needs {needed}", path.display())]
    Inodes {
        /// Where.
        path: PathBuf,
        /// Left.
        free: u64,
        /// Needed.
        needed: u64,
    },
    /// DEST is no absolute path.
    #[error("{0:?} cannot hold releases: it must be an absolute path")]
    BadDest(String),
    /// The name cannot be that of a folder or link in DEST.
    #[error("{0:?} cannot be a {1}: it must be a name without `/` that does not start with `.`")]
    BadName(String, &'static str),
    /// `current` is something else than a link.
    #[error("{} is no symbolic link; move it away", .0.display())]
    NoLink(PathBuf),
    /// The release folder is there already.
    #[error("{} {OTHER_CONTENT}", .0.display())]
    Taken(PathBuf),
    /// There is no such release.
    #[error("there is no release {}", .0.display())]
    NoRelease(PathBuf),
    /// Another run holds DEST.
    #[error("{} is locked by {owner}", path.display())]
    Locked {
        /// DEST.
        path: PathBuf,
        /// Who holds it.
        owner: Box<LockOwner>,
        /// What is known of the process that holds it, for a person on the host.
        holder: String,
    },
    /// This very run holds DEST for another of its hosts.
    #[error("{SAME_DEST}{0}")]
    SameDest(String),
    /// What stands there differs from what was named over SSH.
    #[error("{} does not match its hash in the manifest", .0.display())]
    HashMismatch(PathBuf),
    /// The artifact is not what it must be.
    #[error("{} is no whole artifact: {reason}", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system did not keep a mode.
    #[error("cannot set mode {wanted:04o} of {}: it became {got:04o}; the user must own the file's group", path.display())]
    Mode {
        /// Of what.
        path: PathBuf,
        /// Of the payload.
        wanted: u32,
        /// As it is.
        got: u32,
    },
    /// The operator, or the end of the agent, broke it off.
    #[error("broken off")]
    Cancelled,
}

impl DestError {
    pub(super) fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.as_ref().to_owned(), source }
    }

    pub(super) fn sys(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::io(action, path)(errno.into())
    }

    pub(super) fn manifest(error: ManifestError, path: &Path) -> Self {
        match error {
            ManifestError::Io(source) if source.raw_os_error().is_some() => Self::io("read", path)(source),
            error => Self::Corrupt { path: path.to_owned(), reason: error.to_string() },
        }
    }

    /// The named cause. What the system says without a cause of its own counts for the phase.
    pub fn kind(&self, phase: Phase) -> FailureKind {
        let otherwise = if phase == Phase::Activating { FailureKind::Activate } else { FailureKind::Unpack };
        match self {
            Self::Io { source, .. } => io_kind(source).unwrap_or(otherwise),
            Self::Space { .. } | Self::Room { .. } | Self::Inodes { .. } => FailureKind::DiskFull,
            Self::Mode { .. } => FailureKind::Permission,
            Self::NoLink(_) | Self::Taken(_) => FailureKind::DestExists,
            Self::Locked { .. } | Self::SameDest(_) => FailureKind::Locked,
            Self::HashMismatch(_) | Self::Corrupt { .. } => FailureKind::HashMismatch,
            Self::BadDest(_) | Self::BadName(..) | Self::NoRelease(_) | Self::Cancelled => otherwise,
        }
    }

    /// As it is told to the operator.
    pub fn failure(&self, phase: Phase) -> Failure {
        let failure = Failure::new(phase, self.kind(phase), self.to_string());
        match self {
            // Not in the message: that is the same on all hosts of the other run, which are shown as one.
            Self::Locked { holder, .. } => Failure { detail: vec![holder.clone()], ..failure },
            _ => failure,
        }
    }
}

/// The kind that an error of the system has by itself.
pub fn io_kind(error: &io::Error) -> Option<FailureKind> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(FailureKind::DiskFull),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(FailureKind::Permission),
        _ => None,
    }
}
