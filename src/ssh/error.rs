use crate::control::{Failure, FailureKind, Phase};

use super::host_key::HostKeyError;

/// Why a host could not be reached, or its agent not be started. Messages say what was tried, on which address, why it
/// failed and, where it is not obvious, what to do. They do not name the host, which stands beside them, so that hosts with
/// the same trouble are told together.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SshError {
    /// It is not known where to dial: no address, or the OpenSSH configuration cannot be read.
    #[error("the name does not resolve: {reason}")]
    Resolve {
        /// The host as the inventory names it.
        host: String,
        /// Why.
        reason: String,
    },
    /// No route.
    #[error("cannot reach the host: {tried}")]
    Unreachable {
        /// The host as the inventory names it.
        host: String,
        /// Each address and what it said.
        tried: String,
    },
    /// The connection was refused or reset, or what answers does not speak our SSH.
    #[error("the connection was refused: {tried}")]
    Refused {
        /// The host as the inventory names it.
        host: String,
        /// Each address and what it said.
        tried: String,
        /// Whether the same may go well a little later.
        retryable: bool,
    },
    /// No answer in time.
    #[error("no answer: {tried}")]
    Timeout {
        /// The host as the inventory names it.
        host: String,
        /// What was waited for, where, and for how long.
        tried: String,
    },
    /// The host is not known to be the one that is meant.
    #[error(transparent)]
    HostKey(Box<HostKeyError>),
    /// The login was refused.
    #[error("cannot log in as {}: {reason}", user_of(login))]
    Auth {
        /// `user@host:port`.
        login: String,
        /// Why, and what was tried.
        reason: String,
        /// What was tried, one line each.
        tried: Vec<String>,
    },
    /// The agent did not start.
    #[error("the agent did not start: {reason}")]
    Launch {
        /// The host as the inventory names it.
        host: String,
        /// Why.
        reason: String,
        /// The host's own words.
        words: Vec<String>,
    },
    /// There is no agent for that system.
    #[error("there is no agent for {system}; there are: {have}")]
    Arch {
        /// The host as the inventory names it.
        host: String,
        /// What `uname -sm` said.
        system: String,
        /// Platforms that there are agents for.
        have: String,
    },
    /// There is no space for the agent.
    #[error("no space for the agent in {folders}")]
    DiskFull {
        /// The host as the inventory names it.
        host: String,
        /// Where it was tried.
        folders: String,
        /// The host's own words.
        words: Vec<String>,
    },
    /// The connection is gone.
    #[error("lost the host: {reason}")]
    Lost {
        /// The host as the inventory names it.
        host: String,
        /// Why, as far as it is known.
        reason: String,
    },
    /// A host on the way failed.
    #[error("jump host {jump}: {error}")]
    Jump {
        /// The jump host.
        jump: String,
        /// What happened to it.
        error: Box<SshError>,
    },
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

impl SshError {
    /// The named cause.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Resolve { .. } => FailureKind::Resolve,
            Self::Unreachable { .. } => FailureKind::Unreachable,
            Self::Refused { .. } => FailureKind::Refused,
            Self::Timeout { .. } => FailureKind::Timeout,
            Self::HostKey(_) => FailureKind::HostKey,
            Self::Auth { .. } => FailureKind::Auth,
            Self::Launch { .. } => FailureKind::Launch,
            Self::Arch { .. } => FailureKind::Arch,
            Self::DiskFull { .. } => FailureKind::DiskFull,
            Self::Lost { .. } => FailureKind::Lost,
            Self::Jump { error, .. } => error.kind(),
            Self::Internal(_) => FailureKind::Internal,
        }
    }

    /// Whether the same attempt, made again a little later, may succeed without anybody's help.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Refused { retryable, .. } => *retryable,
            Self::Jump { error, .. } => error.retryable(),
            _ => self.kind().retryable(),
        }
    }

    /// More lines: the remote's own words, or what was tried.
    pub fn detail(&self) -> &[String] {
        match self {
            Self::Auth { tried, .. } => tried,
            Self::Launch { words, .. } | Self::DiskFull { words, .. } => words,
            Self::HostKey(error) => error.detail(),
            Self::Jump { error, .. } => error.detail(),
            _ => &[],
        }
    }

    /// As the failure of a host.
    pub fn failure(&self, phase: Phase) -> Failure {
        Failure { phase, kind: self.kind(), message: self.to_string(), detail: self.detail().to_vec() }
    }
}

fn user_of(login: &str) -> &str {
    login.rsplit_once('@').map_or(login, |(user, _)| user)
}

impl From<HostKeyError> for SshError {
    fn from(error: HostKeyError) -> Self {
        Self::HostKey(Box::new(error))
    }
}
