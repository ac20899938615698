//! What is printed of a run: plain lines, JSON lines, the summary, and reports of it when it is over.
//!
//! All of it is made from [`crate::deploy::Event`]s, live ones or recorded ones, and takes its time from them. A [`Face`]
//! prints while the run goes on; the [`summary()`] is told of a [`crate::fleet::FleetState`], whoever showed the run.

mod chart;
mod ci;
mod compare;
mod curve;
mod face;
mod format;
mod html;
mod json;
mod json_found;
mod json_report;
mod markdown;
mod outcome;
mod past;
mod phases;
mod plain;
mod plan_line;
mod quiet;
#[cfg(test)]
mod report_tests;
mod run;
#[cfg(test)]
mod schema_tests;
mod show;
mod status;
mod style;
mod summary;
#[cfg(test)]
mod tests;
mod text;
mod words;

pub use ci::Ci;
pub use compare::{Comparison, SlowerHost};
pub use face::Face;
pub use format::{ReportError, ReportFormat, check_report, write_report};
pub use json::Json;
pub use past::{Past, list_json};
pub use plain::{Plain, PlainOptions};
pub use plan_line::PlanLine;
pub use quiet::Quiet;
pub use run::RunReport;
pub use show::{format_age, list, show};
pub use style::Style;
pub use summary::summary;
pub use text::clean;
