use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use tempfile::TempDir;

use super::artifact::{COMPRESSED, FRAME, Header};
use super::*;
use crate::control::{FailureKind, Phase, Present};

/// Not on a disk if that can be: what is tested asks the disk to write everything.
pub(super) fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn options(cache: &TempDir) -> PackOptions {
    PackOptions {
        unpack: Unpack::Auto,
        ignore: Vec::new(),
        salt: [1; 16],
        cache_dir: cache.path().to_owned(),
        piece_length: None,
        hosts: 8,
    }
}

fn packed(source: &Path, cache: &TempDir) -> Packed {
    pack(source, &options(cache), &|_, _| ControlFlow::Continue(())).unwrap()
}

fn dest(folder: &TempDir) -> Dest {
    let dest = Dest::new(&folder.path().join("srv/app"), "current").unwrap();
    dest.prepare().unwrap();
    dest
}

fn unpacked(dest: &Dest, artifact: &Path, hash: &[u8; 32], tag: &str) -> Result<PathBuf, DestError> {
    let artifact = Artifact::open(artifact, hash)?;
    dest.unpack(&artifact, tag, &mut |_, _| ControlFlow::Continue(()))?;
    Ok(dest.release(tag))
}

fn set_mtime(path: &Path, seconds: i64, nanos: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// All that must arrive of a tree: type with content, mode, mtime, and first name of a file with several.
type Seen = BTreeMap<OsString, (String, u32, i64, i64, OsString)>;

fn seen(root: &Path) -> Seen {
    let mut seen = Seen::new();
    let mut names: BTreeMap<u64, OsString> = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let metadata = fs::symlink_metadata(root.join(&folder)).unwrap();
        see(&mut seen, &folder, "folder".into(), &metadata, OsString::new());
        let mut entries: Vec<_> = fs::read_dir(root.join(&folder)).unwrap().map(|e| e.unwrap()).collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = folder.join(entry.file_name());
            let metadata = fs::symlink_metadata(entry.path()).unwrap();
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_symlink() {
                let target = fs::read_link(entry.path()).unwrap();
                see(&mut seen, &path, format!("link {target:?}"), &metadata, OsString::new());
            } else {
                let content = hex(&Sha256::of(&fs::read(entry.path()).unwrap()));
                let first = names.entry(metadata.ino()).or_insert_with(|| path.clone().into()).clone();
                let first = if metadata.nlink() > 1 { first } else { OsString::new() };
                see(&mut seen, &path, content, &metadata, first);
            }
        }
    }
    seen
}

fn see(seen: &mut Seen, path: &Path, what: String, metadata: &fs::Metadata, first: OsString) {
    let mode = if metadata.is_symlink() { 0 } else { metadata.mode() & 0o7777 };
    seen.insert(path.into(), (what, mode, metadata.mtime(), metadata.mtime_nsec(), first));
}

/// What a tree is made of; each is put into one of the folders made before.
#[derive(Debug, Clone)]
enum Thing {
    Folder(u32),
    File(u32, Vec<u8>, u16),
    Link(Vec<u8>),
    Again(usize),
}

fn things() -> impl Strategy<Value = Vec<(Vec<u8>, usize, i64, Thing)>> {
    let name = proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b' '), 1u8..], 1..12);
    let mode = prop_oneof![Just(0o644u32), Just(0o755), Just(0o4755), Just(0o1777), Just(0), 0u32..0o10000];
    let content = proptest::collection::vec(any::<u8>(), 0..40);
    let thing = prop_oneof![
        mode.clone().prop_map(Thing::Folder),
        (mode, content, 0u16..).prop_map(|(mode, content, times)| Thing::File(mode, content, times)),
        proptest::collection::vec(1u8.., 1..20).prop_map(Thing::Link),
        any::<usize>().prop_map(Thing::Again),
    ];
    proptest::collection::vec((name, any::<usize>(), -1_000_000_000i64..4_000_000_000, thing), 0..25)
}

