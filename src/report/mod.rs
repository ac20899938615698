//! What is printed of a run: plain lines, JSON lines, the summary, and reports of it when it is over.
//!
//! All of it is made from [`crate::deploy::Event`]s, live ones or recorded ones, and takes its time from them. A [`Face`]
//! prints while the run goes on; the [`summary()`] is told of a [`crate::fleet::FleetState`], whoever showed the run.

mod ci;
mod face;
mod json;
mod outcome;
mod plain;
mod quiet;
#[cfg(test)]
mod schema_tests;
mod status;
mod style;
mod summary;
#[cfg(test)]
mod tests;
mod text;

pub use ci::Ci;
pub use face::Face;
pub use json::Json;
pub use plain::{Plain, PlainOptions};
pub use quiet::Quiet;
pub use style::Style;
pub use summary::summary;
pub use text::clean;
