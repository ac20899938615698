use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::script::{self, START};
use super::*;
use crate::control::{HostId, LogLevel, LogSource, RunId};
use crate::deploy::{Body, Event, HostState, LogLine, Plan, StateName};

fn meta(demo: bool, started_at: u64) -> Meta {
    Meta {
        demo,
        started_at,
        payload: Some("/home/op/dist".into()),
        hosts: json!([{"name": "web01.example.com", "dest": "/srv/app", "jump": ["bastion"]}]),
        options: json!({"keep": 5, "retries": 2}),
    }
}

fn named(name: &str, plan: Plan) -> Plan {
    Plan { run: RunId(name.to_owned()), ..plan }
}

/// Records these events as a run of that name, ended or as if killed.
fn record(root: &Path, name: &str, demo: bool, started_at: u64, events: &[Event]) -> std::path::PathBuf {
    let Body::Planned(plan) = &events[0].body else { panic!("a run begins with its plan") };
    let journal = Journal::create(root, &named(name, (**plan).clone()), meta(demo, started_at)).unwrap();
    events.iter().for_each(|event| journal.write(event));
    let folder = journal.folder().to_owned();
    journal.close().unwrap();
    folder
}

fn killed() -> Vec<Event> {
    let mut events = script::some_failed();
    let rests = events.iter().position(|event| matches!(event.body, Body::Resting(_))).unwrap();
    events.truncate(rests);
    events
}

#[test]
fn what_was_written_is_read_back_in_its_order() {
    let root = tempfile::tempdir().unwrap();
    let events = script::some_failed();
    let folder = record(root.path(), "r1", false, START, &events);
    let recorded = Recorded::open(&folder).unwrap();
    let mut read = recorded.events().unwrap();
    let mut back: Vec<Event> = read.by_ref().collect();
    assert_eq!(read.unread(), 0);
    let is_state = |event: &Event| !matches!(event.body, Body::Progress { .. } | Body::Packing { .. });
    let mut written = events.clone();
    written.retain(is_state);
    back.retain(is_state);
    assert_eq!(back, written);
    assert_eq!(recorded.record().manifest.as_deref(), Some("c3".repeat(32).as_str()));
    assert_eq!(recorded.record().payload.as_deref(), Some(Path::new("/home/op/dist")));
    assert_eq!(recorded.record().options["keep"], 5);
    assert_eq!(recorded.status().unwrap().outcome.unwrap().failed, 3);
}

#[test]
fn every_event_survives_the_way_through_a_line() {
    let mut events: Vec<Event> = [script::some_failed(), script::stopped(), script::held()].concat();
    events.push(Event { at: 7, body: Body::Activated { host: HostId(1), at: 9, previous: None } });
    for event in events {
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event, "{line}");
    }
}

#[test]
fn a_torn_last_line_and_events_of_a_later_murder_are_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let folder = record(root.path(), "r1", false, START, &script::stopped());
    let recorded = Recorded::open(&folder).unwrap();
    let whole = recorded.events().unwrap().count();
    let mut file = OpenOptions::new().append(true).open(folder.join("events.jsonl")).unwrap();
    file.write_all(b"{\"at\":1,\"event\":\"sung\",\"song\":3}\n\xff\xfe\n{\"at\":17954461, \"eve").unwrap();
    let mut events = recorded.events().unwrap();
    assert_eq!(events.by_ref().count(), whole);
    assert_eq!(events.unread(), 3);
}

#[test]
fn only_the_owner_can_read_a_run() {
    let root = tempfile::tempdir().unwrap();
    let runs = root.path().join("state/murder/runs");
    let folder = record(&runs, "r1", false, START, &script::some_failed());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&runs), 0o700);
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("hosts")), 0o700);
    let files = ["run.json", "status.json", "events.jsonl", "log.txt", "hosts/db1.example.com.stderr"];
    for file in files {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
}

#[test]
fn a_run_that_goes_on_is_told_from_one_that_was_killed() {
    let root = tempfile::tempdir().unwrap();
    let events = killed();
    record(root.path(), "r1", false, START, &events);
    let alive = Journal::create(root.path(), &named("r2", script::plan(2)), meta(false, START + 1)).unwrap();
    record(root.path(), "r3", false, START + 2, &script::success());
    let states: Vec<_> =
        runs(root.path()).unwrap().into_iter().map(|run| (run.status.run.0, run.state)).collect();
    assert_eq!(states[2], ("r1".into(), RunState::Killed));
    assert_eq!(states[1], ("r2".into(), RunState::Running(None)));
    assert!(matches!(&states[0].1, RunState::Ended(outcome) if outcome.exit == 0 && outcome.active == 5));
    alive.close().unwrap();
}

#[test]
fn a_run_that_a_retry_woke_up_has_no_outcome_until_it_rests_again() {
    let root = tempfile::tempdir().unwrap();
    let mut events = script::some_failed();
    events.pop();
    events.push(Event {
        at: START + 60_000,
        body: Body::Host { host: HostId(3), attempt: 2, state: HostState::Connecting },
    });
    record(root.path(), "r1", false, START, &events);
    assert_eq!(runs(root.path()).unwrap()[0].state, RunState::Killed);
}

