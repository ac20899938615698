use murder::demo::{DemoFleet, DemoOptions, Fault};
use rustix::process::Signal;

use crate::support::host::{assert_active, assert_clean, processes_below};
use crate::support::operator::{Operator, names_in};
use crate::support::terminal::Terminal;
use crate::support::{eventually, tree};

/// The number before a word, anywhere on the screen: `3` for `failed` in `✗ 3 failed`.
fn count(screen: &str, word: &str) -> Option<u32> {
    let words: Vec<&str> = screen.split_whitespace().collect();
    words.windows(2).find_map(|pair| (pair[1].trim_end_matches(',') == word).then(|| pair[0].parse().ok())?)
}

/// All shares on the screen, added up: it grows while bars move.
fn shares(screen: &str) -> u32 {
    let words: Vec<&str> = screen.split_whitespace().collect();
    let apart = words.windows(2).filter(|pair| pair[1] == "%").filter_map(|pair| pair[0].parse::<u32>().ok());
    let joined = words.iter().filter_map(|word| word.strip_suffix('%')?.parse::<u32>().ok());
    apart.chain(joined).sum()
}

fn bars_move(terminal: &mut Terminal) {
    let first =
        terminal.sees("a bar that is filled", |screen| screen.contains("fetching") && shares(screen) > 0);
    terminal.sees("a bar that moved", |screen| shares(screen) > shares(&first));
}

#[test]
fn a_demo_is_watched_to_its_end_and_a_failed_host_retried() {
    let operator = Operator::new();
    let fleet = ["demo", "--fleet", "6", "--size", "16M", "--rate", "2M", "--fail", "1", "--retries", "0"];
    let mut terminal = Terminal::run(&operator, &fleet, 132, 40);
    bars_move(&mut terminal);
    terminal.sees("a failed host", |screen| count(screen, "failed") == Some(1));
    terminal.types("R");
    terminal.reads("retry");
    terminal.reads("y yes");
    terminal.types("y");
    terminal.sees("all hosts active", |screen| count(screen, "active") == Some(6));
    terminal.types("q");
    let ended = terminal.ends();
    assert_eq!(ended.code, 0, "{}", ended.text);
    assert_eq!(ended.insane, [""; 0], "the terminal is as it was");
    assert_eq!(count(&ended.text, "active"), Some(6), "the summary stays:\n{}", ended.text);
    assert_eq!(names_in(&operator.path("tmp")), [""; 0]);
}

#[test]
fn failed_hosts_are_mended_and_retried_without_leaving_the_screen() {
    let options = DemoOptions { hosts: 5, rate: Some(4 << 20), size: 8 << 20, ..DemoOptions::default() };
    let faults = [None, Some(Fault::Refused), Some(Fault::Permission), Some(Fault::HostKey)];
    let fleet = DemoFleet::start_with(&options, &faults).unwrap();
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 8 << 20);
    let deploy = ["deploy", "app", "--tag", "v1", "--retries", "0"];
    let mut terminal = Terminal::run(&operator, &deploy, 132, 40);
    terminal.sees("the others' end", |screen| {
        count(screen, "failed") == Some(3) && count(screen, "active") == Some(2)
    });
    for host in 0..fleet.hosts().len() {
        fleet.heal(host).unwrap();
    }
    terminal.types("R");
    terminal.reads("3");
    terminal.reads("y yes");
    terminal.types("y");
    terminal.sees("all hosts active", |screen| count(screen, "active") == Some(5));
    terminal.types("q");
    let ended = terminal.ends();
    assert_eq!((ended.code, ended.insane), (0, Vec::new()), "{}", ended.text);
    for host in fleet.hosts() {
        assert_active(&host.dest, "v1", &operator.path("app"));
        assert_clean(&host.dest);
    }
}

#[test]
fn leaving_in_the_middle_is_asked_about_and_is_not_a_success() {
    let operator = Operator::new();
    let fleet = ["demo", "--fleet", "4", "--size", "32M", "--rate", "256K"];
    let mut terminal = Terminal::run(&operator, &fleet, 100, 30);
    bars_move(&mut terminal);
    let before = terminal.screen();
    terminal.types("q");
    terminal.sees("the question", |screen| screen != before && screen.contains("quit"));
    terminal.types("n");
    bars_move(&mut terminal);
    terminal.types("q");
    terminal.reads("y yes");
    terminal.types("y");
    let ended = terminal.ends();
    assert_eq!(ended.code, 7, "{}", ended.text);
    assert_eq!(ended.insane, [""; 0]);
    eventually("the agents' end", || processes_below(&operator.path("tmp")).is_empty());
    assert_eq!(names_in(&operator.path("tmp")), [""; 0]);
}

