use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::DemoError;
use super::processes::Processes;

/// A system folder below which nobody can create anything, root included.
const NOBODY_WRITES: &str = if cfg!(target_os = "linux") { "/sys" } else { "/System" };

/// Its presence makes the hook before activation fail.
const HOOK_FAILS: &str = ".hook-fails";

/// A made-up host as its user sees it: folders and processes.
#[derive(Debug)]
pub(super) struct Account {
    user: String,
    root: PathBuf,
    processes: Processes,
}

impl Account {
    /// Makes the folders below `root`, which is the host's.
    pub(super) fn create(user: String, root: PathBuf) -> Result<Self, DemoError> {
        let account = Self { user, root, processes: Processes::default() };
        for folder in [account.home(), account.tmp(), account.above_dest()] {
            fs::create_dir_all(&folder).map_err(DemoError::io("create", folder))?;
        }
        Ok(account)
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// DEST. It does not exist before the first deployment.
    pub(super) fn dest(&self) -> PathBuf {
        self.above_dest().join("app")
    }

    pub(super) fn processes(&self) -> &Processes {
        &self.processes
    }

    /// Makes DEST impossible to create.
    pub(super) fn forbid_dest(&self) -> Result<(), DemoError> {
        let folder = self.above_dest();
        if rustix::process::geteuid().is_root() {
            // Modes do not bind root, so that DEST is led to where it may not write either.
            fs::remove_dir(&folder).map_err(DemoError::io("remove", &folder))?;
            symlink(NOBODY_WRITES, &folder).map_err(DemoError::io("link", folder))
        } else {
            set_mode(&folder, 0o555)
        }
    }

    /// Takes [`Self::forbid_dest`] back.
    pub(super) fn allow_dest(&self) -> Result<(), DemoError> {
        let folder = self.above_dest();
        if folder.is_symlink() {
            fs::remove_file(&folder).map_err(DemoError::io("remove", &folder))?;
            fs::create_dir(&folder).map_err(DemoError::io("create", folder))
        } else {
            set_mode(&folder, 0o755)
        }
    }

    /// Makes the hook before activation fail, or pass again.
    pub(super) fn set_hook_fails(&self, fails: bool) -> Result<(), DemoError> {
        let marker = self.home().join(HOOK_FAILS);
        if fails {
            fs::write(&marker, "").map_err(DemoError::io("write", marker))
        } else if marker.exists() {
            fs::remove_file(&marker).map_err(DemoError::io("remove", marker))
        } else {
            Ok(())
        }
    }

    fn above_dest(&self) -> PathBuf {
        self.root.join("srv")
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), DemoError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(DemoError::io("change the mode of", path))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn dest_is_forbidden_to_everybody_and_allowed_again() {
        let folder = tempfile::tempdir().unwrap();
        let account = Account::create("web".into(), folder.path().join("web")).unwrap();
        account.forbid_dest().unwrap();
        let refused = fs::create_dir(account.dest()).unwrap_err();
        assert!(
            matches!(refused.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem),
            "{refused}"
        );
        account.allow_dest().unwrap();
        fs::create_dir(account.dest()).unwrap();
    }
}
