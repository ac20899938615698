//! One deployment to real hosts, each with a fault of its own in a phase of its own.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::fire::{When, end_of, under_fire};
use crate::lab::{Lab, is_agent, name};
use crate::support::host::current;
use crate::support::tree;
use crate::table::Table;

/// Mbit/s of every link, and of the slow one.
const MBIT: u32 = 24;
const SLOW: u32 = 3;

const BYTES: u64 = 12 << 20;

/// What a run may leave on a host after its end is gone within this time, the lease of its agents.
const LEASE: Duration = Duration::from_secs(60);

struct Case {
    fault: &'static str,
    when: When,
    strike: fn(&Lab, usize),
    heal: fn(&Lab, usize),
    /// Ends of the host: state, or `KIND in PHASE`.
    expected: &'static [&'static str],
}

const USER: &str = "no such user";
const KEY: &str = "wrong host key";

fn nothing(_: &Lab, _: usize) {}

fn cases() -> Vec<Case> {
    let case = |fault, when, strike: fn(&Lab, usize), heal: fn(&Lab, usize), expected| Case {
        fault,
        when,
        strike,
        heal,
        expected,
    };
    let fetching = When::Fetching;
    let staged = When::State("staged");
    let before = When::Before(None);
    let down: fn(&Lab, usize) = |lab, host| lab.link(host, "down");
    let up: fn(&Lab, usize) = |lab, host| lab.link(host, "up");
    let freeze: fn(&Lab, usize) = |lab, host| lab.signal(host, Signal::STOP, |_| true);
    let thaw: fn(&Lab, usize) = |lab, host| lab.signal(host, Signal::CONT, |_| true);
    let slow: fn(&Lab, usize) = |lab, host| lab.shape(host, "change", SLOW);
    let quick: fn(&Lab, usize) = |lab, host| lab.shape(host, "change", MBIT);
    let full: fn(&Lab, usize) = |lab, host| {
        // It fails in the end, as it should.
        let _ = lab.run(host, &format!("cat /dev/zero > {}/fill", lab.disk(host).display()));
    };
    let roomy: fn(&Lab, usize) =
        |lab, host| lab.run(host, &format!("rm {}/fill", lab.disk(host).display())).unwrap();
    let nossh: fn(&Lab, usize) =
        |lab, host| lab.signal(host, Signal::KILL, |command| command.contains("sshd"));
    let ssh: fn(&Lab, usize) = |lab, host| lab.sshd(host).unwrap();
    let kill: fn(&Lab, usize) = |lab, host| lab.signal(host, Signal::KILL, is_agent);
    let readonly: fn(&Lab, usize) = |lab, host| remount(lab, host, "ro");
    let writable: fn(&Lab, usize) = |lab, host| remount(lab, host, "rw");
    let marker: fn(&Lab, usize) =
        |lab, host| lab.run(host, &format!("touch {}/hook-fails", lab.disk(host).display())).unwrap();
    let unmark: fn(&Lab, usize) =
        |lab, host| lab.run(host, &format!("rm {}/hook-fails", lab.disk(host).display())).unwrap();
    vec![
        case(KEY, before, nothing, nothing, &["host_key in connecting"]),
        case(USER, before, nothing, nothing, &["auth in connecting"]),
        case("read-only disk", before, readonly, writable, &["permission in checking"]),
        case("cable pulled", fetching, down, up, &["stalled in fetching", "lost in fetching"]),
        case("frozen", fetching, freeze, thaw, &["stalled in fetching", "lost in fetching"]),
        case("slow link", fetching, slow, quick, &["active"]),
        case("disk full", fetching, full, roomy, &["disk_full in fetching", "disk_full in unpacking"]),
        case("sshd killed", fetching, nossh, ssh, &["lost in fetching"]),
        case("agent killed", fetching, kill, nothing, &["lost in fetching"]),
        case("sshd killed", staged, nossh, ssh, &["lost in activating"]),
        case("agent killed", staged, kill, nothing, &["lost in activating"]),
        case("hook exits 1", before, marker, unmark, &["hook in activating"]),
        case("none", before, nothing, nothing, &["active"]),
    ]
}

fn remount(lab: &Lab, host: usize, how: &str) {
    lab.run(host, &format!("mount -o remount,{how} {}", lab.disk(host).display())).unwrap();
}

