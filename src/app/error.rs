use std::io;
use std::path::PathBuf;

use crate::cli::CliError;
use crate::demo::DemoError;
use crate::exit;
use crate::journal::JournalError;
use crate::paths::NoHome;
use crate::report::ReportError;
use crate::ssh::SshError;
use crate::tui::TuiError;

/// Why a command did not do its work. What happens to hosts is no error: it is in the events and in the exit code.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Inventory, configuration, or options that do not go together.
    #[error(transparent)]
    Cli(#[from] CliError),
    /// The record of a run.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The screen.
    #[error(transparent)]
    Tui(#[from] TuiError),
    /// The made-up fleet.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// The way to the hosts.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// There is no place for files.
    #[error(transparent)]
    NoHome(#[from] NoHome),
    /// The payload cannot be shipped.
    #[error("cannot ship {}: {reason}", path.display())]
    Payload {
        /// As it was named.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A run that is to be tried again left nothing to do.
    #[error("nothing to retry: every host of run {0} has the release")]
    NothingToRetry(String),
    /// The report of the run.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Something about the tag, the agents or the terminal.
    #[error("{0}")]
    Config(String),
    /// This machine does not do what it must.
    #[error("cannot {what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

impl AppError {
    /// The exit code that it means.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Cli(error) => error.exit_code(),
            Self::NothingToRetry(_) => exit::NO_HOST,
            Self::Report(_) | Self::Payload { .. } | Self::Config(_) | Self::NoHome(_) | Self::Demo(_) => {
                exit::CONFIG
            }
            Self::Journal(JournalError::Unknown { .. } | JournalError::Ambiguous { .. }) => exit::USAGE,
            Self::Journal(JournalError::Empty(_) | JournalError::NoLast { .. } | JournalError::NoPlan(_)) => {
                exit::CONFIG
            }
            Self::Journal(_) | Self::Tui(_) | Self::Ssh(_) | Self::System { .. } => exit::INTERNAL,
        }
    }
}
