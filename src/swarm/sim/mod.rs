//! The swarm without sockets: picker, reveal queue and graph against links of given rates, in the order of events.

mod link;
#[cfg(test)]
mod tests;
mod world;

pub use world::{Death, Outcome, Scene, simulate};
