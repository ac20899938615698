use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rayon::prelude::*;

use super::archive::read_archive;
use super::artifact::Header;
use super::digest::{Sha256, sha1};
use super::frames::{COMPRESSED, FRAME, MOST_STRETCHES, Packer};
use super::manifest::{Entry, EntryKind, Manifest};
use super::metainfo::{Metainfo, choose_piece_length};
use super::recipe::Recipe;
use super::scan::{payload_name, scan_file, scan_folder};
use super::stretches::{Bases, Meter};
use super::tree::{ItemKind, PackError, READ, Tree};

/// zstd's level for the index.
const LEVEL: i32 = 3;

/// Window of the index, as a power of two (1 MiB): hosts hold it in memory while they unpack.
const INDEX_WINDOW_LOG: u32 = 20;

/// Space that an index takes at most, besides the paths: bytes an entry, and bytes in any case.
const INDEX_SPACE: (u64, u64) = (256, 1 << 20);

/// What is unpacked on the hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unpack {
    /// A folder is; a file stays a file.
    #[default]
    Auto,
    /// A .tar, .tar.gz, .tar.zst or .zip is too.
    Always,
    /// Nothing; a folder is refused.
    Never,
}

/// How a payload is packed.
#[derive(Debug, Clone)]
pub struct PackOptions {
    /// What is unpacked on the hosts.
    pub unpack: Unpack,
    /// Rules for what is left out, like lines of a `.gitignore`; `.git` is left out unless one says `!.git`.
    pub ignore: Vec<String>,
    /// Random bytes of the run; they go into the info dictionary.
    pub salt: [u8; 16],
    /// Folder for the artifact.
    pub cache_dir: PathBuf,
    /// Piece length of an earlier run, if there was one.
    pub piece_length: Option<u32>,
    /// How many hosts will be sent the metainfo.
    pub hosts: usize,
    /// Manifests, as [`Manifest::save`] leaves them, of releases that hosts are likely to hold, the oldest first; more than
    /// [`super::MOST_BASES`] are not looked at. The artifact's bytes depend on them.
    pub bases: Vec<PathBuf>,
}

/// What a payload holds, before it is packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Bytes of its files.
    pub bytes: u64,
    /// Its paths, the root included.
    pub entries: u64,
    /// What rules left out; a folder stands for all in it.
    pub ignored: Vec<String>,
}

/// A packed payload.
#[derive(Debug)]
pub struct Packed {
    /// Its file; its name is that in the metainfo, its folder holds nothing else.
    pub artifact: PathBuf,
    /// What the release is.
    pub manifest: Manifest,
    /// Its SHA-256, the release's identity.
    pub manifest_hash: [u8; 32],
    /// What the swarm must know.
    pub metainfo: Metainfo,
    /// How hosts that hold an earlier release make their part of the artifact from it, for the newest one first.
    pub recipes: Vec<Recipe>,
    /// Bytes of the release's files.
    pub bytes: u64,
    /// Bytes of the artifact.
    pub packed_bytes: u64,
    /// Paths of the release, the root included.
    pub entries: u64,
    /// What rules left out; a folder stands for all in it.
    pub ignored: Vec<String>,
}

/// How far packing is told, and asked whether to go on: bytes done, bytes in all.
pub type PackProgress<'a> = &'a (dyn Fn(u64, u64) -> ControlFlow<()> + Sync);

impl Packed {
    /// Removes the artifact.
    pub fn remove(&self) -> io::Result<()> {
        self.artifact.parent().map_or(Ok(()), fs::remove_dir_all)
    }
}

/// Looks at a payload without packing it.
pub fn survey(source: &Path, options: &PackOptions) -> Result<Survey, PackError> {
    let (tree, _) = read_payload(source, options)?;
    Ok(Survey { bytes: tree.size().0, entries: tree.items.len() as u64, ignored: tree.ignored })
}

/// Packs a file or folder. Memory does not grow with its size; all cores are used. Not to be called from a rayon thread.
pub fn pack(source: &Path, options: &PackOptions, progress: PackProgress<'_>) -> Result<Packed, PackError> {
    let (mut tree, name) = read_payload(source, options)?;
    check_space(&tree, &options.cache_dir)?;
    let folder = options.cache_dir.join(format!("artifact-{}", super::hex(&options.salt)));
    let artifact = folder.join(&name);
    make_cache(&folder)?;
    let packed = write(&mut tree, &artifact, &options.bases, progress).and_then(|written| {
        tree.check_unchanged()?;
        let length = written.length;
        let piece_length = options.piece_length.unwrap_or_else(|| choose_piece_length(length, options.hosts));
        let hashes = hash_pieces(&artifact, length, piece_length)?;
        let metainfo = Metainfo::new(&name, length, piece_length, hashes, &options.salt)?;
        Ok((written, metainfo))
    });
    let (Written { manifest, recipes, .. }, metainfo) = packed.inspect_err(|_| {
        let _ = fs::remove_dir_all(&folder);
    })?;
    Ok(Packed {
        artifact,
        manifest_hash: manifest.hash(),
        bytes: manifest.bytes(),
        entries: manifest.entries().len() as u64,
        manifest,
        packed_bytes: metainfo.length,
        metainfo,
        recipes,
        ignored: tree.ignored,
    })
}

