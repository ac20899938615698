//! The command line: what can be said, its help, and options merged from all their sources.

mod args;
mod bash;
mod complete;
mod config;
mod error;
mod generate;
mod groups;
mod help;
mod options;
mod reference;
mod setup;
#[cfg(test)]
mod tests;

pub use args::{
    ActivateArgs, CheckArgs, CleanArgs, Cli, Command, CompletionsArgs, DemoArgs, DeployArgs, ManArgs,
    ReleasesArgs, ReplayArgs, RetryArgs, RollbackArgs, RunsArgs, ShowArgs,
};
pub use complete::{answered_shell, completions};
pub use config::Config;
pub use error::CliError;
pub use generate::{man_page, man_pages, paths};
pub use help::{EXIT_CODES, command};
pub use options::{DeployOptions, FaceOptions, defaults};
pub use reference::{CONFIG_KEYS, FILES, OptionEntry, VARIABLES, options as option_entries, options_table};
pub use setup::{Env, Setup, Surroundings};
