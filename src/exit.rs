//! Exit codes of `murder`. Scripts rely on them.

/// All hosts are active, or staged where nothing was to be activated.
pub const OK: u8 = 0;
/// A fault of ours.
pub const INTERNAL: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// The inventory or the configuration is wrong.
pub const CONFIG: u8 = 3;
/// No host was selected.
pub const NO_HOST: u8 = 4;
/// Some hosts failed.
pub const FAILED: u8 = 6;
/// Stopped by the user.
pub const STOPPED: u8 = 7;
/// A second Ctrl-C.
pub const ABORTED: u8 = 130;
