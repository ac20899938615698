use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::*;
use crate::control::{Failure, FailureKind, HostId, LogLevel, Phase, RunId};
use crate::deploy::{Body, Event, HostState, Plan};
use crate::fleet::FleetState;
use crate::journal::script::{self, START, Script};
use crate::journal::script_errands;

/// A place that many may write to and that is read afterwards.
#[derive(Clone, Default)]
pub(super) struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn style() -> Style {
    Style::default()
}

fn options() -> PlainOptions {
    PlainOptions { style: style(), verbose: false, columns: None, ci: Ci::None }
}

fn plain(options: PlainOptions, events: &[Event]) -> String {
    let page = Page::default();
    let mut face = Plain::new(page.clone(), options);
    events.iter().for_each(|event| face.event(event));
    assert_eq!(face.trouble(), None);
    page.text()
}

fn json(events: &[Event]) -> (String, String) {
    let (out, err) = (Page::default(), Page::default());
    let mut face = Json::new(out.clone(), err.clone(), style(), false);
    events.iter().for_each(|event| face.event(event));
    (out.text(), err.text())
}

fn fleet(events: &[Event]) -> FleetState {
    let mut fleet = FleetState::new();
    events.iter().for_each(|event| fleet.apply(event));
    fleet
}

fn runs() -> [(&'static str, Vec<Event>); 10] {
    [
        ("success", script::success()),
        ("some_failed", script::some_failed()),
        ("stopped", script::stopped()),
        ("held", script::held()),
        ("demo", script::demo()),
        ("rolled_back", script::rolled_back()),
        ("shut", script::shut()),
        ("check", script_errands::check()),
        ("releases", script_errands::releases()),
        ("clean", script_errands::clean()),
    ]
}

#[test]
fn no_terminal_breaks_a_word_of_the_summary() {
    for columns in [60, 80, 99] {
        let style = Style { columns: Some(columns), ..style() };
        for events in [script::success(), script::some_failed(), script::stopped(), script::held()] {
            let text = summary(&fleet(&events), &style);
            for line in text.lines().filter(|line| !line.trim_start().starts_with('|')) {
                // A path or a name is a word of its own.
                let fits =
                    line.chars().count() <= columns || line.contains("/runs/") || line.contains(".com");
                assert!(fits, "{columns}: {line}");
            }
        }
    }
    let (wide, narrow) = (Style { columns: Some(200), ..style() }, Style { columns: Some(20), ..style() });
    let events = fleet(&script::some_failed());
    assert_eq!(summary(&events, &wide), summary(&events, &style()));
    assert_eq!(summary(&events, &narrow), summary(&events, &Style { columns: Some(60), ..style() }));
}

#[test]
fn plain_tells_each_change_of_state_and_ends_with_the_summary() {
    for (name, events) in runs() {
        insta::assert_snapshot!(format!("plain_{name}"), plain(options(), &events));
    }
}

#[test]
fn json_is_one_object_a_line() {
    for (name, events) in runs() {
        insta::assert_snapshot!(format!("json_{name}"), json(&events).0);
    }
}

#[test]
fn quiet_prints_the_summary_alone_and_so_does_json_beside_its_lines() {
    for (name, events) in runs() {
        let page = Page::default();
        let mut face = Quiet::new(page.clone(), style());
        events.iter().for_each(|event| face.event(event));
        let alone = summary(&fleet(&events), &style());
        assert_eq!(page.text(), alone);
        assert_eq!(json(&events).1, alone);
        assert!(plain(options(), &events).ends_with(&alone));
        insta::assert_snapshot!(format!("summary_{name}"), alone);
    }
}

#[test]
fn the_summary_of_a_killed_run_says_so() {
    let mut events = script::some_failed();
    events.truncate(60);
    insta::assert_snapshot!(summary(&fleet(&events), &style()));
    assert_eq!(summary(&FleetState::new(), &style()), "");
}

#[test]
fn the_summary_without_activation_says_how_to_activate() {
    let mut events = script::held();
    events.retain(|event| !matches!(event.body, Body::Stopping { .. }));
    events[0].body = Body::Planned(Box::new(Plan { activate: false, ..script::plan(4) }));
    for event in &mut events {
        if let Body::Resting(summary) | Body::Finished(summary) = &mut event.body {
            summary.exit = 0;
        }
    }
    insta::assert_snapshot!(summary(&fleet(&events), &style()));
}

#[test]
fn hosts_that_failed_alike_are_one_entry_with_folded_names() {
    let mut script = Script::new(script::plan(60));
    script.started();
    let lost = Failure::new(Phase::Fetching, FailureKind::Lost, "the connection ended");
    let full = Failure {
        detail: (1..9).map(|line| format!("word {line}")).collect(),
        ..Failure::new(Phase::Checking, FailureKind::DiskFull, "/srv has too little space for 231 MB")
    };
    for id in 3..43 {
        script.host(id, 1, HostState::Fetching).host(id, 1, HostState::Failed(lost.clone()));
        script.host(id, 2, HostState::Checking).host(id, 2, HostState::Failed(full.clone()));
    }
    for id in (0..60).step_by(2).filter(|id| !(3..43).contains(id)) {
        script.host(id, 1, HostState::Failed(lost.clone()));
    }
    let text = summary(&fleet(&script.events), &style());
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_status_comes_each_ten_seconds_and_none_when_nothing_moves() {
    let page = Page::default();
    let mut face = Plain::new(page.clone(), options());
    let mut script = Script::new(script::plan(2));
    script.fetch(&[0, 1], 1, 0);
    script.events.iter().for_each(|event| face.event(event));
    (0..35).for_each(|second| face.tick(START + second * 1000));
    let statuses = |page: &Page| page.text().lines().filter(|line| line.contains(" status ")).count();
    assert_eq!(statuses(&page), 3);
    let mut script = Script::new(script::plan(2));
    script.after(40_000).host(0, 1, HostState::Cancelled).host(1, 1, HostState::Active);
    script.events[1..].iter().for_each(|event| face.event(event));
    let before = statuses(&page);
    (40..95).for_each(|second| face.tick(START + second * 1000));
    assert_eq!(statuses(&page), before, "all hosts are final");
}

#[test]
fn only_a_terminal_gets_a_line_that_is_rewritten() {
    let events = script::some_failed();
    assert!(!plain(options(), &events).contains(['\r', '\u{1b}']));
    let text = plain(PlainOptions { columns: Some(|| 60), ..options() }, &events);
    let mut terminal = vt100::Parser::new(400.try_into().unwrap(), 60.try_into().unwrap(), 0);
    terminal.process(text.replace('\n', "\r\n").as_bytes());
    let screen = terminal.screen().contents();
    assert!(text.contains('\r'));
    let rewritten = |text: &str| text.lines().filter(|line| line.contains(" of 6 hosts;")).count();
    assert_eq!(rewritten(&screen), 0, "no remains of the status:\n{screen}");
    assert!(screen.contains("recorded"));
}

#[test]
fn colours_and_glyphs_beyond_ascii_are_there_when_asked_for() {
    let events = script::some_failed();
    let colored = plain(PlainOptions { style: Style { color: true, ..style() }, ..options() }, &events);
    assert!(colored.contains("\u{1b}[31m✗ failed"));
    let ascii = plain(PlainOptions { style: Style { ascii: true, ..style() }, ..options() }, &events);
    assert!(ascii.is_ascii(), "{:?}", ascii.chars().find(|char| !char.is_ascii()));
    assert!(ascii.contains("x failed"));
}

#[test]
fn github_and_gitlab_get_their_folds() {
    let events = script::some_failed();
    let only_commands = |text: String| -> String {
        text.lines()
            .filter(|line| line.contains("::") || line.contains("section_"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let github = plain(PlainOptions { ci: Ci::GitHub, ..options() }, &events);
    insta::assert_snapshot!("github", only_commands(github));
    let gitlab = plain(PlainOptions { ci: Ci::GitLab, ..options() }, &events);
    insta::assert_snapshot!("gitlab", only_commands(gitlab).replace('\u{1b}', "ESC").replace('\r', "CR"));
}

#[test]
fn what_a_host_says_reaches_no_terminal_as_it_is() {
    let mut script = Script::new(Plan { run: RunId("r".into()), ..script::plan(1) });
    script.log(Some(0), LogLevel::Warn, "\u{1b}[2J::error::\n##[add-mask]x");
    let text = plain(PlainOptions { ci: Ci::GitHub, ..options() }, &script.events);
    assert!(!text.contains('\u{1b}') && !text.contains("##["), "{text}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("::error")), "{text}");
}

#[test]
fn json_begins_with_run_started_though_hosts_move_before_it_is_known() {
    let mut script = Script::new(script::plan(2));
    script.host(0, 1, HostState::Connecting).log(None, LogLevel::Info, "early");
    script.after(2000).started();
    let (out, _) = json(&script.events);
    let types: Vec<String> = out
        .lines()
        .map(|line| {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            object["type"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(types, ["run_started", "host_state", "log"]);
}

#[test]
fn json_begins_with_run_started_also_when_packing_failed() {
    let mut script = Script::new(script::plan(1));
    script.log(None, LogLevel::Error, "cannot read ./dist/x: permission denied");
    let events = script.finish(script::summary(1, 0, 0, 0, 1));
    let (out, _) = json(&events);
    assert!(out.lines().next().unwrap().contains("\"type\":\"run_started\""));
    assert!(out.lines().last().unwrap().contains("\"type\":\"run_finished\""));
}

#[test]
fn progress_comes_at_most_once_a_second_a_host() {
    let mut script = Script::new(script::plan(2));
    script.started().fetch(&[0, 1], 1, 0);
    for step in 0..50 {
        script.after(130).progress(step % 2, u64::from(step), 1);
    }
    let (out, _) = json(&script.events);
    let mut last = std::collections::HashMap::new();
    let mut lines = 0;
    for line in out.lines().filter(|line| line.contains("\"progress\"")) {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        let ts = object["ts"].as_str().unwrap();
        let ms = ts[17..19].parse::<u64>().unwrap() * 1000 + ts[20..23].parse::<u64>().unwrap();
        let host = object["host"].as_str().unwrap().to_owned();
        if let Some(before) = last.insert(host, ms) {
            assert!(ms >= before + 1000, "{line}");
        }
        lines += 1;
    }
    assert!(lines >= 10, "{lines} lines in 6.5 s for two hosts");
}

struct Closed(io::ErrorKind);

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_left_is_no_error_and_a_full_disk_is_one() {
    for (kind, is_trouble) in [(io::ErrorKind::BrokenPipe, false), (io::ErrorKind::StorageFull, true)] {
        let faces: [Box<dyn Face>; 3] = [
            Box::new(Plain::new(Closed(kind), options())),
            Box::new(Json::new(Closed(kind), io::sink(), style(), false)),
            Box::new(Quiet::new(Closed(kind), style())),
        ];
        for mut face in faces {
            script::success().iter().for_each(|event| face.event(event));
            face.tick(START + 100_000);
            assert_eq!(face.trouble().is_some(), is_trouble, "{kind}");
        }
    }
}

#[test]
fn a_host_that_is_none_of_the_plan_breaks_nothing() {
    let mut script = Script::new(script::plan(1));
    script.started().host(7, 1, HostState::Connecting).progress(7, 1, 1);
    script.push(Body::Activated { host: HostId::SEEDER, at: START, previous: None });
    let events = script.finish(script::summary(0, 1, 0, 0, 0));
    assert!(plain(options(), &events).contains(" ? "));
    assert!(json(&events).0.contains("\"?\""));
}

#[test]
fn nothing_is_printed_over_a_question_and_nothing_is_lost() {
    let events = script::success();
    let (before, after) = events.split_at(events.len() / 2);
    let page = Page::default();
    let mut face = Plain::new(page.clone(), PlainOptions { columns: Some(|| 60), ..options() });
    before.iter().for_each(|event| face.event(event));
    face.hold(true);
    let at_the_question = page.text();
    after.iter().for_each(|event| face.event(event));
    face.tick(START + 3_600_000);
    assert_eq!(page.text(), at_the_question);
    face.hold(false);
    let kept =
        |text: &str| text.lines().filter(|line| !line.contains('\r')).map(str::to_owned).collect::<Vec<_>>();
    let told = kept(&page.text());
    for line in kept(&plain(options(), &events)).iter().filter(|line| line.contains("active")) {
        assert!(told.contains(line), "{line:?} in {told:#?}");
    }
}

#[test]
fn a_failure_names_its_attempt_only_where_another_came_or_could_come() {
    let failed = |attempts: u32, attempt: u32, kind: FailureKind| {
        let mut script = Script::new(Plan { attempts, ..script::plan(1) });
        script.host(0, attempt, HostState::Failed(Failure::new(Phase::Connecting, kind, "as told")));
        plain(options(), &script.events).lines().last().unwrap().to_owned()
    };
    for (attempts, attempt, kind, end) in [
        (3, 1, FailureKind::Auth, "as told"),
        (3, 1, FailureKind::Refused, "as told (attempt 1 of 3)"),
        (1, 1, FailureKind::Refused, "as told"),
        (3, 2, FailureKind::Auth, "as told (attempt 2 of 3)"),
        (3, 3, FailureKind::Refused, "as told (attempt 3 of 3)"),
        (3, 4, FailureKind::Auth, "as told (attempt 4)"),
    ] {
        let line = failed(attempts, attempt, kind);
        assert!(line.ends_with(end), "{line}");
    }
}

#[test]
fn where_the_tag_is_taken_another_tag_is_advised_and_no_retry_with_this_one() {
    let taken = Failure::new(Phase::Checking, FailureKind::DestExists, "the tag is there with other content");
    let no_link = Failure::new(Phase::Activating, FailureKind::DestExists, "current is no symbolic link");
    let lost = Failure::new(Phase::Fetching, FailureKind::Lost, "gone");
    let next = |failures: [Option<&Failure>; 3]| {
        let mut script = Script::new(script::plan(3));
        let (mut failed, mut active) = (0, 0);
        for (id, failure) in (0..).zip(failures) {
            let state = failure.map_or(HostState::Active, |failure| HostState::Failed(failure.clone()));
            (failed, active) = (failed + u32::from(failure.is_some()), active + u32::from(failure.is_none()));
            script.host(id, 1, state);
        }
        let text = summary(&fleet(&script.finish(script::summary(6, active, 0, failed, 0))), &style());
        let lines = text.split_once("  next").unwrap().1.lines().map(str::trim);
        lines.take_while(|line| !line.starts_with("murder show")).collect::<Vec<_>>().join("\n")
    };
    let run = "20261123-150146-7f3a";
    let all = next([Some(&taken), Some(&taken), Some(&lost)]);
    assert!(all.starts_with(&format!("murder retry {run} --tag TAG ")), "{all}");
    assert!(all.ends_with("app-1.4 is there with other content on 2 hosts"), "{all}");
    let some = next([Some(&taken), None, Some(&lost)]);
    assert!(some.starts_with("murder deploy ./dist --tag TAG "), "{some}");
    assert!(some.contains("goes on with the 2 hosts not done; in vain where the tag is taken"), "{some}");
    let only = next([Some(&taken), None, None]);
    assert!(only.contains("--tag TAG") && !only.contains("murder retry"), "{only}");
    let moved = next([Some(&no_link), None, None]);
    assert!(moved.contains(&format!("murder retry {run} ")) && !moved.contains("--tag"), "{moved}");
}

#[test]
fn pieces_stay_for_a_retry_also_if_the_last_attempt_fetched_none() {
    let lost = || HostState::Failed(Failure::new(Phase::Connecting, FailureKind::Refused, "refused"));
    let left = |fetched: u64, attempts: u32| {
        let mut script = Script::new(script::plan(1));
        script.host(0, 1, HostState::Fetching);
        script.progress(0, fetched, 5);
        for attempt in 1..=attempts {
            script.host(0, attempt, lost());
        }
        summary(&fleet(&script.finish(script::summary(6, 0, 0, 1, 0))), &style())
    };
    let stays =
        |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").contains("verified pieces stay");
    for (fetched, attempts, expected) in [(500, 1, true), (500, 2, true), (500, 3, true), (0, 2, false)] {
        assert_eq!(stays(&left(fetched, attempts)), expected, "{fetched} {attempts}");
    }
}
