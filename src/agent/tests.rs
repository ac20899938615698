use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::task::{JoinHandle, LocalSet};
use tokio_util::sync::CancellationToken;

use super::lines::Lines;
use super::{Surroundings, run};
use crate::control::{
    Begin, Checked, Failure, FailureKind, Fetch, HookLine, HostId, LogSource, MARKER, Neighbour, Phase,
    Present, Progress, Report, Request, RunId, RunKey, VERSION, encode,
};
use crate::payload::{PackOptions, Packed, Unpack, hex, pack};
use crate::swarm::engine::{Engine, EngineConfig, FileStore};
use crate::swarm::{BitSet, Pieces};

mod resume;

const KEY: RunKey = RunKey([9; 32]);

/// Not on a disk if that can be: the agent waits until the disk has a release.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The operator's end of an agent.
struct Operator {
    input: tokio::io::WriteHalf<DuplexStream>,
    output: Lines<tokio::io::ReadHalf<DuplexStream>>,
    agent: JoinHandle<bool>,
    stop: CancellationToken,
    /// Reports that nobody asked for as yet.
    told: Vec<Report>,
}

impl Operator {
    async fn launch() -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (input, output) = tokio::io::split(theirs);
        let stop = CancellationToken::new();
        let surroundings = Surroundings {
            ssh_connection: Some("127.0.0.1 1 127.0.0.1 2".into()),
            umask: 0o022,
            durable: false,
            orphaned: CancellationToken::new(),
        };
        let agent = tokio::task::spawn_local(run(input, output, surroundings, stop.clone()));
        let (output, input) = tokio::io::split(ours);
        let mut operator = Self { input, output: Lines::new(output), agent, stop, told: Vec::new() };
        assert_eq!(operator.output.next_line().await.unwrap().as_deref(), Some("\n"));
        let first = operator.output.next_line().await.unwrap().unwrap();
        let hello = first.strip_prefix(MARKER).unwrap();
        let Report::Hello(hello) = crate::control::decode(hello.trim_start()).unwrap() else {
            panic!("{first}")
        };
        assert_eq!((hello.v, hello.pid), (VERSION, std::process::id()));
        operator
    }

    async fn ask(&mut self, request: Request) {
        self.input.write_all(&encode(&request).unwrap()).await.unwrap();
    }

    async fn next(&mut self) -> Report {
        let line = tokio::time::timeout(Duration::from_secs(120), self.output.next_line()).await;
        let line = line.expect("the agent says something").unwrap().expect("the agent lives");
        crate::control::decode(&line).unwrap()
    }

    /// Waits for a report for which `wanted` has an answer; a failure that is not wanted ends the test.
    async fn until<T>(&mut self, wanted: impl Fn(&Report) -> Option<T>) -> T {
        loop {
            let report = self.next().await;
            if let Some(answer) = wanted(&report) {
                return answer;
            }
            assert!(!matches!(report, Report::Failed(_)), "{report:?}");
            self.told.push(report);
        }
    }

    async fn until_is(&mut self, report: &Report) {
        self.until(|told| (told == report).then_some(())).await;
    }

    async fn failure(&mut self) -> Failure {
        self.until(|told| if let Report::Failed(failure) = told { Some(failure.clone()) } else { None }).await
    }

    async fn begin(&mut self, begin: Begin) -> Checked {
        self.ask(Request::Begin(Box::new(begin))).await;
        self.until(|told| if let Report::Checked(checked) = told { Some((**checked).clone()) } else { None })
            .await
    }

    async fn bye(mut self, keep_partial: bool) {
        self.ask(Request::Bye { keep_partial }).await;
        let left =
            self.until(|told| if let Report::Bye { left } = told { Some(left.clone()) } else { None }).await;
        assert_eq!(left, Vec::<String>::new());
        assert!(self.agent.await.unwrap(), "it left as it was asked to");
    }

    /// The way to a verified artifact; how much of it was there before.
    async fn fetch(&mut self, packed: &Packed, port: u16) -> u64 {
        self.send_metainfo(packed).await;
        self.ask(Request::Fetch(Box::new(fetch_of(packed)))).await;
        let done =
            self.until(|told| if let Report::Joined { done, .. } = told { Some(*done) } else { None }).await;
        let seeder = seeder(packed, port);
        let fetched: Progress =
            self.until(|told| if let Report::Fetched(at) = told { Some((**at).clone()) } else { None }).await;
        assert_eq!((fetched.done, fetched.total), (packed.packed_bytes, packed.packed_bytes));
        assert!(fetched.from_seeder >= packed.packed_bytes - done);
        self.until_is(&Report::Verified).await;
        seeder.stop().await;
        done
    }

    async fn send_metainfo(&mut self, packed: &Packed) {
        let info = &packed.metainfo.info_bytes;
        for part in info.chunks(45_000) {
            let data = STANDARD.encode(part);
            self.ask(Request::Metainfo { total: info.len() as u64, data }).await;
        }
    }

    async fn stage(&mut self, packed: &Packed, port: u16) {
        self.fetch(packed, port).await;
        self.ask(Request::Stage).await;
        self.until_is(&Report::Staged { already: false }).await;
    }
}

