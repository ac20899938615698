use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::MOST_BASES;
use super::artifact::Header;
use super::frames::{FRAME, MOST_STRETCHES, Stored};
use super::manifest::{Entry, EntryKind, Manifest, ManifestReader};
use super::pack::PackProgress;
use super::recipe::{Recipe, Remade};
use super::tree::{Contents, Item, ItemKind, PackError, READ, Tree};

/// zstd's level for a manifest that is kept.
const LEVEL: i32 = 3;

impl Manifest {
    /// Keeps it in a file, compressed, so that later releases can be laid out for hosts that hold this one.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut encoder = zstd::stream::write::Encoder::new(File::create(path)?, LEVEL)?;
        encoder.write_all(&self.to_bytes())?;
        encoder.finish().map(drop)
    }
}

/// Packing as it is told: bytes read so far, and in all.
pub(super) struct Meter<'a> {
    done: AtomicU64,
    total: u64,
    progress: PackProgress<'a>,
}

impl Meter<'_> {
    /// Counts bytes that were read; an error when the caller breaks off.
    pub(super) fn add(&self, bytes: usize) -> Result<(), PackError> {
        let done = self.done.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if (self.progress)(done, self.total).is_break() { Err(PackError::Cancelled) } else { Ok(()) }
    }
}

/// The releases that hosts are likely to hold.
#[derive(Default)]
pub(super) struct Bases {
    /// Their manifests' hashes.
    hashes: Vec<[u8; 32]>,
    /// By SHA-256 of a content: its number among the files of each base that has it.
    files: HashMap<[u8; 32], [Option<u64>; MOST_BASES]>,
    /// A content of any other size is in none of them, and needs not be read to know.
    sizes: HashSet<u64>,
}

impl Bases {
    /// From files of [`Manifest::save`]. One that cannot be read is no base: the hosts are sent more then, and nothing else.
    pub(super) fn load(files: &[PathBuf]) -> Self {
        let mut bases = Self::default();
        for file in files.iter().take(MOST_BASES) {
            if let Err(error) = bases.add(file) {
                tracing::debug!("{} is no manifest to build upon: {error}", file.display());
            }
        }
        bases
    }

    fn add(&mut self, file: &Path) -> io::Result<()> {
        let input = io::BufReader::new(zstd::stream::read::Decoder::new(File::open(file)?)?);
        let mut reader = ManifestReader::new(input);
        let mut files = Vec::new();
        while let Some(entry) = reader.next_entry().map_err(io::Error::other)? {
            if let EntryKind::File { size, sha256, .. } = entry.kind {
                files.push((size, sha256));
            }
        }
        let base = self.hashes.len();
        self.hashes.push(reader.finish());
        for (number, (size, sha256)) in (0..).zip(files).filter(|(_, (size, _))| *size > 0) {
            self.files.entry(sha256).or_default()[base].get_or_insert(number);
            self.sizes.insert(size);
        }
        Ok(())
    }

    fn may_hold(&self, item: &Item) -> bool {
        matches!(item.kind, ItemKind::File { size, .. } if self.sizes.contains(&size))
    }

    /// How packing of a payload is told: what may be in a base is read twice.
    pub(super) fn meter<'a>(&self, tree: &Tree, progress: PackProgress<'a>) -> Meter<'a> {
        let again = tree.items.iter().filter(|item| self.may_hold(item)).map(|item| match item.kind {
            ItemKind::File { size, .. } => size,
            _ => 0,
        });
        Meter { done: AtomicU64::new(0), total: tree.size().0 + again.sum::<u64>(), progress }
    }

    /// The stretch of each item: bit `i` is set if base `i` holds its content.
    pub(super) fn stretches(&self, tree: &mut Tree, meter: &Meter<'_>) -> Result<Vec<u8>, PackError> {
        let find = |contents: &mut Contents, buffer: &mut Vec<u8>, item: &Item| {
            if !self.may_hold(item) {
                return Ok(0);
            }
            buffer.resize(READ, 0);
            let hash = contents.read(item, buffer, &mut |part| meter.add(part.len()))?;
            let holders = self.files.get(&hash).copied().unwrap_or_default();
            let bits = holders.iter().enumerate().map(|(base, file)| u8::from(file.is_some()) << base);
            Ok(bits.sum())
        };
        if let Contents::Files = tree.contents {
            let start = || (Contents::Files, Vec::new());
            let items = tree.items.par_iter();
            return items.map_init(start, |(files, buffer), item| find(files, buffer, item)).collect();
        }
        let mut buffer = Vec::new();
        tree.items.iter().map(|item| find(&mut tree.contents, &mut buffer, item)).collect()
    }

    /// How hosts that hold a base make what they have of a packed payload, for the newest base first.
    pub(super) fn recipes(&self, entries: &[Entry], stretches: &[u8], table: &[u8]) -> Vec<Recipe> {
        let mut bytes = [0; MOST_STRETCHES];
        for (entry, stretch) in entries.iter().zip(stretches) {
            bytes[usize::from(*stretch)] += entry.size();
        }
        let (frames, _) = table.as_chunks::<{ Stored::BYTES }>();
        let (mut next, mut at) = (0, Header::BYTES as u64);
        let places = bytes.map(|bytes: u64| {
            let own = &frames[next..][..usize::try_from(bytes.div_ceil(FRAME as u64)).unwrap_or(usize::MAX)];
            let place = Remade::new(at, own.as_flattened());
            at += own.iter().map(|frame| Stored::from_bytes(*frame).length as u64).sum::<u64>();
            next += own.len();
            place
        });
        let of_base = |base: usize| {
            let held = (0..MOST_STRETCHES).filter(|stretch| stretch >> base & 1 == 1 && bytes[*stretch] > 0);
            let remade = held.map(|stretch| {
                let mut remade = places[stretch].clone();
                for (entry, _) in entries.iter().zip(stretches).filter(|(_, of)| usize::from(**of) == stretch)
                {
                    if let Some(file) = self.number(entry, base) {
                        remade.push(file);
                    }
                }
                remade
            });
            Recipe { base: self.hashes[base], stretches: remade.collect() }
        };
        let recipes = (0..self.hashes.len()).rev().map(of_base);
        recipes.filter(|recipe| !recipe.stretches.is_empty()).collect()
    }

    fn number(&self, entry: &Entry, base: usize) -> Option<u64> {
        let EntryKind::File { sha256, .. } = &entry.kind else { return None };
        self.files.get(sha256)?[base]
    }
}