fn build(root: &Path, things: &[(Vec<u8>, usize, i64, Thing)]) {
    let mut folders = vec![root.to_owned()];
    let mut files: Vec<PathBuf> = Vec::new();
    let mut times = Vec::new();
    for (name, place, mtime, thing) in things {
        let name: Vec<u8> = name.iter().copied().filter(|byte| *byte != b'/').collect();
        let path = folders[place % folders.len()].join(OsString::from_vec(name.clone()));
        if matches!(name.as_slice(), b"" | b"." | b".." | b".git") || fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        match thing {
            Thing::Folder(_) => {
                fs::create_dir(&path).unwrap();
                folders.push(path.clone());
            }
            Thing::File(_, content, repeats) => {
                fs::write(&path, content.repeat(*repeats as usize)).unwrap();
                files.push(path.clone());
            }
            Thing::Link(target) => symlink(OsString::from_vec(target.clone()), &path).unwrap(),
            Thing::Again(which) if files.is_empty() => fs::write(&path, which.to_ne_bytes()).unwrap(),
            Thing::Again(which) => fs::hard_link(&files[which % files.len()], &path).unwrap(),
        }
        times.push((path, *mtime, thing));
    }
    for (path, mtime, thing) in times.iter().rev() {
        if let Thing::Folder(mode) | Thing::File(mode, ..) = thing {
            // Where tests do not run as root, they could not read it otherwise.
            fs::set_permissions(path, Permissions::from_mode(mode | 0o700)).unwrap();
        }
        set_mtime(path, *mtime, mtime.rem_euclid(999_999_937));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_tree_arrives_as_it_is(things in things(), root_mode in 0u32..0o10000) {
        let (source, cache, host) = (scratch(), scratch(), scratch());
        let payload = source.path().join("payload");
        fs::create_dir(&payload).unwrap();
        build(&payload, &things);
        fs::set_permissions(&payload, Permissions::from_mode(root_mode | 0o700)).unwrap();
        set_mtime(&payload, 1_234_567, 891);
        let packed = packed(&payload, &cache);
        let dest = dest(&host);
        let release = unpacked(&dest, &packed.artifact, &packed.manifest_hash, "1").unwrap();
        prop_assert_eq!(seen(&release), seen(&payload));
        prop_assert_eq!(dest.present("1", &packed.manifest_hash, false).unwrap(), Present::Same);
        fs::remove_dir_all(dest.root().join(".murder/records")).unwrap();
        prop_assert_eq!(dest.present("1", &packed.manifest_hash, true).unwrap(), Present::Same);
        prop_assert_eq!(Manifest::parse(&packed.manifest.to_bytes()).unwrap(), packed.manifest);
    }
}

/// A tree with a bit of everything.
fn small_tree(root: &Path) {
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::create_dir_all(root.join("empty")).unwrap();
    fs::write(root.join("bin/run"), b"#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(root.join("bin/run"), Permissions::from_mode(0o4755)).unwrap();
    fs::write(root.join("data"), "murder ".repeat(300)).unwrap();
    fs::write(root.join("nothing"), b"").unwrap();
    fs::hard_link(root.join("data"), root.join("same")).unwrap();
    symlink("bin/run", root.join("run")).unwrap();
    for name in ["bin/run", "bin", "empty", "data", "nothing", "run", ""] {
        set_mtime(&root.join(name), 1_700_000_000, 123_456_789);
    }
}

#[test]
fn the_same_tree_gives_the_same_bytes_and_another_salt_another_torrent() {
    let (source, cache) = (scratch(), [scratch(), scratch(), scratch()]);
    let mut artifacts = Vec::new();
    for (name, cache) in ["one", "two"].iter().zip(&cache) {
        fs::create_dir(source.path().join(name)).unwrap();
        let tree = source.path().join(name).join("app");
        small_tree(&tree);
        let packed = packed(&tree, cache);
        artifacts.push((fs::read(&packed.artifact).unwrap(), packed.manifest_hash, packed.metainfo));
    }
    assert_eq!(artifacts[0], artifacts[1]);
    let salted = PackOptions { salt: [2; 16], ..options(&cache[2]) };
    let packed = pack(&source.path().join("one/app"), &salted, &|_, _| ControlFlow::Continue(())).unwrap();
    assert_eq!(packed.metainfo.hashes, artifacts[0].2.hashes);
    assert_ne!(packed.metainfo.info_hash, artifacts[0].2.info_hash);
}

#[test]
fn the_manifest_knows_neither_mtimes_nor_owner_but_modes() {
    let (source, cache) = (scratch(), scratch());
    small_tree(source.path());
    let before = packed(source.path(), &cache).manifest_hash;
    set_mtime(&source.path().join("data"), 1, 1);
    assert_eq!(packed(source.path(), &cache).manifest_hash, before);
    fs::set_permissions(source.path().join("data"), Permissions::from_mode(0o600)).unwrap();
    assert_ne!(packed(source.path(), &cache).manifest_hash, before);
}

#[test]
fn large_files_arrive_whether_they_shrink_or_not() {
    let (source, cache, host) = (scratch(), scratch(), scratch());
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(FRAME + 4567).collect();
    fs::write(source.path().join("noise"), &noise).unwrap();
    fs::write(source.path().join("text"), "all work and no play ".repeat(300_000)).unwrap();
    let sparse = File::create(source.path().join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    fs::write(source.path().join("zeros"), vec![0; 3 * FRAME]).unwrap();
    let packed = packed(source.path(), &cache);
    assert!(packed.packed_bytes < noise.len() as u64 + 100_000, "{}", packed.packed_bytes);
    assert!(packed.packed_bytes > noise.len() as u64);
    let release = unpacked(&dest(&host), &packed.artifact, &packed.manifest_hash, "1").unwrap();
    assert_eq!(seen(&release), seen(source.path()));
    let blocks = fs::metadata(release.join("sparse")).unwrap().blocks();
    assert!(blocks * 512 < 1 << 20, "a hole stays a hole");
}

#[test]
fn sizes_around_a_frame_and_a_piece_are_right() {
    let (source, cache) = (scratch(), scratch());
    for size in [0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME] {
        let host = scratch();
        let mut random = fastrand::Rng::with_seed(size as u64);
        let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(size).collect();
        let file = source.path().join("app.bin");
        fs::write(&file, &content).unwrap();
        let first = packed(&file, &cache);
        let length = u32::try_from(first.packed_bytes).unwrap();
        for piece_length in [length, length / 2 + 1, length + 1] {
            let options = PackOptions { piece_length: Some(piece_length), ..options(&cache) };
            let packed = pack(&file, &options, &|_, _| ControlFlow::Continue(())).unwrap();
            let artifact = fs::read(&packed.artifact).unwrap();
            let hashes: Vec<_> = artifact.chunks(piece_length as usize).map(sha1).collect();
            assert_eq!(packed.metainfo.hashes, hashes);
        }
        let release = unpacked(&dest(&host), &first.artifact, &first.manifest_hash, "1").unwrap();
        assert_eq!(fs::read(release.join("app.bin")).unwrap(), content);
    }
}

#[test]
fn a_file_keeps_its_name_mode_and_mtime() {
    let (source, cache, host) = (scratch(), scratch(), scratch());
    let name = OsString::from_vec(b"we\xffird\nname".to_vec());
    let file = source.path().join(&name);
    fs::write(&file, "x").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o2751)).unwrap();
    set_mtime(&file, 77, 88);
    let packed = packed(&file, &cache);
    assert_eq!(packed.artifact.file_name().unwrap(), packed.metainfo.name.as_str());
    let release = unpacked(&dest(&host), &packed.artifact, &packed.manifest_hash, "1").unwrap();
    let there = fs::metadata(release.join(&name)).unwrap();
    assert_eq!((there.mode() & 0o7777, there.mtime(), there.mtime_nsec()), (0o2751, 77, 88));
    assert_eq!(fs::metadata(&release).unwrap().mode() & 0o7777, 0o755);
    packed.remove().unwrap();
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
}

#[test]
fn what_rules_name_is_left_out_and_counted() {
    let (source, cache) = (scratch(), scratch());
    let root = source.path();
    for folder in [".git/objects", "src/deep", "logs"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for file in [".git/HEAD", "src/a.o", "src/a.c", "src/deep/b.o", "src/deep/keep.o", "logs/x", "c.tmp"] {
        fs::write(root.join(file), file).unwrap();
    }
    fs::write(root.join(".murderignore"), "# built\n*.o\n/logs/\n").unwrap();
    fs::write(root.join("src/deep/.murderignore"), "!keep.o\n").unwrap();
    let names = |ignore: &[&str]| {
        let ignore = ignore.iter().map(ToString::to_string).collect();
        let options = PackOptions { ignore, ..options(&cache) };
        let survey = survey(root, &options).unwrap();
        let packed = pack(root, &options, &|_, _| ControlFlow::Continue(())).unwrap();
        assert_eq!((survey.bytes, survey.entries), (packed.bytes, packed.entries));
        assert_eq!(survey.ignored, packed.ignored);
        let paths = packed.manifest.entries().iter().map(|e| String::from_utf8(e.path.clone()).unwrap());
        (paths.filter(|path| !path.is_empty()).collect::<Vec<_>>().join(" "), packed.ignored.join(" "))
    };
    let (kept, left_out) = names(&[]);
    assert_eq!(kept, ".murderignore c.tmp src src/a.c src/deep src/deep/.murderignore src/deep/keep.o");
    assert_eq!(left_out, ".git logs src/a.o src/deep/b.o");
    let (kept, left_out) = names(&["*.tmp", "!.git", "keep.o"]);
    assert_eq!(kept, ".git .git/HEAD .git/objects .murderignore src src/a.c src/deep src/deep/.murderignore");
    assert_eq!(left_out, "c.tmp logs src/a.o src/deep/b.o src/deep/keep.o");
    let wrong = PackOptions { ignore: vec!["a{b".into()], ..options(&cache) };
    assert!(matches!(survey(root, &wrong), Err(PackError::Pattern { pattern, .. }) if pattern == "a{b"));
}

#[test]
fn what_cannot_be_shipped_is_told_with_its_path() {
    let (source, cache) = (scratch(), scratch());
    let socket = source.path().join("sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let error = survey(source.path(), &options(&cache)).unwrap_err();
    assert!(matches!(&error, PackError::Unfit { path, what: "socket" } if path.ends_with("sock")), "{error}");
    let left_out = PackOptions { ignore: vec!["sock".into()], ..options(&cache) };
    assert_eq!(survey(source.path(), &left_out).unwrap().ignored, ["sock"]);
    let never = PackOptions { unpack: Unpack::Never, ..options(&cache) };
    assert!(matches!(survey(source.path(), &never), Err(PackError::Folder(_))));
    let missing = survey(&source.path().join("none"), &options(&cache)).unwrap_err();
    assert!(matches!(missing, PackError::Io { .. }));
}

#[test]
fn a_payload_that_changes_while_it_is_packed_is_noticed() {
    let (source, cache) = (scratch(), scratch());
    type Change = fn(&Path);
    let changes: [(&str, Change); 5] = [
        ("a", |root| fs::write(root.join("a"), "longer than before").unwrap()),
        ("a", |root| set_mtime(&root.join("a"), 5, 5)),
        ("b", |root| fs::remove_file(root.join("b")).unwrap()),
        ("", |root| fs::write(root.join("new"), "").unwrap()),
        ("b", |root| fs::set_permissions(root.join("b"), Permissions::from_mode(0o711)).unwrap()),
    ];
    for (index, (path, change)) in changes.into_iter().enumerate() {
        let root = source.path().join(index.to_string());
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a"), "aaaa").unwrap();
        fs::write(root.join("b"), "bbbb").unwrap();
        let once = std::sync::Once::new();
        let progress = |_, _| {
            once.call_once(|| change(&root));
            ControlFlow::Continue(())
        };
        let result = pack(&root, &options(&cache), &progress);
        let Err(PackError::Changed(changed)) = result else { panic!("{index}: {result:?}") };
        assert!(changed.ends_with(path), "{index}: {changed:?}");
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0, "nothing is left of it");
    }
}

#[test]
fn packing_can_be_broken_off() {
    let (source, cache) = (scratch(), scratch());
    fs::write(source.path().join("a"), "aaaa").unwrap();
    let result = pack(source.path(), &options(&cache), &|_, _| ControlFlow::Break(()));
    assert!(matches!(result, Err(PackError::Cancelled)));
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
}

fn tar_of_everything() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |kind, path: &str, mode, content: &[u8], link: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_600_000_000);
        header.set_size(content.len() as u64);
        if !link.is_empty() {
            header.set_link_name(link).unwrap();
        }
        tar.append_data(&mut header, path, content).unwrap();
    };
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    add(Regular, "./z/file", 0o4755, b"first", "");
    add(Regular, "./z/file", 0o640, b"second", "");
    add(Directory, "./empty/", 0o700, b"", "");
    add(Symlink, "link", 0o777, b"", "../out/of/it");
    add(Link, "a-name", 0o640, b"", "z/file");
    tar.into_inner().unwrap()
}

