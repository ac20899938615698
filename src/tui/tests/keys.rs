use super::*;
use crate::control::HostId;
use crate::deploy::{Body, Command, HostState, StateName};
use crate::tui::action::{Action, View};
use crate::tui::app::{Effect, Exit};
use crate::tui::ui::Modal;

/// A deployment of 24 hosts of which three failed and the others are active.
pub(super) fn finished() -> App {
    let mut app = App::new(Theme::new(ThemeName::Default), Symbols::UNICODE, Keymap::default());
    sim::Sim::new(24, 3, START).record().iter().for_each(|event| app.apply(event));
    app.effects.clear();
    text(&mut app, 80, 24);
    app
}

pub(super) fn moving() -> App {
    let mut app = app(24, 3, 30);
    text(&mut app, 80, 24);
    app
}

pub(super) fn sent(app: &mut App) -> Vec<Command> {
    app.outbox.drain(..).collect()
}

pub(super) fn failed(app: &App) -> Vec<HostId> {
    app.live.ids().filter(|(_, host)| host.name() == StateName::Failed).map(|(id, _)| id).collect()
}

#[test]
fn r_retries_the_selected_host_and_nothing_that_did_not_fail() {
    let mut app = finished();
    press(&mut app, "r");
    assert_eq!(sent(&mut app), [Command::Retry(vec![failed(&app)[0]])]);
    press(&mut app, "G r");
    assert_eq!(sent(&mut app), []);
    assert!(app.ui.notice.as_ref().is_some_and(|notice| notice.wrong));
}

#[test]
fn capital_r_asks_with_the_count_and_acts_on_a_yes() {
    let mut app = finished();
    press(&mut app, "R");
    assert!(text(&mut app, 80, 24).contains("Retry 3 failed hosts?"));
    press(&mut app, "n");
    assert_eq!(sent(&mut app), []);
    press(&mut app, "R y");
    assert_eq!(sent(&mut app), [Command::RetryFailed]);
}

#[test]
fn marks_and_ranges_choose_what_a_command_is_about() {
    let mut app = finished();
    let three = failed(&app);
    press(&mut app, "v j j v");
    assert_eq!(app.ui.hosts.marks.iter().copied().collect::<Vec<_>>(), three);
    press(&mut app, "r");
    assert_eq!(sent(&mut app), [Command::Retry(three.clone())]);
    assert!(app.ui.hosts.marks.is_empty(), "what was done with marks is done");
    press(&mut app, "g g Space Space");
    assert_eq!(app.ui.hosts.marks.len(), 2);
    press(&mut app, "\\");
    assert!(app.ui.hosts.marks.is_empty());
    press(&mut app, "f a");
    assert_eq!(app.ui.hosts.marks.iter().copied().collect::<Vec<_>>(), three);
}

#[test]
fn a_whole_cause_is_retried_with_one_key() {
    let mut app = finished();
    press(&mut app, "4");
    let cause: Vec<HostId> = app.ui.selected_cause(&app.live).unwrap().hosts.iter().copied().collect();
    press(&mut app, "r");
    assert_eq!(sent(&mut app), [Command::Retry(cause.clone())]);
    press(&mut app, "Enter");
    text(&mut app, 80, 24);
    assert_eq!((app.ui.view, app.ui.hosts.hosts().to_vec()), (View::Hosts, cause));
    press(&mut app, "Esc");
    text(&mut app, 80, 24);
    assert_eq!(app.ui.hosts.hosts().len(), 24);
}

#[test]
fn cancel_stop_and_rollback_ask_first() {
    let mut app = moving();
    press(&mut app, "G x y");
    assert_eq!(sent(&mut app), [Command::Cancel(vec![app.ui.hosts.host().unwrap()])]);
    press(&mut app, "X n X y");
    assert_eq!(sent(&mut app), [Command::Stop]);
    press(&mut app, "B");
    assert_eq!((sent(&mut app), app.ui.modal.is_none()), (vec![], true), "nothing is active yet");
    let mut app = finished();
    press(&mut app, "B");
    assert!(text(&mut app, 80, 24).contains("Roll 21 hosts back to 2026.11.22-1?"));
    press(&mut app, "y");
    assert_eq!(sent(&mut app), [Command::Rollback]);
}

#[test]
fn q_asks_while_hosts_are_in_flight_and_leaves_at_once_when_the_run_rests() {
    let mut app = moving();
    press(&mut app, "q");
    assert!(text(&mut app, 80, 24).contains("22 hosts are on the way"));
    press(&mut app, "Esc");
    assert_eq!((app.exit, sent(&mut app)), (None, vec![]));
    press(&mut app, "q y");
    assert_eq!((app.exit, sent(&mut app)), (Some(Exit::WhenFinished), vec![Command::Stop]));
    let mut app = finished();
    press(&mut app, "q");
    assert_eq!((app.exit, sent(&mut app)), (Some(Exit::WhenFinished), vec![Command::Stop]));
}

