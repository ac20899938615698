//! Pages for people: what scripts may rely on, how to configure, what is trusted, hosts that are special.

#[doc = include_str!("output.md")]
pub mod output {}

#[doc = include_str!("configuration.md")]
pub mod configuration {}

#[doc = include_str!("special_hosts.md")]
pub mod special_hosts {}

#[doc = include_str!("security.md")]
pub mod security {}
