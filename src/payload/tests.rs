use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use tempfile::TempDir;

use super::artifact::Header;
use super::frames::FRAME;
use super::*;
use crate::control::{FailureKind, Phase, Present};

mod packing;
mod reuse;

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
        bases: Vec::new(),
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

/// An artifact as a hostile operator would make it: its manifest may say anything.
fn crafted(folder: &TempDir, lines: &str, content: &[u8]) -> (PathBuf, [u8; 32]) {
    let manifest = format!("murder-manifest 1\n{lines}");
    let squeezed = zstd::encode_all(manifest.as_bytes(), 1).unwrap();
    let mtimes = zstd::encode_all(&vec![0; 12 * lines.lines().count()][..], 1).unwrap();
    let stretches = zstd::encode_all(&vec![0; lines.lines().count()][..], 1).unwrap();
    let table: Vec<u8> = content.chunks(FRAME).flat_map(|f| (f.len() as u32).to_le_bytes()).collect();
    let index = [&squeezed[..], &mtimes, &stretches, &table].concat();
    let header = Header {
        index_at: (Header::BYTES + content.len()) as u64,
        manifest: squeezed.len() as u64,
        mtimes: mtimes.len() as u64,
        stretches: stretches.len() as u64,
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
fn a_byte_that_flips_in_a_file_while_it_is_unpacked_is_noticed() {
    use std::os::unix::fs::FileExt as _;
    let (source, cache, host) = (scratch(), scratch(), scratch());
    fs::write(source.path().join("data"), [7; 200_000]).unwrap();
    let packed = packed(source.path(), &cache);
    let dest = dest(&host);
    let artifact = Artifact::open(&packed.artifact, &packed.manifest_hash).unwrap();
    let mut flipped = false;
    let mut flip = |done: u64, _| {
        let staging = fs::read_dir(dest.root().join(".murder")).unwrap().next().unwrap().unwrap().path();
        if !flipped && done > 0 {
            let file = File::options().write(true).open(staging.join("data")).unwrap();
            file.write_all_at(&[6], 0).unwrap();
            flipped = true;
        }
        ControlFlow::Continue(())
    };
    let error = dest.unpack(&artifact, "1", &mut flip).unwrap_err();
    assert!(matches!(&error, DestError::HashMismatch(path) if path.ends_with("data")), "{error}");
    assert!(!dest.release("1").exists());
    assert_eq!(fs::read_dir(dest.root().join(".murder")).unwrap().count(), 0, "nothing is left of it");
    dest.unpack(&artifact, "1", &mut |_, _| ControlFlow::Continue(())).unwrap();
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
    let store = dest.partial("1", Arc::clone(&metainfo), &mut |_| {}).unwrap();
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