pub(crate) fn table() -> Table {
    let mut table = Table::default();
    if let Some(obstacle) = Lab::obstacle() {
        table.skipped(&obstacle);
        return table;
    }
    let cases = cases();
    let lab = Lab::up(cases.len(), MBIT).unwrap();
    let payload = lab.operator.path("app");
    tree::make(&payload, BYTES);
    inventory(&lab, &cases, true);
    for (host, case) in (1..).zip(&cases) {
        if matches!(case.when, When::Before(_)) {
            (case.strike)(&lab, host);
        }
    }

    let payload_path = payload.display().to_string();
    let arguments = ["deploy", &payload_path, "--tag", "v1", "--output", "json", "--retries", "0"];
    let inventory_path = lab.operator.path("hosts.yaml").display().to_string();
    let limits = ["--stall-timeout", "10s", "-i", &inventory_path];
    let names: Vec<String> = (1..=cases.len()).map(name).collect();
    let plan: Vec<(&str, When)> =
        names.iter().zip(&cases).map(|(name, case)| (name.as_str(), case.when)).collect();
    let run = lab.murder(&[&arguments[..], &limits[..]].concat());
    let done = under_fire(run, &plan, |index| (cases[index].strike)(&lab, index + 1)).exits(6);
    for (name, case) in names.iter().zip(&cases) {
        let phase = match case.when {
            When::Before(_) => "before the run",
            When::State(state) => state,
            _ => "fetching",
        };
        table.row(case.fault, phase, case.expected, &end_of(&done, name));
    }
    let mut whole = (1..).zip(&cases).filter(|(_, case)| case.expected == ["active"]);
    let unharmed = whole.try_for_each(|(host, _)| is_active(&lab, host, &payload));
    table.holds("all", "after", "others unharmed", unharmed);
    table.holds("all", "after", "links as they must be", links(&lab, &cases));

    for (host, case) in (1..).zip(&cases) {
        (case.heal)(&lab, host);
    }
    let healed = Instant::now();
    table.holds("all", "healed", "left clean within the lease", clean(&lab, cases.len(), healed));
    inventory(&lab, &cases, false);
    let retry = lab.murder(&[&arguments[..6], &["-i", &inventory_path]].concat()).end();
    table.row("all", "retry", &["exit 0"], &format!("exit {}", retry.code.unwrap_or(-1)));
    let all = (1..=cases.len()).try_for_each(|host| is_active(&lab, host, &payload));
    table.holds("all", "retry", "all active", all);
    table.holds("all", "retry", "left clean", clean(&lab, cases.len(), Instant::now()));
    table
}

fn inventory(lab: &Lab, cases: &[Case], wrong: bool) {
    let hooks = "hooks:\n  before_activate: \"test ! -e $MURDER_DEST/../hook-fails\"\n";
    let is = |host: usize, fault: &str| wrong && cases[host - 1].fault == fault;
    let wrong_keys: Vec<usize> = (1..=cases.len()).filter(|host| is(*host, KEY)).collect();
    lab.write_inventory(hooks, |host| if is(host, USER) { "nobody-here" } else { "root" }, &wrong_keys);
}

fn is_active(lab: &Lab, host: usize, payload: &std::path::Path) -> Result<(), String> {
    let dest = lab.seen_dest(host);
    tree::assert_same(payload, &dest.join("releases/v1"));
    if current(&dest).is_some() { Ok(()) } else { Err(format!("{}: no link", name(host))) }
}

/// Only what became active was switched.
fn links(lab: &Lab, cases: &[Case]) -> Result<(), String> {
    (1..).zip(cases).try_for_each(|(host, case)| {
        let wanted = case.expected == ["active"];
        match current(&lab.seen_dest(host)).is_some() == wanted {
            true => Ok(()),
            false => Err(format!("{}: switched is {}", name(host), !wanted)),
        }
    })
}

fn clean(lab: &Lab, hosts: usize, since: Instant) -> Result<(), String> {
    loop {
        // A killed agent leaves a lock that nobody holds; the next run takes it over.
        let left = (1..=hosts).try_for_each(|host| lab.leftovers(host));
        if left.is_ok() || since.elapsed() > LEASE {
            return left;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
