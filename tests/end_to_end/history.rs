use std::fs;

use murder::demo::Fault;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::host::{assert_active, fleet};
use crate::support::operator::Operator;
use crate::support::tree;

#[test]
fn a_killed_run_can_be_shown_and_gone_on_with() {
    let fleet = fleet(2, &[]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 1 << 20);
    let mut held = operator.start(&["deploy", "app", "--tag", "v1", "--hold", "--output", "json"]);
    held.until("barrier", |barrier| barrier["staged"] == 2);
    held.signal(Signal::KILL);
    drop(held);
    let runs = operator.run(&["runs", "--output", "json"]).exits(0).events();
    assert_eq!((&runs[0]["state"], &runs[0]["tag"]), (&Value::from("killed"), &Value::from("v1")));
    assert!(operator.run(&["runs"]).exits(0).text().contains("was killed"));
    assert!(operator.run(&["show", "last"]).exits(0).text().contains("was cut short"));
    operator.run(&["retry", "last", "--no-hold"]).exits(0);
    for host in fleet.hosts() {
        assert_active(&host.dest, "v1", &operator.path("app"));
    }
}

#[test]
fn a_report_is_one_file_that_needs_nothing_else() {
    let fleet = fleet(3, &[None, Some(Fault::Hook)]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 1 << 20);
    for (tag, name) in [("v1", "r.html"), ("v2", "r.md"), ("v3", "r.json")] {
        // Only runs that fetched something are compared.
        fs::write(operator.path("app/build"), tag.repeat(100_000)).unwrap();
        let deploy = ["deploy", "app", "--tag", tag, "--retries", "0", "--report", name];
        operator.run(&deploy).exits(6);
    }
    let html = fs::read_to_string(operator.path("r.html")).unwrap();
    for part in ["<svg", "hook", &fleet.hosts()[1].name, "<h2>Phases</h2>", "<h2>Failures</h2>"] {
        assert!(html.contains(part), "{part} is in the report");
    }
    for outside in ["<script", "src=", "href=", "@import", "url("] {
        assert!(!html.contains(outside), "{outside} is not in the report");
    }
    let markdown = fs::read_to_string(operator.path("r.md")).unwrap();
    assert!(markdown.contains("## Failures") && markdown.contains("## Beside run"), "{markdown}");
    let report: Value = serde_json::from_slice(&fs::read(operator.path("r.json")).unwrap()).unwrap();
    assert_eq!(report["exit"], 6, "{report}");
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_anybody_is_contacted() {
    let fleet = fleet(1, &[]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 1 << 20);
    let done = operator.run(&["deploy", "app", "--tag", "v1", "--report", "no/such/folder/r.md"]).exits(3);
    assert!(done.stderr.contains("no/such/folder"), "{}", done.stderr);
    assert!(!fleet.hosts()[0].dest.exists());
}

#[test]
fn old_records_go_as_the_configuration_says() {
    let fleet = fleet(1, &[]);
    let operator = Operator::of_fleet(&fleet);
    fs::create_dir_all(operator.path("config/murder")).unwrap();
    fs::write(operator.path("config/murder/config.toml"), "keep_runs = 2\n").unwrap();
    fs::write(operator.path("file"), "x").unwrap();
    for tag in ["v1", "v2", "v3"] {
        operator.run(&["deploy", "file", "--tag", tag]).exits(0);
    }
    let tags: Vec<Value> = operator
        .run(&["runs", "--output", "json"])
        .events()
        .into_iter()
        .map(|run| run["tag"].clone())
        .collect();
    assert_eq!(tags, ["v3", "v2"]);
}
