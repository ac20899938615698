//! What to ask of whom: rarest first, pure (no sockets, no clock), repeatable by seed.

mod begun;
mod depth;
mod rarity;
mod rules;

pub use rules::{Arrival, Ask, Limits, PeerKey, Picker};
