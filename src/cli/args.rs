use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, FromArgMatches as _, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use super::groups::{
    BarrierArgs, ConnectArgs, FaceArgs, KeepArgs, PackArgs, PlaceArgs, PortArgs, RunArgs, SelectArgs,
    SourceArgs, SwarmArgs, SwitchArgs, TransferArgs, TrustArgs, read,
};
use super::help;
use crate::inventory::Options;
use crate::text::Kind;
use crate::{inventory, units};

/// Ship a release to thousands of hosts over a BitTorrent swarm, and watch it arrive.
#[derive(Debug, Clone, Parser)]
#[command(name = "murder", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub(super) face: FaceArgs,
}

impl Cli {
    /// Reads the arguments of this process. The error prints itself by `exit()`: help and version with exit code 0, a
    /// mistake with [`crate::exit::USAGE`].
    pub fn from_env() -> Result<Self, clap::Error> {
        Self::from_args(std::env::args_os())
    }

    /// Reads arguments, the first of which is the name of the program.
    pub fn from_args<T: Into<OsString> + Clone>(
        args: impl IntoIterator<Item = T>,
    ) -> Result<Self, clap::Error> {
        let matches = help::command().try_get_matches_from(args)?;
        Self::from_arg_matches(&matches)
    }

    /// The options that the command line gives.
    pub fn options(&self) -> Options {
        let own = match &self.command {
            Command::Deploy(args) => args.flags.options(),
            Command::Retry(args) => args.flags.options(),
            Command::Demo(args) => args.options(),
            Command::Check(args) => args.reach.options().or(args.ports.options()),
            Command::Activate(args) => args.reach.options().or(args.switch.options()),
            Command::Rollback(args) => args.reach.options().or(args.switch.options()),
            Command::Releases(args) => args.reach.options(),
            Command::Clean(args) => args.reach.options().or(args.keep.options()),
            Command::Runs(_)
            | Command::Show(_)
            | Command::Replay(_)
            | Command::Completions(_)
            | Command::Man(_)
            | Command::Keys
            | Command::Paths => Options::default(),
        };
        own.or(self.face.options())
    }

    /// Where the command line says that hosts come from, for commands that look for some.
    pub(super) fn source(&self) -> Option<&SourceArgs> {
        match &self.command {
            Command::Deploy(args) => Some(&args.source),
            Command::Check(args) => Some(&args.source),
            Command::Activate(args) => Some(&args.source),
            Command::Rollback(args) => Some(&args.source),
            Command::Releases(args) => Some(&args.source),
            Command::Clean(args) => Some(&args.source),
            _ => None,
        }
    }
}

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Ship a file or a directory to every selected host, then activate it
    Deploy(Box<DeployArgs>),
    /// The same deploy on a made-up fleet in this process: real SSH, real swarm, no setup
    Demo(Box<DemoArgs>),
    /// Log in everywhere and say what would fail; changes nothing in the folders of releases
    Check(Box<CheckArgs>),
    /// Point `current` at a release that is on the hosts, or release a run that is held at its barrier
    Activate(Box<ActivateArgs>),
    /// Take all hosts back to one release: TAG, or the one that was current before on most of them
    Rollback(Box<RollbackArgs>),
    /// Show what is on the hosts: tags, which is current, sizes, which hosts differ
    Releases(Box<ReleasesArgs>),
    /// Remove partial data, old releases and agents from the hosts; end leftover agents
    Clean(Box<CleanArgs>),
    /// List past runs
    Runs(RunsArgs),
    /// Show one run's report
    Show(ShowArgs),
    /// Deploy again to the hosts that failed in a run; what is not given is as it was then
    Retry(Box<RetryArgs>),
    /// Watch a recorded run in the same screen, with seek and speed
    Replay(ReplayArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write all of them
    Man(ManArgs),
    /// Print all keys of the screen
    Keys,
    /// Print where murder keeps its files
    Paths,
}

/// `murder deploy`
#[derive(Debug, Clone, Args)]
pub struct DeployArgs {
    /// File or directory to ship
    #[arg(value_name = "PAYLOAD", value_hint = ValueHint::AnyPath)]
    pub payload: PathBuf,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    flags: DeployFlags,
}

/// What `deploy` and `retry` share.
#[derive(Debug, Clone, Args)]
struct DeployFlags {
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    keep: KeepArgs,
    #[command(flatten)]
    pack: PackArgs,
    #[command(flatten)]
    barrier: BarrierArgs,
    #[command(flatten)]
    switch: SwitchArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    swarm: SwarmArgs,
    #[command(flatten)]
    transfer: TransferArgs,
    #[command(flatten)]
    ports: PortArgs,
}

impl DeployFlags {
    fn options(&self) -> Options {
        let options =
            self.select.options().or(self.run.options()).or(self.place.options()).or(self.keep.options());
        let options = options.or(self.pack.options()).or(self.barrier.options()).or(self.switch.options());
        let options = options.or(self.connect.options()).or(self.trust.options()).or(self.swarm.options());
        options.or(self.transfer.options()).or(self.ports.options())
    }
}

