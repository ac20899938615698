//! One command, from its options to its exit code: what `main` calls.

mod follow;
mod questions;
mod signals;