#[test]
fn the_first_control_c_stops_cleanly_and_the_second_ends_all() {
    let mut app = moving();
    press(&mut app, "^c");
    assert_eq!((app.exit, sent(&mut app)), (Some(Exit::WhenFinished), vec![Command::Stop]));
    assert!(text(&mut app, 80, 24).contains("^c ends at once"));
    press(&mut app, "^c");
    assert_eq!((app.exit, app.aborted, sent(&mut app)), (Some(Exit::Now), true, vec![Command::Abort]));
    let mut app = moving();
    press(&mut app, "R ^c");
    assert_eq!(sent(&mut app), [Command::Stop], "a dialog does not stand in the way");
}

#[test]
fn the_selection_stays_with_its_host_and_on_its_line() {
    let mut app = moving();
    press(&mut app, "j j j j j");
    let (host, line) =
        (app.ui.hosts.host().unwrap(), app.ui.hosts.cursor().index - app.ui.hosts.cursor().offset);
    let below = app.ui.hosts.hosts()[10];
    let failure = crate::control::Failure::new(
        crate::control::Phase::Fetching,
        crate::control::FailureKind::Lost,
        "gone",
    );
    app.apply(&Event {
        at: START + 31_000,
        body: Body::Host { host: below, attempt: 1, state: HostState::Failed(failure) },
    });
    app.tick(START + 33_000, 3000);
    text(&mut app, 80, 24);
    assert_eq!(app.ui.hosts.host(), Some(host));
    assert_eq!(app.ui.hosts.hosts()[..3].iter().filter(|id| **id == below).count(), 1, "it rose to the top");
    let now = app.ui.hosts.cursor().index - app.ui.hosts.cursor().offset;
    // There is nothing above the first row to scroll to: one line further is all that is left.
    assert!(now == line || (app.ui.hosts.cursor().offset == 0 && now == line + 1), "{line} {now}");
}

#[test]
fn as_long_as_nothing_is_selected_the_first_failure_is() {
    let app = moving();
    let first = app.ui.hosts.host().unwrap();
    assert_eq!(app.live.host(first).unwrap().name(), StateName::Failed);
}

#[test]
fn filters_narrow_while_they_are_typed_and_escape_puts_them_back() {
    let mut app = moving();
    press(&mut app, "/ d b -");
    text(&mut app, 80, 24);
    assert_eq!(app.ui.hosts.hosts().len(), 4);
    press(&mut app, "Enter n n n n");
    assert_eq!(app.ui.hosts.cursor().index, 0, "n goes round");
    press(&mut app, "N");
    assert_eq!(app.ui.hosts.cursor().index, 3);
    press(&mut app, "/ 9 Esc");
    assert_eq!(app.ui.hosts.query.filter.text(), "db-");
    press(&mut app, "Esc");
    assert!(app.ui.hosts.query.filter.is_empty());
}

#[test]
fn a_frozen_picture_stands_still_while_the_run_goes_on() {
    let mut app = moving();
    press(&mut app, "z");
    let before = text(&mut app, 80, 24);
    assert!(before.contains("frozen"));
    let gone = Body::Host { host: HostId(0), attempt: 1, state: HostState::Cancelled };
    app.apply(&Event { at: START + 31_000, body: gone });
    app.tick(START + 40_000, 10_000);
    assert_eq!(text(&mut app, 80, 24), before);
    press(&mut app, "z");
    assert_ne!(text(&mut app, 80, 24), before);
}

#[test]
fn copies_go_to_the_clipboard() {
    let mut app = finished();
    press(&mut app, "y");
    assert_eq!(app.effects, [Effect::Copy("web-04".to_owned())]);
    app.effects.clear();
    press(&mut app, "Y");
    let [Effect::Copy(text)] = &app.effects[..] else { panic!("{:?}", app.effects) };
    assert!(text.contains("web-04 (deploy@198.51.100.4:22): disk_full: /srv has 15 MB free"), "{text}");
}

