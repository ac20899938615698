//! What happens to the operator's side, and what two of them do to each other.

use std::time::{Duration, Instant};

use murder::demo::{DemoFleet, DemoOptions};
use rustix::process::Signal;
use serde_json::Value;

use crate::hosts;
use crate::made_up::{clean_within_lease, each, operator};
use crate::support::host::{assert_active, releases};
use crate::support::operator::{Operator, Running};
use crate::support::tree;
use crate::table::Table;

const HOSTS: usize = 3;
const BYTES: u64 = 4 << 20;

/// Points of a run at which its operator is struck.
const POINTS: [&str; 3] = ["fetching", "staged", "activating"];

struct Scene {
    fleet: DemoFleet,
    operator: Operator,
}

impl Scene {
    fn new() -> Self {
        let options =
            DemoOptions { hosts: HOSTS, rate: Some(1 << 20), size: BYTES, ..DemoOptions::default() };
        let fleet = DemoFleet::start_with(&options, &[]).unwrap();
        let operator = operator(&fleet);
        tree::make(&operator.path("app"), BYTES);
        Self { fleet, operator }
    }

    /// A deployment that has come to this point, and stays there for some time.
    fn at(&self, point: &str) -> Running {
        let last = self.fleet.hosts().last().unwrap();
        if point == "activating" {
            for host in self.fleet.hosts() {
                std::fs::write(host.home.join("before-waits"), "").unwrap();
            }
        }
        let arguments = ["deploy", "app", "--tag", "v1", "--output", "json", "--hold"];
        let more = if point == "held" { 7 } else { 6 };
        let mut run = self.operator.start(&arguments[..more]);
        let is = |event: &Value, state: &str| event["state"] == state;
        match point {
            "fetching" => {
                run.until("progress", |event| event["done"].as_u64() > Some(BYTES / 8));
            }
            "staged" => {
                // The others wait for it.
                run.until("host_state", |event| event["host"] == *last.name && is(event, "fetching"));
                hosts::strike(last, Signal::STOP);
                run.until("host_state", |event| is(event, "staged"));
            }
            "held" => {
                run.until("barrier", |event| event["staged"] == HOSTS);
            }
            _ => {
                run.until("host_state", |event| is(event, "activating"));
            }
        }
        for host in self.fleet.hosts() {
            let _ = std::fs::remove_file(host.home.join("before-waits"));
        }
        run
    }

    /// `retry last` brings all hosts to their end.
    fn retried(&self) -> Result<(), String> {
        let retry = self.operator.run(&["retry", "last", "--output", "json"]);
        if retry.code != Some(0) {
            return Err(format!("exit {:?}: {}", retry.code, retry.stderr));
        }
        for host in self.fleet.hosts() {
            assert_active(&host.dest, "v1", &self.operator.path("app"));
        }
        clean_within_lease(&self.fleet, Instant::now())
    }
}

pub(crate) fn table() -> Table {
    let mut table = Table::default();
    // Each waits for most of a lease.
    std::thread::scope(|scope| {
        let killed = POINTS.map(|point| scope.spawn(move || killed(point)));
        killed.into_iter().for_each(|rows| table.append(rows.join().unwrap()));
    });
    for point in POINTS {
        stopped(&mut table, point);
    }
    second(&mut table);
    together(&mut table);
    two_names(&mut table);
    table
}

fn killed(point: &str) -> Table {
    let mut table = Table::default();
    let scene = Scene::new();
    let run = scene.at(point);
    run.signal(Signal::KILL);
    drop(run);
    for host in scene.fleet.hosts() {
        hosts::strike(host, Signal::CONT);
    }
    // The lease begins with the last word, which may have come just now, or, to one that was stopped so that the others wait
    // for it, comes when it goes on; and leaving takes a moment.
    let killed = Instant::now() + Duration::from_secs(3);
    let payload = scene.operator.path("app");
    let gone = clean_within_lease(&scene.fleet, killed);
    let half = each(&scene.fleet, |host| hosts::nothing_half(host, &payload));
    table.holds("kill -9 of murder", point, "agents gone, nothing half there", gone.and(half));
    let known = scene.operator.run(&["show", "last"]);
    let read = if known.code == Some(0) { Ok(()) } else { Err(known.stderr.clone()) };
    table.holds("", "", "journal can be read", read);
    table.holds("", "", "retry last completes", scene.retried());
    table
}