#[test]
fn a_retry_finds_the_hosts_that_did_not_end_well() {
    let root = tempfile::tempdir().unwrap();
    let of = |name: &str, events: &[Event]| -> Vec<(String, StateName)> {
        let folder = record(root.path(), name, false, START, events);
        let hosts = Recorded::open(&folder).unwrap().unfinished().unwrap();
        hosts.into_iter().map(|host| (host.name, host.state)).collect()
    };
    assert_eq!(
        of("failed", &script::some_failed()),
        [
            ("db1.example.com".into(), StateName::Failed),
            ("db2.example.com".into(), StateName::Failed),
            ("db3.example.com".into(), StateName::Failed),
        ]
    );
    assert_eq!(of("held", &script::held()).len(), 4, "staged hosts were to be activated");
    assert!(of("success", &script::success()).is_empty());
    let mut early = killed();
    early.truncate(12);
    assert_eq!(of("killed", &early).len(), 6, "nobody was done when it was killed");
}

#[test]
fn staging_is_the_end_where_nothing_was_to_be_activated() {
    let root = tempfile::tempdir().unwrap();
    let mut events = script::held();
    events[0].body = Body::Planned(Box::new(Plan { activate: false, ..script::plan(4) }));
    let folder = record(root.path(), "r1", false, START, &events);
    assert!(Recorded::open(&folder).unwrap().unfinished().unwrap().is_empty());
}

#[test]
fn last_is_the_newest_run_that_is_no_demo() {
    let root = tempfile::tempdir().unwrap();
    let missing = root.path().join("none");
    assert!(matches!(find(&missing, "last", Which::Any), Err(JournalError::Empty(_))));
    record(root.path(), "20261122-150146-0000", true, START - 1000, &script::demo());
    let none = find(root.path(), "last", Which::Any).unwrap_err().to_string();
    assert!(none.contains("no demo") && none.contains("the newest is 20261122-150146-0000"), "{none}");
    std::fs::remove_dir_all(root.path().join("20261122-150146-0000")).unwrap();
    record(root.path(), "20261123-150146-aaaa", false, START, &script::success());
    record(root.path(), "20261124-150146-bbbb", true, START + 1000, &script::demo());
    let mut check = script::success();
    check[0].body = Body::Planned(Box::new(Plan { command: "check".into(), ..script::plan(5) }));
    record(root.path(), "20261125-150146-cccc", false, START + 2000, &check);
    let found = |name: &str, which| find(root.path(), name, which).map(|run| run.record().run.0.clone());
    assert_eq!(found("last", Which::Any).unwrap(), "20261125-150146-cccc");
    assert_eq!(found("last", Which::Shipped).unwrap(), "20261123-150146-aaaa");
    assert_eq!(found("20261124", Which::Any).unwrap(), "20261124-150146-bbbb");
    assert!(matches!(found("202611", Which::Any), Err(JournalError::Ambiguous { of, .. }) if of.len() == 3));
    assert!(matches!(found("", Which::Any), Err(JournalError::Unknown { near, .. }) if near.len() == 3));
    let folder = root.path().join("20261124-150146-bbbb");
    assert_eq!(found(folder.to_str().unwrap(), Which::Any).unwrap(), "20261124-150146-bbbb");
}

#[test]
fn a_run_is_compared_with_the_one_before_of_the_same_hosts() {
    let root = tempfile::tempdir().unwrap();
    let ended = |name: &str, at: u64, hosts: &[&str]| {
        let hosts = hosts.iter().map(|name| json!({ "name": name })).collect();
        let meta = Meta { hosts, ..meta(false, START + at) };
        let journal = Journal::create(root.path(), &named(name, script::plan(2)), meta).unwrap();
        script::success().iter().for_each(|event| journal.write(event));
        journal.close().unwrap();
    };
    ended("fleet", 0, &["web1", "web2", "web3"]);
    ended("one of it", 1, &["web3"]);
    ended("others", 2, &["db1", "db2"]);
    record(root.path(), "killed", false, START + 3, &killed());
    ended("now", 4, &["web1", "web2", "web3", "web4"]);
    let previous = |name: &str| {
        let of = find(root.path(), name, Which::Any).unwrap();
        previous(root.path(), &of).unwrap().map(|run| run.status.run.0)
    };
    assert_eq!(previous("now").as_deref(), Some("fleet"));
    assert_eq!(previous("one of it").as_deref(), Some("fleet"));
    assert_eq!(previous("others"), None);
}

#[test]
fn old_runs_are_removed_but_never_the_newest_or_one_that_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let day = 86_400_000;
    let alive = Journal::create(root.path(), &named("alive", script::plan(2)), meta(false, START)).unwrap();
    for (name, at) in [("old", 1), ("mid", 50 * day), ("new", 60 * day)] {
        record(root.path(), name, false, START + at, &script::stopped());
    }
    let names =
        || -> Vec<String> { runs(root.path()).unwrap().into_iter().map(|run| run.status.run.0).collect() };
    let prune = |runs, days: u64, at: u64| {
        let age = Duration::from_secs(days * 86_400);
        prune(root.path(), Retention { runs, age }, START + at * day).unwrap()
    };
    assert_eq!(prune(9, 30, 61), 1);
    assert_eq!(names(), ["new", "mid", "alive"]);
    assert_eq!(prune(1, 90, 61), 1);
    assert_eq!(names(), ["new", "alive"]);
    assert_eq!(prune(0, 0, 900), 0);
    alive.close().unwrap();
}

