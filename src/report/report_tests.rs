use super::tests::style;
use super::*;
use crate::control::{Failure, FailureKind, HostId, Phase};
use crate::deploy::{Event, FailureGroup, HostState, Plan};
use crate::journal::script::{self, START, Script};
use crate::journal::{Journal, Meta, Recorded};

fn report(events: Vec<Event>) -> RunReport {
    RunReport::of(events).unwrap()
}

fn all(run: &RunReport, before: Option<&Comparison>) -> [String; 3] {
    [ReportFormat::Markdown, ReportFormat::Html, ReportFormat::Json].map(|form| form.render(run, before))
}

/// A run of one host that fails with everything hostile that it can say.
fn hostile() -> RunReport {
    let evil = "<script>alert(1)</script>`|*[x](javascript:1)\u{1b}[31m\"'&\n# head";
    let mut plan = Plan { tag: evil.into(), payload: evil.into(), inventory: evil.into(), ..script::plan(1) };
    plan.hosts[0].name = evil.into();
    plan.hosts[0].rack = evil.into();
    plan.folder = evil.into();
    let failure =
        Failure { detail: vec![evil.into()], ..Failure::new(Phase::Fetching, FailureKind::Lost, evil) };
    let mut script = Script::new(plan);
    script.started().fetch(&[0], 1, 2).host(0, 1, HostState::Failed(failure));
    let group = FailureGroup { kind: FailureKind::Lost, message: evil.into(), hosts: vec![HostId(0)] };
    report(script.finish(crate::deploy::Summary { failures: vec![group], ..script::summary(6, 0, 0, 1, 0) }))
}

#[test]
fn reports_tell_of_a_run_with_failures() {
    let run = report(script::some_failed());
    let before = Comparison::of(&run, &report(script::success())).unwrap();
    let [markdown, html, json] = all(&run, Some(&before));
    insta::assert_snapshot!("report_markdown", markdown);
    insta::assert_snapshot!("report_json", json);
    let (_, body) = html.split_once("</style>").unwrap();
    insta::assert_snapshot!("report_html", body);
}

#[test]
fn show_tells_of_phases_slow_hosts_and_attempts() {
    let run = report(script::some_failed());
    let before = Comparison::of(&run, &report(script::success())).unwrap();
    insta::assert_snapshot!("show", show(&run, Some(&before), &style()));
}

#[test]
fn every_run_makes_every_report() {
    for events in [script::success(), script::stopped(), script::held(), script::demo()] {
        let cut_short = report(events[..8].to_vec());
        for run in [report(events), cut_short] {
            let [markdown, html, json] = all(&run, None);
            assert!(markdown.starts_with("# murder ") && !show(&run, None, &style()).is_empty());
            assert!(html.trim_end().ends_with("</html>"));
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(json["hosts"].as_array().unwrap().len(), run.hosts.len());
        }
    }
}

#[test]
fn what_hosts_say_is_text_in_every_report() {
    let [markdown, html, json] = all(&hostile(), None);
    let (_, body) = html.split_once("</style>").unwrap();
    assert!(
        !body.contains("<script") && !body.contains('\u{1b}') && body.contains("&lt;script&gt;"),
        "{body}"
    );
    // Between fences and in code all is text, as long as it does not end them.
    let code = |part: &(usize, &str)| part.0.is_multiple_of(2);
    let prose: String = markdown.split("```").enumerate().filter(code).map(|(_, part)| part).collect();
    let (prose, recorded) = prose.split_once("Recorded in `").unwrap();
    assert_eq!(recorded.matches('`').count(), 1);
    assert!(!prose.contains("<script") && !prose.contains("[x](") && !markdown.contains('\u{1b}'), "{prose}");
    assert!(!markdown.lines().skip(1).any(|line| line.starts_with("# ")), "{markdown}");
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
    assert!(!show(&hostile(), None, &style()).contains('\u{1b}'));
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    let [_, html, _] = all(&report(script::some_failed()), None);
    for needle in ["http://", "https://", "src=", "href=", "url(", "@import", "<script"] {
        assert!(!html.contains(needle), "{needle}");
    }
}

