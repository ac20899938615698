use std::fs;

use rustix::process::Signal;

use crate::support::host::{assert_active, assert_clean, current, fleet, releases};
use crate::support::operator::Operator;
use crate::support::{eventually, tree};

#[test]
fn a_tree_arrives_identical_and_its_tag_stands_for_it_ever_after() {
    let fleet = fleet(6, &[]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 8 << 20);

    let first = operator.run(&["deploy", "app", "--tag", "v1", "--output", "json"]).exits(0);
    for host in fleet.hosts() {
        assert_active(&host.dest, "v1", &operator.path("app"));
        assert_clean(&host.dest);
        assert_eq!(first.states(&host.name).last().unwrap(), "active");
    }
    let swarm = &first.finished()["swarm"];
    let (bytes, sent) = (swarm["bytes"].as_u64().unwrap(), swarm["seeder_bytes"].as_u64().unwrap());
    assert_eq!(swarm["hosts"], 6);
    assert!(sent >= bytes && sent <= 3 * bytes, "the seeder sent {sent} bytes of {bytes} to six hosts");

    let again = operator.run(&["deploy", "app", "--tag", "v1", "--output", "json"]).exits(0);
    for host in fleet.hosts() {
        let states = again.states(&host.name);
        assert!(states.iter().any(|state| state == "staged"), "{states:?}");
        assert!(!states.iter().any(|state| state == "fetching"), "{states:?}");
    }

    fs::write(operator.path("app/VERSION"), "another\n").unwrap();
    let other = operator.run(&["deploy", "app", "--tag", "v1", "--output", "json"]).exits(6);
    let failures = other.failures();
    assert_eq!(failures.len(), 6);
    assert!(failures.iter().all(|(_, kind)| kind == "dest_exists"), "{failures:?}");
    assert_ne!(fs::read_to_string(fleet.hosts()[0].dest.join("current/VERSION")).unwrap(), "another\n");
}

#[test]
fn what_did_not_change_comes_from_the_hosts_own_disks() {
    let fleet = fleet(4, &[]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 16 << 20);
    operator.run(&["deploy", "app", "--tag", "v1"]).exits(0);
    // One host knows nothing of it, on one a file was damaged, and one lost the whole release but for its record.
    let [_, new, damaged, gone] = fleet.hosts() else { panic!("four hosts") };
    fs::remove_dir_all(&new.dest).unwrap();
    fs::write(damaged.dest.join("releases/v1/VERSION"), "damaged\n").unwrap();
    fs::remove_dir_all(gone.dest.join("releases/v1")).unwrap();

    fs::write(operator.path("app/VERSION"), "another\n").unwrap();
    let second = operator.run(&["deploy", "app", "--tag", "v2", "--output", "json"]).exits(0);
    for host in fleet.hosts() {
        assert_active(&host.dest, "v2", &operator.path("app"));
        assert_clean(&host.dest);
    }
    let swarm = &second.finished()["swarm"];
    let (bytes, reused) = (swarm["bytes"].as_u64().unwrap(), swarm["reused_bytes"].as_u64().unwrap());
    assert!(bytes > 8 << 20, "{bytes} is what a host without anything must fetch");
    assert!(reused > bytes && reused < 2 * bytes, "{reused} of {bytes} bytes were reused on two hosts");

    let third = operator.run(&["deploy", "app", "--tag", "v3", "--output", "json"]).exits(0);
    let swarm = &third.finished()["swarm"];
    let (bytes, sent) = (swarm["bytes"].as_u64().unwrap(), swarm["seeder_bytes"].as_u64().unwrap());
    assert!(swarm["reused_bytes"].as_u64().unwrap() > 4 * bytes - bytes / 5, "{swarm}");
    assert!(sent < bytes / 5, "{swarm}");
}

