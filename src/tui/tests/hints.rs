use super::keys::{failed, finished, moving, sent};
use super::*;
use crate::control::HostId;
use crate::deploy::{BarrierState, Body, Command, HostState, Plan, SeederProgress};
use crate::journal::script;
use crate::tui::ui::ReplayBar;

fn footer(app: &mut App) -> String {
    text(app, 200, 40).lines().last().unwrap().to_owned()
}

fn stage(app: &mut App, hosts: impl Iterator<Item = u32>) {
    for id in hosts {
        let state = HostState::Staged { already: false };
        app.apply(&Event { at: START + 200_000, body: Body::Host { host: HostId(id), attempt: 1, state } });
    }
    app.tick(START + 210_000, 10_000);
}

#[test]
fn a_replay_offers_nothing_that_changes_the_run() {
    let mut app = finished();
    app.live_run = false;
    app.ui.replay = Some(ReplayBar { position: 0, length: 1000, speed: 1.0, paused: false });
    for keys in ["", "4", "1 Enter"] {
        press(&mut app, keys);
        for (width, height) in [(80, 24), (120, 40), (200, 60)] {
            let shown = text(&mut app, width, height);
            for hint in ["r retr", "R retr", "tries it again", "x cancel"] {
                assert!(!shown.contains(hint), "{hint} after {keys:?}:\n{shown}");
            }
        }
    }
    assert!(footer(&mut app).contains("p pause"));
    app.ui.replay = Some(ReplayBar { position: 0, length: 1000, speed: 1.0, paused: true });
    assert!(footer(&mut app).contains("p go on"));
}

#[test]
fn an_error_is_copied_only_where_there_is_one() {
    let mut app = finished();
    press(&mut app, "Enter");
    assert!(footer(&mut app).contains("Y copy error"));
    press(&mut app, "Esc G k Enter");
    assert!(!footer(&mut app).contains("copy error"));
}

#[test]
fn no_row_is_opened_or_marked_where_there_is_none() {
    let mut app = moving();
    assert!(footer(&mut app).contains("↵ open") && footer(&mut app).contains("Space mark"));
    press(&mut app, "/ z z z Enter");
    let footer = footer(&mut app);
    assert!(!footer.contains("open") && !footer.contains("mark"), "{footer}");
}

#[test]
fn only_hosts_that_are_on_their_way_can_be_given_up() {
    let mut app = moving();
    assert!(!footer(&mut app).contains("x cancel"), "it failed");
    press(&mut app, "G");
    assert!(footer(&mut app).contains("x cancel"));
    press(&mut app, "6");
    assert!(!footer(&mut app).contains("x cancel"), "nothing is selected");
    press(&mut app, "1 a j");
    let retry = format!("r retry {} marked", failed(&app).len());
    assert!(footer(&mut app).contains("x cancel") && footer(&mut app).contains(&retry));
    press(&mut app, "6");
    assert!(!footer(&mut app).contains("x cancel"), "marks are not seen here");
}

#[test]
fn marks_count_where_they_are_seen_and_nowhere_else() {
    let mut app = finished();
    let failed = failed(&app);
    press(&mut app, "G Space 4 r");
    let [Command::Retry(ids)] = &sent(&mut app)[..] else { panic!("the cause is meant") };
    assert!(!ids.is_empty() && ids.iter().all(|id| failed.contains(id)), "{ids:?}");
    press(&mut app, "1 \\ 6 Space a v");
    assert!(app.ui.hosts.marks.is_empty(), "nothing is marked unseen");
    assert!(app.ui.notice.as_ref().is_some_and(|notice| notice.wrong));
    press(&mut app, "2");
    let before = text(&mut app, 120, 40).matches(app.symbols.mark).count();
    press(&mut app, "Space");
    let shown = text(&mut app, 120, 40);
    // One at the host, one at the number of them.
    assert_eq!(shown.matches(app.symbols.mark).count(), before + 2, "{shown}");
}

#[test]
fn hosts_that_were_not_activated_say_why_and_the_key_asks_before_it_overrules_that() {
    let mut app = App::new(Theme::new(ThemeName::Default), Symbols::UNICODE, Keymap::default());
    let events = script::shut();
    events.iter().take(events.len() - 1).for_each(|event| app.apply(event));
    for (width, height) in [(80, 24), (120, 40), (200, 60)] {
        assert!(text(&mut app, width, height).contains("not activated"), "{width}");
    }
    let shown = text(&mut app, 120, 40);
    assert!(shown.contains("not activated: 1 failed, more than --max-fail 0"), "{shown}");
    assert!(footer(&mut app).contains("A activate"));
    press(&mut app, "A");
    let asked = text(&mut app, 120, 40);
    assert!(
        asked.contains("Activate 2 staged hosts now?") && asked.contains("more than --max-fail 0."),
        "{asked}"
    );
    assert_eq!(sent(&mut app), []);
    press(&mut app, "y");
    assert_eq!(sent(&mut app), [Command::Activate]);
}

