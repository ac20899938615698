//! Ship a release to thousands of hosts over a BitTorrent swarm, and watch it arrive.

pub mod agent;
#[cfg(feature = "operator")]
pub mod app;
#[cfg(feature = "operator")]
pub mod cli;
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
#[cfg(feature = "operator")]
pub mod paths;
pub mod payload;
#[cfg(feature = "operator")]
pub mod report;
#[cfg(feature = "operator")]
pub mod ssh;
pub mod swarm;
#[cfg(feature = "operator")]
pub mod text;
#[cfg(feature = "operator")]
pub mod tui;
pub mod units;

// The made-up deployment of `examples/screen` names the crate as every example does, and is used by tests, too.
#[cfg(test)]
extern crate self as murder;
