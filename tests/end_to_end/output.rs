use std::fs;

use serde_json::Value;

use crate::support::host::fleet;
use crate::support::operator::Operator;
use crate::support::tree;

/// The order in which a host passes its states.
const WAY: [&str; 10] = [
    "queued",
    "connecting",
    "launching",
    "checking",
    "fetching",
    "verifying",
    "unpacking",
    "staged",
    "activating",
    "active",
];

fn is_a_moment(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.000Z"
        || shape == "0000-00-00T00:00:00.000+00:00"
        || shape == "0000-00-00T00:00:00.000-00:00"
}

#[test]
fn json_is_one_object_a_line_with_the_fields_that_scripts_rely_on() {
    let fleet = fleet(3, &[]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 2 << 20);
    let done = operator.run(&["deploy", "app", "--tag", "v1", "--output", "json"]).exits(0);
    let events = done.events();
    for event in &events {
        assert_eq!(event["v"], 1);
        assert!(is_a_moment(event["ts"].as_str().unwrap()), "{event}");
    }
    let started = &events.iter().find(|event| event["type"] == "run_started").unwrap();
    assert_eq!((&started["hosts"], &started["tag"]), (&Value::from(3), &Value::from("v1")));
    assert_eq!(started["info_hash"].as_str().unwrap().len(), 40);
    assert_eq!(started["manifest"].as_str().unwrap().len(), 64);
    for field in ["run", "payload", "bytes", "packed_bytes", "least_seconds"] {
        assert!(started.get(field).is_some(), "{field} is in {started}");
    }
    for host in fleet.hosts() {
        let states = done.states(&host.name);
        let places: Vec<usize> =
            states.iter().map(|state| WAY.iter().position(|known| known == state).unwrap()).collect();
        assert!(places.is_sorted(), "{states:?}");
        assert!(states.iter().any(|state| state == "fetching") && states.last().unwrap() == "active");
    }
    assert_eq!(done.of_type("activated").len(), 3);
    assert!(!done.of_type("barrier").is_empty());
    let finished = done.finished();
    assert_eq!((&finished["exit"], &finished["active"]), (&Value::from(0), &Value::from(3)));
    assert_eq!(finished["run"], started["run"]);
    for field in [
        "bytes",
        "hosts",
        "seconds",
        "least_seconds",
        "seeder_bytes",
        "duplicate_bytes",
        "ssh_only_bytes",
        "reused_bytes",
        "agent_bytes",
    ] {
        assert!(finished["swarm"].get(field).is_some(), "swarm.{field} is in {finished}");
    }
}

#[test]
fn plain_says_every_change_and_quiet_the_end() {
    let fleet = fleet(2, &[]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 1 << 20);
    let plain = operator.run(&["deploy", "app", "--tag", "v1", "--output", "plain"]).exits(0);
    for host in fleet.hosts() {
        for state in ["connecting", "fetching", "active"] {
            let said = |line: &String| line.contains(&host.name) && line.contains(state);
            assert!(plain.stdout.iter().any(said), "{} {state} is not in\n{}", host.name, plain.text());
        }
    }
    assert!(!plain.text().contains('\x1b'), "no colours outside a terminal");
    let quiet = operator.run(&["deploy", "app", "--tag", "v2", "--output", "quiet"]).exits(0);
    assert!(quiet.stdout.len() < plain.stdout.len());
    assert!(quiet.text().contains("2 active"), "the summary is printed in every mode:\n{}", quiet.text());
}

#[test]
fn without_a_terminal_the_output_is_plain() {
    let fleet = fleet(1, &[]);
    let operator = Operator::of_fleet(&fleet);
    fs::write(operator.path("file"), "x").unwrap();
    let done = operator.run(&["deploy", "file", "--tag", "v1"]).exits(0);
    assert!(done.text().contains(&fleet.hosts()[0].name));
    assert!(!done.text().contains('\x1b'));
}

#[test]
fn a_dry_run_says_the_plan_and_touches_no_host() {
    let fleet = fleet(2, &[]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 1 << 20);
    let done = operator.run(&["deploy", "app", "--tag", "v1", "--dry-run"]).exits(0);
    assert!(done.text().contains("2 hosts") && done.text().contains("hosts.yaml"), "{}", done.text());
    for host in fleet.hosts() {
        assert!(!host.dest.exists());
        assert_eq!(fs::read_dir(&host.home).unwrap().count(), 0, "no agent was sent");
    }
}

#[test]
fn a_run_is_recorded_and_can_be_read_again() {
    let fleet = fleet(2, &[]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 1 << 20);
    let done = operator.run(&["deploy", "app", "--tag", "v1", "--output", "json"]).exits(0);
    let run = done.finished()["run"].as_str().unwrap().to_owned();
    assert!(operator.run(&["runs"]).exits(0).text().contains(&run));
    for name in [run.as_str(), "last"] {
        let shown = operator.run(&["show", name, "--output", "json"]).exits(0);
        assert!(shown.text().contains(&run), "{}", shown.text());
    }
}
