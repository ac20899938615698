//! One deployment to made-up hosts, each with a fault of its own in a phase of its own.

use std::fs;
use std::time::{Duration, Instant};

use murder::demo::{DemoFleet, DemoHost, DemoOptions, Fault};
use rustix::process::Signal;

use crate::fire::{When, end_of, under_fire};
use crate::hosts;
use crate::support::host::{assert_active, current};
use crate::support::operator::Operator;
use crate::support::tree;
use crate::table::Table;

/// So slow that a fault of the transfer comes in its middle.
const RATE: u64 = 1 << 20;
const BYTES: u64 = 6 << 20;

/// What a run may leave on a host after its end is gone within this time, the lease of its agents.
const LEASE: Duration = Duration::from_secs(60);

/// Hooks that do what a host's home says.
const HOOKS: &str = r#"hooks:
  before_activate: "test ! -e $HOME/before-fails || { echo schema 41, wants 42 >&2; exit 1; }; test ! -e $HOME/before-waits || sleep 120"
  after_activate: "test ! -e $HOME/after-fails || { echo no answer on port 80 >&2; exit 1; }; test ! -e $HOME/after-waits || sleep 120"
  timeout: 8s
"#;

/// A row of the table: what is done to a host, and what it must come to.
struct Case {
    fault: &'static str,
    phase: &'static str,
    when: When,
    strike: fn(&DemoHost),
    /// Ends of the host: state, or `KIND in PHASE`.
    expected: &'static [&'static str],
    /// The link is switched when all is over.
    switched: bool,
}

fn nothing(_: &DemoHost) {}

fn kill(host: &DemoHost) {
    hosts::strike(host, Signal::KILL);
}

fn freeze(host: &DemoHost) {
    hosts::strike(host, Signal::STOP);
}

fn touch(host: &DemoHost, name: &str) {
    fs::write(host.home.join(name), "").unwrap();
}

fn other_content(host: &DemoHost) {
    fs::create_dir_all(host.dest.join("releases/v1")).unwrap();
    fs::write(host.dest.join("releases/v1/other"), "content").unwrap();
}

fn cases() -> Vec<Case> {
    let case = |fault, phase, when, strike: fn(&DemoHost), expected, switched| Case {
        fault,
        phase,
        when,
        strike,
        expected,
        switched,
    };
    use When::{Activated, Before, Fetching, State};
    vec![
        case(
            "no sshd",
            "connecting",
            Before(Some(Fault::Refused)),
            nothing,
            &["refused in connecting"],
            false,
        ),
        case("no such key", "connecting", Before(Some(Fault::Auth)), nothing, &["auth in connecting"], false),
        case(
            "wrong host key",
            "connecting",
            Before(Some(Fault::HostKey)),
            nothing,
            &["host_key in connecting"],
            false,
        ),
        case(
            "may not write",
            "checking",
            Before(Some(Fault::Permission)),
            nothing,
            &["permission in checking"],
            false,
        ),
        case("other content", "checking", Before(None), other_content, &["dest_exists in checking"], false),
        case("agent killed", "fetching", Fetching, kill, &["lost in fetching"], false),
        case("agent frozen", "fetching", Fetching, freeze, &["stalled in fetching"], false),
        case(
            "agent killed",
            "unpacking",
            State("unpacking"),
            kill,
            &["lost in unpacking", "lost in activating"],
            false,
        ),
        case("agent killed", "staged", State("staged"), kill, &["lost in activating"], false),
        case(
            "hook exits 1",
            "before",
            Before(None),
            |host| touch(host, "before-fails"),
            &["hook in activating"],
            false,
        ),
        case(
            "hook hangs",
            "before",
            Before(None),
            |host| touch(host, "before-waits"),
            &["hook in activating"],
            false,
        ),
        case("agent killed", "before", State("activating"), kill, &["lost in activating"], false),
        case(
            "hook exits 1",
            "after",
            Before(None),
            |host| touch(host, "after-fails"),
            &["hook in activating"],
            true,
        ),
        case("agent killed", "after", Activated, kill, &["lost in activating"], true),
        case("none", "", Before(None), nothing, &["active"], true),
        case("none", "", Before(None), nothing, &["active"], true),
    ]
}