#[test]
fn archives_are_unpacked_here_when_asked_for() {
    let (source, cache) = (scratch(), scratch());
    let tar = tar_of_everything();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    let forms = [
        ("a.tar", tar.clone()),
        ("b.tar.gz", gzip.finish().unwrap()),
        ("c.tar.zst", zstd::encode_all(&tar[..], 1).unwrap()),
    ];
    for (name, bytes) in forms {
        let file = source.path().join(name);
        fs::write(&file, &bytes).unwrap();
        let always = PackOptions { unpack: Unpack::Always, ..options(&cache) };
        let packed = pack(&file, &always, &|_, _| ControlFlow::Continue(())).unwrap();
        let host = scratch();
        let release = unpacked(&dest(&host), &packed.artifact, &packed.manifest_hash, "1").unwrap();
        let seen = seen(&release);
        let names: Vec<_> = seen.keys().map(|path| path.to_string_lossy()).collect();
        assert_eq!(names, ["", "a-name", "empty", "link", "z", "z/file"], "{name}");
        assert_eq!(fs::read(release.join("a-name")).unwrap(), b"second");
        let file_seen = &seen[&OsString::from("z/file")];
        assert_eq!((file_seen.1, file_seen.2), (0o640, 1_600_000_000));
        assert_eq!(file_seen.4, "a-name", "both names are of one file");
        assert_eq!(seen[&OsString::from("empty")].1, 0o700);
        assert_eq!(fs::read_link(release.join("link")).unwrap(), Path::new("../out/of/it"));
        packed.remove().unwrap();

        let packed = super::tests::packed(&source.path().join(name), &cache);
        assert_eq!(packed.manifest.entries().len(), 2, "by default it stays a file");
        packed.remove().unwrap();
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0, "no spool is left");
    }
}

