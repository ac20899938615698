use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::dest::Dest;
use super::digest::{hex, sha1};
use super::error::DestError;
use super::frames::{FRAME, Packer, Stored};
use super::manifest::{Entry, EntryKind, MAX_LINE};
use super::partial::PartialStore;
use super::recipe::{Recipe, Remade};
use super::record::MANIFEST;

/// Releases at most whose manifests a host names; it holds as many as `--keep` says, and only the newest are of use.
const MOST_HOLDINGS: usize = 16;

/// The place of each so many-th file in a base's manifest is remembered.
const MARK: u64 = 256;

/// How far restoring is told, and asked whether to go on: bytes in pieces that were made so far.
pub type RestoreProgress<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

impl Dest {
    /// Manifests of the releases that are here, hex, the newest first.
    pub fn holdings(&self) -> Vec<String> {
        let mut releases = self.releases().unwrap_or_default();
        releases.sort_by_key(|release| std::cmp::Reverse(release.staged_at));
        releases.into_iter().filter_map(|release| release.manifest).take(MOST_HOLDINGS).collect()
    }

    /// Makes missing pieces from a release that is here: bytes of those that stand now. Only a piece that has its hash is kept, so
    /// that a release which was changed or is gone gives less, and nothing wrong.
    pub fn restore(
        &self,
        store: &mut PartialStore,
        recipe: &Recipe,
        progress: RestoreProgress<'_>,
    ) -> Result<u64, DestError> {
        let base = hex(&recipe.base);
        let Some(release) =
            self.releases()?.into_iter().find(|release| release.manifest.as_ref() == Some(&base))
        else {
            return Ok(0);
        };
        let manifest = self.record_folder(&release.tag).join(MANIFEST);
        let Ok(mut files) = BaseFiles::open(&manifest, &self.release(&release.tag)) else { return Ok(0) };
        let path = store.data_path();
        let packer = Packer::new().map_err(DestError::io("pack again for", &path))?;
        let mut pieces =
            Pieces { store, packer, path, progress, bytes: 0, buffer: Vec::new(), next: u64::MAX };
        for stretch in &recipe.stretches {
            pieces.remake(stretch, &mut files)?;
        }
        Ok(pieces.bytes)
    }
}

/// Puts frames together to pieces.
struct Pieces<'a> {
    store: &'a mut PartialStore,
    packer: Packer,
    path: PathBuf,
    progress: RestoreProgress<'a>,
    bytes: u64,
    /// The start of a piece.
    buffer: Vec<u8>,
    /// Where the artifact goes on behind it.
    next: u64,
}

impl Pieces<'_> {
    fn remake(&mut self, stretch: &Remade, files: &mut BaseFiles) -> Result<(), DestError> {
        let mut frame = Frame { content: vec![0; FRAME], used: 0, whole: true };
        let mut table = stretch.table.as_chunks().0.iter().map(|entry| Stored::from_bytes(*entry));
        let mut at = stretch.at;
        let Some(mut stored) = table.next() else { return Ok(()) };
        let mut wanted = self.wants(at, stored);
        for number in stretch.files() {
            // What the manifest does not say cannot be made, nor what lies behind it.
            let Ok((size, file)) = files.file(number) else { return Ok(()) };
            let mut from = 0;
            while from < size {
                from += frame.fill(file.as_ref().filter(|_| wanted), from, size);
                if frame.used == FRAME {
                    self.take(&mut frame, at, stored)?;
                    at = at.saturating_add(stored.length as u64);
                    let Some(next) = table.next() else { return Ok(()) };
                    (stored, wanted) = (next, self.wants(at, next));
                }
            }
        }
        self.take(&mut frame, at, stored)
    }

    /// Whether a frame is part of a piece that is missing.
    fn wants(&self, at: u64, stored: Stored) -> bool {
        let length = u64::from(self.store.metainfo().piece_length);
        (at / length..at.saturating_add(stored.length as u64).div_ceil(length))
            .any(|piece| self.misses(piece))
    }

    fn misses(&self, piece: u64) -> bool {
        usize::try_from(piece).ok().and_then(|piece| self.store.kept().get(piece)) == Some(&false)
    }

    /// Takes a frame that is filled, and leaves it empty.
    fn take(&mut self, frame: &mut Frame, at: u64, stored: Stored) -> Result<(), DestError> {
        let content = &frame.content[..std::mem::take(&mut frame.used)];
        if std::mem::replace(&mut frame.whole, true) && !content.is_empty() {
            let packed = if stored.compressed {
                self.packer.pack(content).map_err(DestError::io("pack again for", &self.path))?
            } else {
                None
            };
            let bytes = packed.as_deref().unwrap_or(content);
            if packed.is_some() == stored.compressed && bytes.len() == stored.length {
                self.add(at, bytes).map_err(DestError::io("write", &self.path))?;
            }
        }
        if (self.progress)(self.bytes).is_break() { Err(DestError::Cancelled) } else { Ok(()) }
    }

    fn add(&mut self, mut at: u64, mut bytes: &[u8]) -> io::Result<()> {
        if at != self.next {
            self.buffer.clear();
        }
        while !bytes.is_empty() {
            let length = u64::from(self.store.metainfo().piece_length);
            let Ok(piece) = u32::try_from(at / length) else { break };
            let size = u64::from(self.store.metainfo().piece_size(piece));
            let inside = at - self.store.metainfo().piece_at(piece);
            // The start of this piece was not there, or there is no such piece.
            let skips = inside != self.buffer.len() as u64;
            let most = if skips { length } else { size } - inside;
            let (now, later) = bytes.split_at(bytes.len().min(usize::try_from(most).unwrap_or(usize::MAX)));
            if now.is_empty() {
                break;
            }
            if !skips {
                self.buffer.extend(now);
                if self.buffer.len() as u64 == size {
                    self.finish(piece)?;
                }
            }
            at += now.len() as u64;
            bytes = later;
        }
        self.next = at;
        Ok(())
    }

    /// Keeps the piece in the buffer if it is missing and stands.
    fn finish(&mut self, piece: u32) -> io::Result<()> {
        if self.misses(piece.into()) && sha1(&self.buffer) == self.store.metainfo().hashes[piece as usize] {
            self.store.keep(piece, &self.buffer)?;
            self.bytes += self.buffer.len() as u64;
        }
        self.buffer.clear();
        Ok(())
    }
}

