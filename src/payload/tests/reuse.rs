use super::*;

const FILES: usize = 400;

/// Text for one half of the files and noise for the other, so that there are frames of both kinds.
fn content(file: usize, version: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(file as u64 + version * 1_000_003);
    let length = 5_000 + random.usize(..30_000);
    let noise = |_| random.u8(..);
    if file.is_multiple_of(2) {
        (0..length).map(noise).collect()
    } else {
        format!("{file} {version} ").repeat(length / 8).into_bytes()
    }
}

fn write_file(root: &Path, file: usize, version: u64) {
    let folder = root.join(format!("d{}", file % 7));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(file.to_string()), content(file, version)).unwrap();
}

/// An operator with a payload, and a host.
struct Ground {
    source: TempDir,
    cache: TempDir,
    host: TempDir,
}

impl Ground {
    fn new() -> Self {
        let ground = Self { source: scratch(), cache: scratch(), host: scratch() };
        (0..FILES).for_each(|file| write_file(ground.source.path(), file, 0));
        ground
    }

    fn change(&self, files: impl IntoIterator<Item = usize>, version: u64) {
        files.into_iter().for_each(|file| write_file(self.source.path(), file, version));
    }

    fn manifest(&self, tag: &str) -> PathBuf {
        self.cache.path().join(format!("manifest-{tag}"))
    }

    /// Packs what the payload is now, for hosts that hold these tags.
    fn pack(&self, tag: &str, bases: &[&str]) -> Packed {
        let bases = bases.iter().map(|base| self.manifest(base)).collect();
        let options = PackOptions { bases, ..options(&self.cache) };
        let packed = pack(self.source.path(), &options, &|_, _| ControlFlow::Continue(())).unwrap();
        packed.manifest.save(&self.manifest(tag)).unwrap();
        packed
    }

    /// Ships it to the host as `tag`; gives the bytes that the host made itself, and those that the swarm had to bring.
    fn ship(&self, packed: &Packed, tag: &str) -> (u64, u64) {
        let dest = dest(&self.host);
        let mut store = dest.partial(tag, Arc::new(packed.metainfo.clone()), &mut |_| {}).unwrap();
        let holdings = dest.holdings();
        let mut made = 0;
        for recipe in &packed.recipes {
            let sent = Recipe::from_bytes(&recipe.to_bytes().unwrap().unwrap()).unwrap();
            if holdings.contains(&sent.base_hex()) {
                made += dest.restore(&mut store, &sent, &mut |_| ControlFlow::Continue(())).unwrap();
            }
        }
        assert_eq!(store.kept_bytes(), made, "nothing else was there");
        let artifact = fs::read(&packed.artifact).unwrap();
        let mut fetched = 0;
        for piece in 0..packed.metainfo.pieces() {
            let (at, size) = (packed.metainfo.piece_at(piece), packed.metainfo.piece_size(piece) as usize);
            if store.kept()[piece as usize] {
                let mut there = vec![0; size];
                store.read_at(&mut there, at).unwrap();
                assert_eq!(sha1(&there), packed.metainfo.hashes[piece as usize]);
            } else {
                store.write_at(&artifact[at as usize..][..size], at).unwrap();
                fetched += size as u64;
            }
        }
        let release = unpacked(&dest, &store.data_path(), &packed.manifest_hash, tag).unwrap();
        assert_eq!(seen(&release), seen(self.source.path()));
        dest.remove_partial(tag).unwrap();
        packed.remove().unwrap();
        (made, fetched)
    }
}

/// What may come besides the changed contents: the index, and a piece at each end of what is made.
const EDGES: u64 = 4 * LEAST_PIECE as u64;

#[test]
fn a_host_makes_what_did_not_change_from_the_release_before() {
    let ground = Ground::new();
    assert_eq!(ground.ship(&ground.pack("1", &[]), "1").0, 0);
    let changed = [3, 50, 101, 399];
    ground.change(changed, 1);
    fs::rename(ground.source.path().join("d6"), ground.source.path().join("a-moved-folder")).unwrap();
    let packed = ground.pack("2", &["1"]);
    let total = packed.packed_bytes;
    let (made, fetched) = ground.ship(&packed, "2");
    assert_eq!(made + fetched, total);
    let new: u64 = changed.iter().map(|file| content(*file, 1).len() as u64).sum();
    assert!(fetched <= new + EDGES, "{fetched} of {total} bytes were fetched for {new} new ones");
}

