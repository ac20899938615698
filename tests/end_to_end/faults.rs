use murder::control::FailureKind;
use murder::demo::{DemoFleet, DemoOptions, Fault};

use crate::support::host::{assert_active, assert_clean, current, fleet};
use crate::support::operator::Operator;
use crate::support::tree;

/// So slow that a fault of the transfer comes in its middle.
const RATE: u64 = 2 << 20;

#[test]
fn each_kind_of_failure_is_told_apart_and_a_retry_mends_them_all() {
    let faults: Vec<Option<Fault>> = Fault::ALL.into_iter().map(Some).collect();
    let options = DemoOptions { hosts: 9, rate: Some(RATE), size: 8 << 20, ..DemoOptions::default() };
    let fleet = DemoFleet::start_with(&options, &faults).unwrap();
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 8 << 20);

    let arguments = ["deploy", "app", "--tag", "v1", "--output", "json", "--retries", "0"];
    let limits = ["--connect-timeout", "10s", "--stall-timeout", "4s"];
    let first = operator.start(&[&arguments[..], &limits[..]].concat()).followed_by(&fleet, true).exits(6);
    let mut expected: Vec<(String, String)> = fleet
        .hosts()
        .iter()
        .filter_map(|host| host.fault.map(|fault| (host.name.clone(), fault.kind().to_string())))
        .collect();
    expected.sort();
    assert_eq!(first.failures(), expected);
    assert_eq!(first.finished()["active"], 2);
    for host in fleet.hosts().iter().filter(|host| host.fault.is_none()) {
        assert_active(&host.dest, "v1", &operator.path("app"));
        assert_clean(&host.dest);
    }

    let retry = operator.run(&["retry", "last", "--output", "json"]).exits(0);
    assert_eq!(retry.finished()["failed"], 0);
    for host in fleet.hosts() {
        assert_active(&host.dest, "v1", &operator.path("app"));
        assert_clean(&host.dest);
    }
}

#[test]
fn a_host_that_comes_back_in_time_needs_no_person() {
    let fleet = fleet(2, &[None, Some(Fault::Refused)]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 1 << 20);
    let mut run = operator.start(&["deploy", "app", "--tag", "v1", "--output", "json", "--retries", "5"]);
    let name = fleet.hosts()[1].name.as_str();
    run.until("host_state", |event| event["host"] == name && event["attempt"] == 2);
    fleet.heal(1).unwrap();
    run.end().exits(0);
    assert_active(&fleet.hosts()[1].dest, "v1", &operator.path("app"));
}

#[test]
fn a_failure_comes_with_the_hosts_and_with_what_to_do() {
    let fleet = fleet(4, &[None, Some(Fault::Auth), Some(Fault::Hook), Some(Fault::Auth)]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 1 << 20);
    let done = operator.run(&["deploy", "app", "--tag", "v1", "--output", "plain"]).exits(6);
    let text = done.text();
    for kind in [FailureKind::Auth, FailureKind::Hook] {
        assert!(text.contains(kind.as_str()), "{kind} is named in\n{text}");
        let advice = kind.advice().split([',', ';', ':']).next().unwrap();
        assert!(text.contains(advice), "{advice:?} is said in\n{text}");
    }
    assert!(text.contains("schema 41"), "the hook's own words are shown in\n{text}");
    assert_eq!(current(&fleet.hosts()[2].dest), None, "a hook that fails keeps the host as it was");
}

#[test]
fn a_run_with_too_many_failures_activates_nothing() {
    let fleet = fleet(4, &[Some(Fault::Auth), Some(Fault::Auth)]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 1 << 20);
    let limit = ["deploy", "app", "--tag", "v1", "--max-fail", "1", "--output", "json"];
    operator.run(&limit).exits(6);
    for host in fleet.hosts() {
        assert_eq!(current(&host.dest), None);
    }
}