/// The payload as a tree, and the artifact's name.
fn read_payload(source: &Path, options: &PackOptions) -> Result<(Tree, String), PackError> {
    let metadata = fs::metadata(source).map_err(PackError::io("read", source))?;
    let own_name = payload_name(source)?;
    // What is named is shipped, also when it is a link to it.
    let real = fs::canonicalize(source).map_err(PackError::io("read", source))?;
    let tree = if metadata.is_dir() {
        if options.unpack == Unpack::Never {
            return Err(PackError::Folder(source.to_owned()));
        }
        scan_folder(&real, &options.ignore)?
    } else {
        let unpacked = match options.unpack {
            Unpack::Always => {
                make_cache(&options.cache_dir)?;
                read_archive(&real, &options.cache_dir)?
            }
            _ => None,
        };
        unpacked.map_or_else(|| scan_file(&real, &own_name), Ok)?
    };
    Ok((tree, artifact_name(&own_name)))
}

/// A file name that every BitTorrent client takes.
fn artifact_name(payload: &[u8]) -> String {
    const MOST: usize = 100;
    let plain = |c: char| if c.is_control() || matches!(c, '/' | '\\' | '\u{fffd}') { '_' } else { c };
    let name: String = String::from_utf8_lossy(payload).chars().take(MOST / 4).map(plain).collect();
    format!("{name}.murder")
}

fn make_cache(folder: &Path) -> Result<(), PackError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder).map_err(PackError::io("make the folder", folder))
}

fn check_space(tree: &Tree, cache: &Path) -> Result<(), PackError> {
    let paths: u64 = tree.items.iter().map(|item| item.path.len() as u64).sum();
    let index = paths * 4 + tree.items.len() as u64 * INDEX_SPACE.0 + INDEX_SPACE.1;
    let needed = tree.size().1 + index;
    let there = cache.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let stat = rustix::fs::statvfs(there)
        .map_err(|errno| PackError::io("ask for the space of", there)(errno.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if needed > free {
        return Err(PackError::Space { path: cache.to_owned(), free, needed });
    }
    Ok(())
}

/// What was written of an artifact.
struct Written {
    manifest: Manifest,
    recipes: Vec<Recipe>,
    length: u64,
}

fn write(
    tree: &mut Tree,
    path: &Path,
    bases: &[PathBuf],
    progress: PackProgress<'_>,
) -> Result<Written, PackError> {
    let written = || PackError::io("write", path);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .map_err(PackError::io("create", path))?;
    file.write_all(&[0; Header::BYTES]).map_err(written())?;
    let bases = Bases::load(bases);
    let meter = bases.meter(tree, progress);
    let stretches = bases.stretches(tree, &meter)?;
    let (manifest, table, index_at) = write_frames(tree, &stretches, &file, path, &meter)?;
    let (index, mut header) = index(tree, &stretches, &manifest, &table).map_err(written())?;
    header.index_at = index_at;
    file.write_all(&index).map_err(written())?;
    file.write_all_at(&header.to_bytes(), 0).map_err(written())?;
    let recipes = bases.recipes(manifest.entries(), &stretches, &table);
    Ok(Written { manifest, recipes, length: index_at + index.len() as u64 })
}

/// A frame as it is stored, and whether it is compressed.
type StoredFrame = (Vec<u8>, bool);

/// Reads all files in the order of the artifact, while other cores compress what was read and a thread writes it, in order too.
fn write_frames(
    tree: &mut Tree,
    stretches: &[u8],
    file: &File,
    path: &Path,
    meter: &Meter<'_>,
) -> Result<(Manifest, Vec<u8>, u64), PackError> {
    // Every core has a frame to work on while the next one is read; more would only take memory.
    let (queue, frames) = sync_channel(rayon::current_num_threads() + 1);
    thread::scope(|scope| {
        let writer = scope.spawn(move || store(&frames, file));
        let framer = Framer { frame: Vec::with_capacity(FRAME), queue };
        let manifest = read_files(tree, stretches, framer, meter);
        let stored = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // A full disk stops the reader too; the cause is told, not the consequence.
        let (table, end) = stored.map_err(PackError::io("write", path))?;
        Ok((manifest?, table, end))
    })
}

fn store(
    frames: &Receiver<Receiver<io::Result<StoredFrame>>>,
    mut file: &File,
) -> io::Result<(Vec<u8>, u64)> {
    let mut table = Vec::new();
    let mut end = Header::BYTES as u64;
    for frame in frames {
        let (bytes, compressed) = frame.recv().map_err(io::Error::other)??;
        file.write_all(&bytes)?;
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        table.extend((length | if compressed { COMPRESSED } else { 0 }).to_le_bytes());
        end += bytes.len() as u64;
    }
    Ok((table, end))
}

/// Cuts contents into frames.
struct Framer {
    frame: Vec<u8>,
    queue: SyncSender<Receiver<io::Result<StoredFrame>>>,
}

impl Framer {
    /// Takes bytes; `false` when nobody wants them any more.
    fn add(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(FRAME - self.frame.len()));
            self.frame.extend(now);
            bytes = later;
            if self.frame.len() == FRAME && !self.send() {
                return false;
            }
        }
        true
    }

    fn send(&mut self) -> bool {
        let frame = std::mem::replace(&mut self.frame, Vec::with_capacity(FRAME));
        if frame.is_empty() {
            return true;
        }
        let (done, result) = sync_channel(1);
        rayon::spawn(move || {
            let _ = done.send(compress(frame));
        });
        self.queue.send(result).is_ok()
    }
}