#[test]
fn a_run_that_only_stages_says_how_to_switch() {
    let mut app = App::new(Theme::new(ThemeName::Default), Symbols::UNICODE, Keymap::default());
    for event in script::shut() {
        let body = match event.body {
            Body::Planned(plan) => Body::Planned(Box::new(Plan { activate: false, ..*plan })),
            Body::Finished(_) => continue,
            body => body,
        };
        app.apply(&Event { at: event.at, body });
    }
    press(&mut app, "A");
    assert_eq!(sent(&mut app), []);
    assert!(
        text(&mut app, 120, 40).contains("this run only stages; `murder activate app-1.4` switches to it")
    );
}

#[test]
fn hosts_that_are_folded_away_are_told_by_their_own_states() {
    let mut app = finished();
    stage(&mut app, 0..2);
    let shown = text(&mut app, 80, 24);
    assert!(shown.contains("12 hosts active"), "{shown}");
    stage(&mut app, 2..24);
    let activating = Body::Host { host: HostId(23), attempt: 1, state: HostState::Active };
    app.apply(&Event { at: START + 211_000, body: activating });
    app.tick(START + 220_000, 20_000);
    let shown = text(&mut app, 80, 24);
    assert!(shown.contains("hosts done: ") && shown.contains(" staged, 1 active"), "{shown}");
}

#[test]
fn what_waits_for_the_user_is_told_longest() {
    let mut app = finished();
    let barrier = BarrierState { staged: 33, failed: 0, waiting: 0, open: false, held: true };
    app.apply(&Event { at: START + 200_000, body: Body::Barrier(barrier) });
    press(&mut app, "s");
    let shown = text(&mut app, 80, 24);
    assert!(shown.contains("held: A activates 33"), "{shown}");
    let narrow = text(&mut app, 40, 24);
    assert!(narrow.contains("A activates 33"), "{narrow}");
}

#[test]
fn facts_of_the_selected_host_are_whole_or_say_that_they_are_not() {
    for seconds in [30, 44, 90] {
        let mut app = app(24, 0, seconds);
        text(&mut app, 80, 24);
        press(&mut app, "G k");
        for width in 40..160 {
            let shown = text(&mut app, width, 24);
            let strip: Vec<&str> = shown.lines().skip(19).take(4).collect();
            assert!(!strip.iter().any(|line| line.ends_with('·')), "{width}:\n{shown}");
        }
    }
}

#[test]
fn a_sparkline_never_stands_without_its_rate() {
    for seconds in [4, 30, 40, 44] {
        let mut app = app(60, 3, seconds);
        for width in 40..160 {
            let shown = text(&mut app, width, 24);
            let counts = shown.lines().nth(2).unwrap();
            let spark = counts.contains(['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']);
            assert!(!spark || counts.contains("B/s"), "{width}: {counts}");
        }
    }
}

#[test]
fn the_bar_of_a_group_agrees_with_its_percent() {
    let mut app = finished();
    press(&mut app, "3");
    let shown = text(&mut app, 120, 40);
    let failed: Vec<&str> =
        shown.lines().filter(|line| line.contains('╍') && line.contains("rack")).collect();
    assert!(!failed.is_empty(), "{shown}");
    for line in failed {
        let columns = |sign| line.chars().filter(|c| *c == sign).count() as f64;
        let full = columns('━') / (columns('━') + columns('╍') + columns('─')) * 100.0;
        let percent = line.split(" %").next().and_then(|text| text.rsplit(' ').next());
        let percent: f64 = percent.unwrap().parse().unwrap();
        assert!((full - percent).abs() <= 4.0, "{full}: {line}");
    }
}

#[test]
fn pieces_by_copies_and_cut_racks_are_told_to_their_end() {
    let mut app = app(400, 0, 20);
    press(&mut app, "6");
    let copies = (0..60).map(|number| if number < 2 { 0 } else { number }).collect();
    let seeder = SeederProgress { sent: 1, rate: 1, feeds: 1, copies, may_leave: true };
    app.apply(&Event { at: START + 20_000, body: Body::Seeder(Box::new(seeder)) });
    let shown = text(&mut app, 80, 24);
    assert!(shown.contains(" 59+   the rarest: 2 pieces with 2\n"), "{shown}");
    assert!(text(&mut app, 40, 14).contains(" 59+\n"));
    for (width, height) in [(40, 14), (80, 24), (120, 40), (150, 40)] {
        let shown = text(&mut app, width, height);
        let title = shown.lines().find(|line| line.contains("Who feeds whom"));
        assert!(title.is_some_and(|title| title.contains("h l 1")), "{width}:\n{shown}");
    }
}
