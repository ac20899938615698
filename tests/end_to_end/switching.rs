use std::path::Path;

use rustix::process::Signal;

use crate::support::host::{assert_clean, current, fleet};
use crate::support::operator::Operator;
use crate::support::tree;

fn is_current(dest: &Path, tag: &str) -> bool {
    current(dest) == Some(Path::new("releases").join(tag))
}

#[test]
fn activate_opens_the_barrier_of_a_held_run_and_tells_how_it_ended() {
    let fleet = fleet(3, &[]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 1 << 20);
    let mut held = operator.start(&["deploy", "app", "--tag", "v1", "--hold", "--output", "json"]);
    held.until("barrier", |barrier| barrier["staged"] == 3);
    let done = operator.run(&["activate", "v1"]).exits(0);
    assert!(done.text().contains("its barrier opens"), "{}", done.text());
    assert!(done.text().contains("all 3 hosts active"), "{}", done.text());
    let held = held.end().exits(0);
    assert_eq!(held.finished()["active"], 3);
    for host in fleet.hosts() {
        assert!(is_current(&host.dest, "v1"));
        assert_clean(&host.dest);
    }
}

#[test]
fn rollback_without_a_tag_goes_where_most_hosts_were_and_refuses_where_they_differ() {
    let fleet = fleet(3, &[]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 1 << 20);
    for tag in ["v1", "v2"] {
        operator.run(&["deploy", "app", "--tag", tag]).exits(0);
    }
    let unanswered = operator.run(&["rollback", "v1"]).exits(3);
    assert!(unanswered.text().contains("-y"), "{}", unanswered.text());
    operator.run(&["rollback", "-y"]).exits(0);
    assert!(fleet.hosts().iter().all(|host| is_current(&host.dest, "v1")));

    let odd = fleet.hosts()[2].name.as_str();
    operator.run(&["deploy", "app", "--tag", "v3"]).exits(0);
    operator.run(&["activate", "v2", "-l", odd]).exits(0);
    let refused = operator.run(&["rollback", "-y"]).exits(3);
    assert!(refused.text().contains(odd), "{}", refused.text());
    assert!(is_current(&fleet.hosts()[0].dest, "v3"), "nothing was changed");
    operator.run(&["rollback", "v1", "-y"]).exits(0);
    for host in fleet.hosts() {
        assert!(is_current(&host.dest, "v1"));
        assert_clean(&host.dest);
    }
}

#[test]
fn a_rollback_without_a_tag_goes_on_when_its_terminal_goes_away() {
    let fleet = fleet(2, &[]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 1 << 20);
    for tag in ["v1", "v2"] {
        operator.run(&["deploy", "app", "--tag", tag]).exits(0);
    }
    let rollback = operator.start(&["rollback", "-y"]);
    rollback.awaits(Signal::HUP);
    rollback.signal(Signal::HUP);
    rollback.end().exits(0);
    assert!(fleet.hosts().iter().all(|host| is_current(&host.dest, "v1")));
}
