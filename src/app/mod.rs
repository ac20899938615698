//! One command, from its options to its exit code: what `main` calls. And [`Deployment`], for other programs.

mod command;
mod demo;
mod deploy;
mod dry_run;
mod embed;
mod errand;
mod error;
mod follow;
mod held;
mod history;
mod plan;
mod questions;
mod rollback;
mod screen;
mod signals;
mod trace;

pub use command::run;
pub use embed::Deployment;
pub use error::AppError;
