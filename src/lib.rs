//! Ship a release to thousands of hosts over a BitTorrent swarm, and watch it arrive.

pub mod control;
#[cfg(feature = "operator")]
pub mod deploy;
#[cfg(feature = "operator")]
pub mod fleet;
#[cfg(feature = "operator")]
pub mod inventory;
#[cfg(feature = "operator")]
pub mod journal;
#[cfg(feature = "operator")]
pub mod report;
#[cfg(feature = "operator")]
pub mod text;
#[cfg(feature = "operator")]
pub mod tui;
pub mod units;