#[test]
fn a_zip_is_unpacked_here_when_asked_for() {
    use zip::write::SimpleFileOptions;
    let (source, cache, host) = (scratch(), scratch(), scratch());
    let file = source.path().join("app.ZIP");
    let mut zip = zip::ZipWriter::new(File::create(&file).unwrap());
    let time = zip::DateTime::from_date_and_time(2020, 2, 3, 4, 5, 6).unwrap();
    let options_of = |mode| SimpleFileOptions::default().unix_permissions(mode).last_modified_time(time);
    zip.start_file("bin/run", options_of(0o755)).unwrap();
    zip.write_all(&b"run ".repeat(1000)).unwrap();
    zip.add_symlink("link", "bin/run", options_of(0o777)).unwrap();
    zip.add_directory("empty", options_of(0o750)).unwrap();
    zip.finish().unwrap();
    let always = PackOptions { unpack: Unpack::Always, ..options(&cache) };
    let packed = pack(&file, &always, &|_, _| ControlFlow::Continue(())).unwrap();
    let release = unpacked(&dest(&host), &packed.artifact, &packed.manifest_hash, "1").unwrap();
    assert_eq!(fs::read(release.join("link")).unwrap(), b"run ".repeat(1000));
    assert_eq!(fs::read_link(release.join("link")).unwrap(), Path::new("bin/run"));
    let run = fs::metadata(release.join("bin/run")).unwrap();
    assert_eq!(run.mode() & 0o7777, 0o755);
    assert_eq!(run.modified().unwrap(), UNIX_EPOCH + Duration::from_secs(1_580_702_706));
    assert_eq!(fs::metadata(release.join("empty")).unwrap().mode() & 0o7777, 0o750);
}

