use std::path::PathBuf;
use std::time::Duration;

use crate::inventory::{
    Amount, Canary, ColorChoice, HostKeys, Notify, Options, Output, Percent, PortRange, Theme, Unpack,
};
use crate::tui::{Keymap, locale_is_utf8};

use super::CliError;

/// What counts where no source says anything.
pub mod defaults {
    use std::time::Duration;

    use crate::inventory::{ColorChoice, DEFAULT_FILE, Notify, Output, Percent, Theme, Unpack};

    /// The inventory, in the working folder.
    pub const INVENTORY: &str = DEFAULT_FILE;
    /// Name of the link to the active release.
    pub const LINK: &str = "current";
    /// Releases that stay on a host.
    pub const KEEP: u32 = 5;
    /// How often a host is tried again.
    pub const RETRIES: u32 = 2;
    /// The barrier opens when all are staged or final.
    pub const QUORUM: Percent = Percent(100);
    /// Dials and launches at once; what `facts/ssh.md` found harmless for both sides.
    pub const FANOUT: u32 = 128;
    /// How long a host may take to answer.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long a host may be without a verified byte.
    pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);
    /// What is unpacked.
    pub const UNPACK: Unpack = Unpack::Auto;
    /// What is left out of a payload.
    pub const IGNORE: &[&str] = &[".git"];
    /// The face of a run.
    pub const OUTPUT: Output = Output::Auto;
    /// Whether there are colours.
    pub const COLOR: ColorChoice = ColorChoice::Auto;
    /// Colours of the screen.
    pub const THEME: Theme = Theme::Default;
    /// How the first failure and the end are told.
    pub const NOTIFY: Notify = Notify::Bell;
    /// Frames a second on a local terminal.
    pub const FPS: u8 = 10;
    /// Frames a second where the terminal is reached over ssh.
    pub const FPS_OVER_SSH: u8 = 4;
}

/// Options of a deployment, all decided. `None` is a value here: no limit, or not asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct DeployOptions {
    /// Name of the release; without one, the time at which the run begins.
    pub tag: Option<String>,
    /// Name of the link to the active release.
    pub link: String,
    /// Whether what is staged is activated.
    pub activate: bool,
    /// Stay at the barrier until told.
    pub hold: bool,
    /// Hosts activated at a time; all without one.
    pub batch: Option<Amount>,
    /// Releases that stay on a host.
    pub keep: u32,
    /// How often a host is tried again by itself.
    pub retries: u32,
    /// Past so many failures nothing more is activated.
    pub max_fail: Option<Amount>,
    /// The barrier opens when so many are staged.
    pub quorum: Percent,
    /// Staged and activated first.
    pub canary: Option<Canary>,
    /// Whether hooks are run.
    pub hooks: bool,
    /// Dials and launches at once.
    pub fanout: u32,
    /// Bytes a second, each host and direction.
    pub rate: Option<u64>,
    /// Bytes a second of the seeder.
    pub seed_rate: Option<u64>,
    /// Ports for the swarm on the hosts; any without.
    pub ports: Option<PortRange>,
    /// How long a host may take to answer.
    pub connect_timeout: Duration,
    /// How long a host may be without a verified byte.
    pub stall_timeout: Duration,
    /// What is unpacked.
    pub unpack: Unpack,
    /// Patterns of files to leave out.
    pub ignore: Vec<String>,
    /// What becomes of unknown host keys; without it, what ssh would do for that host.
    pub host_keys: Option<HostKeys>,
    /// Show the plan, contact nothing.
    pub dry_run: bool,
    /// File for the report.
    pub report: Option<PathBuf>,
    /// File for a torrent that lets any client take part.
    pub open_swarm: Option<PathBuf>,
    /// Port for such clients; any without.
    pub open_port: Option<u16>,
}

