//! The words between operator and agent: one JSON object a line, the same types on both sides.

mod failure;
mod id;
mod line;
mod lock;
mod report;
mod request;

pub use failure::{Failure, FailureKind, OTHER_CONTENT, Phase};
pub use id::{HostId, RunId, RunKey};
pub use line::{HEARTBEAT, LEASE, LineError, MARKER, MAX_LINE, VERSION, decode, encode};
pub use lock::{LockOwner, SAME_DEST};
pub use report::{Checked, Hello, LinkCount, LogLevel, LogSource, Present, Progress, Release, Report, Wait};
pub use request::{Begin, Fetch, HookLine, Neighbour, Request};
