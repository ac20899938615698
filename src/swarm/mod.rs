//! Moving pieces: the hosts' engine, and the operator's seeder with its gate.

mod bitset;
pub mod engine;
#[cfg(feature = "operator")]
mod graph;
pub mod limiter;
pub mod noise;
pub mod picker;
mod pieces;
#[cfg(feature = "operator")]
pub mod reveal;
#[cfg(feature = "operator")]
pub mod seeder;
#[cfg(feature = "operator")]
pub mod sim;
pub mod wire;

pub use bitset::BitSet;
#[cfg(feature = "operator")]
pub use graph::{DEGREE, Graph, MESH, deal};
pub use pieces::{Pieces, PiecesError};
