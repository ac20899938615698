//! The operator's side of a host's way: from the plan to the last host's final state.

mod barrier;
mod command;
mod coordinator;
mod counts;
mod entry;
mod event;
mod hearing;
mod host;
mod limit;
mod links;
mod retry;
mod tally;
#[cfg(test)]
mod tests;
mod watch;

pub use barrier::BarrierRules;
pub use command::{Command, Secret};
pub use event::{
    BarrierState, Body, Event, FailureGroup, HostInfo, HostProgress, HostState, LogLine, Mark, Plan,
    Question, RunInfo, SeederProgress, StateName, Summary, SwarmSummary,
};
pub use limit::{Binding, LinkRate, least_seconds};