#[test]
fn the_same_release_under_another_tag_comes_from_disk() {
    let ground = Ground::new();
    ground.ship(&ground.pack("1", &[]), "1");
    let (_, fetched) = ground.ship(&ground.pack("2", &["1"]), "2");
    assert!(fetched <= EDGES, "{fetched}");
}

#[test]
fn hosts_of_different_releases_each_make_their_share() {
    let sum = |files: std::ops::Range<usize>, version| {
        files.map(|file| content(file, version).len() as u64).sum::<u64>()
    };
    for (held, missing) in [
        (&["1", "2"][..], sum(30..31, 2)),
        (&["2"], sum(30..31, 2) + sum(0..10, 0)),
        (&["1"], sum(30..31, 2) + sum(10..20, 1)),
        (&[], u64::MAX / 2),
    ] {
        let ground = Ground::new();
        let host = |tag: &str, packed: Packed| {
            if held.contains(&tag) {
                ground.ship(&packed, tag);
            }
        };
        host("1", ground.pack("1", &[]));
        ground.change(0..20, 1);
        host("2", ground.pack("2", &["1"]));
        // Some are as they were in the first again, and one is new.
        ground.change(0..10, 0);
        ground.change([30], 2);
        let packed = ground.pack("3", &["1", "2"]);
        let total = packed.packed_bytes;
        let (made, fetched) = ground.ship(&packed, "3");
        assert_eq!(made + fetched, total, "{held:?}");
        assert_eq!(made == 0, held.is_empty(), "{held:?}");
        assert!(
            fetched <= missing + 2 * EDGES,
            "{held:?}: {fetched} of {total} bytes were fetched for {missing}"
        );
    }
}

#[test]
fn what_was_changed_or_removed_on_the_host_is_fetched_and_nothing_wrong_is_kept() {
    let ground = Ground::new();
    ground.ship(&ground.pack("1", &[]), "1");
    let release = dest(&ground.host).release("1");
    let mut changed = content(14, 0);
    changed[100] ^= 1;
    fs::write(release.join("d0/14"), changed).unwrap();
    fs::remove_file(release.join("d1/15")).unwrap();
    fs::write(release.join("d2/16"), "shorter").unwrap();
    fs::remove_file(release.join("d3/17")).unwrap();
    symlink("/dev/zero", release.join("d3/17")).unwrap();
    let packed = ground.pack("2", &["1"]);
    let total = packed.packed_bytes;
    let (made, fetched) = ground.ship(&packed, "2");
    assert!(made > total / 4 && fetched > 0, "{made} and {fetched} of {total}");

    for gone in ["releases/1", ".murder/records/1/manifest"] {
        let ground = Ground::new();
        ground.ship(&ground.pack("1", &[]), "1");
        let path = dest(&ground.host).root().join(gone);
        fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).unwrap();
        assert_eq!(ground.ship(&ground.pack("2", &["1"]), "2").0, 0, "{gone}");
    }
}

#[test]
fn a_kept_manifest_that_is_broken_is_no_base() {
    let ground = Ground::new();
    ground.ship(&ground.pack("1", &[]), "1");
    fs::write(ground.manifest("1"), "no manifest").unwrap();
    let packed = ground.pack("2", &["1", "never kept"]);
    assert!(packed.recipes.is_empty());
    assert_eq!(ground.ship(&packed, "2").0, 0);
}

#[test]
fn restoring_can_be_broken_off() {
    let ground = Ground::new();
    ground.ship(&ground.pack("1", &[]), "1");
    let packed = ground.pack("2", &["1"]);
    let dest = dest(&ground.host);
    let mut store = dest.partial("2", Arc::new(packed.metainfo.clone()), &mut |_| {}).unwrap();
    let result = dest.restore(&mut store, &packed.recipes[0], &mut |_| ControlFlow::Break(()));
    assert!(matches!(result, Err(DestError::Cancelled)));
}

#[test]
fn the_layout_depends_on_the_bases_and_the_release_does_not() {
    let ground = Ground::new();
    let plain = ground.pack("1", &[]);
    let again = ground.pack("2", &[]);
    assert_eq!((again.manifest_hash, &again.metainfo.hashes), (plain.manifest_hash, &plain.metainfo.hashes));
    let older = ground.pack("3", &["1"]);
    assert_eq!(older.manifest_hash, plain.manifest_hash);
    assert_eq!(older.packed_bytes, plain.packed_bytes);
    assert_ne!(older.metainfo.hashes, plain.metainfo.hashes);
}