#[test]
fn the_command_line_completes_and_says_what_is_wrong() {
    for (line, wrong) in [
        ("sort rate", None),
        ("sor rate", None),
        ("r x", Some("no command")),
        ("sort speed", Some("no order is called \"speed\"")),
        ("group db", None),
        ("group x", Some("no group")),
        ("theme light", None),
        ("theme neon", Some("no theme")),
        ("fps 3", None),
        ("fps 99", Some("from 1 to 30")),
        ("rate 4M", None),
        ("rate", Some("needs a rate")),
        ("rate much", Some("is no rate")),
        ("seed-rate none", None),
        ("limit web", None),
        ("view log", None),
        ("mark web-0", None),
        ("open db-01", None),
        ("open nowhere", Some("no host matches")),
    ] {
        let mut app = moving();
        press(&mut app, ":");
        type_in(&mut app, line);
        press(&mut app, "Enter");
        let notice = app.ui.notice.clone().filter(|notice| notice.wrong).map(|notice| notice.text);
        match wrong {
            None => assert_eq!(notice, None, "{line}"),
            Some(words) => {
                assert!(notice.as_ref().is_some_and(|text| text.contains(words)), "{line}: {notice:?}")
            }
        }
    }
    let mut app = moving();
    press(&mut app, ":");
    type_in(&mut app, "thr");
    press(&mut app, "Tab");
    assert!(
        matches!(&app.ui.modal, Some(Modal::Command(input, _)) if input.text() == "theme " || !input.text().is_empty())
    );
    press(&mut app, "Esc t");
    type_in(&mut app, "10M");
    press(&mut app, "Enter");
    assert_eq!(sent(&mut app), [Command::Throttle { host: Some(Some(10 << 20)), seed: None }]);
}

#[test]
fn commands_name_hosts_without_touching_the_marks() {
    let mut app = finished();
    press(&mut app, "Space :");
    type_in(&mut app, "retry web-11");
    press(&mut app, "Enter");
    assert_eq!(sent(&mut app), [Command::Retry(vec![HostId(10)])]);
}

#[test]
fn export_writes_what_is_shown() {
    let mut app = finished();
    press(&mut app, ":");
    type_in(&mut app, "export failed.txt");
    press(&mut app, "Enter");
    let [Effect::Write(file, names)] = &app.effects[..] else { panic!("{:?}", app.effects) };
    assert_eq!((file.as_str(), names.lines().count()), ("failed.txt", 3));
}

#[test]
fn a_paste_is_text_in_a_line_and_nothing_else() {
    let mut app = finished();
    app.input(Input::Paste("Ry\n".to_owned()));
    assert_eq!((sent(&mut app), app.ui.modal.is_none()), (vec![], true));
    press(&mut app, "/");
    app.input(Input::Paste("web-1\nq".to_owned()));
    assert_eq!(app.ui.hosts.query.filter.text(), "web-1");
}

#[test]
fn a_replay_changes_nothing() {
    let mut app = finished();
    app.live_run = false;
    press(&mut app, "r R y X x A");
    assert_eq!(sent(&mut app), []);
    press(&mut app, "p ] [ < > { }");
    assert_eq!(app.effects.len(), 7);
    press(&mut app, "q");
    assert_eq!(app.exit, Some(Exit::Now));
}

#[test]
fn every_view_is_reached_and_left() {
    let mut app = moving();
    for (key, view) in [
        ("2", View::Grid),
        ("Tab", View::Groups),
        ("Tab", View::Failures),
        ("S-Tab", View::Groups),
        ("Esc", View::Hosts),
    ] {
        press(&mut app, key);
        text(&mut app, 80, 24);
        assert_eq!(app.ui.view, view, "{key}");
    }
    press(&mut app, "3 Enter");
    assert!(app.ui.hosts.query.scope.is_some());
    press(&mut app, "5 k Enter");
    assert!(app.ui.detail.is_some());
    press(&mut app, "j PgDn Esc 1");
    assert!(app.ui.detail.is_none());
}

#[test]
fn the_grid_is_walked_by_cells() {
    let mut app = moving();
    press(&mut app, "2 l l j h");
    assert_eq!(app.live.host_name(app.ui.selected_host(&app.live).unwrap()), "web-04");
    press(&mut app, "G");
    assert_eq!(app.live.host_name(app.ui.selected_host(&app.live).unwrap()), "db-04");
    press(&mut app, "l j g g");
    assert_eq!(app.live.host_name(app.ui.selected_host(&app.live).unwrap()), "web-01");
    press(&mut app, "Enter");
    assert_eq!(app.ui.detail, Some(HostId(0)));
}

#[test]
fn the_mouse_selects_when_it_is_asked_to_and_never_outside() {
    use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
    let click = |app: &mut App, column, row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        app.input(Input::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }))
    };
    let mut app = moving();
    assert!(!click(&mut app, 4, 8));
    press(&mut app, "M");
    for (column, row) in [(65_535, 65_535), (0, 0), (79, 23), (80, 24)] {
        click(&mut app, column, row);
    }
    let rows = text(&mut app, 80, 24);
    let line = rows.lines().position(|line| line.contains("web-02")).unwrap();
    click(&mut app, 4, line as u16);
    assert_eq!(app.live.host_name(app.ui.hosts.host().unwrap()), "web-02");
    let tabs = rows.lines().position(|line| line.contains("1 Hosts")).unwrap();
    let column = rows.lines().nth(tabs).unwrap().find("Groups").unwrap();
    click(&mut app, column as u16, tabs as u16);
    assert_eq!(app.ui.view, View::Groups);
}

