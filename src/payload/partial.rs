use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;

use super::digest::sha1;
use super::error::DestError;
use super::metainfo::Metainfo;

const MAGIC: [u8; 8] = *b"MPIECES1";

/// Magic, piece length, length of the data.
const LIST_HEADER: usize = 8 + 4 + 8;

/// Data of an artifact that is not all here yet, with the list of the pieces that are.
///
/// The list holds the hash of each piece at its place, zeros for what is missing. It says what to look for when the data is opened
/// again; each piece is hashed then, so that nothing is believed that is not there.
#[derive(Debug)]
pub struct PartialStore {
    folder: PathBuf,
    metainfo: Arc<Metainfo>,
    data: File,
    list: File,
    kept: Vec<bool>,
}

impl PartialStore {
    /// Opens or makes the data of a release in `folder`; pieces that fit the metainfo stay, whatever metainfo they came with.
    ///
    /// `progress` hears how many bytes of verified pieces there are so far.
    pub(super) fn open(
        folder: &Path,
        metainfo: Arc<Metainfo>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, DestError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(DestError::io("make the folder", folder))?;
        let path = data_path(folder);
        let data = open_file(&path).map_err(DestError::io("open", &path))?;
        let kept = match List::read(folder) {
            Some(list) => verify(&list, &metainfo, &data, progress),
            None => vec![false; metainfo.hashes.len()],
        };
        reserve(&data, metainfo.length).map_err(DestError::io("reserve space for", &path))?;
        let list_path = list_path(folder);
        let list = write_list(folder, &metainfo, &kept).map_err(DestError::io("write", &list_path))?;
        Ok(Self { folder: folder.to_owned(), metainfo, data, list, kept })
    }

    /// Where the data lies: the artifact, once all pieces are here.
    pub fn data_path(&self) -> PathBuf {
        data_path(&self.folder)
    }

    /// What the data is to become.
    pub fn metainfo(&self) -> &Arc<Metainfo> {
        &self.metainfo
    }

    /// Which pieces were here, and verified, before the swarm was joined.
    pub fn kept(&self) -> &[bool] {
        &self.kept
    }

    /// Keeps a piece that was made here and has its hash.
    pub(super) fn keep(&mut self, piece: u32, bytes: &[u8]) -> io::Result<()> {
        self.write_at(bytes, self.metainfo.piece_at(piece))?;
        self.record(piece)?;
        if let Some(kept) = self.kept.get_mut(piece as usize) {
            *kept = true;
        }
        Ok(())
    }

    /// Bytes of these pieces.
    pub fn kept_bytes(&self) -> u64 {
        let kept = (0..).zip(&self.kept).filter(|(_, kept)| **kept);
        kept.map(|(piece, _)| u64::from(self.metainfo.piece_size(piece))).sum()
    }

    /// Fills `buffer` with data from `at`, bytes from the start.
    pub fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.data.read_exact_at(buffer, at)
    }

    /// Writes data at `at`, bytes from the start.
    pub fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.data.write_all_at(bytes, at)
    }

    /// Remembers a piece whose data was written and verified.
    pub fn record(&self, piece: u32) -> io::Result<()> {
        let Some(hash) = self.metainfo.hashes.get(piece as usize) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        self.list.write_all_at(hash, LIST_HEADER as u64 + u64::from(piece) * 20)
    }
}

/// Bytes that the list of an earlier attempt speaks of, not looked at yet; and bytes of disk that its data takes.
pub(super) fn listed(folder: &Path) -> (u64, u64) {
    let taken = fs::metadata(data_path(folder)).map_or(0, |data| data.blocks() * 512);
    let Some(list) = List::read(folder) else { return (0, taken) };
    let bytes = (0u64..).zip(&list.hashes).filter(|(_, hash)| **hash != [0; 20]).map(|(piece, _)| {
        let piece_length = u64::from(list.piece_length);
        piece_length.min(list.length.saturating_sub(piece * piece_length))
    });
    (bytes.sum(), taken)
}

struct List {
    piece_length: u32,
    length: u64,
    hashes: Vec<[u8; 20]>,
}

impl List {
    fn read(folder: &Path) -> Option<Self> {
        let bytes = fs::read(list_path(folder)).ok()?;
        let (header, hashes) = bytes.split_first_chunk::<LIST_HEADER>()?;
        let [magic @ .., _, _, _, _, _, _, _, _, _, _, _, _] = header;
        let piece_length = u32::from_le_bytes(header[8..12].try_into().ok()?);
        let length = u64::from_le_bytes(header[12..].try_into().ok()?);
        let (hashes, rest) = hashes.as_chunks::<20>();
        let fits = *magic == MAGIC
            && rest.is_empty()
            && piece_length > 0
            && hashes.len() as u64 == length.div_ceil(u64::from(piece_length));
        fits.then(|| Self { piece_length, length, hashes: hashes.to_vec() })
    }

    /// Whether the list speaks of all that a piece of the metainfo covers, and not of something else there.
    fn may_hold(&self, metainfo: &Metainfo, piece: u32) -> bool {
        let start = metainfo.piece_at(piece);
        let end = start + u64::from(metainfo.piece_size(piece));
        if end > self.length {
            return false;
        }
        let old = u64::from(self.piece_length);
        let covering = (start / old) as usize..end.div_ceil(old) as usize;
        let same_grid = self.piece_length == metainfo.piece_length;
        self.hashes[covering]
            .iter()
            .all(|hash| if same_grid { *hash == metainfo.hashes[piece as usize] } else { *hash != [0; 20] })
    }
}

