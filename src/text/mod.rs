//! Text that users write: mistakes that point at their place, "did you mean", scalars and keys read with both.

mod kind;
mod mistake;
mod read;
mod suggest;

pub use kind::{Kind, no_word};
pub use mistake::{Mistake, TextError};
pub use read::{Key, Notes, OneOrMany, Scalar, Unique};
pub use suggest::{did_you_mean, did_you_mean_file, nearest};
