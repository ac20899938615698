//! Moving pieces: the hosts' engine and what it speaks with the seeder.

mod bitset;
pub mod engine;
pub mod limiter;
pub mod noise;
pub mod picker;
mod pieces;
pub mod wire;

pub use bitset::BitSet;
pub use pieces::{Pieces, PiecesError};