impl DeployOptions {
    /// Puts defaults where no source said anything, and refuses what does not go together.
    pub fn resolve(options: &Options) -> Result<Self, CliError> {
        let o = options.clone();
        let activate = !o.no_activate.unwrap_or(false);
        let hold = o.hold.unwrap_or(false);
        if hold && !activate {
            return Err(CliError::Conflict {
                one: "--hold",
                other: "--no-activate",
                help: "give one of the two",
            });
        }
        if o.open_port.is_some() && o.open_swarm.is_none() {
            let help = "name a file with --open-swarm FILE.torrent";
            return Err(CliError::Conflict { one: "--open-port", other: "no --open-swarm", help });
        }
        Ok(Self {
            tag: o.tag,
            link: o.link.unwrap_or_else(|| defaults::LINK.to_owned()),
            activate,
            hold,
            batch: o.batch,
            keep: o.keep.unwrap_or(defaults::KEEP),
            retries: o.retries.unwrap_or(defaults::RETRIES),
            max_fail: o.max_fail,
            quorum: o.quorum.unwrap_or(defaults::QUORUM),
            canary: o.canary,
            hooks: !o.no_hooks.unwrap_or(false),
            fanout: o.fanout.unwrap_or(defaults::FANOUT),
            rate: o.rate,
            seed_rate: o.seed_rate,
            ports: o.ports,
            connect_timeout: o.connect_timeout.unwrap_or(defaults::CONNECT_TIMEOUT),
            stall_timeout: o.stall_timeout.unwrap_or(defaults::STALL_TIMEOUT),
            unpack: o.unpack.unwrap_or(defaults::UNPACK),
            ignore: o
                .ignore
                .unwrap_or_else(|| defaults::IGNORE.iter().map(|glob| (*glob).to_owned()).collect()),
            host_keys: o.host_keys,
            dry_run: o.dry_run.unwrap_or(false),
            report: o.report,
            open_swarm: o.open_swarm,
            open_port: o.open_port,
        })
    }
}

/// What is shown, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceOptions {
    /// The face of a run, still `auto` if the terminal decides.
    pub output: Output,
    /// Whether there are colours, still `auto` if the terminal decides.
    pub color: ColorChoice,
    /// Colours of the screen.
    pub theme: Theme,
    /// How the first failure and the end are told.
    pub notify: Notify,
    /// No characters beyond ASCII.
    pub ascii: bool,
    /// Frames a second.
    pub fps: u8,
    /// Yes to every confirmation.
    pub yes: bool,
    /// How much is said, from 0.
    pub verbose: u8,
    /// The keys of the screen.
    pub keymap: Keymap,
}

impl FaceOptions {
    /// Puts defaults where no source said anything. `env` looks a variable up, to tell a terminal that is reached over ssh
    /// and one that shows ASCII alone.
    pub fn resolve(options: &Options, keymap: Keymap, env: impl Fn(&str) -> Option<String>) -> Self {
        let over_ssh = ["SSH_CONNECTION", "SSH_TTY"].iter().any(|name| env(name).is_some());
        Self {
            output: options.output.unwrap_or(defaults::OUTPUT),
            color: options.color.unwrap_or(defaults::COLOR),
            theme: options.theme.unwrap_or(defaults::THEME),
            notify: options.notify.unwrap_or(defaults::NOTIFY),
            ascii: options.ascii.unwrap_or_else(|| !locale_is_utf8(&env)),
            fps: options.fps.unwrap_or(if over_ssh { defaults::FPS_OVER_SSH } else { defaults::FPS }),
            yes: options.yes.unwrap_or(false),
            verbose: options.verbose.unwrap_or(0),
            keymap,
        }
    }

    /// The face, decided. `terminal` says whether a person sits at both ends of this process.
    pub fn output(&self, terminal: bool) -> Output {
        match self.output {
            Output::Auto if terminal => Output::Tui,
            Output::Auto => Output::Plain,
            chosen => chosen,
        }
    }

    /// Whether a stream gets colours. `terminal` says whether it is one; `NO_COLOR` (if not empty) and `TERM=dumb` forbid
    /// them.
    pub fn colors(&self, terminal: bool, env: impl Fn(&str) -> Option<String>) -> bool {
        let forbidden = || {
            env("NO_COLOR").is_some_and(|value| !value.is_empty())
                || env("TERM").is_some_and(|term| term == "dumb")
        };
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !forbidden(),
        }
    }
}
