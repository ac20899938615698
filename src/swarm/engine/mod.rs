//! The hosts' engine: fetches all pieces from neighbours and the seeder, and serves what it has.

mod cache;
mod connection;
mod core;
mod counters;
mod dial;
mod handle;
mod links;
mod storage;
#[cfg(test)]
mod tests;
mod transfer;

pub use handle::{Engine, EngineConfig, EngineError, Event};
pub use storage::{FileStore, PieceStore};
