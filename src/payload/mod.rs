//! From a file or folder to a packed artifact with its metainfo, and on a host back to release folders.

#[cfg(feature = "operator")]
mod archive;
mod artifact;
mod dest;
mod digest;
mod error;
mod lock;
mod manifest;
mod metainfo;
#[cfg(feature = "operator")]
mod pack;
mod partial;
mod record;
mod releases;
#[cfg(feature = "operator")]
mod scan;
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
pub use record::Record;
pub(crate) use record::now_ms;
pub use releases::Removed;
#[cfg(feature = "operator")]
pub use tree::PackError;
pub use unpack::UnpackProgress;
