use std::collections::BTreeSet;

use murder::demo::Fault;
use rustix::process::Signal;

use crate::support::eventually;
use crate::support::host::processes_below;
use crate::support::operator::{Operator, names_in};

fn assert_nothing_is_left(operator: &Operator) {
    assert_eq!(names_in(&operator.path("tmp")), [""; 0], "the folder of temporary files is empty again");
    eventually("the agents' end", || processes_below(&operator.path("tmp")).is_empty());
}

#[test]
fn a_demo_needs_nothing_and_leaves_nothing() {
    let operator = Operator::new();
    let done = operator.run(&["demo", "--fleet", "5", "--size", "4M", "--output", "json"]).exits(0);
    assert_eq!(done.finished()["active"], 5);
    assert_nothing_is_left(&operator);
    assert_eq!(names_in(&operator.path("home/.ssh")), [""; 0], "no key was learned");
}

#[test]
fn a_demo_is_recorded_but_is_never_the_last_run() {
    let operator = Operator::new();
    let done = operator.run(&["demo", "--fleet", "2", "--size", "1M", "--output", "json"]).exits(0);
    let run = done.finished()["run"].as_str().unwrap().to_owned();
    assert!(operator.run(&["show", &run]).exits(0).text().contains(&run));
    assert_ne!(operator.run(&["show", "last"]).code, Some(0));
    assert_ne!(operator.run(&["retry", "last"]).code, Some(0));
}

#[test]
fn a_demo_with_faults_shows_each_kind_and_the_others_are_activated() {
    let operator = Operator::new();
    let fleet = ["demo", "--fleet", "9", "--size", "6M", "--rate", "2M", "--fail", "7"];
    let limits = ["--retries", "0", "--stall-timeout", "4s", "--output", "json"];
    let done = operator.run(&[&fleet[..], &limits[..]].concat()).exits(6);
    let kinds: BTreeSet<String> = done.failures().into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(kinds, Fault::ALL.iter().map(|fault| fault.kind().to_string()).collect());
    assert_eq!((done.finished()["active"].as_u64(), done.finished()["failed"].as_u64()), (Some(2), Some(7)));
    assert_nothing_is_left(&operator);
}

#[test]
fn a_demo_that_is_stopped_leaves_nothing() {
    let operator = Operator::new();
    let mut demo =
        operator.start(&["demo", "--fleet", "4", "--size", "16M", "--rate", "1M", "--output", "json"]);
    demo.until("progress", |_| true);
    demo.signal(Signal::INT);
    demo.end().exits(7);
    assert_nothing_is_left(&operator);
}

#[test]
fn what_a_killed_demo_leaves_ends_by_itself_and_is_swept_by_the_next() {
    let operator = Operator::new();
    let mut demo =
        operator.start(&["demo", "--fleet", "3", "--size", "16M", "--rate", "1M", "--output", "json"]);
    demo.until("progress", |_| true);
    demo.signal(Signal::KILL);
    drop(demo);
    eventually("the agents' end", || processes_below(&operator.path("tmp")).is_empty());
    operator.run(&["demo", "--fleet", "2", "--size", "1M", "--output", "quiet"]).exits(0);
    assert_nothing_is_left(&operator);
}

#[test]
fn a_demo_that_does_not_fit_on_the_disk_is_refused_before_it_starts() {
    let operator = Operator::new();
    let done = operator.run(&["demo", "--fleet", "100", "--size", "50T"]);
    assert_ne!(done.code, Some(0));
    assert!(done.text().contains("--size") && done.text().contains("needs"), "{}", done.text());
    assert_nothing_is_left(&operator);
}
