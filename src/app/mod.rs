//! One command, from its options to its exit code: what `main` calls. And [`Deployment`], for other programs.

mod command;
mod demo;
mod deploy;
mod dry_run;
mod embed;
mod error;
mod follow;
mod history;
mod plan;
mod questions;
mod screen;
mod signals;
mod trace;

pub use command::run;
pub use embed::Deployment;
pub use error::AppError;
