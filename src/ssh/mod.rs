//! Reaching a host as OpenSSH would: configuration, host keys, login, limits and retries, and the agent started over it.

mod agent_process;
mod agents;
mod ask;
mod auth;
mod channel;
mod client;
mod connection;
mod dial;
mod error;
mod files;
mod host_key;
mod jump;
mod keys;
mod known_hosts;
mod launch;
mod learn;
mod lines;
mod local;
mod offers;
mod openssh;
mod openssh_config;
mod pace;
mod password;
mod pipes;
mod process;
mod prompt;
mod proxy;
mod queue;
mod resolve;
mod session;
#[cfg(test)]
mod tests;

pub use agent_process::{AgentProcess, AgentSays, AgentSender, Leave};
pub use agents::AgentBinaries;
pub use ask::{Ask, NobodyToAsk, Secret};
pub use client::{Client, ClientOptions, ConfigSource, Target, Warn};
pub use error::SshError;
pub use files::raise_open_files;
pub use host_key::{HostKeyError, HostKeyPolicy};
pub use local::Local;
pub use pipes::Pipes;
pub use process::{Exit, Loopback, Process, Reader, Stdin};
pub use session::Session;
