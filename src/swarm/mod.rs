//! Moving pieces: the hosts' engine and what it speaks with the seeder.

pub mod noise;
pub mod wire;
