use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::clock;
use crate::control::Release;

use super::dest::{Dest, check_tag};
use super::error::DestError;
use super::record::{Prepared, Record, remove_tree};

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Bytes that this freed, by the sizes of the files.
    pub bytes: u64,
    /// Releases.
    pub tags: Vec<String>,
}

impl Dest {
    /// Tag that the link points at; `None` if there is no link or it points out of `releases`.
    pub fn current(&self) -> Result<Option<String>, DestError> {
        let link = self.link_path();
        match fs::symlink_metadata(&link) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DestError::io("look at", &link)(error)),
            Ok(metadata) if !metadata.is_symlink() => return Err(DestError::NoLink(link)),
            Ok(_) => {}
        }
        let target = fs::read_link(&link).map_err(DestError::io("read the link", &link))?;
        let target = self.root.join(target);
        let tag = target.strip_prefix(self.releases_folder()).ok().and_then(Path::to_str);
        Ok(tag.filter(|tag| check_tag(tag).is_ok()).map(str::to_owned))
    }

    /// Points the link at a release, by rename, and says at which it pointed before. If it fails, the link is as it was,
    /// unless it is the disk that fails.
    pub fn switch(&self, tag: &str) -> Result<Option<String>, DestError> {
        check_tag(tag)?;
        let folder = self.release(tag);
        if !fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_dir()) {
            return Err(DestError::NoRelease(folder));
        }
        let previous = self.current()?;
        let record = self.prepare_switch(tag, previous.as_deref())?;
        let link = self.link_path();
        let new = self.murder().join(self.temporary_name("link"));
        std::os::unix::fs::symlink(format!("releases/{tag}"), &new)
            .map_err(DestError::io("make the link", &new))?;
        if let Err(error) = fs::rename(&new, &link) {
            let _ = fs::remove_file(&new);
            return Err(DestError::io("switch the link", &link)(error));
        }
        record.put()?;
        self.sync_folder(&self.root)?;
        Ok(previous)
    }

    fn prepare_switch(&self, tag: &str, previous: Option<&str>) -> Result<Prepared, DestError> {
        let known = self.record(tag);
        if known.is_none() {
            self.put_record(&self.new_record_folder()?, tag, &Record::default())?;
        }
        let mut record = known.unwrap_or_default();
        record.activated_ms = Some(clock::now());
        if previous != Some(tag) {
            record.previous = previous.map(str::to_owned);
        }
        record.prepare(&self.record_folder(tag))
    }

    /// All releases, by tag.
    pub fn releases(&self) -> Result<Vec<Release>, DestError> {
        let current = self.current().unwrap_or_default();
        let releases = self.tags()?.into_iter().map(|tag| {
            let record = self.record(&tag);
            let record = record.as_ref();
            Release {
                manifest: record.and_then(|record| record.manifest.clone()),
                bytes: record.and_then(|record| record.bytes),
                staged_at: record.and_then(|record| record.staged_ms).map(|ms| ms / 1000),
                activated_at: record.and_then(|record| record.activated_ms).map(|ms| ms / 1000),
                current: current.as_ref() == Some(&tag),
                previous: record.and_then(|record| record.previous.clone()),
                tag,
            }
        });
        Ok(releases.collect())
    }

    /// Removes all but the `keep` newest releases; never the current one, nor the one that was current before it.
    pub fn prune(&self, keep: usize) -> Result<Removed, DestError> {
        let current = self.current()?;
        let before = current.as_ref().and_then(|tag| self.record(tag)?.previous);
        let mut tags: Vec<(u64, String)> =
            self.tags()?.into_iter().map(|tag| (self.age(&tag), tag)).collect();
        tags.sort_unstable_by(|a, b| b.cmp(a));
        let mut removed = Removed::default();
        for (_, tag) in tags.into_iter().skip(keep) {
            if current.as_ref() == Some(&tag) || before.as_ref() == Some(&tag) {
                continue;
            }
            removed.bytes += self.remove_release(&tag)?;
            removed.tags.push(tag);
        }
        Ok(removed)
    }

    /// Removes partial data, what crashes left behind, and all but the `keep` newest releases.
    pub fn clean(&self, keep: usize) -> Result<Removed, DestError> {
        let partial = self.murder().join("partial");
        let mut bytes = size_of(&partial);
        remove_tree(&partial).map_err(DestError::io("remove", &partial))?;
        self.sweep()?;
        let mut removed = self.prune(keep)?;
        bytes += removed.bytes;
        for tag in self.recorded_tags() {
            if fs::symlink_metadata(self.release(&tag)).is_err() {
                let folder = self.record_folder(&tag);
                remove_tree(&folder).map_err(DestError::io("remove", &folder))?;
            }
        }
        removed.bytes = bytes;
        Ok(removed)
    }

    /// It is gone at once for everybody who looks, and then its space is freed.
    fn remove_release(&self, tag: &str) -> Result<u64, DestError> {
        let folder = self.release(tag);
        let trash = self.murder().join(self.temporary_name("trash"));
        let bytes = self.record(tag).and_then(|record| record.bytes).unwrap_or_else(|| size_of(&folder));
        let mode = fs::symlink_metadata(&folder).map_err(DestError::io("look at", &folder))?.mode();
        if mode & 0o700 != 0o700 {
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))
                .map_err(DestError::io("remove", &folder))?;
        }
        fs::rename(&folder, &trash).map_err(DestError::io("remove", &folder))?;
        remove_tree(&trash).map_err(DestError::io("remove", &trash))?;
        let record = self.record_folder(tag);
        remove_tree(&record).map_err(DestError::io("remove", &record))?;
        Ok(bytes)
    }

    fn tags(&self) -> Result<Vec<String>, DestError> {
        let folder = self.releases_folder();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(DestError::io("read the folder", &folder))?,
        };
        let mut tags = Vec::new();
        for entry in entries {
            let entry = entry.map_err(DestError::io("read the folder", &folder))?;
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            tags.extend(
                entry.file_name().into_string().ok().filter(|tag| is_folder && check_tag(tag).is_ok()),
            );
        }
        tags.sort_unstable();
        Ok(tags)
    }

    fn recorded_tags(&self) -> Vec<String> {
        let entries = fs::read_dir(self.murder().join("records")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// When a release was last put in place or switched to, milliseconds since the epoch.
    fn age(&self, tag: &str) -> u64 {
        let newest = |record: Record| record.staged_ms.max(record.activated_ms);
        self.record(tag).and_then(newest).unwrap_or_else(|| {
            let changed = fs::symlink_metadata(self.release(tag)).map_or(0, |metadata| metadata.ctime());
            u64::try_from(changed).unwrap_or_default() * 1000
        })
    }

    fn link_path(&self) -> PathBuf {
        self.root.join(&self.link)
    }
}

/// Bytes of the files in a tree, as far as it can be read.
fn size_of(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return if metadata.is_file() { metadata.blocks() * 512 } else { 0 };
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size_of(&entry.path())).sum()
}

