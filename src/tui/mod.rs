//! The screen: a run's events in, pictures out; keys in, commands out.

mod action;
mod app;
mod commandline;
mod cursor;
mod drive;
mod hostlist;
mod input;
mod keymap;
mod notify;
mod options;
mod orders;
mod preview;
mod run;
mod source;
mod svg;
mod symbols;
mod terminal;
#[cfg(test)]
mod tests;
mod theme;
mod ui;
mod undo;
mod update;
mod view;

pub use action::{Action, View};
pub use keymap::{Keymap, KeymapError, Section};
pub use options::{TuiOptions, locale_is_utf8};
pub use preview::Preview;
pub use run::{Ended, TuiEnd, TuiError, replay, run};
pub use source::ReplayStart;