/// What all commands share that reach hosts and ship nothing.
#[derive(Debug, Clone, Args)]
struct ReachFlags {
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    trust: TrustArgs,
}

impl ReachFlags {
    fn options(&self) -> Options {
        let options = self.select.options().or(self.place.options());
        options.or(self.connect.options()).or(self.trust.options())
    }
}

/// `murder demo`
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Hosts of the fleet [default: 24]
    #[arg(long, value_name = "N", default_value = "24", hide_default_value = true, value_parser = read(&FLEET))]
    pub fleet: usize,
    /// Bytes of the made-up payload [default: 64M]
    #[arg(long, value_name = "SIZE", default_value = "64M", hide_default_value = true, value_parser = read(&SIZE))]
    pub size: u64,
    /// Bytes a second of each host, each direction, and of the seeder [default: 4M]
    #[arg(long, value_name = "RATE", default_value = "4M", hide_default_value = true, value_parser = read(&inventory::RATE))]
    pub rate: u64,
    /// Hosts that get a fault, of different kinds in turn; it heals when the host has failed [default: 0]
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = read(&FAULTS))]
    pub fail: usize,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    barrier: BarrierArgs,
    #[command(flatten)]
    switch: SwitchArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    transfer: TransferArgs,
}

impl DemoArgs {
    fn options(&self) -> Options {
        let options = self.run.options().or(self.barrier.options()).or(self.switch.options());
        options.or(self.connect.options()).or(self.transfer.options())
    }
}

/// `murder check`
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Bytes of the release: say whether it fits on the disks, and how long its deploy would take
    #[arg(long, value_name = "SIZE", value_parser = read(&SIZE))]
    pub size: Option<u64>,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    reach: ReachFlags,
    #[command(flatten)]
    ports: PortArgs,
}

/// `murder activate`
#[derive(Debug, Clone, Args)]
pub struct ActivateArgs {
    /// The release
    #[arg(value_name = "TAG", value_parser = read(&inventory::TAG))]
    pub tag: String,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    reach: ReachFlags,
    #[command(flatten)]
    switch: SwitchArgs,
}

/// `murder rollback`
#[derive(Debug, Clone, Args)]
pub struct RollbackArgs {
    /// The release [default: the one that was current before on most hosts]
    #[arg(value_name = "TAG", value_parser = read(&inventory::TAG))]
    pub tag: Option<String>,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    reach: ReachFlags,
    #[command(flatten)]
    switch: SwitchArgs,
}

/// `murder releases`
#[derive(Debug, Clone, Args)]
pub struct ReleasesArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    reach: ReachFlags,
}

/// `murder clean`
#[derive(Debug, Clone, Args)]
pub struct CleanArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    reach: ReachFlags,
    #[command(flatten)]
    keep: KeepArgs,
}

/// `murder runs`
#[derive(Debug, Clone, Args)]
pub struct RunsArgs {
    /// Only the newest N [default: all]
    #[arg(short = 'n', long, value_name = "N")]
    pub number: Option<usize>,
}

/// `murder show`
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The run, or the beginning of its name that only it has, or `last`
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
}

/// `murder retry`
#[derive(Debug, Clone, Args)]
pub struct RetryArgs {
    /// The run, or the beginning of its name that only it has, or `last`
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// Where the same payload lies now [default: where it lay]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub payload: Option<PathBuf>,
    #[command(flatten)]
    flags: DeployFlags,
}

/// `murder replay`
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// The run, or the beginning of its name that only it has, or `last`
    #[arg(value_name = "RUN", default_value = "last")]
    pub run: String,
    /// How many times as fast as it was, from 0.1 to 1000 [default: 1]
    #[arg(long, value_name = "FACTOR", default_value = "1", hide_default_value = true, value_parser = read(&SPEED))]
    pub speed: f64,
    /// Begin at this time of the run [default: 0s]
    #[arg(long, value_name = "TIME", value_parser = read(&inventory::DURATION))]
    pub from: Option<Duration>,
}

/// `murder completions`
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// `murder man`
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// Write the pages of all commands into this folder [default: print murder(1)]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
}

/// Hosts of a made-up fleet; each has its own port and processes on this machine.
const FLEET: Kind<usize> = Kind {
    expected: "a number of hosts from 1 to 10000",
    parse: |text| text.parse().ok().filter(|count| (1..=10_000).contains(count)).ok_or(None),
};

const FAULTS: Kind<usize> =
    Kind { expected: "a number of hosts", parse: |text| text.parse().map_err(|_| None) };

const SIZE: Kind<u64> = Kind {
    expected: "bytes, or a number with K, M or G like 64M",
    parse: |text| units::parse_size(text).map_err(|_| None),
};

const SPEED: Kind<f64> = Kind {
    expected: "a factor from 0.1 to 1000",
    parse: |text| text.parse().ok().filter(|factor| (0.1..=1000.0).contains(factor)).ok_or(None),
};
