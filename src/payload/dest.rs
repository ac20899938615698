use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Access, AtFlags, RenameFlags};
use rustix::io::Errno;

use crate::clock;
use crate::control::{LockOwner, Present};

use super::artifact::Artifact;
use super::digest::{from_hex, hex};
use super::error::DestError;
use super::lock::{self, LockGuard, boot_id};
use super::metainfo::Metainfo;
use super::partial::{self, PartialStore};
use super::record::{MANIFEST, Record, remove_file, remove_tree};
use super::unpack::{UnpackProgress, set_mode, unpack};
use super::walk::{ManifestSum, manifest_of_folder};

/// The folder of releases on a host: `releases/TAG`, the link, and `.murder/` with lock, partial data and records.
#[derive(Debug, Clone)]
pub struct Dest {
    pub(super) root: PathBuf,
    pub(super) link: String,
    durable: bool,
}

/// What a release takes on the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    /// Bytes of its files.
    pub unpacked: u64,
    /// Bytes of its artifact.
    pub packed: u64,
    /// Bytes that must be free even for nothing.
    pub least: u64,
    /// Its paths.
    pub entries: u64,
}

/// What is left below DEST for this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes.
    pub bytes: u64,
    /// Inodes, `u64::MAX` where the file system does not count them.
    pub inodes: u64,
}

/// Whether a name can be that of a release: no `/`, no `.` in front.
pub fn check_tag(tag: &str) -> Result<(), DestError> {
    check_name(tag, "tag")
}

impl Dest {
    /// Of the folder `root` with the link `link` in it. Touches nothing.
    pub fn new(root: &Path, link: &str) -> Result<Self, DestError> {
        if !root.is_absolute() || root.to_string_lossy().contains('\0') {
            return Err(DestError::BadDest(root.display().to_string()));
        }
        check_name(link, "link")?;
        if link == "releases" {
            return Err(DestError::BadName(link.to_owned(), "link"));
        }
        Ok(Self { root: root.to_owned(), link: link.to_owned(), durable: true })
    }

    /// Does not wait until the disk has what it was given: for hosts that nobody will miss after a crash.
    #[must_use]
    pub fn without_sync(mut self) -> Self {
        self.durable = false;
        self
    }

    /// DEST itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of a release.
    pub fn release(&self, tag: &str) -> PathBuf {
        self.releases_folder().join(tag)
    }

    /// Makes what is missing of DEST, with the modes that users expect, whatever the umask; and tries to write there.
    pub fn prepare(&self) -> Result<(), DestError> {
        make_folders(&self.root, 0o755)?;
        make_folders(&self.releases_folder(), 0o755)?;
        let murder = self.murder();
        make_folders(&murder, 0o700)?;
        let metadata = fs::symlink_metadata(&murder).map_err(DestError::io("look at", &murder))?;
        if !metadata.is_dir() {
            let not_a_folder = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(DestError::io("use", &murder)(not_a_folder));
        }
        if metadata.mode() & 0o7777 != 0o700 {
            fs::set_permissions(&murder, Permissions::from_mode(0o700))
                .map_err(DestError::io("set the mode of", &murder))?;
        }
        for folder in [&self.root, &self.releases_folder()] {
            may_write(folder)?;
        }
        let device = fs::metadata(self.releases_folder()).map_err(DestError::io("look at", &murder))?.dev();
        if device != metadata.dev() {
            let other = io::Error::from(io::ErrorKind::CrossesDevices);
            return Err(DestError::io("rename releases out of", &murder)(other));
        }
        let probe = murder.join(self.temporary_name("probe"));
        File::create(&probe).map_err(DestError::io("write to", &murder))?;
        remove_file(&probe).map_err(DestError::io("remove", &probe))
    }

    /// Whether DEST could be written, without changing anything there.
    pub fn look(&self) -> Result<(), DestError> {
        may_write(&self.nearest())?;
        self.current().map(drop)
    }

    /// Space for this user below DEST.
    pub fn space(&self) -> Result<Space, DestError> {
        let nearest = self.nearest();
        let stat = rustix::fs::statvfs(&nearest).map_err(DestError::sys("ask for the space of", &nearest))?;
        let inodes = if stat.f_files == 0 { u64::MAX } else { stat.f_favail };
        Ok(Space { bytes: stat.f_bavail.saturating_mul(stat.f_frsize), inodes })
    }

    /// Whether a release fits: its artifact and its files lie there at the same time. What an earlier attempt took is not counted again.
    pub fn preflight(&self, tag: &str, need: &Need) -> Result<Space, DestError> {
        let space = self.space()?;
        let (path, free) = (self.root.clone(), space.bytes);
        let taken = partial::listed(&self.partial_folder(tag)).1;
        let (packed, unpacked) = (need.packed.saturating_sub(taken), need.unpacked);
        if packed.saturating_add(unpacked) > free {
            return Err(DestError::Space { path, free, packed, unpacked });
        }
        if need.least > free {
            return Err(DestError::Room { path, free, needed: need.least });
        }
        if need.entries > space.inodes {
            let (path, free) = (self.root.clone(), space.inodes);
            return Err(DestError::Inodes { path, free, needed: need.entries });
        }
        Ok(space)
    }

