use std::io;

use crate::exit;
use crate::inventory::{InventoryError, SelectError};
use crate::text::{Mistake, TextError};

/// Why a command did not begin. Nothing was contacted.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The inventory, or a list of hosts, is wrong.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// The configuration could not be read.
    #[error("cannot read {path}: {error}")]
    ReadConfig {
        /// The file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// There is a mistake in the configuration.
    #[error(transparent)]
    Config(Box<TextError>),
    /// A variable has a value that cannot be.
    #[error("environment variable {name}: {mistake}")]
    Environment {
        /// The variable.
        name: String,
        /// What is wrong with it.
        mistake: Mistake,
    },
    /// `--limit` or `--exclude` is wrong.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// Nothing is left to do.
    #[error("no host is selected: {inventory} has {hosts}{by}")]
    NoHost {
        /// Where the hosts came from.
        inventory: String,
        /// How many it has, in words.
        hosts: String,
        /// What left none of them, in words.
        by: String,
    },
    /// It is not said where releases lie.
    #[error("no folder of releases for {hosts}: give --to DIR, or `dest` in the inventory")]
    NoDest {
        /// Those hosts, folded.
        hosts: String,
    },
    /// Two options do not go together.
    #[error("{one} with {other} makes no sense: {help}")]
    Conflict {
        /// One.
        one: &'static str,
        /// The other.
        other: &'static str,
        /// What to do.
        help: &'static str,
    },
}

impl CliError {
    /// The exit code of the command.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Inventory(_)
            | Self::ReadConfig { .. }
            | Self::Config(_)
            | Self::Environment { .. }
            | Self::NoDest { .. } => exit::CONFIG,
            Self::Select(SelectError::Syntax(_)) | Self::Conflict { .. } => exit::USAGE,
            Self::Select(SelectError::Unknown(_)) | Self::NoHost { .. } => exit::NO_HOST,
        }
    }
}
