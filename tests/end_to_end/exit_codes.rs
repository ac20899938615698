use std::fs;

use murder::exit;
use rustix::process::Signal;

use crate::support::host::fleet;
use crate::support::operator::Operator;

fn with_inventory(text: &str) -> Operator {
    let operator = Operator::new();
    operator.has_inventory(text);
    fs::write(operator.path("file"), "x").unwrap();
    operator
}

#[test]
fn a_wrong_command_line_is_a_mistake_of_usage() {
    let operator = Operator::new();
    for arguments in [
        &["deploy"][..],
        &["deploy", "x", "--no-such-flag"],
        &["no-such-command"],
        &["demo", "--size", "lots"],
    ] {
        let done = operator.run(arguments).exits(2);
        assert!(done.stderr.contains("--help"), "{arguments:?} says where to look:\n{}", done.stderr);
    }
}

#[test]
fn a_mistake_in_the_inventory_is_shown_where_it_stands() {
    let operator = with_inventory(
        "defaults:\n  user: deploy\ngroups:\n  web:\n    hosts:\n      - {host: a, adress: b}\n",
    );
    let done = operator.run(&["deploy", "file"]).exits(3);
    let text = done.text();
    for words in ["hosts.yaml:6:", "adress", "did you mean", "address"] {
        assert!(text.contains(words), "{words:?} is in\n{text}");
    }
}

#[test]
fn no_inventory_at_all_is_said_plainly() {
    let operator = Operator::new();
    fs::write(operator.path("file"), "x").unwrap();
    assert!(operator.run(&["deploy", "file"]).exits(3).text().contains("hosts.yaml"));
}

#[test]
fn a_selection_of_nobody_is_an_end_of_its_own() {
    let operator = with_inventory("- web1\n- web2\n");
    let done = operator.run(&["deploy", "file", "-l", "db*"]).exits(4);
    assert!(done.text().contains("db*"), "{}", done.text());
    operator.run(&["deploy", "file", "-x", "web*"]).exits(4);
}

#[test]
fn a_machine_that_does_not_do_its_part_is_an_error_inside() {
    let operator = with_inventory("- {host: web1, dest: /srv/app}\n");
    fs::remove_dir(operator.path("state")).unwrap();
    fs::write(operator.path("state"), "no folder").unwrap();
    let done = operator.run(&["deploy", "file"]).exits(i32::from(exit::INTERNAL));
    assert!(done.stderr.contains("state"), "it says what could not be made: {}", done.stderr);
}

#[test]
fn whoever_cannot_wait_ends_it_at_once() {
    let fleet = fleet(2, &[]);
    let operator = Operator::of_fleet(&fleet);
    fs::write(operator.path("file"), "x").unwrap();
    let mut held = operator.start(&["deploy", "file", "--tag", "v1", "--hold", "--output", "json"]);
    held.until("barrier", |barrier| barrier["staged"] == 2);
    held.signal(Signal::INT);
    held.signal(Signal::TERM);
    held.end().exits(i32::from(exit::ABORTED));
}

#[test]
fn the_codes_are_those_that_scripts_know() {
    let codes = [exit::OK, exit::INTERNAL, exit::USAGE, exit::CONFIG, exit::NO_HOST, exit::FAILED];
    assert_eq!((codes, exit::STOPPED, exit::ABORTED), ([0, 1, 2, 3, 4, 6], 7, 130));
    let documented: Vec<u8> = murder::cli::EXIT_CODES.into_iter().map(|(code, _)| code).collect();
    assert_eq!(documented, [0, 1, 2, 3, 4, 6, 7, 130]);
}

#[test]
fn the_help_shows_every_command_and_every_default() {
    let operator = Operator::new();
    let help = operator.run(&["--help"]).exits(0).text();
    for command in [
        "deploy",
        "demo",
        "check",
        "activate",
        "rollback",
        "releases",
        "clean",
        "runs",
        "show",
        "retry",
        "replay",
        "completions",
        "man",
        "keys",
        "paths",
    ] {
        assert!(help.contains(command), "{command} is in\n{help}");
    }
    let help = operator.run(&["deploy", "--help"]).exits(0).text();
    for (flag, default) in [
        ("--keep", "5"),
        ("--retries", "2"),
        ("--fanout", "128"),
        ("--connect-timeout", "10s"),
        ("--link", "current"),
    ] {
        let after = help.split_once(flag).unwrap_or_else(|| panic!("{flag} is in\n{help}")).1;
        assert!(after.contains(default), "{default} is said for {flag}");
    }
}
