use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::super::frames::COMPRESSED;
use super::*;

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

        let packed = super::packed(&source.path().join(name), &cache);
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
fn frames_say_whether_they_are_compressed() {
    let (source, cache) = (scratch(), scratch());
    small_tree(source.path());
    let packed = packed(source.path(), &cache);
    let bytes = fs::read(&packed.artifact).unwrap();
    let table = u32::from_le_bytes(bytes[bytes.len() - 4..].try_into().unwrap());
    assert_ne!(table & COMPRESSED, 0);
}
