//! Ship a release to thousands of hosts over a BitTorrent swarm, and watch it arrive.

pub mod control;
#[cfg(feature = "operator")]
pub mod deploy;
#[cfg(feature = "operator")]
pub mod ssh;
pub mod units;
