//! From a file or folder to a packed artifact with its metainfo, and on a host back to release folders.

/// Releases at most that an artifact is laid out for: the newest one, and the one before, which is what a failed deployment leaves.
pub const MOST_BASES: usize = 2;

#[cfg(feature = "operator")]
mod archive;
mod artifact;
mod dest;
mod digest;
mod error;
mod frames;
mod lock;
mod manifest;
mod metainfo;
#[cfg(feature = "operator")]
mod pack;
mod partial;
mod recipe;
mod record;
mod releases;
mod restore;
#[cfg(feature = "operator")]
mod scan;
#[cfg(feature = "operator")]
mod stretches;
#[cfg(test)]
#[cfg(feature = "operator")]
mod tests;
#[cfg(feature = "operator")]
mod tree;
mod unpack;
mod walk;

pub use artifact::Artifact;
pub use dest::{Dest, Need, Space, check_tag};
pub use digest::{Sha256, from_hex, hex, sha1};
pub use error::{DestError, io_kind};
pub use lock::LockGuard;
pub use manifest::{Entry, EntryKind, Manifest, ManifestError, ManifestReader};
pub use metainfo::{LEAST_PIECE, Metainfo, MetainfoError, choose_piece_length};
#[cfg(feature = "operator")]
pub use pack::{PackOptions, PackProgress, Packed, Survey, Unpack, hash_pieces, pack, survey};
pub use partial::PartialStore;
pub use recipe::{MOST_RECIPE, Recipe, RecipeError};
pub use record::Record;
pub use releases::Removed;
pub use restore::RestoreProgress;
#[cfg(feature = "operator")]
pub use tree::PackError;
pub use unpack::UnpackProgress;
