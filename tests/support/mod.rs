//! What tests of the whole product need: an operator's home, hosts to deploy to, trees to compare, a terminal to look at.

pub(crate) mod host;
pub(crate) mod operator;
pub(crate) mod sshd;
pub(crate) mod terminal;
pub(crate) mod tree;

use std::time::{Duration, Instant};

/// How long anything may take on a machine that is busy with many tests. Only a failure waits so long.
pub(crate) const LONG: Duration = Duration::from_secs(180);

/// Waits until something holds.
///
/// # Panics
/// If it takes longer than [`LONG`].
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {LONG:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
