use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io;
use std::ops::{ControlFlow, Range};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};

use super::artifact::{Artifact, Listed, Mtime};
use super::digest::Sha256;
use super::error::DestError;
use super::frames::Contents;
use super::manifest::{Entry, EntryKind, file_name, parent};

/// Zeros are looked for in stretches of so many bytes, and left out of the file: they take no space then.
const HOLE: usize = 64 << 10;

/// So many bytes of a file are written, then read back and hashed: so little that they are still in memory as a rule. What counts
/// is what the file holds, not what was meant to go there.
const READ_BACK: u64 = 32 << 20;

/// How far unpacking is told, and asked whether to go on: bytes done, bytes in all.
pub type UnpackProgress<'a> = &'a mut dyn FnMut(u64, u64) -> ControlFlow<()>;

/// Folders on the way are opened one by one and never through a link.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Unpacks an artifact into an empty folder. Everything but the folder's own mode is as in the payload when it returns;
/// that one is returned, with the folder, because a folder that may not be written cannot be renamed.
pub(super) fn unpack(
    artifact: &Artifact,
    folder: &Path,
    progress: UnpackProgress<'_>,
) -> Result<(File, u32), DestError> {
    let root = rustix::fs::open(folder, FOLDER, Mode::empty()).map_err(DestError::sys("open", folder))?;
    let mut tree = Tree { place: folder.to_owned(), root: root.into(), open: Vec::new() };
    fill(artifact, &mut tree, progress)?;
    tree.open.clear();
    let mode = finish_folders(artifact, &mut tree)?;
    Ok((tree.root, mode))
}

/// Files, links, and folders that only we may enter as yet.
fn fill(artifact: &Artifact, tree: &mut Tree, progress: UnpackProgress<'_>) -> Result<(), DestError> {
    let mut stream = artifact.stream()?;
    let mut contents = artifact.contents()?;
    let mut done = 0;
    while let Some(Listed { entry, mtime, stretch }) = stream.next_entry()? {
        if entry.path.is_empty() {
            continue;
        }
        tree.enter(parent(&entry.path))?;
        let name = OsStr::from_bytes(file_name(&entry.path));
        let place = || tree.place.join(OsStr::from_bytes(&entry.path));
        match &entry.kind {
            EntryKind::Directory { .. } => {
                rustix::fs::mkdirat(tree.top(), name, Mode::RWXU)
                    .map_err(DestError::sys("make the folder", place()))?;
            }
            EntryKind::File { mode, size, sha256 } => {
                let file = create(tree, name).map_err(DestError::sys("create", place()))?;
                let mut report = |more| {
                    done += more;
                    progress(done, artifact.bytes())
                };
                let content = (&mut contents, stretch);
                if write_file(&file, *size, content, &place(), &mut report)? != *sha256 {
                    return Err(DestError::HashMismatch(place()));
                }
                set_mode(&file, *mode, &place())?;
                rustix::fs::futimens(&file, &timestamps(mtime))
                    .map_err(DestError::sys("set the mtime of", place()))?;
            }
            EntryKind::Symlink { target } => {
                rustix::fs::symlinkat(OsStr::from_bytes(target), tree.top(), name)
                    .map_err(DestError::sys("make the link", place()))?;
                rustix::fs::utimensat(tree.top(), name, &timestamps(mtime), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(DestError::sys("set the mtime of", place()))?;
            }
            EntryKind::HardLink { target } => link(tree, target, name, &place())?,
        }
        if progress(done, artifact.bytes()).is_break() {
            return Err(DestError::Cancelled);
        }
    }
    stream.finish()
}

/// Modes and mtimes of folders, the deepest first, because what is made in a folder changes it, and its mode may forbid that.
fn finish_folders(artifact: &Artifact, tree: &mut Tree) -> Result<u32, DestError> {
    let mut stream = artifact.stream()?;
    let mut root = (0o755, Mtime::default());
    let mut open: Vec<(Entry, u32, Mtime)> = Vec::new();
    loop {
        let next = stream.next_entry()?;
        let above = |folder: &Entry| {
            let inside = next.as_ref().and_then(|next| next.entry.path.strip_prefix(folder.path.as_slice()));
            inside.is_some_and(|rest| rest.starts_with(b"/"))
        };
        while let Some((entry, mode, mtime)) = open.pop_if(|(folder, ..)| !above(folder)) {
            tree.enter(&entry.path)?;
            let place = tree.place.join(OsStr::from_bytes(&entry.path));
            // The other way round a folder that may not be written could not be closed by some file systems.
            rustix::fs::futimens(tree.top(), &timestamps(mtime))
                .map_err(DestError::sys("set the mtime of", &place))?;
            set_mode(tree.top(), mode, &place)?;
        }
        match next {
            Some(Listed { entry, mtime, .. }) => match entry.kind {
                EntryKind::Directory { mode } if entry.path.is_empty() => root = (mode, mtime),
                EntryKind::Directory { mode } => open.push((entry, mode, mtime)),
                _ => {}
            },
            None => break,
        }
    }
    stream.finish()?;
    rustix::fs::futimens(&tree.root, &timestamps(root.1))
        .map_err(DestError::sys("set the mtime of", &tree.place))?;
    Ok(root.0)
}

/// A folder that is being filled, and the open folders on the way to where we are in it.
struct Tree {
    place: PathBuf,
    root: File,
    open: Vec<(Vec<u8>, File)>,
}

impl Tree {
    fn top(&self) -> &File {
        self.open.last().map_or(&self.root, |(_, folder)| folder)
    }

    /// Goes to the folder at this path, name by name.
    fn enter(&mut self, path: &[u8]) -> Result<(), DestError> {
        let is_above =
            |above: &[u8]| path.strip_prefix(above).is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
        while self.open.pop_if(|(above, _)| !is_above(above)).is_some() {}
        let done = self.open.last().map_or(0, |(above, _)| above.len() + 1);
        let mut at = done;
        while at < path.len() {
            let end = path[at..].iter().position(|byte| *byte == b'/').map_or(path.len(), |slash| at + slash);
            let folder =
                rustix::fs::openat(self.top(), OsStr::from_bytes(&path[at..end]), FOLDER, Mode::empty())
                    .map_err(DestError::sys("open", self.place.join(OsStr::from_bytes(&path[..end]))))?;
            self.open.push((path[..end].to_vec(), folder.into()));
            at = end + 1;
        }
        Ok(())
    }

    /// Opens a folder at any path without going there.
    fn folder(&self, path: &[u8]) -> Result<OwnedFd, DestError> {
        let failed = |path: &[u8]| DestError::sys("open", self.place.join(OsStr::from_bytes(path)));
        let mut folder = rustix::fs::openat(&self.root, ".", FOLDER, Mode::empty()).map_err(failed(b""))?;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            folder = rustix::fs::openat(&folder, OsStr::from_bytes(name), FOLDER, Mode::empty())
                .map_err(failed(path))?;
        }
        Ok(folder)
    }
}