#[cfg(test)]
#[cfg(feature = "operator")]
mod tests {
    use crate::control::{FailureKind, Phase};

    use super::super::record::MANIFEST;
    use super::super::tests::scratch;
    use super::*;

    fn dest(folder: &Path) -> Dest {
        let dest = Dest::new(&folder.join("app"), "current").unwrap();
        dest.prepare().unwrap();
        dest
    }

    /// A release as if staged at this time.
    fn release(dest: &Dest, tag: &str, staged_ms: u64) {
        fs::create_dir(dest.release(tag)).unwrap();
        fs::write(dest.release(tag).join("file"), tag).unwrap();
        let folder = dest.record_folder(tag);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(MANIFEST), "").unwrap();
        let manifest = Some("00".repeat(32));
        let (bytes, staged_ms) = (Some(tag.len() as u64), Some(staged_ms));
        let record = Record { manifest, bytes, staged_ms, ..Record::default() };
        record.write(&folder).unwrap();
    }

    fn tags(dest: &Dest) -> Vec<String> {
        dest.releases().unwrap().into_iter().map(|release| release.tag).collect()
    }

    #[test]
    fn folders_have_the_modes_that_users_expect() {
        let folder = scratch();
        let dest = Dest::new(&folder.path().join("srv/www/app"), "current").unwrap();
        assert!(dest.look().is_ok());
        assert!(!folder.path().join("srv").exists(), "looking changes nothing");
        dest.prepare().unwrap();
        fs::set_permissions(dest.murder(), fs::Permissions::from_mode(0o755)).unwrap();
        dest.prepare().unwrap();
        for (path, mode) in [
            ("srv", 0o755),
            ("srv/www/app", 0o755),
            ("srv/www/app/releases", 0o755),
            ("srv/www/app/.murder", 0o700),
        ] {
            let there = fs::metadata(folder.path().join(path)).unwrap().mode() & 0o7777;
            assert_eq!(there, mode, "{path}");
        }
    }

    #[test]
    fn the_link_is_switched_and_says_where_it_pointed() {
        let folder = scratch();
        let dest = dest(folder.path());
        for tag in ["1", "2"] {
            release(&dest, tag, 1);
        }
        assert_eq!(dest.current().unwrap(), None);
        assert_eq!(dest.switch("1").unwrap(), None);
        assert_eq!(fs::read_link(dest.root().join("current")).unwrap(), Path::new("releases/1"));
        assert_eq!(dest.switch("2").unwrap(), Some("1".into()));
        assert_eq!(dest.switch("2").unwrap(), Some("2".into()));
        assert_eq!(dest.record("2").unwrap().previous, Some("1".into()), "a second switch forgets nothing");
        assert_eq!(dest.current().unwrap(), Some("2".into()));
        let listed = dest.releases().unwrap();
        assert_eq!(listed.iter().map(|release| release.current).collect::<Vec<_>>(), [false, true]);
        assert!(listed[1].activated_at.is_some());
        assert!(matches!(dest.switch("3"), Err(DestError::NoRelease(_))));
        assert_eq!(dest.current().unwrap(), Some("2".into()));
    }

    #[test]
    fn releases_of_another_tool_are_switched_to_and_remembered() {
        let folder = scratch();
        let dest = dest(folder.path());
        fs::create_dir(dest.release("theirs")).unwrap();
        release(&dest, "ours", 1);
        dest.switch("ours").unwrap();
        dest.switch("theirs").unwrap();
        let listed = dest.releases().unwrap();
        assert!(listed[1].current && listed[1].manifest.is_none() && listed[1].activated_at.is_some());
        assert_eq!(dest.prune(0).unwrap(), Removed::default(), "the one before is known");
    }

    #[test]
    fn a_link_that_is_none_is_left_alone() {
        let folder = scratch();
        let dest = dest(folder.path());
        release(&dest, "1", 1);
        fs::create_dir(dest.root().join("current")).unwrap();
        let error = dest.switch("1").unwrap_err();
        assert_eq!(error.kind(Phase::Activating), FailureKind::DestExists);
        assert!(dest.root().join("current").is_dir());
        assert_eq!(dest.releases().unwrap().len(), 1);
        let elsewhere = Dest::new(dest.root(), "live").unwrap();
        std::os::unix::fs::symlink("/somewhere/else", dest.root().join("live")).unwrap();
        assert_eq!(elsewhere.switch("1").unwrap(), None);
    }

    #[test]
    fn old_releases_go_but_never_current_or_the_one_before() {
        let folder = scratch();
        let dest = dest(folder.path());
        for (age, tag) in (1..).zip(["a", "b", "c", "d", "e", "f"]) {
            release(&dest, tag, age);
        }
        dest.switch("a").unwrap();
        dest.switch("b").unwrap();
        // Long ago, for the clock of the test.
        for tag in ["a", "b"] {
            let mut record = dest.record(tag).unwrap();
            record.activated_ms = Some(1);
            record.write(&dest.record_folder(tag)).unwrap();
        }
        fs::set_permissions(dest.release("c"), fs::Permissions::from_mode(0o500)).unwrap();
        let removed = dest.prune(2).unwrap();
        assert_eq!(removed, Removed { bytes: 2, tags: vec!["d".into(), "c".into()] });
        assert_eq!(tags(&dest), ["a", "b", "e", "f"]);
        assert_eq!(dest.record("d"), None);
        dest.prune(0).unwrap();
        assert_eq!(tags(&dest), ["a", "b"]);
        let left = fs::read_dir(dest.murder()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["records"]);
    }

    #[test]
    fn clean_takes_partial_data_and_what_crashes_left() {
        let folder = scratch();
        let dest = dest(folder.path());
        release(&dest, "1", 1);
        fs::create_dir_all(dest.murder().join("partial/2")).unwrap();
        fs::write(dest.murder().join("partial/2/data"), [7; 10_000]).unwrap();
        fs::create_dir_all(dest.murder().join("staging-1-2-3/sub")).unwrap();
        fs::set_permissions(dest.murder().join("staging-1-2-3/sub"), fs::Permissions::from_mode(0o0))
            .unwrap();
        fs::write(dest.murder().join("probe-1-2-3"), "").unwrap();
        fs::create_dir_all(dest.record_folder("gone")).unwrap();
        assert!(dest.clean(5).unwrap().bytes >= 10_000);
        let left = fs::read_dir(dest.murder()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["records"]);
        assert_eq!(dest.recorded_tags(), ["1"]);
    }

    #[test]
    fn who_prepares_and_who_sweeps_do_not_hurt_each_other() {
        let folder = scratch();
        let dest = dest(folder.path());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..2_000).for_each(|_| dest.prepare().unwrap()));
                scope.spawn(|| (0..2_000).for_each(|_| dest.sweep().unwrap()));
            }
        });
    }

    #[test]
    fn tags_and_links_are_plain_names() {
        for wrong in ["", ".", "..", ".git", "a/b", "/", "a\0"] {
            assert!(check_tag(wrong).is_err(), "{wrong:?}");
            assert!(Dest::new(Path::new("/srv"), wrong).is_err(), "{wrong:?}");
        }
        for right in ["1", "v1.2.3", "20260101-120000", "a b", "ü"] {
            assert!(check_tag(right).is_ok(), "{right:?}");
        }
        assert!(Dest::new(Path::new("/srv"), "releases").is_err());
        assert!(Dest::new(Path::new("srv"), "current").is_err());
    }
}