fn compress(frame: Vec<u8>) -> io::Result<StoredFrame> {
    let packed = Packer::new()?.pack(&frame)?;
    Ok(packed.map_or((frame, false), |packed| (packed, true)))
}

/// Reads stretch after stretch, each into frames of its own.
fn read_files(
    tree: &mut Tree,
    stretches: &[u8],
    mut framer: Framer,
    meter: &Meter<'_>,
) -> Result<Manifest, PackError> {
    let mut buffer = vec![0; READ];
    let mut hashes = vec![[0; 32]; tree.items.len()];
    for stretch in 0..MOST_STRETCHES {
        for (item, hash) in tree
            .items
            .iter()
            .zip(stretches)
            .zip(&mut hashes)
            .filter_map(|((item, of), hash)| (usize::from(*of) == stretch).then_some((item, hash)))
        {
            *hash = tree.contents.read(item, &mut buffer, &mut |part| {
                if framer.add(part) { meter.add(part.len()) } else { Err(PackError::Cancelled) }
            })?;
        }
        if !framer.send() {
            return Err(PackError::Cancelled);
        }
    }
    let entries = tree.items.iter().zip(hashes).map(|(item, sha256)| {
        let kind = match &item.kind {
            ItemKind::Directory { mode } => EntryKind::Directory { mode: *mode },
            ItemKind::Symlink { target } => EntryKind::Symlink { target: target.clone() },
            ItemKind::HardLink { target } => EntryKind::HardLink { target: target.clone() },
            ItemKind::File { mode, size, .. } => EntryKind::File { mode: *mode, size: *size, sha256 },
        };
        Entry { path: item.path.clone(), kind }
    });
    Ok(Manifest::new(entries.collect()))
}

/// The index, and a header that only lacks the place of it.
fn index(tree: &Tree, stretches: &[u8], manifest: &Manifest, table: &[u8]) -> io::Result<(Vec<u8>, Header)> {
    let mtimes: Vec<u8> = tree.items.iter().flat_map(|item| item.mtime.to_bytes()).collect();
    let files =
        tree.items.iter().zip(stretches).filter(|(item, _)| matches!(item.kind, ItemKind::File { .. }));
    let stretches: Vec<u8> = files.map(|(_, stretch)| *stretch).collect();
    let mut index = Vec::new();
    let mut lengths = [0; 3];
    for (length, part) in lengths.iter_mut().zip([&manifest.to_bytes(), &mtimes, &stretches]) {
        let packed = squeeze(part)?;
        *length = packed.len() as u64;
        index.extend(packed);
    }
    index.extend(table);
    let index_sha256 = Sha256::of(&index);
    let [manifest, mtimes, stretches] = lengths;
    Ok((index, Header { index_at: 0, manifest, mtimes, stretches, frames: table.len() as u64, index_sha256 }))
}

fn squeeze(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
    encoder.window_log(INDEX_WINDOW_LOG)?;
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// SHA-1 of every piece of a file of `length` bytes, on all cores. Not to be called from a rayon thread.
pub fn hash_pieces(path: &Path, length: u64, piece_length: u32) -> Result<Vec<[u8; 20]>, PackError> {
    let file = File::open(path).map_err(PackError::io("read", path))?;
    let pieces = length.div_ceil(u64::from(piece_length));
    let hashes = (0..pieces).into_par_iter().map_init(Vec::new, |buffer, piece| {
        let at = piece * u64::from(piece_length);
        let size = (length - at).min(u64::from(piece_length));
        buffer.resize(usize::try_from(size).map_err(io::Error::other)?, 0);
        file.read_exact_at(buffer, at)?;
        Ok(sha1(buffer))
    });
    hashes.collect::<io::Result<_>>().map_err(PackError::io("read", path))
}
