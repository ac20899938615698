use super::*;
use crate::control::HostId;
use crate::deploy::{BarrierState, Body, HostState, SeederProgress};
use crate::tui::ui::ReplayBar;

fn finished() -> App {
    let mut app = App::new(Theme::new(ThemeName::Default), Symbols::UNICODE, Keymap::default());
    sim::Sim::new(24, 3, START).record().iter().for_each(|event| app.apply(event));
    text(&mut app, 120, 40);
    app
}

fn moving() -> App {
    let mut app = app(24, 3, 30);
    text(&mut app, 120, 40);
    app
}

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
