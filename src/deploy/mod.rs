//! The operator's side of a host's way: from the plan to the last host's final state.

mod command;
mod event;
mod limit;

pub use command::{Command, Secret};
pub use event::{
    BarrierState, Body, Event, FailureGroup, HostInfo, HostProgress, HostState, LogLine, Mark, Plan,
    Question, RunInfo, SeederProgress, StateName, Summary, SwarmSummary,
};
pub use limit::{Binding, LinkRate, least_seconds};