#[test]
fn what_was_asked_marked_or_narrowed_is_taken_back_step_by_step() {
    let mut app = moving();
    let host = app.ui.hosts.hosts()[6];
    app.ui.hosts.select_host(host);
    press(&mut app, "x y");
    assert_eq!(sent(&mut app), [Command::Cancel(vec![host])]);
    assert!(text(&mut app, 80, 24).contains("u takes it back"));
    app.apply(&Event {
        at: START + 31_000,
        body: Body::Host { host, attempt: 1, state: HostState::Cancelled },
    });
    press(&mut app, "u");
    assert_eq!(sent(&mut app), [Command::Retry(vec![host])]);
    press(&mut app, "u");
    assert_eq!(sent(&mut app), [], "a step back is none that is taken back");

    press(&mut app, "a \\ f");
    let mut states = Vec::new();
    for _ in 0..4 {
        states.push((app.ui.hosts.query.failures_only, app.ui.hosts.marks.len()));
        press(&mut app, "u");
    }
    assert_eq!(states, [(true, 0), (false, 0), (false, 24), (false, 0)]);
    assert!(app.ui.notice.as_ref().is_some_and(|notice| notice.wrong), "nothing is left to take back");

    press(&mut app, "/ w e b Enter u");
    assert!(app.ui.hosts.query.filter.is_empty());
    let mut app = finished();
    let failed = failed(&app);
    press(&mut app, "R y");
    sent(&mut app);
    for host in &failed[..2] {
        let state = HostState::Connecting;
        app.apply(&Event { at: START + 999_000, body: Body::Host { host: *host, attempt: 2, state } });
    }
    press(&mut app, "u");
    assert_eq!(sent(&mut app), [Command::TakeBack(failed[..2].to_vec())]);
}

#[test]
fn hosts_in_trouble_stand_below_the_causes_and_are_given_up_as_one() {
    let mut app = moving();
    press(&mut app, "4 G");
    let shown = text(&mut app, 120, 40);
    assert!(shown.contains("stalled while fetching"), "{shown}");
    press(&mut app, "x y");
    let stalled = app.live.find("web-16").unwrap();
    assert_eq!(sent(&mut app), [Command::Cancel(vec![stalled])]);
    press(&mut app, "y");
    assert_eq!(app.effects, [Effect::Copy("web-16".to_owned())]);
}

/// Keys that lead to where another has something to do.
fn way_to(action: Action) -> &'static str {
    match action {
        Action::Up | Action::Top | Action::PageUp | Action::HalfUp | Action::Cancel => "G",
        Action::Left => "2 l",
        Action::Right => "2",
        Action::Back => "f",
        Action::Show(View::Hosts) => "2",
        Action::ClearMarks | Action::Undo => "a",
        Action::NextMatch | Action::PreviousMatch => "/ w e b Enter",
        _ => "",
    }
}

#[test]
fn every_key_of_the_table_does_what_is_seen_or_sent() {
    use crate::tui::keymap::TABLE;
    for row in TABLE {
        for keys in row.keys {
            let started = matches!(row.action, Action::Rollback | Action::Activate);
            let mut app = if started { finished() } else { moving() };
            if row.action == Action::Activate {
                let state = HostState::Staged { already: false };
                app.apply(&Event {
                    at: START + 999_000,
                    body: Body::Host { host: HostId(0), attempt: 1, state },
                });
            }
            text(&mut app, 80, 24);
            press(&mut app, way_to(row.action));
            app.ui.notice = None;
            let before = text(&mut app, 80, 24);
            press(&mut app, keys);
            let done = text(&mut app, 80, 24) != before
                || !app.effects.is_empty()
                || !app.outbox.is_empty()
                || app.exit.is_some();
            let wrong = app.ui.notice.as_ref().filter(|notice| notice.wrong);
            assert!(done && wrong.is_none(), "{keys} ({}) did nothing: {wrong:?}", row.name);
        }
    }
}

#[test]
fn a_rollback_says_which_hosts_go_back_to_what() {
    let mut app = finished();
    for (host, previous) in [(0, None), (1, Some("older".to_owned()))] {
        let switched = Body::Activated { host: HostId(host), at: START, previous };
        app.apply(&Event { at: START + 999_000, body: switched });
    }
    press(&mut app, "B");
    let asked = text(&mut app, 100, 30);
    for words in [
        "Roll 20 hosts back to what each had before?",
        "2026.11.22-1: ",
        "older: web-02",
        "web-01 stays: it had",
    ] {
        assert!(asked.contains(words), "{words} is not in\n{asked}");
    }
}