#[test]
fn archives_that_would_leave_the_release_are_refused() {
    let (source, cache) = (scratch(), scratch());
    let file = source.path().join("evil.tar");
    let mut header = tar::Header::new_old();
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_size(0);
    header.as_old_mut().name[..9].copy_from_slice(b"a/../../b");
    header.set_cksum();
    let mut tar = header.as_bytes().to_vec();
    tar.extend([0; 1024]);
    fs::write(&file, tar).unwrap();
    let always = PackOptions { unpack: Unpack::Always, ..options(&cache) };
    let error = survey(&file, &always).unwrap_err();
    assert!(error.to_string().contains("outside of the release"), "{error}");
    fs::write(&file, "no tar at all, though it is called one").unwrap();
    assert!(matches!(survey(&file, &always), Err(PackError::Archive { .. })));
}

/// An artifact as a hostile operator would make it: its manifest may say anything.
fn crafted(folder: &TempDir, lines: &str, content: &[u8]) -> (PathBuf, [u8; 32]) {
    let manifest = format!("murder-manifest 1\n{lines}");
    let squeezed = zstd::encode_all(manifest.as_bytes(), 1).unwrap();
    let mtimes = zstd::encode_all(&vec![0; 12 * lines.lines().count()][..], 1).unwrap();
    let table: Vec<u8> = content.chunks(FRAME).flat_map(|f| (f.len() as u32).to_le_bytes()).collect();
    let index = [&squeezed[..], &mtimes, &table].concat();
    let header = Header {
        index_at: (Header::BYTES + content.len()) as u64,
        manifest: squeezed.len() as u64,
        mtimes: mtimes.len() as u64,
        frames: table.len() as u64,
        index_sha256: Sha256::of(&index),
    };
    let path = folder.path().join("crafted");
    fs::write(&path, [&header.to_bytes()[..], content, &index].concat()).unwrap();
    (path, Sha256::of(manifest.as_bytes()))
}

