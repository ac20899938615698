use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::config::{KEEP_RUNS, KEEP_RUNS_FOR};
use super::groups::SourceArgs;
use super::options::defaults;
use super::{Cli, CliError, Config, DeployOptions, FaceOptions};
use crate::inventory::{Host, Inventory, InventoryError, Options, fold, select};
use crate::journal::Retention;
use crate::text::Kind;
use crate::units;

/// Looks a variable of the environment up.
pub type Env = dyn Fn(&str) -> Option<String>;

/// What a process finds around it beside its arguments.
pub struct Surroundings {
    /// Looks a variable of the environment up. An empty one counts as not set.
    pub env: Box<Env>,
    /// Where `--hosts -` is read from.
    pub stdin: Box<dyn Fn() -> Box<dyn Read>>,
    /// The user's own defaults.
    pub config: Config,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Surroundings {
    /// Those of this process, with the configuration that lies at `config_file`.
    pub fn of_process(config_file: &Path) -> Result<Self, CliError> {
        Ok(Self {
            env: Box::new(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())),
            stdin: Box::new(|| Box::new(io::stdin())),
            config: Config::load(config_file)?,
        })
    }

    /// A variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// The options that `MURDER_*` variables give.
    fn options(&self) -> Result<Options, CliError> {
        Options::from_variables(|key| self.variable(&variable_of(key)))
            .map_err(|(key, mistake)| CliError::Environment { name: variable_of(key), mistake })
    }

    /// Which recorded runs stay: what variables say, else the configuration.
    pub fn retention(&self) -> Result<Retention, CliError> {
        let standard = Retention::default();
        Ok(Retention {
            runs: self.read("keep_runs", &KEEP_RUNS)?.or(self.config.keep_runs).unwrap_or(standard.runs),
            age: self
                .read("keep_runs_for", &KEEP_RUNS_FOR)?
                .or(self.config.keep_runs_for)
                .unwrap_or(standard.age),
        })
    }

    fn read<T>(&self, key: &str, kind: &Kind<T>) -> Result<Option<T>, CliError> {
        let name = variable_of(key);
        let text = self.variable(&name);
        text.map(|text| kind.read(key, &text))
            .transpose()
            .map_err(|mistake| CliError::Environment { name, mistake })
    }

    /// What is shown, and how, for a command without hosts.
    pub fn face(&self, cli: &Cli) -> Result<FaceOptions, CliError> {
        let options = cli.options().or(self.options()?).or(self.config.options.clone());
        Ok(self.face_of(&options))
    }

    fn face_of(&self, options: &Options) -> FaceOptions {
        FaceOptions::resolve(options, self.config.keys.clone(), |name| self.variable(name))
    }

    pub(super) fn inventory(&self, args: &SourceArgs) -> Result<Inventory, CliError> {
        let named = args.inventory.clone().or_else(|| self.variable("MURDER_INVENTORY").map(PathBuf::from));
        let list = args.hosts.clone().or_else(|| self.variable("MURDER_HOSTS"));
        let load = |path: &Path| -> Result<Inventory, InventoryError> {
            if path == Path::new("-") {
                Inventory::from_reader((self.stdin)())
            } else {
                Inventory::load(path)
            }
        };
        let Some(list) = list else {
            let default = || PathBuf::from(self.config.inventory.as_deref().unwrap_or(defaults::INVENTORY));
            return Ok(load(&named.unwrap_or_else(default))?);
        };
        let hosts =
            if list == "-" { Inventory::from_reader((self.stdin)())? } else { Inventory::from_hosts(&list)? };
        match named {
            Some(path) => Ok(load(&path)?.narrowed_to(hosts)),
            None => Ok(hosts),
        }
    }
}

/// The variable of an option.
pub(super) fn variable_of(key: &str) -> String {
    format!("MURDER_{}", key.to_uppercase())
}

/// All that a command with hosts needs to begin.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The inventory, with its hooks. Its hosts are all hosts, selected or not.
    pub inventory: Inventory,
    /// The selected hosts, in order; each has its `dest`.
    pub hosts: Vec<Host>,
    /// The options of all sources, merged, before defaults: what a run's record keeps.
    pub options: Options,
    /// The options, all decided.
    pub deploy: DeployOptions,
    /// What is shown, and how.
    pub face: FaceOptions,
    /// Which recorded runs stay when this one is over.
    pub retention: Retention,
}

