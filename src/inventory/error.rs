use std::io;

use crate::text::TextError;

/// Why an inventory could not be read. Nothing was contacted.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// The file could not be read.
    #[error("cannot read the inventory {source_name}: {error}; {help}")]
    Read {
        /// The file, or `standard input`.
        source_name: String,
        /// What the system says.
        error: io::Error,
        /// What to do.
        help: String,
    },
    /// There is a mistake in it.
    #[error(transparent)]
    Mistake(#[from] Box<TextError>),
}