#[test]
fn control_c_stops_cleanly_and_puts_the_terminal_back() {
    let operator = Operator::new();
    let mut terminal =
        Terminal::run(&operator, &["demo", "--fleet", "4", "--size", "32M", "--rate", "256K"], 100, 30);
    bars_move(&mut terminal);
    terminal.types("\x03");
    let ended = terminal.ends();
    assert_eq!(ended.code, 7, "{}", ended.text);
    assert_eq!(ended.insane, [""; 0]);
    assert_eq!(names_in(&operator.path("tmp")), [""; 0]);
}

#[test]
fn the_screen_follows_the_size_of_its_window() {
    let operator = Operator::new();
    let mut terminal =
        Terminal::run(&operator, &["demo", "--fleet", "6", "--size", "32M", "--rate", "256K"], 132, 40);
    terminal.reads("fetching");
    for (columns, rows) in [(80, 24), (40, 12), (20, 5), (200, 60), (132, 40)] {
        terminal.resizes(columns, rows);
        terminal.sees("something at every size", |screen| !screen.trim().is_empty());
    }
    terminal.reads("fetching");
    // At once: keys that came beside a change of size were once left lying.
    terminal.types("q");
    terminal.types("y");
    assert_eq!(terminal.ends().insane, [""; 0]);
}

#[test]
fn a_terminal_that_wants_no_colour_gets_none() {
    let operator = Operator::new();
    let demo = ["demo", "--fleet", "4", "--size", "16M", "--rate", "256K", "--fail", "1"];
    for (value, colored) in [("1", false), ("", true)] {
        let mut terminal = Terminal::run_with(&operator, &demo, 100, 30, &[("NO_COLOR", value)]);
        bars_move(&mut terminal);
        assert_eq!(terminal.colored() > 0, colored, "NO_COLOR={value:?}");
        terminal.types("\x03");
        assert_eq!(terminal.ends().insane, [""; 0]);
    }
}

#[test]
fn a_locale_without_the_letters_gets_ascii() {
    let operator = Operator::new();
    let demo = ["demo", "--fleet", "4", "--size", "16M", "--rate", "256K"];
    let mut terminal = Terminal::run_with(&operator, &demo, 100, 30, &[("LANG", "C")]);
    bars_move(&mut terminal);
    let screen = terminal.screen();
    assert!(screen.is_ascii(), "{screen}");
    terminal.types("\x03");
    assert_eq!(terminal.ends().code, 7);
}

#[test]
fn a_signal_to_end_stops_cleanly_and_puts_the_terminal_back() {
    let operator = Operator::new();
    let demo = ["demo", "--fleet", "4", "--size", "32M", "--rate", "256K"];
    let mut terminal = Terminal::run(&operator, &demo, 100, 30);
    bars_move(&mut terminal);
    terminal.signals(Signal::TERM);
    let ended = terminal.ends();
    assert_eq!((ended.code, ended.insane), (7, Vec::new()), "{}", ended.text);
    assert_eq!(names_in(&operator.path("tmp")), [""; 0]);
}

#[test]
fn a_terminal_that_is_hung_up_takes_no_deployment_with_it() {
    let options = DemoOptions { hosts: 3, rate: Some(2 << 20), size: 8 << 20, ..DemoOptions::default() };
    let fleet = DemoFleet::start_with(&options, &[]).unwrap();
    let operator = Operator::of_fleet(&fleet);
    tree::make(&operator.path("app"), 8 << 20);
    let mut terminal = Terminal::run(&operator, &["deploy", "app", "--tag", "v1"], 100, 30);
    bars_move(&mut terminal);
    terminal.signals(Signal::HUP);
    assert_eq!(terminal.ends().code, 0, "it went on to its end without a terminal");
    for host in fleet.hosts() {
        assert_active(&host.dest, "v1", &operator.path("app"));
        assert_clean(&host.dest);
    }
    let told = operator.run(&["show", "last"]).exits(0);
    assert_eq!(count(&told.text(), "active"), Some(3), "it is recorded to its end:\n{}", told.text());
}

#[test]
fn a_screen_that_was_suspended_comes_back_and_says_how_long_it_was_away() {
    let operator = Operator::new();
    let demo = ["demo", "--fleet", "4", "--size", "32M", "--rate", "256K"];
    let mut terminal = Terminal::run(&operator, &demo, 100, 30);
    bars_move(&mut terminal);
    terminal.types("\x1a");
    eventually("a stopped process", || terminal.is_stopped());
    terminal.signals(Signal::CONT);
    terminal.reads("here again after");
    bars_move(&mut terminal);
    terminal.types("q");
    terminal.reads("y yes");
    terminal.types("y");
    assert_eq!(terminal.ends().insane, [""; 0]);
}
