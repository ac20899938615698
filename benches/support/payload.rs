//! Fresh random bytes to ship.

use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use murder::payload::{Metainfo, sha1};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Writes so many random bytes, others each time, and hashes them.
pub(crate) fn random_payload(path: &Path, bytes: u64, piece_length: u32) -> Outcome<Metainfo> {
    let mut random = fastrand::Rng::new();
    let mut file = File::create(path)?;
    let mut piece = vec![0; piece_length as usize];
    let mut hashes = Vec::new();
    let mut left = bytes;
    while left > 0 {
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX).min(piece.len()));
        random.fill(&mut piece);
        file.write_all(&piece)?;
        hashes.push(sha1(&piece));
        left -= piece.len() as u64;
    }
    let name = path.file_name().and_then(|name| name.to_str()).ok_or("the payload has no name")?;
    let mut salt = [0; 16];
    random.fill(&mut salt);
    Ok(Metainfo::new(name, bytes, piece_length, hashes, &salt)?)
}