fn fetch_of(packed: &Packed) -> Fetch {
    Fetch {
        info_hash: hex(&packed.metainfo.info_hash),
        manifest: hex(&packed.manifest_hash),
        key: KEY,
        life: 1,
        rate: None,
        neighbours: Vec::new(),
    }
}

/// An engine that has everything and dials the agent, as the gate does through SSH.
fn seeder(packed: &Packed, port: u16) -> Engine {
    let metainfo = &packed.metainfo;
    let pieces = Pieces::new(metainfo.length, metainfo.piece_length, metainfo.hashes.clone()).unwrap();
    let engine = Engine::start(EngineConfig {
        id: HostId::SEEDER,
        life: 1,
        key: Some(KEY),
        info_hash: metainfo.info_hash,
        have: Some(BitSet::full(pieces.count())),
        pieces: Arc::new(pieces),
        store: Arc::new(FileStore(File::open(&packed.artifact).unwrap())),
        listeners: Vec::new(),
        rate: None,
        seed: 1,
    });
    let engine = engine.unwrap();
    let addresses = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
    engine.set_neighbours(vec![Neighbour { id: HostId(3), life: 1, addresses }], &[]);
    engine
}

struct Host {
    folder: TempDir,
}

impl Host {
    fn new() -> Self {
        Self { folder: scratch() }
    }

    fn dest(&self) -> PathBuf {
        self.folder.path().join("app")
    }

    /// What lies in `.murder`.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dest().join(".murder")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn begin(&self, tag: &str, packed: Option<&Packed>) -> Begin {
        Begin {
            v: VERSION,
            run: RunId("run-1".into()),
            id: HostId(3),
            host: "web1".into(),
            operator: "me@here".into(),
            operator_pid: 7,
            dest: self.dest().to_str().unwrap().into(),
            link: "current".into(),
            tag: tag.into(),
            manifest: packed.map(|packed| hex(&packed.manifest_hash)),
            lock: true,
            read_only: false,
            unpacked_bytes: packed.map_or(0, |packed| packed.bytes),
            packed_bytes: packed.map_or(0, |packed| packed.packed_bytes),
            least_room: 0,
            entries: packed.map_or(0, |packed| packed.entries),
            ports: None,
            swarm: None,
        }
    }
}

struct Payload {
    _folders: [TempDir; 2],
    packed: Packed,
}

fn payload(text: &str) -> Payload {
    let (source, cache) = (scratch(), scratch());
    fs::create_dir(source.path().join("bin")).unwrap();
    fs::write(source.path().join("bin/text"), text).unwrap();
    let mut random = fastrand::Rng::with_seed(text.len() as u64);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(500_000).collect();
    fs::write(source.path().join("noise"), noise).unwrap();
    symlink("bin/text", source.path().join("link")).unwrap();
    let options = PackOptions {
        unpack: Unpack::Auto,
        ignore: Vec::new(),
        salt: [5; 16],
        cache_dir: cache.path().to_owned(),
        piece_length: None,
        hosts: 1,
        bases: Vec::new(),
    };
    let packed = pack(source.path(), &options, &|_, _| ControlFlow::Continue(())).unwrap();
    Payload { _folders: [source, cache], packed }
}