#[test]
fn a_run_of_that_name_is_not_written_over() {
    let root = tempfile::tempdir().unwrap();
    record(root.path(), "r1", false, START, &script::success());
    let again = Journal::create(root.path(), &named("r1", script::plan(2)), meta(false, START));
    assert!(matches!(again, Err(JournalError::Io { what: "create", .. })));
}

#[test]
fn a_host_that_talks_without_end_does_not_fill_the_disk() {
    let root = tempfile::tempdir().unwrap();
    let journal = Journal::create(root.path(), &named("r1", script::plan(1)), meta(false, START)).unwrap();
    let message = "x".repeat(1 << 20);
    for _ in 0..40 {
        let line = LogLine {
            host: Some(HostId(0)),
            level: LogLevel::Info,
            source: LogSource::Stderr,
            message: message.clone(),
        };
        journal.write(&Event { at: START, body: Body::Log(line) });
    }
    let folder = journal.folder().to_owned();
    journal.close().unwrap();
    let size = |file: &str| fs::metadata(folder.join(file)).unwrap().len();
    assert!(size("log.txt") < 34 << 20);
    assert!(size("events.jsonl") < 34 << 20);
    assert!(fs::read_to_string(folder.join("log.txt")).unwrap().ends_with("too many lines\n"));
    assert!(size("hosts/web01.example.com.stderr") <= 1 << 20);
}

#[test]
fn last_words_hold_the_details_of_a_failure() {
    let root = tempfile::tempdir().unwrap();
    let folder = record(root.path(), "r1", false, START, &script::some_failed());
    let words = Recorded::open(&folder).unwrap().last_words(HostId(5), "db3.example.com").unwrap();
    assert!(words.contains("hook: after_activate exited with 1\nsystemctl reload app\n"), "{words}");
}

#[test]
fn a_record_of_a_later_version_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let folder = record(root.path(), "r1", false, START, &script::success());
    let path = folder.join("run.json");
    let text = fs::read_to_string(&path).unwrap().replacen("\"v\": 1", "\"v\": 9", 1);
    fs::write(&path, text).unwrap();
    let error = Recorded::open(&folder).unwrap_err();
    assert!(error.to_string().contains("version 9"), "{error}");
}

#[test]
fn a_change_of_state_is_on_disk_while_the_run_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let journal = Journal::create(root.path(), &named("r1", script::plan(1)), meta(false, START)).unwrap();
    journal.write(&Event { at: START, body: Body::Planned(Box::new(script::plan(1))) });
    let state = HostState::Connecting;
    journal.write(&Event { at: START, body: Body::Host { host: HostId(0), attempt: 1, state } });
    let recorded = Recorded::open(journal.folder()).unwrap();
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    while recorded.events().unwrap().count() < 2 {
        assert!(std::time::Instant::now() < patience, "nothing was flushed");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(journal.trouble(), None);
    journal.close().unwrap();
}

#[test]
fn what_hosts_are_likely_to_hold_is_what_was_shipped_to_them_before_this_tag() {
    let root = tempfile::tempdir().unwrap();
    let ship = |name: &str, tag: &str, manifest: &str, demo, at, mut events: Vec<Event>| {
        for event in &mut events {
            match &mut event.body {
                Body::Planned(plan) => plan.tag = tag.into(),
                Body::Started(info) => info.manifest = manifest.into(),
                _ => {}
            }
        }
        let file = record(root.path(), name, demo, at, &events).join(crate::deploy::MANIFEST);
        fs::write(&file, manifest).unwrap();
        file
    };
    let old = ship("r1", "1", "a", false, START, script::success());
    ship("r2", "2", "b", true, START + 1, script::success());
    let middle = ship("r3", "3", "b", false, START + 2, script::some_failed());
    let dead = ship("r4", "4", "c", false, START + 3, killed());
    ship("r5", "5", "c", false, START + 4, script::stopped());
    let hosts = [("web01.example.com", "/srv/app"), ("new", "/srv/app")].into();
    let of = |tag: &str| bases(root.path(), tag, &hosts);
    assert_eq!(
        of("6"),
        [middle.as_path(), dead.as_path()],
        "of a run that staged nothing there is nothing to reuse"
    );
    assert_eq!(of("4"), [old.as_path(), middle.as_path()], "a second attempt is laid out like the first");
    assert_eq!(of("1"), Vec::<std::path::PathBuf>::new());
    fs::remove_file(&middle).unwrap();
    assert_eq!(of("6"), [old.as_path(), dead.as_path()]);
    let elsewhere = [("web01.example.com", "/srv/other"), ("web02", "/srv/app")].into();
    assert!(bases(root.path(), "6", &elsewhere).is_empty());
}
