//! The encrypted channel of the swarm: Noise NNpsk0 with the run's key, then frames of AES-256-GCM or ChaCha20-Poly1305.

mod channel;
mod cipher;
mod handshake;
mod resolver;
#[cfg(test)]
mod tests;

pub use channel::Channel;
pub use cipher::{Opener, Sealer, Suite};
pub use handshake::{HANDSHAKE_TIMEOUT, NoiseError, Party, SeenKeys, answer, dial};
