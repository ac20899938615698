use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::cli::Setup;
use crate::deploy::{Body, Event, Plan, open_barrier};
use crate::exit;
use crate::fleet::FleetState;
use crate::inventory::Output;
use crate::journal::{Recorded, Run, RunState, runs};
use crate::paths::Paths;
use crate::report::summary;

use super::AppError;
use super::screen::{at_terminal, lines, style};

/// How often it is looked whether the other process is through.
const LOOK: Duration = Duration::from_millis(250);

/// A run of another process that is held at its barrier with this release, for any of the selected hosts.
pub(super) fn held_run(paths: &Paths, setup: &Setup, tag: &str) -> Result<Option<Run>, AppError> {
    let mine: BTreeSet<(&str, &str)> = setup
        .hosts
        .iter()
        .map(|host| (host.name.as_str(), host.dest.as_deref().unwrap_or_default()))
        .collect();
    let meant = |plan: &Plan| {
        plan.hold && plan.hosts.iter().any(|host| mine.contains(&(host.name.as_str(), host.dest.as_str())))
    };
    Ok(runs(&paths.runs())?.into_iter().find(|run| {
        run.state == RunState::Running(None)
            && run.status.tag == tag
            && plan_of(&run.folder).is_some_and(|plan| meant(&plan))
    }))
}

fn plan_of(folder: &Path) -> Option<Plan> {
    match Recorded::open(folder).ok()?.events().ok()?.next()?.body {
        Body::Planned(plan) => Some(*plan),
        _ => None,
    }
}

/// Opens the barrier of a held run, waits until it rests, and tells how it ended. Returns its exit code.
pub(super) async fn open_held(run: Run, setup: &Setup, paths: &Paths) -> Result<u8, AppError> {
    let name = run.status.run.clone();
    open_barrier(&run.folder)
        .map_err(|error| AppError::System { what: "tell the held run to go on", error })?;
    eprintln!("murder: run {name} is held with this release: its barrier opens");
    let code = loop {
        tokio::time::sleep(LOOK).await;
        let now = runs(&paths.runs())?.into_iter().find(|other| other.status.run == name);
        match now.map(|run| run.state) {
            Some(RunState::Running(None)) => {}
            Some(RunState::Running(Some(outcome)) | RunState::Ended(outcome)) => break outcome.exit,
            Some(RunState::Killed) | None => break exit::INTERNAL,
        }
    };
    let events: Vec<Event> = Recorded::open(&run.folder)?.events()?.collect();
    let output = setup.face.output(at_terminal());
    if output == Output::Json {
        let mut face = lines(output, &setup.face);
        events.iter().for_each(|event| face.event(event));
    } else {
        let mut fleet = FleetState::new();
        events.iter().for_each(|event| fleet.apply(event));
        print!("{}", summary(&fleet, &style(&setup.face)));
    }
    Ok(code)
}