    /// Names this machine and DEST on it, so that two names of one place are found out.
    pub fn place(&self) -> String {
        let nearest = self.nearest();
        let rest = self.root.strip_prefix(&nearest).unwrap_or(Path::new("")).display();
        let (device, inode) =
            fs::metadata(&nearest).map_or((0, 0), |metadata| (metadata.dev(), metadata.ino()));
        format!("{}:{device:x}:{inode:x}:{rest}", boot_id())
    }

    /// Takes the lock; the second is the owner of a dead lock that was taken over. Waits some seconds for the end of an older agent of the
    /// same run and host.
    pub fn lock(&self, owner: &LockOwner) -> Result<(LockGuard, Option<LockOwner>), DestError> {
        lock::take(&self.murder().join("lock"), &self.root, owner)
    }

    /// Removes what a crash left behind. Only for who holds the lock.
    pub fn sweep(&self) -> Result<(), DestError> {
        let murder = self.murder();
        let entries = match fs::read_dir(&murder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(DestError::io("read the folder", &murder))?,
        };
        for entry in entries {
            let path = entry.map_err(DestError::io("read the folder", &murder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if TEMPORARY.iter().any(|kind| name.strip_prefix(kind).is_some_and(|rest| rest.starts_with('-')))
            {
                remove_tree(&path)
                    .or_else(|error| if path.is_dir() { Err(error) } else { remove_file(&path) })
                    .map_err(DestError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// What stands under a tag. A release without a record is compared file by file, and gets one unless `read_only`.
    pub fn present(&self, tag: &str, manifest: &[u8; 32], read_only: bool) -> Result<Present, DestError> {
        check_tag(tag)?;
        let folder = self.release(tag);
        match fs::symlink_metadata(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Present::Absent),
            Err(error) => return Err(DestError::io("look at", &folder)(error)),
            Ok(metadata) if !metadata.is_dir() => return Ok(Present::Other),
            Ok(_) => {}
        }
        let recorded = self.record(tag).and_then(|record| from_hex::<32>(&record.manifest?));
        let same = |hash: &[u8; 32]| if hash == manifest { Present::Same } else { Present::Other };
        if let Some(recorded) = recorded {
            return Ok(same(&recorded));
        }
        if read_only {
            let found = manifest_of_folder(&folder, io::sink())?;
            return Ok(found.map_or(Present::Other, |(_, sum)| same(&sum.hash)));
        }
        let new = self.new_record_folder()?;
        let path = new.join(MANIFEST);
        let output = File::create(&path).map_err(DestError::io("create", &path))?;
        let found = manifest_of_folder(&folder, io::BufWriter::new(output));
        if let Ok(Some((_, sum))) = &found
            && sum.hash == *manifest
        {
            let mut record = sum.record();
            if let Some(before) = self.record(tag) {
                (record.activated_ms, record.previous) = (before.activated_ms, before.previous);
            }
            self.put_record(&new, tag, &record)?;
            return Ok(Present::Same);
        }
        let _ = remove_tree(&new);
        found.map(|_| Present::Other)
    }

    /// What is remembered of a release.
    pub fn record(&self, tag: &str) -> Option<Record> {
        Record::read(&self.record_folder(tag))
    }

    /// Bytes that an earlier attempt says it has of a release, not verified yet.
    pub fn partial_bytes(&self, tag: &str) -> u64 {
        partial::listed(&self.partial_folder(tag)).0
    }

    /// Opens or makes the partial data of a release; `progress` hears how many bytes of verified pieces there are so far.
    pub fn partial(
        &self,
        tag: &str,
        metainfo: Arc<Metainfo>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<PartialStore, DestError> {
        check_tag(tag)?;
        PartialStore::open(&self.partial_folder(tag), metainfo, progress)
    }

    /// Removes the partial data of a release.
    pub fn remove_partial(&self, tag: &str) -> Result<(), DestError> {
        let folder = self.partial_folder(tag);
        remove_tree(&folder).map_err(DestError::io("remove", &folder))?;
        // Others may have theirs there.
        let _ = fs::remove_dir(self.murder().join("partial"));
        Ok(())
    }

    /// Unpacks a release and puts it in place: whole, each file checked, or not at all.
    pub fn unpack(
        &self,
        artifact: &Artifact,
        tag: &str,
        progress: UnpackProgress<'_>,
    ) -> Result<(), DestError> {
        check_tag(tag)?;
        let folder = self.release(tag);
        if fs::symlink_metadata(&folder).is_ok() {
            return Err(DestError::Taken(folder));
        }
        let staging = self.murder().join(self.temporary_name("staging"));
        DirBuilder::new().mode(0o700).create(&staging).map_err(DestError::io("make the folder", &staging))?;
        let result = self.unpack_in(artifact, tag, &staging, progress);
        if result.is_err() {
            let _ = remove_tree(&staging);
        }
        result
    }

    fn unpack_in(
        &self,
        artifact: &Artifact,
        tag: &str,
        staging: &Path,
        progress: UnpackProgress<'_>,
    ) -> Result<(), DestError> {
        let (folder, mode) = unpack(artifact, staging, progress)?;
        let target = self.release(tag);
        // A folder that its owner may not write cannot be renamed; that bit is taken off again at its new place.
        set_mode(&folder, mode | 0o200, &target)?;
        let new = self.new_record_folder()?;
        let path = new.join(MANIFEST);
        let mut manifest = artifact.manifest()?;
        File::create(&path)
            .and_then(|mut file| io::copy(&mut manifest, &mut file))
            .map_err(DestError::io("write", &path))?;
        if self.durable {
            sync_all(&folder).map_err(DestError::io("write to disk", staging))?;
        }
        let (hash, bytes, entries) = (*artifact.manifest_hash(), artifact.bytes(), artifact.entries());
        self.put_record(&new, tag, &ManifestSum { hash, bytes, entries }.record())?;
        rename_new(staging, &target)?;
        if mode & 0o200 == 0 {
            set_mode(&folder, mode, &target)?;
        }
        self.sync_folder(&self.releases_folder())
    }

    /// A folder for a new record, to be put in place by [`Self::put_record`].
    pub(super) fn new_record_folder(&self) -> Result<PathBuf, DestError> {
        let new = self.murder().join(self.temporary_name("record"));
        DirBuilder::new().mode(0o700).create(&new).map_err(DestError::io("make the folder", &new))?;
        Ok(new)
    }

    pub(super) fn put_record(&self, new: &Path, tag: &str, record: &Record) -> Result<(), DestError> {
        record.write(new)?;
        let place = self.record_folder(tag);
        make_folders(&self.murder().join("records"), 0o700)?;
        remove_tree(&place).map_err(DestError::io("remove", &place))?;
        fs::rename(new, &place).map_err(DestError::io("rename the record to", &place))
    }

    pub(super) fn sync_folder(&self, folder: &Path) -> Result<(), DestError> {
        if !self.durable {
            return Ok(());
        }
        File::open(folder).and_then(|file| file.sync_all()).map_err(DestError::io("write to disk", folder))
    }

    pub(super) fn murder(&self) -> PathBuf {
        self.root.join(".murder")
    }

    pub(super) fn releases_folder(&self) -> PathBuf {
        self.root.join("releases")
    }

    pub(super) fn record_folder(&self, tag: &str) -> PathBuf {
        self.murder().join("records").join(tag)
    }

    fn partial_folder(&self, tag: &str) -> PathBuf {
        self.murder().join("partial").join(tag)
    }

    /// A name in `.murder` that nobody has; `kind` is one of [`TEMPORARY`].
    pub(super) fn temporary_name(&self, kind: &'static str) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("{kind}-{}-{}-{count}", std::process::id(), clock::now())
    }

    /// DEST, or what there is of the way to it.
    fn nearest(&self) -> PathBuf {
        self.root.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
    }
}

impl ManifestSum {
    /// Of a release that is staged now.
    fn record(&self) -> Record {
        Record {
            manifest: Some(hex(&self.hash)),
            bytes: Some(self.bytes),
            entries: Some(self.entries),
            staged_ms: Some(clock::now()),
            activated_ms: None,
            previous: None,
        }
    }
}

/// What temporary things in `.murder` are called, so that [`Dest::sweep`] knows them.
const TEMPORARY: [&str; 5] = ["staging", "trash", "link", "probe", "record"];

/// Waits until the disk has all of a tree: at once for its whole file system, for one file after the other would take minutes.
fn sync_all(folder: &File) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(folder)?;
    folder.sync_all()
}

fn check_name(name: &str, what: &'static str) -> Result<(), DestError> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Err(DestError::BadName(name.to_owned(), what));
    }
    Ok(())
}

fn may_write(folder: &Path) -> Result<(), DestError> {
    let access = Access::WRITE_OK | Access::EXEC_OK;
    rustix::fs::accessat(rustix::fs::CWD, folder, access, AtFlags::EACCESS)
        .map_err(DestError::sys("write to", folder))
}

/// Makes a folder and what is missing above it, with this mode whatever the umask.
fn make_folders(folder: &Path, mode: u32) -> Result<(), DestError> {
    match DirBuilder::new().mode(mode).create(folder) {
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(mode))
            .map_err(DestError::io("set the mode of", folder)),
        Err(_) if folder.is_dir() => Ok(()),
        Err(error) => match folder.parent().filter(|parent| fs::symlink_metadata(parent).is_err()) {
            Some(parent) => {
                make_folders(parent, mode)?;
                make_folders(folder, mode)
            }
            None => Err(DestError::io("make the folder", folder)(error)),
        },
    }
}

/// Renames to a place where nothing is.
fn rename_new(from: &Path, to: &Path) -> Result<(), DestError> {
    use rustix::fs::CWD;
    let failed = || DestError::sys("put the release at", to);
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST) => Err(DestError::Taken(to.to_owned())),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if fs::symlink_metadata(to).is_err() => {
            rustix::fs::rename(from, to).map_err(failed())
        }
        result => result.map_err(failed()),
    }
}
