//! Ship a release to thousands of hosts over a BitTorrent swarm, and watch it arrive.
//!
//! For users: [`docs`]. From Rust: [`Deployment`]. For who changes it: the rooms. A room uses rooms below it, never above.
//!
//! ```text
//!                        main.rs            arguments -> mode -> exit code
//!                       cli/  app/          what can be said · one command, from options to exit code
//!                  tui/         report/     two faces of the same state
//!               fleet/            journal/  what is known of every host · the run, written down
//!                   deploy/   agent/        the operator's side of a host's way · the host's side
//!              ssh/               swarm/    reaching a host · moving pieces
//!   inventory/   payload/   control/  demo/ who · what · the words between operator and agent · a made-up fleet
//! ```
//!
//! Down: keys → `tui::Action` → [`deploy::Command`] → a host's worker → [`control::Request`] over SSH → agent. Up: agent →
//! [`control::Report`] → worker → [`deploy::Event`] → [`fleet::FleetState`] → faces; the [`journal`] hears the same
//! events, and reading them back is how `show`, `retry` and `replay` work. There is one total order of events.
//!
//! The package makes two programs: `murder`, and `murder-agent`, which `build.rs` builds small and static and embeds; the
//! feature `operator` holds all that the agent does not need.

pub mod agent;
#[cfg(feature = "operator")]
pub mod app;
#[cfg(feature = "operator")]
pub use app::Deployment;
#[cfg(feature = "operator")]
pub mod cli;
pub mod clock;
pub mod control;
#[cfg(feature = "operator")]
pub mod demo;
#[cfg(feature = "operator")]
pub mod deploy;
#[cfg(feature = "operator")]
pub mod docs;
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
mod socket;
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
