//! Ship a release to thousands of hosts over a BitTorrent swarm, and watch it arrive.

#[cfg(feature = "operator")]
pub mod cli;
pub mod control;
#[cfg(feature = "operator")]
pub mod deploy;
#[cfg(feature = "operator")]
pub mod exit;
#[cfg(feature = "operator")]
pub mod inventory;
#[cfg(feature = "operator")]
pub mod paths;
#[cfg(feature = "operator")]
pub mod text;
pub mod units;
