//! The operator's end of the swarm: a librqbit session, and the gate that feeds hosts from it.

mod error;
mod feed;
mod gate;
mod handle;
mod open_swarm;
mod session;
mod source;
#[cfg(test)]
mod tests;

pub use error::SeederError;
pub use feed::{FeedEnd, FeedHandle};
pub use handle::{Seeder, SeederEvent, SeederNumbers, SeederOptions};
pub use open_swarm::{OpenSwarm, own_address};
