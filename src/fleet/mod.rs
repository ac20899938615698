//! What the faces show: one state of the whole fleet, reduced from the run's events, with no clock and no terminal.

mod apply;
mod counts;
mod eta;
mod failures;
mod found;
mod glance;
mod host;
mod names;
mod query;
mod remark;
mod ring;
mod state;
mod swarm;
#[cfg(test)]
mod tests;
mod why;

pub use counts::Counts;
pub use eta::Eta;
pub use failures::{Cause, Causes, Wrong};
pub use found::FoundLines;
use glance::Pulse;
pub use glance::{Glance, Rank};
pub use host::{Attempt, HostLine, HostRecord, RATE_SAMPLES, Span, WaitShares};
pub use names::fold_names;
pub use query::{Filter, Index, Query, Scope, Sort};
pub use remark::{Remark, Weight};
pub use ring::Ring;
pub use state::{FleetState, Group, GroupKind, LogEntry, Totals};
pub use swarm::Flows;