#[test]
fn hostile_artifacts_are_refused_and_leave_nothing() {
    let hash = hex(&Sha256::of(b"evil"));
    let outside = scratch();
    let target = outside.path().display();
    let cases = [
        format!("f 0644 4 {hash} ../evil\n"),
        format!("f 0644 4 {hash} {target}/evil\n"),
        format!("l a {target}\nf 0644 4 {hash} a/evil\n"),
        format!("d 0755 a\nl a/b ..\nf 0644 4 {hash} a/b/evil\n"),
        format!("f 0644 4 {hash} a\nh b ../../../evil\n"),
        format!("f 0644 4 {hash} a\nl b {target}\nh c b/evil\n"),
        format!("f 0644 4 {hash} a\nl b a\nh c b\n"),
        format!("f 0644 4 {hash} a\nh b nothing\n"),
        format!("f 0644 5 {hash} a\n"),
        format!("f 0644 18446744073709551615 {hash} a\nf 0644 5 {hash} b\n"),
        format!("f 0644 4 {} a\n", hex(&Sha256::of(b"good"))),
    ];
    for lines in cases {
        let (folder, host) = (scratch(), scratch());
        let dest = dest(&host);
        let (path, hash) = crafted(&folder, &format!("d 0755 .\n{lines}"), b"evil");
        let error = unpacked(&dest, &path, &hash, "1").unwrap_err();
        let kind = error.kind(Phase::Unpacking);
        assert!(matches!(kind, FailureKind::HashMismatch | FailureKind::Unpack), "{lines}: {error}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "{lines}");
        assert_eq!(fs::read_dir(dest.root().join("releases")).unwrap().count(), 0, "{lines}");
        assert_eq!(fs::read_dir(dest.root().join(".murder")).unwrap().count(), 0, "{lines}");
    }
    let (folder, host) = (scratch(), scratch());
    let good = format!("d 0755 .\nf 0644 4 {} a\n", hex(&Sha256::of(b"good")));
    let (path, hash) = crafted(&folder, &good, b"good");
    let release = unpacked(&dest(&host), &path, &hash, "1").unwrap();
    assert_eq!(fs::read(release.join("a")).unwrap(), b"good", "the way of crafting is right");
}

#[test]
fn one_flipped_or_missing_byte_is_noticed_wherever_it_is() {
    let (source, cache, host) = (scratch(), scratch(), scratch());
    let tree = source.path().join("tree");
    small_tree(&tree);
    let packed = packed(&tree, &cache);
    let good = fs::read(&packed.artifact).unwrap();
    let dest = dest(&host);
    let bad = source.path().join("bad");
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&bad, &bytes).unwrap();
        // zstd has bits that mean nothing: what arrives all the same must be right.
        match unpacked(&dest, &bad, &packed.manifest_hash, "1") {
            Ok(release) => {
                assert_eq!(seen(&release), seen(&tree), "byte {at}");
                fs::remove_dir_all(release).unwrap();
            }
            Err(error) => {
                assert_eq!(error.kind(Phase::Unpacking), FailureKind::HashMismatch, "byte {at}: {error}");
                assert!(!dest.release("1").exists());
            }
        }
        fs::write(&bad, &good[..at]).unwrap();
        assert!(unpacked(&dest, &bad, &packed.manifest_hash, "1").is_err(), "cut at {at}");
    }
    let other = Artifact::open(&packed.artifact, &[0; 32]).unwrap_err();
    assert_eq!(other.kind(Phase::Verifying), FailureKind::HashMismatch);
}