pub(crate) fn table() -> Table {
    let cases = cases();
    let faults: Vec<Option<Fault>> =
        cases.iter().map(|case| if let When::Before(fault) = case.when { fault } else { None }).collect();
    let options = DemoOptions { hosts: cases.len(), rate: Some(RATE), size: BYTES, ..DemoOptions::default() };
    let fleet = DemoFleet::start_with(&options, &faults).unwrap();
    let operator = operator(&fleet);
    let payload = operator.path("app");
    tree::make(&payload, BYTES);
    for (case, host) in cases.iter().zip(fleet.hosts()) {
        match case.when {
            When::Before(_) => (case.strike)(host),
            When::State("activating") => touch(host, "before-waits"),
            When::Activated => touch(host, "after-waits"),
            _ => {}
        }
    }

    let arguments =
        ["deploy", "app", "--tag", "v1", "--output", "json", "--retries", "0", "--stall-timeout", "5s"];
    let plan: Vec<(&str, When)> =
        cases.iter().zip(fleet.hosts()).map(|(case, host)| (host.name.as_str(), case.when)).collect();
    let strike = |index: usize| (cases[index].strike)(&fleet.hosts()[index]);
    let done = under_fire(operator.start(&arguments), &plan, strike).exits(6);
    let ended = Instant::now();
    let mut table = Table::default();
    for (case, host) in cases.iter().zip(fleet.hosts()) {
        table.row(case.fault, case.phase, case.expected, &end_of(&done, &host.name));
    }
    table.holds(
        "all",
        "after",
        "nothing half there",
        each(&fleet, |host| hosts::nothing_half(host, &payload)),
    );
    let switched = |host: &DemoHost, wanted: bool| match current(&host.dest).is_some() == wanted {
        true => Ok(()),
        false => {
            Err(format!("{}: the link is {}", host.name, if wanted { "not switched" } else { "switched" }))
        }
    };
    let links = cases.iter().zip(fleet.hosts()).try_for_each(|(case, host)| switched(host, case.switched));
    table.holds("all", "after", "links as they must be", links);
    let told = |what: &str| done.finished()[what].as_array().unwrap().len();
    let named = if told("left_behind") + told("unchecked") == 0 { Ok(()) } else { Err(done.stderr.clone()) };
    table.holds("all", "after", "told that all is clean", named);
    table.holds("all", "after", "left clean", clean_within_lease(&fleet, ended));

    heal(&fleet);
    let retry = operator.run(&["retry", "last", "--output", "json"]).exits(0);
    let done = format!("exit 0, {} failed", retry.finished()["failed"]);
    table.row("healed", "retry", &["exit 0, 0 failed"], &done);
    for host in fleet.hosts() {
        assert_active(&host.dest, "v1", &payload);
    }
    table.holds("healed", "retry", "left clean", clean_within_lease(&fleet, Instant::now()));
    table
}

/// Knows the fleet, with hooks that can be made to fail.
pub(crate) fn operator(fleet: &DemoFleet) -> Operator {
    let operator = Operator::of_fleet(fleet);
    let inventory = fleet.inventory();
    let hosts = inventory.split("hooks:").next().unwrap();
    operator.has_inventory(&format!("{hosts}{HOOKS}"));
    operator
}

fn heal(fleet: &DemoFleet) {
    for (index, host) in fleet.hosts().iter().enumerate() {
        fleet.heal(index).unwrap();
        for name in ["before-fails", "before-waits", "after-fails", "after-waits"] {
            let _ = fs::remove_file(host.home.join(name));
        }
        if host.dest.join("releases/v1/other").exists() {
            fs::remove_dir_all(host.dest.join("releases/v1")).unwrap();
        }
    }
}

/// What a check says of the first host that does not pass it.
pub(crate) fn each(fleet: &DemoFleet, check: impl Fn(&DemoHost) -> Result<(), String>) -> Result<(), String> {
    fleet.hosts().iter().try_for_each(check)
}

/// Waits until nothing stays, as long as it may.
pub(crate) fn clean_within_lease(fleet: &DemoFleet, since: Instant) -> Result<(), String> {
    loop {
        let left = each(fleet, hosts::leftovers);
        if left.is_ok() || since.elapsed() > LEASE {
            return left;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
