use std::path::Path;

use crate::cli::{Cli, Setup, Surroundings};
use crate::deploy::{BarrierRules, DeployPlan, Errand};
use crate::paths::Paths;
use crate::ssh::ConfigSource;

use super::AppError;
use super::deploy::carry_out;
use super::plan::{Occasion, plan};
use super::screen::is_full_screen;

/// `murder check`, `murder releases`, `murder clean`: a small job on every host, shown as any other run.
pub(super) async fn errand(
    cli: &Cli,
    around: &Surroundings,
    paths: &Paths,
    command: &'static str,
    what: impl FnOnce(&Setup) -> Errand,
) -> Result<u8, AppError> {
    let setup = Setup::new(cli, around)?;
    let linger = is_full_screen(&setup.face);
    let errand = what(&setup);
    let plan = errand_plan(&setup, paths, command, errand, linger)?;
    carry_out(plan, &setup, paths, false, None).await
}

/// The plan of a run that ships nothing, switches nothing and only asks.
pub(super) fn errand_plan(
    setup: &Setup,
    paths: &Paths,
    command: &'static str,
    errand: Errand,
    linger: bool,
) -> Result<DeployPlan, AppError> {
    let occasion = Occasion {
        command,
        payload: Path::new(""),
        config: ConfigSource::OpenSsh { file: None },
        cache: paths.cache.clone(),
        linger,
    };
    let mut plan = plan(setup, paths, occasion)?;
    plan.tag.clear();
    plan.barrier = BarrierRules::default();
    (plan.before, plan.after) = (None, None);
    if matches!(errand, Errand::Check { .. }) {
        // What fails at times is what a check is to find.
        plan.attempts = 1;
    }
    plan.errand = Some(errand);
    Ok(plan)
}