/// Contents that will be a frame.
struct Frame {
    content: Vec<u8>,
    used: usize,
    /// All of it is there.
    whole: bool,
}

impl Frame {
    /// Takes what fits of a file from an offset on, or leaves room for it; says how much.
    fn fill(&mut self, file: Option<&File>, from: u64, size: u64) -> u64 {
        let room = &mut self.content[self.used..];
        let most = room.len().min(usize::try_from(size - from).unwrap_or(usize::MAX));
        self.whole &= file.is_some_and(|file| file.read_exact_at(&mut room[..most], from).is_ok());
        self.used += most;
        most as u64
    }
}

/// The files of a release by their number in its manifest.
struct BaseFiles {
    root: File,
    manifest: BufReader<File>,
    /// Where files of a number that is a multiple of [`MARK`] stand in the manifest.
    marks: Vec<u64>,
    /// Number of the file that is read next.
    next: u64,
    line: Vec<u8>,
}

impl BaseFiles {
    fn open(manifest: &Path, release: &Path) -> io::Result<Self> {
        let root = File::open(release)?;
        let manifest = BufReader::new(File::open(manifest)?);
        let mut files = Self { root, manifest, marks: Vec::new(), next: 0, line: Vec::new() };
        let mut at = 0;
        while files.next_line()? {
            if files.line.starts_with(b"f ") {
                if files.next.is_multiple_of(MARK) {
                    files.marks.push(at);
                }
                files.next += 1;
            }
            at += files.line.len() as u64;
        }
        Ok(files)
    }

    fn next_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        Ok(self.manifest.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.line)? > 0)
    }

    /// Size of a file as the manifest has it, and the file if it is there with that size.
    fn file(&mut self, number: u64) -> io::Result<(u64, Option<File>)> {
        if number < self.next || number - self.next > MARK {
            let mark = usize::try_from(number / MARK).ok().and_then(|mark| self.marks.get(mark));
            self.manifest.seek(SeekFrom::Start(*mark.ok_or(io::ErrorKind::NotFound)?))?;
            self.next = number / MARK * MARK;
        }
        while self.next_line()? {
            if !self.line.starts_with(b"f ") {
                continue;
            }
            self.next += 1;
            if self.next > number {
                let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
                let entry = Entry::parse_line(line).map_err(io::Error::other)?;
                let EntryKind::File { size, .. } = entry.kind else { break };
                return Ok((size, self.open_file(&entry.path, size)));
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// What is no file of that size is not what it was, and is not waited for.
    fn open_file(&self, path: &[u8], size: u64) -> Option<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.root, OsStr::from_bytes(path), flags, Mode::empty()).ok()?;
        let file = File::from(file);
        let metadata = file.metadata().ok()?;
        (metadata.is_file() && metadata.len() == size).then_some(file)
    }
}
