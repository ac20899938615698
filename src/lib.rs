//! Ship a release to thousands of hosts over a BitTorrent swarm, and watch it arrive.

pub mod agent;
pub mod control;
#[cfg(feature = "operator")]
pub mod deploy;
pub mod payload;
pub mod swarm;
pub mod units;
