use crate::support::host::{assert_active, assert_clean};
use crate::support::sshd::Sshd;
use crate::support::tree;

fn deploys_with(configuration: &str) {
    // Without OpenSSH's server the same way is tested against the fleet of the demo.
    let Some(sshd) = Sshd::start(3, configuration) else { return };
    let operator = sshd.operator();
    tree::make(&operator.path("app"), 8 << 20);
    for attempt in ["v1", "v2"] {
        let done = operator.run(&["deploy", "app", "--tag", attempt, "--output", "json"]).exits(0);
        for (name, dest) in sshd.names().into_iter().zip(sshd.dests()) {
            assert_active(&dest, attempt, &operator.path("app"));
            assert_clean(&dest);
            assert_eq!(done.states(name).last().unwrap(), "active");
        }
        let sent = done.finished()["swarm"]["agent_bytes"].as_u64().unwrap();
        assert_eq!(sent > 0, attempt == "v1", "the agent is sent once and found afterwards");
    }
}

#[test]
fn real_sshd_hosts_are_deployed_to() {
    deploys_with("");
}

#[test]
fn a_server_that_forbids_forwarding_is_fed_all_the_same() {
    deploys_with("AllowTcpForwarding no");
}

#[test]
fn a_server_that_allows_one_session_and_rekeys_often_is_enough() {
    deploys_with("MaxSessions 1\nRekeyLimit 1M");
}

#[test]
fn a_server_that_lets_nothing_in_beside_the_agent_is_told_and_lives_from_its_neighbours() {
    let Some(sshd) = Sshd::start_each(&["", "MaxSessions 1\nAllowTcpForwarding no"]) else { return };
    let operator = sshd.operator();
    tree::make(&operator.path("app"), 8 << 20);
    // Slow enough for the seeder to find out before the neighbour has sent all.
    let arguments = ["deploy", "app", "--tag", "v1", "--output", "json", "--rate", "1MiB/s"];
    let done = operator.run(&arguments).exits(0);
    for dest in sshd.dests() {
        assert_active(&dest, "v1", &operator.path("app"));
        assert_clean(&dest);
    }
    let told = done.of_type("log").into_iter().filter(|log| {
        let message = log["message"].as_str().unwrap();
        message.contains("sshd forbids forwarding") && message.contains("it gets all from other hosts")
    });
    assert_eq!(told.map(|log| log["host"].clone()).collect::<Vec<_>>(), [sshd.names()[1]], "once");
}

#[test]
fn agents_go_on_while_their_connections_are_cut_and_are_found_again() {
    let Some(sshd) = Sshd::start(2, "") else { return };
    let operator = sshd.operator();
    tree::make(&operator.path("app"), 8 << 20);
    // Cold agents are sent first; slow enough to be in the middle of the fetch then.
    let mut run = operator.start(&["deploy", "app", "--tag", "v1", "--output", "json", "--rate", "1MiB/s"]);
    run.until("progress", |progress| progress["done"].as_u64().unwrap() > 1 << 20);
    (0..2).for_each(|host| sshd.cut(host));
    let done = run.end().exits(0);
    for (name, dest) in sshd.names().into_iter().zip(sshd.dests()) {
        assert_active(&dest, "v1", &operator.path("app"));
        assert_clean(&dest);
        let attempts = done.of_type("host_state").into_iter().filter(|event| event["host"] == name);
        assert!(attempts.into_iter().all(|event| event["attempt"] == 1), "none was begun anew");
        let back = |log: &serde_json::Value| {
            log["host"] == name && log["message"].as_str().unwrap().contains("connected again")
        };
        assert_eq!(done.of_type("log").into_iter().filter(|log| back(log)).count(), 1, "{name}");
    }
    let swarm = &done.finished()["swarm"];
    let (bytes, sent) = (swarm["bytes"].as_u64().unwrap(), swarm["seeder_bytes"].as_u64().unwrap());
    assert!(sent <= 2 * bytes, "{sent} bytes were sent of {bytes} to two hosts: it was not fetched again");
}

#[test]
fn a_key_that_changed_is_refused_and_the_others_are_deployed_to() {
    let Some(sshd) = Sshd::start(2, "") else { return };
    let operator = sshd.operator();
    tree::make(&operator.path("app"), 1 << 20);
    let known = std::fs::read_to_string(operator.path("home/.ssh/known_hosts")).unwrap();
    let (first, second) = known.trim_end().split_once('\n').unwrap();
    let (first_host, second_host) = (first.split_once(' ').unwrap().0, second.split_once(' ').unwrap());
    // The first host is known by the key of the second.
    operator.knows(&format!("{first_host} {}\n{second}\n", second_host.1));
    let done = operator.run(&["deploy", "app", "--tag", "v1", "--output", "json"]).exits(6);
    assert_eq!(done.failures(), [(sshd.names()[0].to_owned(), "host_key".to_owned())]);
    assert_active(&sshd.dests()[1], "v1", &operator.path("app"));
    assert!(!sshd.dests()[0].exists());
}
