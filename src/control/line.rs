use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

/// Version of the words below. An agent is found by the hash of its binary, so both ends always speak the same one;
/// it is sent and checked all the same.
pub const VERSION: u32 = 1;

/// Starts the agent's first line, after a newline and an ASCII record separator. What login shells print before it is noise.
pub const MARKER: &str = "\u{1e}MURDER1";

/// The longest line in bytes, newline included: it fits SSH windows and bounds what a broken end can make us hold.
pub const MAX_LINE: usize = 64 * 1024;

/// The operator says that it lives this often.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// An agent that has heard nothing for so long ends by itself.
pub const LEASE: Duration = Duration::from_secs(60);

/// Why a line could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Longer than [`MAX_LINE`].
    #[error("a line of {0} bytes is longer than the {MAX_LINE} that are allowed")]
    TooLong(usize),
    /// Not the JSON that is expected.
    #[error("cannot read {0:?}: {1}")]
    Json(String, serde_json::Error),
}

/// One message as a line, newline included.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, LineError> {
    let mut line = serde_json::to_vec(message).map_err(|error| LineError::Json(String::new(), error))?;
    line.push(b'\n');
    if line.len() > MAX_LINE { Err(LineError::TooLong(line.len())) } else { Ok(line) }
}

/// One line, with or without its newline, as a message.
pub fn decode<T: DeserializeOwned>(line: &str) -> Result<T, LineError> {
    if line.len() > MAX_LINE {
        return Err(LineError::TooLong(line.len()));
    }
    serde_json::from_str(line.trim_end()).map_err(|error| {
        let start: String = line.chars().take(80).collect();
        LineError::Json(start, error)
    })
}
