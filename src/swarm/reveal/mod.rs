//! Which pieces the seeder offers to whom, so that each leaves it once. Pure: no clock, no socket.

mod budget;
#[cfg(test)]
mod budget_tests;
mod queue;
mod rarity;
#[cfg(test)]
mod tests;

pub use queue::{MAX_FEEDS, Reveal, WINDOW, window};