impl Setup {
    /// Reads the inventory that the command line, or else the environment, names; merges options in the order command line,
    /// environment, inventory, configuration; selects hosts.
    pub fn new(cli: &Cli, around: &Surroundings) -> Result<Self, CliError> {
        let nowhere = SourceArgs::default();
        let inventory = around.inventory(cli.source().unwrap_or(&nowhere))?;
        let above = cli.options().or(around.options()?);
        let below = inventory.options.clone().or(around.config.options.clone());
        Self::with(inventory, above, below, around)
    }

    /// The same for hosts and options of a recorded run, of which only those that `again` says are tried again. The command
    /// line wins over the record, and the record over all else; how things are shown is not taken from it.
    pub fn again(
        cli: &Cli,
        around: &Surroundings,
        recorded: Inventory,
        again: impl Fn(&Host) -> bool,
    ) -> Result<Self, CliError> {
        let below = of_deployment(recorded.options.clone());
        let below = below.or(around.options()?).or(around.config.options.clone());
        let mut setup = Self::with(recorded, cli.options(), below, around)?;
        setup.hosts.retain(again);
        if setup.hosts.is_empty() { Err(none_selected(&setup.inventory, &setup.options)) } else { Ok(setup) }
    }

    /// For a program that has an inventory and options of its own.
    pub fn embedded(inventory: Inventory, options: Options, around: &Surroundings) -> Result<Self, CliError> {
        let below = inventory.options.clone();
        Self::with(inventory, options, below, around)
    }

    /// For a fleet that is made up. Inventory and configuration are about real hosts: they say only how things are shown.
    pub fn demo(cli: &Cli, around: &Surroundings, fleet: Inventory) -> Result<Self, CliError> {
        let variables = Options { to: None, limit: None, exclude: None, rate: None, ..around.options()? };
        let setup = Self::with(fleet, cli.options().or(variables), Options::default(), around)?;
        Ok(Self { face: around.face(cli)?, ..setup })
    }

    fn with(
        inventory: Inventory,
        above: Options,
        below: Options,
        around: &Surroundings,
    ) -> Result<Self, CliError> {
        let to = above.to.clone();
        let options = above.or(below);
        let mut hosts = select(&inventory.hosts, options.limit.as_deref(), options.exclude.as_deref())?;
        if hosts.is_empty() {
            return Err(none_selected(&inventory, &options));
        }
        for host in &mut hosts {
            let own = host.dest.take();
            host.dest = to.clone().or(own).or_else(|| options.to.clone());
        }
        let lost: Vec<&str> = hosts.iter().filter(|h| h.dest.is_none()).map(|h| h.name.as_str()).collect();
        if !lost.is_empty() {
            return Err(CliError::NoDest { hosts: fold(&lost) });
        }
        let deploy = DeployOptions::resolve(&options)?;
        let face = around.face_of(&options);
        Ok(Self { inventory, hosts, options, deploy, face, retention: around.retention()? })
    }
}

/// Options of a recorded run that hold for its repetition: what was shipped where and how, not what was shown or selected.
fn of_deployment(options: Options) -> Options {
    Options {
        limit: None,
        exclude: None,
        output: None,
        color: None,
        theme: None,
        notify: None,
        ascii: None,
        fps: None,
        yes: None,
        verbose: None,
        dry_run: None,
        report: None,
        open_swarm: None,
        open_port: None,
        ..options
    }
}

fn none_selected(inventory: &Inventory, options: &Options) -> CliError {
    let given = [("--limit", &options.limit), ("--exclude", &options.exclude)];
    let by: Vec<String> =
        given.iter().filter_map(|(flag, text)| Some(format!("{flag} {}", text.as_ref()?))).collect();
    let by = if by.is_empty() { String::new() } else { format!(", none of them by {}", by.join(" ")) };
    let hosts = units::plural(inventory.hosts.len(), "host");
    CliError::NoHost { inventory: inventory.source.clone(), hosts, by }
}
