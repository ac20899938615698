//! Ship a release to thousands of hosts over a BitTorrent swarm, and watch it arrive.

// The made-up deployment of the examples is the tests' too, and names this crate from outside.
#[cfg(test)]
extern crate self as murder;

pub mod control;
#[cfg(feature = "operator")]
pub mod deploy;
#[cfg(feature = "operator")]
pub mod fleet;
#[cfg(feature = "operator")]
pub mod tui;
pub mod units;