#[test]
fn a_page_of_ten_thousand_hosts_can_be_opened() {
    let mut script = Script::new(script::plan(10_000));
    script.started();
    for id in 0..10_000 {
        script.host(id, 1, HostState::Connecting).host(id, 1, HostState::Fetching);
    }
    script.after(9000);
    for id in 0..10_000 {
        script.host(id, 1, HostState::Staged { already: false });
    }
    let [_, html, _] = all(&report(script.finish(script::summary(0, 0, 10_000, 0, 0))), None);
    assert!(html.len() < 2 << 20, "{}", html.len());
    assert!(html.contains("200 of 10000 hosts") && html.contains("2000 of 10000 hosts"));
}

#[test]
fn a_recorded_run_shows_as_the_live_one_did() {
    let root = tempfile::tempdir().unwrap();
    let events = script::some_failed();
    let journal = Journal::create(root.path(), &script::plan(6), Meta::default()).unwrap();
    events.iter().for_each(|event| journal.write(event));
    let folder = journal.folder().to_owned();
    journal.close().unwrap();
    let recorded = report(Recorded::open(&folder).unwrap().events().unwrap().collect());
    assert_eq!(show(&recorded, None, &style()), show(&report(events), None, &style()));
}

#[test]
fn past_runs_are_listed_with_how_they_ended() {
    let root = tempfile::tempdir().unwrap();
    let record = |name: &str, at: u64, events: &[Event]| {
        let plan = Plan { run: crate::control::RunId(name.into()), ..script::plan(6) };
        let meta = Meta { started_at: START + at, ..Meta::default() };
        let journal = Journal::create(root.path(), &plan, meta).unwrap();
        events.iter().for_each(|event| journal.write(event));
        journal
    };
    record("20261120-090000-0001", 0, &script::success()).close().unwrap();
    record("20261122-090000-0002", 172_800_000, &script::some_failed()).close().unwrap();
    record("20261123-080000-0003", 255_600_000, &script::stopped()[..20]).close().unwrap();
    let alive = record("20261123-100000-0004", 262_800_000, &script::success()[..20]);
    let runs = crate::journal::runs(root.path()).unwrap();
    insta::assert_snapshot!("runs", list(&runs, START + 262_830_000, &style()));
    let lines = list_json(&runs).replace(root.path().to_str().unwrap(), "ROOT");
    insta::assert_snapshot!("runs_json", lines);
    alive.close().unwrap();
    assert_eq!(list(&[], 0, &style()), "no run is recorded yet\n");
}

#[test]
fn a_past_run_is_found_and_set_beside_the_one_before() {
    let root = tempfile::tempdir().unwrap();
    for (name, at, events) in [("a", 0, script::success()), ("b", 9, script::some_failed())] {
        let plan = Plan { run: crate::control::RunId(name.into()), ..script::plan(6) };
        let hosts = serde_json::json!([{"name": "web01"}]);
        let meta = Meta { started_at: START + at, hosts, ..Meta::default() };
        let journal = Journal::create(root.path(), &plan, meta).unwrap();
        for mut event in events {
            if let crate::deploy::Body::Planned(planned) = &mut event.body {
                planned.run = plan.run.clone();
            }
            journal.write(&event);
        }
        journal.close().unwrap();
    }
    let past = Past::find(root.path(), "last").unwrap();
    assert_eq!(past.recorded.record().run.0, "b");
    assert_eq!(past.before.unwrap().run, "a");
    assert_eq!(Past::find(root.path(), "a").unwrap().before, None);
    std::fs::write(root.path().join("a/events.jsonl"), "{").unwrap();
    assert!(matches!(Past::find(root.path(), "a"), Err(crate::journal::JournalError::NoPlan(_))));
}

#[test]
fn a_transfer_that_was_over_before_any_rate_was_told_has_no_highest_throughput() {
    let mut script = Script::new(script::plan(1));
    script.started().host(0, 1, HostState::Fetching).after(80).progress(0, script::PACKED, 0).stage(&[0], 1);
    let run = report(script.finish(script::summary(0, 0, 1, 0, 0)));
    for text in all(&run, None) {
        assert!(!text.contains("highest throughput") && !text.contains("0 B/s"), "{text}");
    }
    let [markdown, ..] = all(&report(script::success()), None);
    assert!(markdown.contains("highest throughput"), "{markdown}");
}