fn create(tree: &Tree, name: &OsStr) -> rustix::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(tree.top(), name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

fn write_file(
    file: &File,
    size: u64,
    (contents, stretch): (&mut Contents<'_>, u8),
    place: &Path,
    report: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<[u8; 32], DestError> {
    let mut hash = Sha256::default();
    let mut at = 0;
    let mut end_of_data = 0;
    let mut hashed = 0;
    while at < size {
        let part = contents.next_part(stretch, size - at)?;
        for stretch in part.chunks(HOLE) {
            if stretch.len() < HOLE || stretch.iter().any(|byte| *byte != 0) {
                file.write_all_at(stretch, at).map_err(DestError::io("write", place))?;
                end_of_data = at + stretch.len() as u64;
            }
            at += stretch.len() as u64;
        }
        if report(part.len() as u64).is_break() {
            return Err(DestError::Cancelled);
        }
        if at == size || at - hashed >= READ_BACK {
            if end_of_data < at {
                file.set_len(at).map_err(DestError::io("write", place))?;
            }
            read_back(file, hashed..at, &mut hash).map_err(DestError::io("read back", place))?;
            hashed = at;
        }
    }
    Ok(hash.finish())
}

fn read_back(file: &File, mut range: Range<u64>, hash: &mut Sha256) -> io::Result<()> {
    let longest = usize::try_from(range.end - range.start).unwrap_or(HOLE).min(HOLE);
    let mut buffer = vec![0; longest];
    while !range.is_empty() {
        let left = usize::try_from(range.end - range.start).unwrap_or(longest);
        let part = &mut buffer[..left.min(longest)];
        file.read_exact_at(part, range.start)?;
        hash.update(part);
        range.start += part.len() as u64;
    }
    Ok(())
}

fn link(tree: &Tree, target: &[u8], name: &OsStr, place: &Path) -> Result<(), DestError> {
    let from = tree.folder(parent(target))?;
    let first = OsStr::from_bytes(file_name(target));
    let stat = rustix::fs::statat(&from, first, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(DestError::sys("link to the first name of", place))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        let reason = format!("{} is a second name of something that is no file", place.display());
        return Err(DestError::Corrupt { path: tree.place.clone(), reason });
    }
    rustix::fs::linkat(&from, first, tree.top(), name, AtFlags::empty())
        .map_err(DestError::sys("link", place))
}

/// Sets a mode and looks whether the system kept it: it drops setgid without a word for a group that the user is not in.
pub(super) fn set_mode(file: &File, wanted: u32, place: &Path) -> Result<(), DestError> {
    file.set_permissions(Permissions::from_mode(wanted)).map_err(DestError::io("set the mode of", place))?;
    if wanted & 0o7000 == 0 {
        return Ok(());
    }
    let got = file.metadata().map_err(DestError::io("look at", place))?.mode() & 0o7777;
    if got == wanted { Ok(()) } else { Err(DestError::Mode { path: place.to_owned(), wanted, got }) }
}

fn timestamps(mtime: Mtime) -> Timestamps {
    let last_access = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    Timestamps {
        last_access,
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanos.into() },
    }
}