#[test]
fn a_file_lies_in_its_release_under_its_own_name() {
    let fleet = fleet(2, &[]);
    let operator = Operator::of_fleet(&fleet);
    let content: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(300_000).collect();
    fs::write(operator.path("app.bin"), &content).unwrap();
    operator.run(&["deploy", "app.bin", "--tag", "v1"]).exits(0);
    for host in fleet.hosts() {
        assert_eq!(fs::read(host.dest.join("current/app.bin")).unwrap(), content);
        assert_eq!(fs::read_dir(host.dest.join("current/")).unwrap().count(), 1);
    }
}

#[test]
fn the_smallest_payloads_arrive_too() {
    let fleet = fleet(2, &[]);
    let operator = Operator::of_fleet(&fleet);
    fs::write(operator.path("empty"), "").unwrap();
    fs::write(operator.path("byte"), "x").unwrap();
    fs::create_dir(operator.path("nothing")).unwrap();
    for (payload, content) in [("empty", Some("")), ("byte", Some("x")), ("nothing", None)] {
        operator.run(&["deploy", payload, "--tag", payload]).exits(0);
        for host in fleet.hosts() {
            let release = host.dest.join("current");
            let found = fs::read_to_string(release.join(payload)).ok();
            assert_eq!(found.as_deref(), content, "{payload} on {}", host.name);
        }
    }
}

#[test]
fn a_release_that_is_not_to_be_activated_is_only_staged() {
    let fleet = fleet(2, &[]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 1 << 20);
    let done = operator.run(&["deploy", "app", "--tag", "v1", "--no-activate", "--output", "json"]).exits(0);
    assert_eq!(done.finished()["staged"], 2);
    for host in fleet.hosts() {
        tree::assert_same(&operator.path("app"), &host.dest.join("releases/v1"));
        assert_eq!(current(&host.dest), None);
    }
}

#[test]
fn whoever_stops_a_run_finds_no_agent_and_no_lock_afterwards() {
    let fleet = fleet(3, &[]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 1 << 20);
    let mut held = operator.start(&["deploy", "app", "--tag", "v1", "--hold", "--output", "json"]);
    held.until("barrier", |barrier| barrier["staged"] == 3);

    let second = operator.run(&["deploy", "app", "--tag", "v2", "--output", "json"]).exits(6);
    assert!(second.failures().iter().any(|(_, kind)| kind == "locked"), "{:?}", second.failures());
    for host in fleet.hosts() {
        assert_eq!(releases(&host.dest), ["v1"], "nothing is staged under a foreign lock");
    }

    held.signal(Signal::INT);
    held.end().exits(7);
    for host in fleet.hosts() {
        assert_clean(&host.dest);
        assert_eq!(current(&host.dest), None);
    }
    operator.run(&["deploy", "app", "--tag", "v1"]).exits(0);
}

#[test]
fn a_killed_operator_leaves_no_agent_and_its_lock_is_taken_over() {
    let fleet = fleet(2, &[]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 1 << 20);
    let mut held = operator.start(&["deploy", "app", "--tag", "v1", "--hold", "--output", "json"]);
    held.until("barrier", |barrier| barrier["staged"] == 2);
    held.signal(Signal::KILL);
    drop(held);
    let root = fleet.folder().join("hosts");
    eventually("the agents' end", || crate::support::host::processes_below(&root).is_empty());
    operator.run(&["deploy", "app", "--tag", "v1"]).exits(0);
    for host in fleet.hosts() {
        assert_active(&host.dest, "v1", &operator.path("app"));
        assert_clean(&host.dest);
    }
}

#[test]
fn a_slip_in_the_canary_is_refused_before_anybody_is_contacted() {
    let fleet = fleet(3, &[]);
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 1 << 16);
    for slip in ["nobody", "ring=nope"] {
        let end = operator.run(&["deploy", "app", "--canary", slip]).exits(3);
        assert!(end.stderr.contains(slip.split('=').next().unwrap()), "{}", end.stderr);
    }
    assert!(fleet.hosts().iter().all(|host| releases(&host.dest).is_empty()));
}
