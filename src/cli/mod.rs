//! The command line: what can be said, its help, and options merged from all their sources.

mod args;
mod config;
mod error;
mod generate;
mod groups;
mod help;
mod options;
mod setup;
#[cfg(test)]
mod tests;

pub use args::{
    ActivateArgs, CheckArgs, CleanArgs, Cli, Command, CompletionsArgs, DemoArgs, DeployArgs, ManArgs,
    ReleasesArgs, ReplayArgs, RetryArgs, RollbackArgs, RunsArgs, ShowArgs,
};
pub use config::Config;
pub use error::CliError;
pub use generate::{completions, man_page, man_pages, paths};
pub use help::{EXIT_CODES, command};
pub use options::{DeployOptions, FaceOptions, defaults};
pub use setup::{Env, Setup, Surroundings};
