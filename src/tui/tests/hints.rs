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
