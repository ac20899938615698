//! One command, from its options to its exit code: what `main` calls.

mod command;
mod demo;
mod deploy;
mod dry_run;
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

pub use command::run;
pub use error::AppError;
