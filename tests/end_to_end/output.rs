use std::fs;

use murder::demo::Fault;
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

#[test]
fn ci_systems_get_folds_annotations_and_a_report_for_the_page_of_the_job() {
    let fleet = fleet(2, &[None, Some(Fault::Hook)]);
    let operator = Operator::of_fleet(&fleet);
    fs::write(operator.path("file"), "x").unwrap();
    let deploy = |tag: &str, variables: &[(&str, &str)]| {
        let arguments = ["deploy", "file", "--tag", tag, "--retries", "0"];
        let done = operator.command(&arguments).envs(variables.iter().copied()).output().unwrap();
        assert_eq!(done.status.code(), Some(6));
        String::from_utf8(done.stdout).unwrap()
    };
    let page = operator.path("summary.md");
    let github = deploy("v1", &[("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", page.to_str().unwrap())]);
    for command in ["::group::", "::endgroup::", "::error title=hook"] {
        assert!(github.lines().any(|line| line.starts_with(command)), "{command} is in\n{github}");
    }
    assert!(fs::read_to_string(page).unwrap().contains("## Failures"));
    let gitlab = deploy("v2", &[("GITLAB_CI", "true")]);
    assert!(gitlab.contains("section_start:") && gitlab.contains("section_end:"), "{gitlab}");
}

#[test]
fn the_plan_of_a_dry_run_is_for_scripts_too() {
    let operator = Operator::new();
    operator.has_inventory("defaults: {dest: /srv/app, rate: 1M}\nhosts: [web1, web2]\n");
    fs::write(operator.path("file"), vec![b'x'; 2 << 20]).unwrap();
    let arguments = ["deploy", "file", "--tag", "v1", "--seed-rate", "1M", "--dry-run", "--output", "json"];
    let plan = operator.run(&arguments).exits(0).events().remove(0);
    for (field, value) in [("type", "plan"), ("tag", "v1"), ("link", "current")] {
        assert_eq!(plan[field], value, "{plan}");
    }
    assert_eq!(plan["hosts"], serde_json::json!(["web1", "web2"]));
    assert!(plan["least_seconds"].as_f64().unwrap() >= 2.0, "{plan}");
}

#[test]
fn a_shell_is_offered_hosts_groups_labels_tags_and_runs() {
    let fleet = fleet(1, &[]);
    let operator = Operator::of_fleet(&fleet);
    fs::write(operator.path("file"), "x").unwrap();
    operator.run(&["deploy", "file", "--tag", "v1.7"]).exits(0);
    fs::write(
        operator.path("fleet.yaml"),
        "groups:\n  web: {rack: r1, hosts: [\"web[01-02]\"]}\n  db: [{host: db1, labels: {ring: canary}}]\n",
    )
    .unwrap();
    let offered = |words: &[&str]| -> Vec<String> {
        let arguments = [&["--", "murder"][..], words].concat();
        let index = (arguments.len() - 2).to_string();
        let shell =
            [("_MURDER_COMPLETE", "bash"), ("_CLAP_COMPLETE_INDEX", index.as_str()), ("_CLAP_IFS", "\n")];
        let done = operator.command(&arguments).envs(shell).output().unwrap();
        String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    assert_eq!(
        offered(&["check", "-i", "fleet.yaml", "-l", ""]),
        ["db", "web", "rack=r1", "ring=canary", "web01", "web02", "db1"]
    );
    assert_eq!(offered(&["check", "--inventory=fleet.yaml", "-l", "web&!ri"]), ["web&!ring=canary"]);
    assert_eq!(
        offered(&["check", "-i", "fleet.yaml", "--hosts", "db1,web02,w"]),
        ["db1,web02,web01", "db1,web02,web02"]
    );
    assert_eq!(offered(&["rollback", "v"]), ["v1.7"]);
    assert_eq!(offered(&["show", "l"]), ["last"]);
    assert_eq!(offered(&["show", "20"]).len(), 1);
    assert_eq!(offered(&["check", "-i", "missing.yaml", "-l", ""]), [""; 0]);
    assert!(offered(&["de"]).starts_with(&["deploy".to_owned()]));
}

#[test]
fn an_inventory_that_contradicts_itself_is_warned_of_before_anything_comes_of_it() {
    let fleet = fleet(2, &[]);
    let operator = Operator::of_fleet(&fleet);
    let name = fleet.hosts()[0].name.as_str();
    let two =
        format!("groups:\n  slow: {{rate: 30M, hosts: [{name}]}}\n  fast: {{rate: 60M, hosts: [{name}]}}\n");
    operator.has_inventory(&fleet.inventory().replace("groups:\n", &two));
    fs::write(operator.path("file"), "x").unwrap();
    let words = "30.0 MB/s by group slow, 60.0 MB/s by group fast; 30.0 MB/s is used";
    let plan = operator.run(&["deploy", "file", "--dry-run"]).exits(0).text();
    assert!(plan.contains(&format!("`rate` of {name}")) && plan.contains(words), "{plan}");
    let check = operator.run(&["check", "--output", "json"]).exits(0);
    let warned = |log: &Value| log["level"] == "warn" && log["message"].as_str().unwrap().contains(words);
    assert!(check.of_type("log").iter().any(warned), "{}", check.text());
    let other = operator.run(&["check", "-x", name]).exits(0).text();
    assert!(!other.contains("contradicts"), "it is of no other host: {other}");
}
