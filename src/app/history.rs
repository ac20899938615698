use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::cli::{Cli, FaceOptions, ReplayArgs, RetryArgs, RunsArgs, Setup, ShowArgs, Surroundings};
use crate::exit;
use crate::inventory::{Hooks, Host, Inventory, Options, Output};
use crate::journal::{self, Recorded, Replay, Which};
use crate::paths::Paths;
use crate::report::{Past, ReportFormat, list, list_json, show};
use crate::ssh::ConfigSource;
use crate::tui::{self, ReplayStart};

use super::AppError;
use super::deploy::carry_out;
use super::plan::{Occasion, plan};
use super::screen::{self, at_terminal, is_full_screen};

/// `murder runs`: the past runs, newest first.
pub(super) fn runs(paths: &Paths, face: &FaceOptions, args: &RunsArgs) -> Result<String, AppError> {
    let mut runs = journal::runs(&paths.runs())?;
    runs.truncate(args.number.unwrap_or(usize::MAX));
    Ok(match face.output {
        Output::Json => list_json(&runs),
        _ => list(&runs, journal::now(), &screen::style(face)),
    })
}

/// `murder show RUN`: one run's report.
pub(super) fn tell(paths: &Paths, face: &FaceOptions, args: &ShowArgs) -> Result<String, AppError> {
    let past = Past::find(&paths.runs(), &args.run)?;
    Ok(match face.output {
        Output::Json => ReportFormat::Json.render(&past.run, past.before.as_ref()),
        _ => show(&past.run, past.before.as_ref(), &screen::style(face)),
    })
}

/// `murder replay RUN`: the recorded run on the screen.
pub(super) async fn replay(paths: &Paths, face: &FaceOptions, args: &ReplayArgs) -> Result<u8, AppError> {
    if !at_terminal() {
        return Err(AppError::Config(
            "replay needs a terminal; `murder show` prints a run's report".to_owned(),
        ));
    }
    let recorded = journal::find(&paths.runs(), &args.run, Which::Any)?;
    let start = ReplayStart {
        at: args.from.unwrap_or_default().as_millis() as u64,
        speed: args.speed,
        ..ReplayStart::default()
    };
    tui::replay(Replay::new(recorded.events()?), start, screen::options(face)).await?;
    Ok(exit::OK)
}

/// `murder retry RUN`: the same deployment again, to the hosts that it did not reach.
pub(super) async fn retry(
    cli: &Cli,
    around: &Surroundings,
    paths: &Paths,
    args: &RetryArgs,
) -> Result<u8, AppError> {
    let recorded = journal::find(&paths.runs(), &args.run, Which::Shipped)?;
    let record = recorded.record();
    let unfinished: BTreeSet<String> = recorded.unfinished()?.into_iter().map(|host| host.name).collect();
    if unfinished.is_empty() {
        return Err(AppError::NothingToRetry(record.run.to_string()));
    }
    let payload: PathBuf = args
        .payload
        .clone()
        .or_else(|| record.payload.clone())
        .ok_or_else(|| AppError::Config(format!("run {} shipped no payload", record.run)))?;
    let mut setup =
        Setup::again(cli, around, inventory_of(&recorded)?, |host| unfinished.contains(&host.name))?;
    setup.deploy.tag = setup.deploy.tag.or_else(|| Some(record.tag.clone()));
    let occasion = Occasion {
        command: "retry",
        payload: &payload,
        config: ConfigSource::OpenSsh { file: None },
        cache: paths.cache.clone(),
        linger: is_full_screen(&setup.face),
    };
    let mut plan = plan(&setup, paths, occasion)?;
    plan.same_release = record.manifest.clone();
    carry_out(plan, &setup, paths, false, None).await
}

/// The inventory of a recorded run: its hosts, hooks and options as they were.
fn inventory_of(recorded: &Recorded) -> Result<Inventory, AppError> {
    let record = recorded.record();
    let broken = |what: &str, error: serde_json::Error| {
        AppError::Config(format!(
            "the record {} has no readable {what}: {error}",
            recorded.folder().display()
        ))
    };
    let hosts: Vec<Host> =
        serde_json::from_value(record.hosts.clone()).map_err(|error| broken("hosts", error))?;
    let part = |name: &str| record.options.get(name).cloned().unwrap_or_default();
    let hooks: Hooks = serde_json::from_value(part("hooks")).map_err(|error| broken("hooks", error))?;
    let options: Options =
        serde_json::from_value(part("options")).map_err(|error| broken("options", error))?;
    let mut inventory = Inventory::new(record.inventory.clone(), hosts);
    inventory.hooks = hooks;
    inventory.options = options;
    Ok(inventory)
}
