//! Who takes part: `hosts.yaml` and the other forms of a list of hosts, selection among them, names folded back.

mod build;
mod document;
mod error;
mod expr;
mod fields;
mod fold;
mod host;
mod kinds;
mod model;
mod options;
mod plain;
mod range;
mod select;
mod syntax;
#[cfg(test)]
mod tests;
mod values;

pub use error::InventoryError;
pub use expr::Expr;
pub use fold::fold;
pub use host::HostName;
pub use kinds::{
    BATCH, BOOL, CANARY, COLOR, DEST, DURATION, EXPRESSION, FANOUT, FILE, FPS, GLOB, HOST_KEYS, KEEP, LINK,
    MAX_FAIL, NOTIFY, OUTPUT, PORT, PORTS, QUORUM, RATE, REPORT, RETRIES, TAG, THEME, UNPACK, VERBOSE,
};
pub use model::{DEFAULT_HOOK_TIMEOUT, Hooks, Host, Inventory};
pub use options::Options;
pub use plain::{DEFAULT_FILE, file_of};
pub use range::{MAX_EXPANSION, expand};
pub use select::{SelectError, matching, select};
pub use values::{
    AfterFailure, Amount, Canary, ColorChoice, HostKeys, Notify, Output, Percent, PortRange, Theme,
    Transport, Unpack,
};
