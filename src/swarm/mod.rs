//! Moving pieces: the hosts' engine, and the operator's seeder with its gate.

#[cfg(feature = "operator")]
mod graph;
#[cfg(feature = "operator")]
mod reveal;

#[cfg(feature = "operator")]
pub use graph::{DEGREE, Graph, MESH, deal};
