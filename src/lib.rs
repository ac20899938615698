//! Ship a release to thousands of hosts over a BitTorrent swarm, and watch it arrive.

#[cfg(feature = "operator")]
pub mod app;
pub mod control;
#[cfg(feature = "operator")]
pub mod demo;
#[cfg(feature = "operator")]
pub mod deploy;
#[cfg(feature = "operator")]
pub mod exit;
#[cfg(feature = "operator")]
pub mod fleet;
#[cfg(feature = "operator")]
pub mod inventory;
#[cfg(feature = "operator")]
pub mod journal;
pub mod payload;
#[cfg(feature = "operator")]
pub mod report;
pub mod swarm;
#[cfg(feature = "operator")]
pub mod text;
#[cfg(feature = "operator")]
pub mod tui;
pub mod units;
