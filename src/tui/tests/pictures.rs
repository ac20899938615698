use insta::assert_snapshot;
use ratatui::style::Color;

use super::*;
use crate::control::HostId;
use crate::deploy::{Body, Question};
use crate::tui::action::View;

fn shown(keys: &str, hosts: usize, fail: usize, seconds: u64, width: u16, height: u16) -> String {
    let mut app = app(hosts, fail, seconds);
    text(&mut app, width, height);
    press(&mut app, keys);
    text(&mut app, width, height)
}

/// Names of all that can fill the screen, and the keys that lead there from the start.
const VIEWS: [(&str, &str); 8] = [
    ("hosts", ""),
    ("grid", "2 l j"),
    ("groups", "3"),
    ("failures", "4"),
    ("log", "5"),
    ("swarm", "6"),
    ("detail", "Enter"),
    ("help", "?"),
];

#[test]
fn every_view_at_every_size() {
    for (width, height) in [(200, 60), (120, 40), (80, 24), (40, 10)] {
        for (view, keys) in VIEWS {
            assert_snapshot!(format!("{view}-{width}x{height}"), shown(keys, 24, 3, 30, width, height));
        }
    }
    for (width, height) in [(60, 16), (38, 4)] {
        assert_snapshot!(format!("hosts-{width}x{height}"), shown("", 24, 3, 30, width, height));
    }
}

#[test]
fn every_view_of_no_host_and_of_one() {
    for hosts in [0, 1] {
        let all = VIEWS.map(|(view, keys)| format!("--- {view}\n{}\n", shown(keys, hosts, 0, 20, 80, 24)));
        assert_snapshot!(format!("views-of-{hosts}"), all.concat());
    }
}

#[test]
fn a_screen_of_one_cell_shows_one_cell() {
    for (hosts, fail) in [(0, 0), (1, 0), (24, 3)] {
        for (view, keys) in VIEWS {
            let shown = shown(keys, hosts, fail, 30, 1, 1);
            assert!(shown.chars().count() <= 1, "{view} of {hosts}: {shown:?}");
        }
    }
}

#[test]
fn every_view_at_120_by_40_with_ten_thousand_hosts() {
    let mut app = app(10_000, 60, 12);
    for (key, view) in ["1", "2", "3", "4", "5", "6"].into_iter().zip(View::ALL) {
        text(&mut app, 120, 40);
        press(&mut app, key);
        assert_snapshot!(format!("{}-10000", view.title().to_lowercase()), text(&mut app, 120, 40));
    }
}

#[test]
fn one_host_in_its_troubles() {
    assert_snapshot!("detail-fetching-120x40", shown("G Enter", 24, 3, 30, 120, 40));
    let mut app = app(24, 3, 30);
    type_in(&mut app, ":open web-10\u{0}");
    press(&mut app, "Enter");
    assert_snapshot!("detail-second-attempt-80x24", text(&mut app, 80, 24));
}

#[test]
fn empty_small_and_finished_fleets() {
    let mut nothing = App::new(Theme::new(ThemeName::Default), Symbols::UNICODE, Keymap::default());
    assert_snapshot!("nothing-yet", text(&mut nothing, 80, 24));
    assert_snapshot!("one-host", shown("", 1, 0, 20, 80, 24));
    assert_snapshot!("one-host-active", shown("", 1, 0, 90, 80, 24));
    let end = sim::Sim::new(24, 3, START).record();
    let mut app = App::new(Theme::new(ThemeName::Default), Symbols::UNICODE, Keymap::default());
    end.iter().for_each(|event| app.apply(event));
    assert_snapshot!("finished-80x24", text(&mut app, 80, 24));
    assert_snapshot!("finished-120x40", text(&mut app, 120, 40));
}

#[test]
fn ascii_stands_in_for_every_sign() {
    let mut app = app(24, 3, 30);
    app.symbols = Symbols::ASCII;
    for key in ["1", "2", "3", "4", "5", "6", "Enter", "Esc", "R", "n", "?", "Esc", ":"] {
        press(&mut app, key);
        let text = text(&mut app, 120, 40);
        assert!(text.is_ascii(), "after {key}: {:?}", text.chars().find(|c| !c.is_ascii()));
    }
    press(&mut app, "Esc 1");
    assert_snapshot!("hosts-ascii", text(&mut app, 80, 24));
}

