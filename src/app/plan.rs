use std::path::{Path, PathBuf};

use crate::cli::Setup;
use crate::control::{HookLine, HostId, RunId};
use crate::deploy::{BarrierRules, DeployPlan, OpenPlan};
use crate::inventory::{AfterFailure, Canary, HostKeys, Unpack, matching};
use crate::journal;
use crate::paths::Paths;
use crate::payload::{self, PackOptions};
use crate::ssh::{ClientOptions, ConfigSource, HostKeyPolicy};

use super::AppError;

/// What a plan needs beside the options.
pub(super) struct Occasion<'a> {
    /// Word of the command.
    pub(super) command: &'static str,
    /// The payload.
    pub(super) payload: &'a Path,
    /// Where settings of SSH come from.
    pub(super) config: ConfigSource,
    /// Where artifacts are packed.
    pub(super) cache: PathBuf,
    /// Stay for retries.
    pub(super) linger: bool,
}

/// Makes the plan of a deployment from options that are all decided.
pub(super) fn plan(setup: &Setup, paths: &Paths, occasion: Occasion<'_>) -> Result<DeployPlan, AppError> {
    let now = journal::now();
    let options = &setup.deploy;
    let tag = options.tag.clone().unwrap_or_else(|| journal::compact(now));
    payload::check_tag(&tag).map_err(|error| AppError::Config(error.to_string()))?;
    let run = RunId(format!("{}-{:04x}", journal::compact(now), fastrand::u16(..)));
    let places = setup.hosts.iter().filter_map(|host| Some((host.name.as_str(), host.dest.as_deref()?)));
    let bases = journal::bases(&paths.runs(), &tag, &places.collect());
    let hooks = &setup.inventory.hooks;
    let line = |command: &Option<String>| {
        let command = command.clone().filter(|_| options.hooks)?;
        Some(HookLine { command, timeout_seconds: hooks.timeout.as_secs() })
    };
    Ok(DeployPlan {
        folder: paths.runs().join(&run.0),
        run,
        command: occasion.command.to_owned(),
        inventory: setup.inventory.source.clone(),
        warnings: setup.inventory.warnings(&setup.hosts),
        hosts: setup.hosts.clone(),
        link: options.link.clone(),
        tag,
        payload: occasion.payload.to_owned(),
        errand: None,
        same_release: None,
        open: options.open_swarm.clone().map(|torrent| OpenPlan {
            torrent,
            port: options.open_port,
            scratch: occasion.cache.clone(),
        }),
        pack: PackOptions { bases, ..pack_options(setup, occasion.cache)? },
        barrier: barrier(setup)?,
        before: line(&hooks.before_activate),
        after: line(&hooks.after_activate),
        rollback_on_failure: hooks.on_after_failure == AfterFailure::Rollback,
        keep: Some(options.keep),
        attempts: options.retries + 1,
        fanout: options.fanout,
        rate: options.rate,
        seed_rate: options.seed_rate,
        ports: options.ports.map(|ports| (ports.first, ports.last)),
        stall_timeout: options.stall_timeout,
        ssh: ClientOptions {
            host_keys: options.host_keys.map(|keys| match keys {
                HostKeys::Strict => HostKeyPolicy::Strict,
                HostKeys::AcceptNew => HostKeyPolicy::AcceptNew,
            }),
            connect_timeout: Some(options.connect_timeout),
            fanout: options.fanout as usize,
            config: occasion.config,
            ..ClientOptions::default()
        },
        operator: operator(),
        linger: occasion.linger,
    })
}

fn pack_options(setup: &Setup, cache_dir: PathBuf) -> Result<PackOptions, AppError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)
        .map_err(|error| AppError::System { what: "get random bytes", error: error.into() })?;
    Ok(PackOptions {
        unpack: match setup.deploy.unpack {
            Unpack::Auto => payload::Unpack::Auto,
            Unpack::Always => payload::Unpack::Always,
            Unpack::Never => payload::Unpack::Never,
        },
        ignore: setup.deploy.ignore.clone(),
        salt,
        cache_dir,
        piece_length: None,
        hosts: setup.hosts.len(),
        bases: Vec::new(),
    })
}

fn barrier(setup: &Setup) -> Result<BarrierRules, AppError> {
    let options = &setup.deploy;
    let hosts = setup.hosts.len();
    let canary: Vec<usize> = match &options.canary {
        None => Vec::new(),
        Some(Canary::Count(count)) => (0..hosts.min(*count as usize)).collect(),
        Some(Canary::Hosts(text)) => {
            let found = matching(&setup.hosts, "--canary", text)
                .map_err(|error| AppError::Config(error.to_string()))?;
            // Without canaries all hosts would go live at once, which is what was to be avoided.
            if found.is_empty() {
                return Err(AppError::Config(format!(
                    "--canary {text} names none of the {hosts} hosts selected"
                )));
            }
            found
        }
    };
    let canary = canary.into_iter().map(|place| HostId(place as u32)).collect();
    Ok(BarrierRules {
        activate: options.activate,
        hold: options.hold,
        quorum: (options.quorum.0 < 100).then_some(options.quorum),
        batch: options.batch,
        max_fail: options.max_fail,
        canary,
    })
}

/// `user@machine` of whoever runs this, for locks.
fn operator() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| user_name());
    let machine = rustix::system::uname();
    format!("{user}@{}", machine.nodename().to_string_lossy())
}

/// Of the process, as the system's list of users has it, else its number.
fn user_name() -> String {
    let own = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number == own).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("uid-{own}"))
}
