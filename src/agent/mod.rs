//! The host's side of a run: preflight, fetch, verify, unpack, hooks, activation, clean leave.

mod fetch;
mod hook;
mod leftover;
mod lines;
mod listen;
mod parts;
mod pipe;
mod resume;
mod session;
mod start;
#[cfg(test)]
#[cfg(feature = "operator")]
mod tests;
mod work;

pub use session::{Surroundings, run};
pub use start::main;
