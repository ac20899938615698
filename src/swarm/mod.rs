//! Moving pieces: the hosts' engine, and the operator's seeder with its gate.

#[cfg(feature = "operator")]
mod graph;
pub mod noise;
#[cfg(feature = "operator")]
pub mod reveal;
#[cfg(feature = "operator")]
pub mod seeder;
pub mod wire;

#[cfg(feature = "operator")]
pub use graph::{DEGREE, Graph, MESH, deal};
