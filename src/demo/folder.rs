use std::fs::{self, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, process, thread};

use super::DemoError;

/// What the folders of demos are called.
const PREFIX: &str = "murder-demo-";

/// Locked while the folder's owner lives.
const ALIVE: &str = "alive";

/// Removing is tried so often, 50 ms apart: a child that was just killed may still finish a write.
const TRIES: u32 = 40;

/// The folder of one demo. It is removed with all in it when this is dropped; what a killed demo left behind is removed by the
/// next one, beside its work.
#[derive(Debug)]
pub(super) struct DemoFolder {
    path: PathBuf,
    keep: bool,
    sweeper: Option<JoinHandle<()>>,
    _alive: File,
}

impl DemoFolder {
    /// Makes it below `base`, for this user alone.
    pub(super) fn create(base: &Path, keep: bool) -> Result<Self, DemoError> {
        let base = base.canonicalize().map_err(DemoError::io("find", base))?;
        // A full fleet on a busy disk takes its time, and nobody has to wait for that.
        let left = base.clone();
        let sweeper = thread::Builder::new().name("demo-sweep".to_owned()).spawn(move || sweep(&left)).ok();
        let path = base.join(format!("{PREFIX}{}-{:08x}", process::id(), fastrand::u32(..)));
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(DemoError::io("create", &path))?;
        // Locked before it has its name, so that no other demo sees it unlocked.
        let unnamed = path.join(".alive");
        let alive = File::create(&unnamed).map_err(DemoError::io("create", &unnamed))?;
        alive.lock().map_err(DemoError::io("lock", &unnamed))?;
        fs::rename(&unnamed, path.join(ALIVE)).map_err(DemoError::io("rename", unnamed))?;
        Ok(Self { path, keep, sweeper, _alive: alive })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for DemoFolder {
    fn drop(&mut self) {
        if !self.keep {
            remove(&self.path, TRIES);
        }
        if let Some(sweeper) = self.sweeper.take() {
            let _ = sweeper.join();
        }
    }
}

/// Removes folders of this user's demos that were killed.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
            && fs::symlink_metadata(&path)
                .is_ok_and(|meta| meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw());
        let Some(alive) = File::open(path.join(ALIVE)).ok().filter(|_| ours) else { continue };
        if alive.try_lock().is_ok() {
            remove_dead(&path);
        }
    }
}

/// What tells that it is dead goes last, so that the next one goes on where this is broken off.
fn remove_dead(path: &Path) {
    let _ = make_removable(path);
    for entry in fs::read_dir(path).into_iter().flatten().flatten().filter(|entry| entry.file_name() != ALIVE)
    {
        let _ = match entry.file_type() {
            Ok(kind) if kind.is_dir() => fs::remove_dir_all(entry.path()),
            _ => fs::remove_file(entry.path()),
        };
    }
    let _ = fs::remove_dir_all(path);
}

fn remove(path: &Path, tries: u32) {
    for _ in 0..tries {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let _ = make_removable(path);
                thread::sleep(Duration::from_millis(50));
            }
            _ => return,
        }
    }
}

/// A release may hold folders that their own user may not change.
fn make_removable(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = make_removable(&entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_removes_its_folder_even_if_a_release_in_it_is_read_only() {
        let base = tempfile::tempdir().unwrap();
        let folder = DemoFolder::create(base.path(), false).unwrap();
        let inner = folder.path().join("web/releases/v1");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("file"), "x").unwrap();
        fs::set_permissions(&inner, Permissions::from_mode(0o500)).unwrap();
        drop(folder);
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_demo_left_is_removed_and_what_lives_stays() {
        let base = tempfile::tempdir().unwrap();
        let killed = base.path().join("murder-demo-1-dead");
        let release = killed.join("hosts/web/releases/v1");
        fs::create_dir_all(&release).unwrap();
        fs::write(release.join("file"), "x").unwrap();
        fs::set_permissions(&release, Permissions::from_mode(0o500)).unwrap();
        fs::write(killed.join(ALIVE), "").unwrap();
        let other = base.path().join("murder-demo-notes");
        fs::create_dir(&other).unwrap();

        let first = DemoFolder::create(base.path(), false).unwrap();
        let second = DemoFolder::create(base.path(), true).unwrap();
        assert!(other.exists() && first.path().exists() && second.path().exists());

        let kept = second.path().to_owned();
        drop((first, second));
        assert!(!killed.exists() && other.exists());
        assert!(kept.exists(), "it was asked to stay");
    }
}
