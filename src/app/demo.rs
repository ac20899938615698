use std::sync::Arc;
use std::time::Duration;

use crate::cli::{Cli, DemoArgs, Setup, Surroundings};
use crate::control::Phase;
use crate::demo::{DemoFleet, DemoOptions, make_release};
use crate::deploy::{Body, Event, HostState};
use crate::inventory::Inventory;
use crate::paths::Paths;
use crate::ssh::ConfigSource;

use super::AppError;
use super::deploy::carry_out;
use super::follow::Listener;
use super::plan::{Occasion, plan};
use super::screen::is_full_screen;

/// A made-up host that hangs is given up sooner than a real one: somebody is watching.
const STALL: Duration = Duration::from_secs(6);

/// What takes longer is told.
const WORTH_SAYING: Duration = Duration::from_secs(1);

/// `murder demo`: the ordinary deployment to a fleet inside this process.
pub(super) async fn demo(
    cli: &Cli,
    around: &Surroundings,
    paths: &Paths,
    args: &DemoArgs,
) -> Result<u8, AppError> {
    let options = DemoOptions {
        hosts: args.fleet,
        fail: args.fail,
        rate: Some(args.rate),
        size: args.size,
        ..DemoOptions::default()
    };
    let fleet = Arc::new(DemoFleet::start(&options)?);
    let payload = fleet.folder().join("release");
    make_release(&payload, args.size, fastrand::u64(..))?;
    let inventory = Inventory::parse("the demo's own fleet", &fleet.inventory())
        .map_err(|error| AppError::Cli(error.into()))?;
    let mut setup = Setup::demo(cli, around, inventory)?;
    if args.fail > 0 && setup.options.stall_timeout.is_none() {
        setup.deploy.stall_timeout = STALL;
    }
    setup.deploy.seed_rate = setup.deploy.seed_rate.or(Some(args.rate));
    let occasion = Occasion {
        command: "demo",
        payload: &payload,
        config: ConfigSource::None { known_hosts: fleet.known_hosts().to_owned() },
        cache: fleet.folder().join("cache"),
        linger: is_full_screen(&setup.face),
    };
    let plan = plan(&setup, paths, occasion)?;
    let exit = carry_out(plan, &setup, paths, true, Some(faults(Arc::clone(&fleet)))).await;
    remove(fleet).await;
    exit
}

/// On a busy disk this takes its time, and nobody should wonder what they wait for.
async fn remove(fleet: Arc<DemoFleet>) {
    let mut removed = tokio::task::spawn_blocking(move || drop(fleet));
    if tokio::time::timeout(WORTH_SAYING, &mut removed).await.is_err() {
        eprintln!("murder: removing what the demo put on this disk");
        let _ = removed.await;
    }
}

/// Lets faults strike in the middle of a transfer, and heal when their host has failed.
fn faults(fleet: Arc<DemoFleet>) -> Listener {
    Box::new(move |event: &Event| match &event.body {
        Body::Host { host, state: HostState::Failed(_), .. } => {
            if let Err(error) = fleet.heal(host.index()) {
                tracing::warn!("a made-up fault does not heal: {error}");
            }
        }
        Body::Host { host, state, .. } => {
            if let Some(phase) = state.name().phase() {
                fleet.progressed(host.index(), phase, 0.0);
            }
        }
        Body::Progress { host, progress } if progress.total > 0 => {
            fleet.progressed(host.index(), Phase::Fetching, progress.done as f64 / progress.total as f64);
        }
        _ => {}
    })
}
