use std::path::Path;

use crate::cli::{Cli, Setup, Surroundings};
use crate::deploy::{DeployPlan, start};
use crate::exit;
use crate::inventory::Output;
use crate::journal::{Journal, KEEP_AGE, KEEP_RUNS, Meta, now, prune};
use crate::paths::Paths;
use crate::report::{Past, ReportFormat, write_report};
use crate::ssh::ConfigSource;

use super::AppError;
use super::dry_run::dry_run;
use super::follow::{Listener, Record};
use super::held::{held_run, open_held};
use super::plan::{Occasion, plan};
use super::screen::{at_terminal, show};

/// `murder deploy PAYLOAD`.
pub(super) async fn deploy(
    cli: &Cli,
    around: &Surroundings,
    paths: &Paths,
    payload: &Path,
) -> Result<u8, AppError> {
    let setup = Setup::new(cli, around)?;
    let occasion = Occasion {
        command: "deploy",
        payload,
        config: ConfigSource::OpenSsh { file: None },
        cache: paths.cache.clone(),
        linger: setup.face.output(at_terminal()) == Output::Tui,
    };
    let plan = plan(&setup, paths, occasion)?;
    carry_out(plan, &setup, paths, false, None).await
}

/// `murder activate TAG` and `murder rollback TAG`: the switch alone, to a release that is on the hosts.
pub(super) async fn switch(
    cli: &Cli,
    around: &Surroundings,
    paths: &Paths,
    command: &'static str,
    tag: &str,
) -> Result<u8, AppError> {
    let mut setup = Setup::new(cli, around)?;
    if command == "activate"
        && let Some(run) = held_run(paths, &setup, tag)?
    {
        return open_held(run, &setup, paths).await;
    }
    setup.deploy.tag = Some(tag.to_owned());
    setup.deploy.activate = true;
    let occasion = Occasion {
        command,
        payload: Path::new(""),
        config: ConfigSource::OpenSsh { file: None },
        cache: paths.cache.clone(),
        linger: setup.face.output(at_terminal()) == Output::Tui,
    };
    let plan = plan(&setup, paths, occasion)?;
    carry_out(plan, &setup, paths, false, None).await
}

/// Records and shows a run.
pub(super) async fn carry_out(
    plan: DeployPlan,
    setup: &Setup,
    paths: &Paths,
    demo: bool,
    listener: Option<Listener>,
) -> Result<u8, AppError> {
    if plan.ships() && !plan.payload.exists() {
        let reason = "there is no such file or directory".to_owned();
        return Err(AppError::Payload { path: plan.payload, reason });
    }
    if setup.deploy.dry_run {
        print!("{}", dry_run(&plan, setup)?);
        return Ok(exit::OK);
    }
    if let Some(file) = &setup.deploy.report {
        ReportFormat::of(file)?;
    }
    let run = plan.run.clone();
    let meta = Meta {
        demo,
        started_at: now(),
        payload: plan.ships().then(|| std::path::absolute(&plan.payload).ok()).flatten(),
        hosts: serde_json::to_value(&setup.hosts).unwrap_or_default(),
        options: serde_json::json!({ "options": setup.options, "hooks": setup.inventory.hooks }),
    };
    let journal = Journal::create(&paths.runs(), &plan.shown(), meta)?;
    let record = Record { journal: Some(journal), listener };
    let code = show(start(plan)?, &setup.face, record).await?;
    if let Some(file) = &setup.deploy.report {
        let past = Past::find(&paths.runs(), &run.0)?;
        write_report(file, &past.run, past.before.as_ref())?;
    }
    // What is old is removed when something new is there.
    let _ = prune(&paths.runs(), KEEP_RUNS, KEEP_AGE, now());
    Ok(code)
}