#[test]
fn frames_say_whether_they_are_compressed() {
    let (source, cache) = (scratch(), scratch());
    small_tree(source.path());
    let packed = packed(source.path(), &cache);
    let bytes = fs::read(&packed.artifact).unwrap();
    let table = u32::from_le_bytes(bytes[bytes.len() - 4..].try_into().unwrap());
    assert_ne!(table & COMPRESSED, 0);
}

#[test]
fn unpacking_can_be_broken_off_and_leaves_nothing() {
    let (source, cache, host) = (scratch(), scratch(), scratch());
    small_tree(source.path());
    let packed = packed(source.path(), &cache);
    let dest = dest(&host);
    let artifact = Artifact::open(&packed.artifact, &packed.manifest_hash).unwrap();
    let result = dest.unpack(&artifact, "1", &mut |_, _| ControlFlow::Break(()));
    assert!(matches!(result, Err(DestError::Cancelled)));
    assert_eq!(fs::read_dir(dest.root().join(".murder")).unwrap().count(), 0);
    assert_eq!(dest.present("1", &packed.manifest_hash, false).unwrap(), Present::Absent);
}

#[test]
fn what_is_there_is_told_apart() {
    let (source, cache, host) = (scratch(), scratch(), scratch());
    small_tree(source.path());
    let packed = packed(source.path(), &cache);
    let dest = dest(&host);
    unpacked(&dest, &packed.artifact, &packed.manifest_hash, "1").unwrap();
    assert_eq!(dest.present("1", &packed.manifest_hash, false).unwrap(), Present::Same);
    assert_eq!(dest.present("1", &[0; 32], false).unwrap(), Present::Other);
    assert_eq!(dest.present("2", &[0; 32], false).unwrap(), Present::Absent);
    let again = unpacked(&dest, &packed.artifact, &packed.manifest_hash, "1").unwrap_err();
    assert_eq!(again.kind(Phase::Unpacking), FailureKind::DestExists);

    // A release whose record is lost is looked at, and gets a new one.
    let record = dest.record("1").unwrap();
    fs::remove_dir_all(dest.root().join(".murder/records")).unwrap();
    assert_eq!(dest.present("1", &packed.manifest_hash, true).unwrap(), Present::Same);
    assert_eq!(dest.record("1"), None);
    assert_eq!(dest.present("1", &packed.manifest_hash, false).unwrap(), Present::Same);
    let renewed = dest.record("1").unwrap();
    assert_eq!(
        (&renewed.manifest, renewed.bytes, renewed.entries),
        (&record.manifest, record.bytes, record.entries)
    );
    fs::remove_dir_all(dest.root().join(".murder/records")).unwrap();
    fs::write(dest.release("1").join("data"), "changed").unwrap();
    assert_eq!(dest.present("1", &packed.manifest_hash, false).unwrap(), Present::Other);
    assert_eq!(dest.record("1"), None);
}

#[test]
fn the_partial_data_becomes_the_artifact() {
    let (source, cache, host) = (scratch(), scratch(), scratch());
    small_tree(source.path());
    let packed = packed(source.path(), &cache);
    let dest = dest(&host);
    let metainfo = Arc::new(Metainfo::parse(&packed.metainfo.info_bytes).unwrap());
    let store = dest.partial("1", Arc::clone(&metainfo), &mut |_, _| {}).unwrap();
    let bytes = fs::read(&packed.artifact).unwrap();
    for piece in 0..metainfo.pieces() {
        let at = metainfo.piece_at(piece);
        store.write_at(&bytes[at as usize..][..metainfo.piece_size(piece) as usize], at).unwrap();
        store.record(piece).unwrap();
    }
    assert_eq!(dest.partial_bytes("1"), packed.packed_bytes);
    let release = unpacked(&dest, &store.data_path(), &packed.manifest_hash, "1").unwrap();
    assert_eq!(seen(&release), seen(source.path()));
    dest.remove_partial("1").unwrap();
    assert_eq!(dest.partial_bytes("1"), 0);
    assert!(!dest.root().join(".murder/partial").exists());
}
