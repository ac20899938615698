use std::fs;

use crate::support::host::{assert_clean, current, fleet, releases};
use crate::support::operator::Operator;
use crate::support::tree;

#[test]
fn check_finds_a_fleet_fit_and_changes_nothing_there() {
    let fleet = fleet(4, &[]);
    let operator = Operator::of_fleet(&fleet);
    let end = operator.run(&["check", "--size", "1M", "--output", "json"]).exits(0);
    let checked = end.of_type("checked");
    assert_eq!(checked.len(), 4);
    for host in &checked {
        assert_eq!(host["reaches"].as_array().unwrap().len(), 3, "{host}");
        assert!(host["free_bytes"].as_u64().unwrap() > 0);
        assert!(host["clock_offset"].as_f64().unwrap().abs() < 60.0);
    }
    for host in fleet.hosts() {
        assert_eq!(end.states(&host.name).last().unwrap(), "done");
        assert_eq!(fs::read_dir(&host.dest).map_or(0, Iterator::count), 0, "nothing is made below DEST");
    }
    let runs = operator.run(&["runs"]).exits(0).text();
    assert!(runs.contains("4 done (exit 0)"), "{runs}");
}

#[test]
fn check_says_before_a_deploy_would_that_it_does_not_fit() {
    let fleet = fleet(2, &[]);
    let operator = Operator::of_fleet(&fleet);
    let end = operator.run(&["check", "--size", "90000G", "--output", "json"]).exits(6);
    assert!(end.failures().iter().all(|(_, kind)| kind == "disk_full"), "{:?}", end.failures());
    assert_eq!(end.failures().len(), 2);
}

#[test]
fn releases_tells_which_hosts_differ_and_clean_keeps_what_is_needed() {
    let fleet = fleet(2, &[]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 1 << 20);
    for tag in ["v1", "v2", "v3"] {
        operator.run(&["deploy", "app", "--tag", tag]).exits(0);
    }
    let host = fleet.hosts()[1].name.as_str();
    operator.run(&["activate", "v1", "-l", host]).exits(0);

    let end = operator.run(&["releases", "--output", "json"]).exits(0);
    let listed = end.of_type("releases");
    assert_eq!(listed.len(), 2);
    for event in listed {
        let tags = event["releases"].as_array().unwrap();
        assert_eq!(tags.len(), 3);
        let current = tags.iter().find(|release| release["current"] == true).unwrap();
        let differs = event["host"] == host;
        assert_eq!(current["tag"], if differs { "v1" } else { "v3" });
        assert_eq!(current["previous"], if differs { "v3" } else { "v2" });
    }
    let plain = operator.run(&["releases", "--output", "plain"]).exits(0);
    assert!(plain.text().contains("current on"), "{}", plain.text());

    operator.run(&["clean", "--keep", "0"]).exits(0);
    let dests: Vec<_> = fleet.hosts().iter().map(|host| host.dest.clone()).collect();
    assert_eq!(releases(&dests[0]), ["v2", "v3"], "current and the one before stay");
    assert_eq!(releases(&dests[1]), ["v1", "v3"]);
    for dest in &dests {
        assert!(current(dest).is_some());
        assert_clean(dest);
    }
    operator.run(&["deploy", "app", "--tag", "v4"]).exits(0);
}