fn stopped(table: &mut Table, point: &str) {
    let scene = Scene::new();
    let run = scene.at(point);
    run.signal(Signal::INT);
    let done = run.end();
    table.row("Ctrl-C", point, &["exit 7"], &format!("exit {}", done.code.unwrap_or(-1)));
    let now = each(&scene.fleet, hosts::leftovers);
    table.holds("", "", "left clean at once", now);
    table.holds("", "", "retry last completes", scene.retried());
}

fn second(table: &mut Table) {
    let scene = Scene::new();
    let held = scene.at("held");
    let begun = Instant::now();
    let other = scene.operator.run(&["deploy", "app", "--tag", "v2", "--output", "json"]);
    let at_once = begun.elapsed() < Duration::from_secs(30);
    let text = other.text();
    let names_it = ["locked", "run 2", "@", "(pid ", "since 2"].into_iter().all(|word| text.contains(word));
    let seen = format!(
        "exit {}{}{}",
        other.code.unwrap_or(-1),
        if names_it { ", says who, since when, which run" } else { ", does not say who" },
        if at_once { "" } else { ", late" }
    );
    table.row("second operator", "held", &["exit 6, says who, since when, which run"], &seen);
    let untouched = each(&scene.fleet, |host| match releases(&host.dest).as_slice() {
        [only] if only == "v1" => Ok(()),
        other => Err(format!("{}: {other:?}", host.name)),
    });
    table.holds("", "", "the first is not disturbed", untouched);
    held.signal(Signal::INT);
    held.end();
}

fn together(table: &mut Table) {
    let scene = Scene::new();
    let start = |tag| scene.operator.start(&["deploy", "app", "--tag", tag, "--output", "json"]);
    let runs = [start("v1"), start("v2")];
    let done = runs.map(Running::end);
    let won: Vec<&str> =
        done.iter().zip(["v1", "v2"]).filter_map(|(run, tag)| (run.code == Some(0)).then_some(tag)).collect();
    // The later one may also have found that the other was through already.
    let seen = match won.as_slice() {
        [] => format!("both refused: {}", done.map(|run| run.finished()["failures"].to_string()).join(", ")),
        [_] => "one wins".to_owned(),
        _ => "one after the other".to_owned(),
    };
    table.row("two at once", "start", &["one wins", "one after the other"], &seen);
    let alike = each(&scene.fleet, |host| {
        let mut tags = releases(&host.dest);
        tags.sort();
        if tags == won { Ok(()) } else { Err(format!("{}: {tags:?}, but {won:?} won", host.name)) }
    });
    table.holds("", "", "never interleaved", alike);
    table.holds("", "", "left clean", clean_within_lease(&scene.fleet, Instant::now()));
}

fn two_names(table: &mut Table) {
    let scene = Scene::new();
    let twin = |text: &str| {
        let line = text.lines().find(|line| line.contains("{host: ")).unwrap().to_owned();
        let name = scene.fleet.hosts()[0].name.as_str();
        text.replacen(&line, &format!("{line}\n{}", line.replacen(name, "twin", 1)), 1)
    };
    let inventory = std::fs::read_to_string(scene.operator.path("hosts.yaml")).unwrap();
    scene.operator.has_inventory(&twin(&inventory));
    // Its key stands under its address.
    let done = scene.operator.run(&["deploy", "app", "--tag", "v1", "--output", "json"]);
    let finished = done.finished();
    let failure = &finished["failures"][0];
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let seen =
        format!("{}: {}, {} active", word(&failure["kind"]), word(&failure["message"]), finished["active"]);
    let name = &scene.fleet.hosts()[0].name;
    let either = [
        format!("locked: same DEST as {name}, {HOSTS} active"),
        format!("locked: same DEST as twin, {HOSTS} active"),
    ];
    table.row("two names of one", "checking", &either.each_ref().map(String::as_str), &seen);
    table.holds("", "", "left clean", clean_within_lease(&scene.fleet, Instant::now()));
}
