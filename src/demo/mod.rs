//! A made-up fleet on this machine: an SSH server of many hosts inside this process, with faults on demand.

mod account;
mod error;
mod exec;
mod fault;
mod fleet;
mod folder;
mod forward;
mod input;
mod names;
mod processes;
mod release;
mod server;
mod space;
#[cfg(test)]
mod tests;

pub use error::DemoError;
pub use fault::Fault;
pub use fleet::{DemoFleet, DemoHost, DemoOptions, HOOK};
pub use release::{MadeRelease, make_release};
pub use space::{check_space, needed_bytes};