#[test]
fn dialogs() {
    assert_snapshot!("retry-failed", shown("R", 24, 3, 30, 80, 24));
    assert_snapshot!("quit", shown("q", 24, 3, 46, 80, 24));
    assert_snapshot!("help-130x40", shown("?", 24, 3, 30, 130, 40));
    assert_snapshot!("palette", shown(": s", 24, 3, 30, 80, 24));
    assert_snapshot!("filter", shown("/ d b", 24, 3, 30, 80, 24));
}

#[test]
fn a_question_masks_its_answer() {
    let mut app = app(24, 3, 30);
    let question = Question { id: 3, prompt: "passphrase for ~/.ssh/id_ed25519".to_owned(), echo: false };
    app.apply(&Event { at: START + 30_000, body: Body::Question(question) });
    type_in(&mut app, "hunter2");
    let shown = text(&mut app, 80, 24);
    assert!(!shown.contains("hunter"), "{shown}");
    assert_snapshot!("question", shown);
}

#[test]
fn no_size_panics_and_every_view_stays_in_it() {
    let mut small = app(24, 3, 30);
    for key in
        ["1", "2", "3", "4", "5", "6", "1", "Enter", "?", "Esc", "Esc", "R", "n", ":", "Esc", "/", "Esc", "q"]
    {
        press(&mut small, key);
        for (width, height) in [
            (1, 1),
            (2, 1),
            (1, 9),
            (7, 3),
            (39, 7),
            (40, 7),
            (40, 8),
            (41, 13),
            (80, 7),
            (300, 9),
            (79, 200),
        ] {
            picture(&mut small, width, height);
        }
    }
}

#[test]
fn the_same_scene_gives_the_same_picture() {
    for key in ["1", "2", "3", "4", "5", "6", "Enter", "?"] {
        let mut app = app(24, 3, 30);
        press(&mut app, key);
        let first = picture(&mut app, 120, 40).backend().buffer().clone();
        assert_eq!(picture(&mut app, 120, 40).backend().buffer(), &first, "{key}");
    }
}

#[test]
fn mono_needs_no_colour_and_says_the_same() {
    for (view, keys) in VIEWS {
        let mut app = app(24, 3, 44);
        picture(&mut app, 120, 40);
        press(&mut app, keys);
        let colored = text(&mut app, 120, 40);
        app.theme = Theme::new(ThemeName::Mono);
        let terminal = picture(&mut app, 120, 40);
        for cell in terminal.backend().buffer().content() {
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "{view} {:?}", cell.symbol());
        }
        assert_eq!(text(&mut app, 120, 40), colored, "{view}");
    }
}

#[test]
fn failed_hosts_their_causes_and_the_key_are_found_without_scrolling() {
    for (width, height) in [(80, 24), (120, 40), (200, 60)] {
        let shown = shown("", 24, 3, 90, width, height);
        for wanted in ["web-04", "MB free", "web-11", "host key differs", "R retry"] {
            assert!(shown.contains(wanted), "{wanted} is not in\n{shown}");
        }
    }
}

#[test]
fn what_hosts_say_cannot_write_over_the_screen() {
    let mut app = app(2, 0, 2);
    let message = "evil \u{1b}[2J\u{7}\ttab".to_owned();
    let failure = crate::control::Failure::new(
        crate::control::Phase::Launching,
        crate::control::FailureKind::Launch,
        message,
    );
    let state = crate::deploy::HostState::Failed(failure);
    app.apply(&Event { at: START + 3000, body: Body::Host { host: HostId(0), attempt: 1, state } });
    app.tick(START + 5000, 5000);
    for key in ["1", "4", "5", "1", "Enter"] {
        press(&mut app, key);
        let terminal = picture(&mut app, 100, 30);
        let control = terminal
            .backend()
            .buffer()
            .content()
            .iter()
            .any(|cell| cell.symbol().chars().any(char::is_control));
        assert!(!control, "{key}");
    }
}