fn hook(command: &str) -> Option<HookLine> {
    Some(HookLine { command: command.into(), timeout_seconds: 60 })
}

fn activate(tag: &str, hook: Option<HookLine>) -> Request {
    Request::Activate { tag: tag.into(), hook, rollback_on_failure: true, keep: Some(5) }
}

async fn local(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_release_goes_its_whole_way_and_nothing_is_left_but_it() {
    local(async {
        let (host, first) = (Host::new(), payload("one"));
        let packed = &first.packed;
        let mut operator = Operator::launch().await;
        let checked = operator.begin(host.begin("1", Some(packed))).await;
        assert_eq!((checked.present, checked.current, checked.took_over), (Present::Absent, None, None));
        assert_eq!(checked.addresses, [Ipv4Addr::LOCALHOST]);
        assert!(checked.free_bytes > 0 && checked.free_inodes > 0 && !checked.place.is_empty());
        assert_eq!(host.left(), ["lock"]);
        operator.stage(packed, checked.port).await;
        assert_eq!(fs::read(host.dest().join("releases/1/link")).unwrap(), b"one");
        operator.ask(Request::Before { hook: hook("cat link; echo $MURDER_TAG of $MURDER_HOST") }).await;
        operator.until_is(&Report::Ready).await;
        assert!(!host.dest().join("current").exists());
        operator.ask(activate("1", hook("readlink $MURDER_DEST/current"))).await;
        operator.until(|told| matches!(told, Report::Activated { previous: None, .. }).then_some(())).await;
        operator.until_is(&Report::Settled).await;
        let said = operator.told.iter().filter_map(|report| match report {
            Report::Log { source: LogSource::Hook, message, .. } => Some(message.as_str()),
            _ => None,
        });
        assert_eq!(said.collect::<Vec<_>>(), ["one1 of web1", "releases/1"]);
        operator.bye(false).await;
        assert_eq!(host.left(), ["records"]);

        // The same again is there at once, other content is told.
        let mut operator = Operator::launch().await;
        let checked = operator.begin(host.begin("1", Some(packed))).await;
        assert_eq!((checked.present, checked.port), (Present::Same, 0));
        assert_eq!(checked.current.as_deref(), Some("1"));
        operator.ask(Request::Stage).await;
        operator.until_is(&Report::Staged { already: true }).await;
        operator.bye(false).await;
        let mut operator = Operator::launch().await;
        let other = operator.begin(host.begin("1", Some(&payload("other").packed))).await;
        assert_eq!(other.present, Present::Other);
        operator.ask(Request::Releases).await;
        let releases = operator
            .until(
                |told| if let Report::Releases { releases } = told { Some(releases.clone()) } else { None },
            )
            .await;
        assert_eq!((releases[0].tag.as_str(), releases[0].bytes), ("1", Some(packed.bytes)));
        assert!(releases[0].current && releases[0].activated_at.is_some());
        operator.bye(false).await;
    })
    .await;
}

#[tokio::test]
async fn folders_are_made_for_others_to_read_whatever_the_umask() {
    local(async {
        let host = Host::new();
        let mut operator = Operator::launch().await;
        operator.begin(host.begin("", None)).await;
        for (folder, mode) in [("", 0o755), ("releases", 0o755), (".murder", 0o700)] {
            assert_eq!(fs::metadata(host.dest().join(folder)).unwrap().mode() & 0o7777, mode, "{folder}");
        }
        operator.bye(false).await;
        assert_eq!(host.left(), Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn a_look_changes_nothing() {
    local(async {
        let host = Host::new();
        let mut operator = Operator::launch().await;
        let look = Begin { lock: false, read_only: true, ..host.begin("", None) };
        let checked = operator.begin(look).await;
        assert_ne!(checked.port, 0, "others may try to dial it");
        let there = SocketAddr::from((Ipv4Addr::LOCALHOST, checked.port));
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let peers = [(4, vec![there]), (5, vec![gone]), (6, vec![gone, there]), (7, vec![])];
        let peers = peers.map(|(id, addresses)| Neighbour { id: HostId(id), life: 1, addresses }).to_vec();
        operator.ask(Request::Probe { peers }).await;
        let (open, closed) = operator
            .until(|told| match told {
                Report::Probed { open, closed } => Some((open.clone(), closed.clone())),
                _ => None,
            })
            .await;
        assert_eq!(open, [HostId(4), HostId(6)]);
        assert_eq!(closed.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [5, 7]);
        operator.bye(false).await;
        assert_eq!(fs::read_dir(host.folder.path()).unwrap().count(), 0);
    })
    .await;
}

#[tokio::test]
async fn another_run_is_told_who_holds_the_lock() {
    local(async {
        let host = Host::new();
        let mut first = Operator::launch().await;
        first.begin(host.begin("1", None)).await;
        let mut second = Operator::launch().await;
        let begin = Begin { run: RunId("run-2".into()), ..host.begin("1", None) };
        second.ask(Request::Begin(Box::new(begin.clone()))).await;
        let failure = second.failure().await;
        assert_eq!((failure.kind, failure.phase), (FailureKind::Locked, Phase::Checking));
        assert!(failure.message.contains("run run-1 of me@here"), "{}", failure.message);
        second.bye(false).await;
        assert_eq!(host.left(), ["lock"], "the first one still has it");
        first.bye(false).await;
        let mut third = Operator::launch().await;
        assert_eq!(third.begin(begin).await.took_over, None);
        third.bye(false).await;
    })
    .await;
}

#[tokio::test]
async fn a_failing_hook_before_leaves_the_link_alone_and_one_after_can_take_it_back() {
    local(async {
        let (host, one, two) = (Host::new(), payload("one"), payload("two!"));
        for (tag, payload) in [("1", &one), ("2", &two)] {
            let mut operator = Operator::launch().await;
            let checked = operator.begin(host.begin(tag, Some(&payload.packed))).await;
            operator.stage(&payload.packed, checked.port).await;
            if tag == "1" {
                operator.ask(activate("1", None)).await;
                operator.until_is(&Report::Settled).await;
            }
            operator.bye(false).await;
        }
        let current = || fs::read_link(host.dest().join("current")).unwrap();
        let mut operator = Operator::launch().await;
        operator.begin(host.begin("2", None)).await;
        operator.ask(Request::Before { hook: hook("echo no good; exit 9") }).await;
        let failure = operator.failure().await;
        assert_eq!((failure.kind, failure.phase), (FailureKind::Hook, Phase::Activating));
        assert_eq!(failure.message, "before_activate failed: it exited with code 9");
        assert_eq!(failure.detail, ["no good"]);
        assert_eq!(current(), Path::new("releases/1"));
        operator.ask(activate("2", hook("readlink ../../current; false"))).await;
        let failure = operator.failure().await;
        assert_eq!(failure.detail, ["releases/2"]);
        assert!(failure.message.ends_with("switched back to 1"), "{}", failure.message);
        assert_eq!(current(), Path::new("releases/1"));
        operator.ask(activate("3", None)).await;
        assert_eq!(operator.failure().await.kind, FailureKind::Activate);
        operator.ask(activate("2", None)).await;
        operator.until_is(&Report::Settled).await;
        assert_eq!(current(), Path::new("releases/2"));
        operator.ask(Request::Clean { keep: 0 }).await;
        operator
            .until(|told| matches!(told, Report::Cleaned { tags, .. } if tags.is_empty()).then_some(()))
            .await;
        operator.bye(false).await;
    })
    .await;
}

/// A fetch that has some pieces, and no end.
async fn half_fetched(host: &Host, packed: &Packed) -> Operator {
    let mut operator = Operator::launch().await;
    let checked = operator.begin(host.begin("1", Some(packed))).await;
    operator.send_metainfo(packed).await;
    operator.ask(Request::Fetch(Box::new(fetch_of(packed)))).await;
    operator.until(|told| matches!(told, Report::Joined { done: 0, .. }).then_some(())).await;
    let seeder = seeder(packed, checked.port);
    seeder.set_rate(Some(200_000));
    operator.until(|told| matches!(told, Report::Progress(at) if at.done > 0).then_some(())).await;
    drop(seeder);
    operator
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_stands_still_is_heard_of_every_two_seconds() {
    local(async {
        let (host, payload) = (Host::new(), payload("one"));
        let mut operator = Operator::launch().await;
        operator.begin(host.begin("1", Some(&payload.packed))).await;
        operator.send_metainfo(&payload.packed).await;
        operator.ask(Request::Fetch(Box::new(fetch_of(&payload.packed)))).await;
        operator.until(|told| matches!(told, Report::Joined { .. }).then_some(())).await;
        let joined = tokio::time::Instant::now();
        for nth in 1..=4 {
            operator.until(|told| matches!(told, Report::Progress(at) if at.done == 0).then_some(())).await;
            assert!(joined.elapsed() <= Duration::from_secs(2 * nth), "{nth}");
        }
        operator.bye(false).await;
    })
    .await;
}

#[tokio::test]
async fn whoever_loses_the_operator_frees_all_but_what_was_verified() {
    local(async {
        let payload = payload("one");
        let ways = ["end of stream", "signal", "lease", "nobody reads"];
        for way in ways {
            let host = Host::new();
            let mut operator = half_fetched(&host, &payload.packed).await;
            if way == "lease" {
                operator.ask(Request::Lease { seconds: 1 }).await;
            }
            let Operator { input, output, agent, stop, .. } = operator;
            let mut ends = (Some(input), Some(output));
            match way {
                "end of stream" => drop(ends.0.take().zip(ends.1.take())),
                "signal" => stop.cancel(),
                "nobody reads" => drop(ends.1.take().zip(ends.0.take())),
                _ => {}
            }
            assert!(!agent.await.unwrap(), "{way}");
            assert_eq!(host.left(), ["partial"], "{way}");

            let mut again = Operator::launch().await;
            let checked = again.begin(host.begin("1", Some(&payload.packed))).await;
            assert!(checked.partial_bytes > 0, "{way}");
            let reused = again.fetch(&payload.packed, checked.port).await;
            assert_eq!(reused, checked.partial_bytes, "{way}");
            again.ask(Request::Stage).await;
            again.until_is(&Report::Staged { already: false }).await;
            again.bye(true).await;
            assert_eq!(host.left(), ["records"], "{way}: a release in place needs no pieces");
        }
    })
    .await;
}

#[tokio::test]
async fn a_bye_keeps_pieces_only_if_asked_to() {
    local(async {
        let payload = payload("one");
        for (keep, left) in [(true, vec!["partial"]), (false, vec![])] {
            let host = Host::new();
            half_fetched(&host, &payload.packed).await.bye(keep).await;
            assert_eq!(host.left(), left);
        }
    })
    .await;
}

#[tokio::test]
async fn an_artifact_that_is_not_the_named_one_is_refused() {
    local(async {
        let (host, payload) = (Host::new(), payload("one"));
        let packed = &payload.packed;
        let mut operator = Operator::launch().await;
        let checked = operator.begin(host.begin("1", Some(packed))).await;
        operator.send_metainfo(packed).await;
        let fetch = Fetch { manifest: "00".repeat(32), ..fetch_of(packed) };
        operator.ask(Request::Fetch(Box::new(fetch))).await;
        operator.until(|told| matches!(told, Report::Joined { .. }).then_some(())).await;
        let _seeder = seeder(packed, checked.port);
        let failure = operator.failure().await;
        assert_eq!((failure.phase, failure.kind), (Phase::Verifying, FailureKind::HashMismatch));
        operator.ask(Request::Stage).await;
        assert_eq!(operator.failure().await.kind, FailureKind::Internal, "it cannot be staged");
        operator.bye(false).await;
        assert_eq!(fs::read_dir(host.dest().join("releases")).unwrap().count(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_byte_that_flips_on_the_disk_after_the_fetch_is_noticed() {
    local(async {
        let (host, payload) = (Host::new(), payload("one"));
        let packed = &payload.packed;
        let mut operator = Operator::launch().await;
        let checked = operator.begin(host.begin("1", Some(packed))).await;
        operator.fetch(packed, checked.port).await;
        let data = host.dest().join(".murder/partial/1/data");
        let mut bytes = fs::read(&data).unwrap();
        bytes[300_000] ^= 1;
        fs::write(&data, bytes).unwrap();
        operator.ask(Request::Stage).await;
        let failure = operator.failure().await;
        assert_eq!((failure.phase, failure.kind), (Phase::Unpacking, FailureKind::HashMismatch));
        assert!(failure.message.contains("noise"), "{}", failure.message);
        operator.bye(true).await;
        assert_eq!(fs::read_dir(host.dest().join("releases")).unwrap().count(), 0);

        let mut again = Operator::launch().await;
        let checked = again.begin(host.begin("1", Some(packed))).await;
        let reused = again.fetch(packed, checked.port).await;
        assert_eq!(reused, packed.packed_bytes - u64::from(packed.metainfo.piece_length));
        again.bye(false).await;
    })
    .await;
}

#[tokio::test]
async fn what_does_not_fit_or_may_not_be_written_is_told_before_the_fetch() {
    local(async {
        let (host, payload) = (Host::new(), payload("one"));
        let too_big = Begin { unpacked_bytes: 1 << 60, ..host.begin("1", Some(&payload.packed)) };
        let no_room = Begin { least_room: 1 << 60, tag: String::new(), lock: false, ..host.begin("1", None) };
        let bad_tag = Begin { tag: ".x".into(), ..host.begin("1", Some(&payload.packed)) };
        let bad_dest = Begin { dest: "srv".into(), ..host.begin("1", Some(&payload.packed)) };
        for (begin, kind, words) in [
            (too_big, FailureKind::DiskFull, "unpacked, which lie there at the same time"),
            (no_room, FailureKind::DiskFull, "a deployment of any size wants"),
            (bad_tag, FailureKind::Unpack, "without `/`"),
            (bad_dest, FailureKind::Unpack, "must be an absolute path"),
        ] {
            let mut operator = Operator::launch().await;
            operator.ask(Request::Begin(Box::new(begin))).await;
            let failure = operator.failure().await;
            assert_eq!(failure.kind, kind);
            assert!(failure.message.contains(words), "{failure}");
            operator.bye(false).await;
        }
        assert_eq!(host.left(), Vec::<String>::new(), "a lock that was taken is free again");
        fs::create_dir(host.dest().join("current")).unwrap();
        let mut operator = Operator::launch().await;
        operator.ask(Request::Begin(Box::new(host.begin("1", Some(&payload.packed))))).await;
        assert_eq!(operator.failure().await.kind, FailureKind::DestExists);
        operator.bye(false).await;
    })
    .await;
}

#[tokio::test]
async fn nonsense_is_answered_and_survived() {
    local(async {
        let host = Host::new();
        let mut operator = Operator::launch().await;
        operator.input.write_all(b"{\"t\":\"dance\"}\nnot json\n").await.unwrap();
        for _ in 0..2 {
            assert_eq!(operator.failure().await.kind, FailureKind::Internal);
        }
        operator.ask(Request::Stage).await;
        assert_eq!(operator.failure().await.kind, FailureKind::Internal);
        operator.begin(host.begin("1", None)).await;
        operator.bye(false).await;
    })
    .await;
}