fn verify(list: &List, metainfo: &Metainfo, data: &File, progress: &mut dyn FnMut(u64)) -> Vec<bool> {
    let mut buffer = Vec::new();
    let mut bytes = 0;
    let mut check = |piece: u32| {
        buffer.resize(metainfo.piece_size(piece) as usize, 0);
        let stands = list.may_hold(metainfo, piece)
            && data.read_exact_at(&mut buffer, metainfo.piece_at(piece)).is_ok()
            && sha1(&buffer) == metainfo.hashes[piece as usize];
        if stands {
            bytes += buffer.len() as u64;
            progress(bytes);
        }
        stands
    };
    (0..metainfo.pieces()).map(&mut check).collect()
}

/// Takes the space now: a full disk shows before the fetch and not in its middle.
fn reserve(data: &File, length: u64) -> io::Result<()> {
    data.set_len(length)?;
    match rustix::fs::fallocate(data, FallocateFlags::empty(), 0, length) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn write_list(folder: &Path, metainfo: &Metainfo, kept: &[bool]) -> io::Result<File> {
    let mut bytes = Vec::with_capacity(LIST_HEADER + kept.len() * 20);
    bytes.extend(MAGIC);
    bytes.extend(metainfo.piece_length.to_le_bytes());
    bytes.extend(metainfo.length.to_le_bytes());
    for (hash, kept) in metainfo.hashes.iter().zip(kept) {
        bytes.extend(if *kept { *hash } else { [0; 20] });
    }
    let new = folder.join("pieces.new");
    let mut file = open_file(&new)?;
    file.set_len(0)?;
    file.write_all(&bytes)?;
    fs::rename(&new, list_path(folder))?;
    Ok(file)
}

fn open_file(path: &Path) -> io::Result<File> {
    let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(no_follow)
        .open(path)
}

fn data_path(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn list_path(folder: &Path) -> PathBuf {
    folder.join("pieces")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: u32 = 1000;

    fn content() -> Vec<u8> {
        (0..10_500u32).map(|at| (at * 7 % 253) as u8).collect()
    }

    fn metainfo(content: &[u8], piece_length: u32, salt: u8) -> Arc<Metainfo> {
        let hashes = content.chunks(piece_length as usize).map(sha1).collect();
        Arc::new(Metainfo::new("x", content.len() as u64, piece_length, hashes, &[salt; 16]).unwrap())
    }

    fn fetch(store: &PartialStore, content: &[u8], pieces: &[u32]) {
        for piece in pieces {
            let at = store.metainfo().piece_at(*piece);
            let part = &content[at as usize..][..store.metainfo().piece_size(*piece) as usize];
            store.write_at(part, at).unwrap();
            store.record(*piece).unwrap();
        }
    }

    fn open(folder: &Path, metainfo: &Arc<Metainfo>) -> PartialStore {
        PartialStore::open(folder, Arc::clone(metainfo), &mut |_| {}).unwrap()
    }

    fn kept(store: &PartialStore) -> Vec<u32> {
        (0..).zip(store.kept()).filter(|(_, kept)| **kept).map(|(piece, _)| piece).collect()
    }

    #[test]
    fn verified_pieces_stay_for_another_run() {
        let folder = tempfile::tempdir().unwrap();
        let content = content();
        let store = open(folder.path(), &metainfo(&content, PIECE, 1));
        assert_eq!(store.kept_bytes(), 0);
        fetch(&store, &content, &[0, 3, 10]);
        drop(store);
        assert_eq!(listed(folder.path()).0, 2500);
        let store = open(folder.path(), &metainfo(&content, PIECE, 2));
        assert_eq!(kept(&store), [0, 3, 10]);
        assert_eq!(store.kept_bytes(), 2500);
        let mut read = vec![0; 500];
        store.read_at(&mut read, 10_000).unwrap();
        assert_eq!(read, content[10_000..]);
    }

    #[test]
    fn pieces_of_another_length_stay_where_all_of_them_is_here() {
        let folder = tempfile::tempdir().unwrap();
        let content = content();
        fetch(&open(folder.path(), &metainfo(&content, PIECE, 1)), &content, &[0, 1, 4, 5, 6, 9, 10]);
        let larger = metainfo(&content, 2 * PIECE, 1);
        assert_eq!(kept(&open(folder.path(), &larger)), [0, 2, 5]);
        assert_eq!(kept(&open(folder.path(), &metainfo(&content, PIECE, 1))), [0, 1, 4, 5, 10]);
    }

    #[test]
    fn what_was_changed_on_disk_or_is_of_other_content_goes() {
        let folder = tempfile::tempdir().unwrap();
        let content = content();
        let store = open(folder.path(), &metainfo(&content, PIECE, 1));
        fetch(&store, &content, &[0, 1, 2, 3]);
        store.write_at(&[content[1500] ^ 1], 1500).unwrap();
        drop(store);
        assert_eq!(kept(&open(folder.path(), &metainfo(&content, PIECE, 1))), [0, 2, 3]);
        let mut other = content.clone();
        other[2500] ^= 1;
        other.truncate(5000);
        assert_eq!(kept(&open(folder.path(), &metainfo(&other, PIECE, 1))), [0, 3]);
    }

    #[test]
    fn a_broken_list_is_no_list() {
        let folder = tempfile::tempdir().unwrap();
        let content = content();
        let metainfo = metainfo(&content, PIECE, 1);
        for broken in [&b""[..], b"MPIECES1", b"MPIECES1\0\0\0\0aaaaaaaa", &[7; 300]] {
            fetch(&open(folder.path(), &metainfo), &content, &[0]);
            fs::write(folder.path().join("pieces"), broken).unwrap();
            assert!(kept(&open(folder.path(), &metainfo)).is_empty());
        }
    }
}
