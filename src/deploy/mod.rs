//! The operator's side of a host's way: from the plan to the last host's final state.

mod ask;
mod barrier;
mod board;
mod check;
mod command;
mod coordinator;
mod counts;
mod entry;
mod errand;
mod event;
mod hearing;
mod held;
mod host;
mod limit;
mod links;
mod muster;
mod open;
mod outage;
mod plan;
mod reach;
mod requests;
mod retry;
mod rollback;
mod run;
mod seen;
mod sent;
mod sweep;
mod talk;
mod tally;
#[cfg(test)]
mod tests;
mod watch;
mod way;
mod worker;

pub use barrier::BarrierRules;
pub use command::Command;
pub use errand::{Checkup, Cleaned, Errand, Found};
pub use event::{
    ActivationSummary, BarrierState, Body, Event, FailureGroup, HostInfo, HostProgress, HostState, LogLine,
    Mark, Plan, Question, RunInfo, SeederProgress, StateName, Summary, SwarmSummary,
};
pub use held::open_barrier;
pub use limit::{Binding, FluidLimit, LinkRate, least_seconds};
pub use open::OpenPlan;
pub use plan::{DeployPlan, MANIFEST};
pub use run::{RunHandle, start};
