use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use crate::cli::{Cli, Setup, Surroundings};
use crate::deploy::{DeployPlan, start};
use crate::exit;
use crate::journal::{Journal, now, prune};
use crate::paths::Paths;
use crate::report::{Ci, Past, ReportFormat, check_report, write_report};
use crate::ssh::ConfigSource;

use super::AppError;
use super::dry_run::dry_run;
use super::embed::{check_payload, meta};
use super::follow::{Listener, Record};
use super::held::{held_run, open_held};
use super::plan::{Occasion, plan};
use super::screen::{at_terminal, is_full_screen, show};
use super::trace::trace_to;

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
        linger: is_full_screen(&setup.face),
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
        linger: is_full_screen(&setup.face),
    };
    let plan = plan(&setup, paths, occasion)?;
    carry_out(plan, &setup, paths, false, None).await
}

/// Writes the reports of a run that is over.
fn report(setup: &Setup, paths: &Paths, run: &str) -> Result<(), AppError> {
    let job_summary = job_summary();
    if setup.deploy.report.is_none() && job_summary.is_none() {
        return Ok(());
    }
    let past = Past::find(&paths.runs(), run)?;
    if let Some(mut file) = job_summary {
        let report = ReportFormat::Markdown.render(&past.run, past.before.as_ref());
        file.write_all(report.as_bytes())
            .map_err(|error| AppError::System { what: "write the job's summary", error })?;
    }
    if let Some(file) = &setup.deploy.report {
        write_report(file, &past.run, past.before.as_ref())?;
    }
    Ok(())
}

/// Where GitHub takes a report in Markdown that it shows on the page of the job.
fn job_summary() -> Option<File> {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let path = env("GITHUB_STEP_SUMMARY").filter(|_| Ci::detect(env) == Ci::GitHub)?;
    OpenOptions::new().create(true).append(true).open(path).ok()
}

/// Records and shows a run.
pub(super) async fn carry_out(
    plan: DeployPlan,
    setup: &Setup,
    paths: &Paths,
    demo: bool,
    listener: Option<Listener>,
) -> Result<u8, AppError> {
    check_payload(&plan)?;
    if setup.deploy.dry_run {
        print!("{}", dry_run(&plan, setup)?);
        return Ok(exit::OK);
    }
    if let Some(file) = &setup.deploy.report {
        check_report(file)?;
    }
    if is_full_screen(&setup.face) && !at_terminal() {
        let why = "--output tui needs a terminal, and there is none here: --output plain needs none";
        return Err(AppError::Config(why.to_owned()));
    }
    let run = plan.run.clone();
    let journal = Journal::create(&paths.runs(), &plan.shown(), meta(&plan, setup, demo))?;
    trace_to(journal.trace()?, setup.face.verbose);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), run = %run, command = plan.command, tag = plan.tag, payload = %plan.payload.display(),
        inventory = plan.inventory, hosts = plan.hosts.len(), "the run begins"
    );
    let record = Record { journal: Some(journal), listener };
    let code = show(start(plan)?, &setup.face, record).await?;
    tracing::info!(code, "the run ended");
    // Hosts have the release or not, whatever becomes of the report.
    if let Err(error) = report(setup, paths, &run.0) {
        eprintln!("murder: {error}");
    }
    // What is old is removed when something new is there.
    let _ = prune(&paths.runs(), setup.retention, now());
    Ok(code)
}
