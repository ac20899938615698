use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, ValueHint};

use crate::inventory::{
    Amount, BATCH, CANARY, COLOR, Canary, ColorChoice, DEST, DURATION, EXPRESSION, FANOUT, FILE, FPS, GLOB,
    HOST_KEYS, HostKeys, KEEP, LINK, MAX_FAIL, NOTIFY, Notify, OUTPUT, Options, Output, PORT, PORTS, Percent,
    PortRange, QUORUM, RATE, REPORT, RETRIES, TAG, THEME, Theme, UNPACK, Unpack,
};
use crate::text::{Kind, Mistake};

/// Reads an argument as the inventory would.
pub(super) fn read<T: Clone + Send + Sync + 'static>(
    kind: &'static Kind<T>,
) -> impl Fn(&str) -> Result<T, Mistake> + Clone + Send + Sync + 'static {
    |text| kind.read_argument(text)
}

/// Reads one of some words, which help and completions list.
fn word<T: Clone + Send + Sync + 'static>(
    words: &'static [&'static str],
    kind: &'static Kind<T>,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(words).try_map(|word| kind.read_argument(&word))
}

/// A flag, or its opposite, or neither.
fn switch(on: bool, off: bool) -> Option<bool> {
    (on || off).then_some(on)
}

/// Where hosts come from.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Hosts")]
pub(super) struct SourceArgs {
    /// Inventory of hosts: YAML or lines of text; `-` is standard input
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) inventory: Option<PathBuf>,
    /// Hosts and ranges like a,b[1-3]; `-` reads a list from standard input. With an inventory, what that says of them counts
    #[arg(long, value_name = "LIST")]
    pub(super) hosts: Option<String>,
}

/// Which hosts take part.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Hosts")]
pub(super) struct SelectArgs {
    /// Only these: host globs and ranges, groups, label=value, joined by `,` (or), `&` (and), `!` (not)
    #[arg(short, long, value_name = "EXPR", value_parser = read(&EXPRESSION))]
    limit: Option<String>,
    /// Not these
    #[arg(short = 'x', long, value_name = "EXPR", value_parser = read(&EXPRESSION))]
    exclude: Option<String>,
}

impl SelectArgs {
    pub(super) fn options(&self) -> Options {
        Options { limit: self.limit.clone(), exclude: self.exclude.clone(), ..Options::default() }
    }
}

/// Whether a host is the one it should be.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct TrustArgs {
    /// What becomes of unknown host keys; a changed or revoked one is always refused
    #[arg(long, value_name = "POLICY", value_parser = word(HostKeys::WORDS, &HOST_KEYS))]
    host_keys: Option<HostKeys>,
}

impl TrustArgs {
    pub(super) fn options(&self) -> Options {
        Options { host_keys: self.host_keys, ..Options::default() }
    }
}

/// Where releases lie on a host.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Release")]
pub(super) struct PlaceArgs {
    /// Folder on the hosts, below which releases/TAG and the link lie
    #[arg(long, value_name = "DIR", value_parser = read(&DEST))]
    to: Option<String>,
    /// Name of the link to the active release
    #[arg(long, value_name = "NAME", value_parser = read(&LINK))]
    link: Option<String>,
}

impl PlaceArgs {
    pub(super) fn options(&self) -> Options {
        Options { to: self.to.clone(), link: self.link.clone(), ..Options::default() }
    }
}

/// What is about the run as such.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Release")]
pub(super) struct RunArgs {
    /// Name of the release
    #[arg(long, value_name = "TAG", value_parser = read(&TAG))]
    tag: Option<String>,
    /// Show the plan and contact nothing
    #[arg(long, overrides_with = "no_dry_run")]
    dry_run: bool,
    #[arg(long, hide = true, overrides_with = "dry_run")]
    no_dry_run: bool,
    /// Write a report when the run ends; the ending says its form: .md, .html or .json
    #[arg(long, value_name = "FILE", value_parser = read(&REPORT), value_hint = ValueHint::FilePath)]
    report: Option<PathBuf>,
}

impl RunArgs {
    pub(super) fn options(&self) -> Options {
        Options {
            tag: self.tag.clone(),
            dry_run: switch(self.dry_run, self.no_dry_run),
            report: self.report.clone(),
            ..Options::default()
        }
    }
}

/// How many old releases stay.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Release")]
pub(super) struct KeepArgs {
    /// Releases that stay on a host; never fewer than the active one and the one before it
    #[arg(long, value_name = "N", value_parser = read(&KEEP))]
    keep: Option<u32>,
}

impl KeepArgs {
    pub(super) fn options(&self) -> Options {
        Options { keep: self.keep, ..Options::default() }
    }
}

/// What is shipped.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Release")]
pub(super) struct PackArgs {
    /// auto: a directory is unpacked, a file stays a file; always: .tar, .tar.gz, .tar.zst and .zip are unpacked too
    #[arg(long, value_name = "WHEN", value_parser = word(Unpack::WORDS, &UNPACK))]
    unpack: Option<Unpack>,
    /// Leave out what matches, like .murderignore; may be given several times
    #[arg(long, value_name = "GLOB", value_parser = read(&GLOB))]
    ignore: Vec<String>,
}

impl PackArgs {
    pub(super) fn options(&self) -> Options {
        let ignore = (!self.ignore.is_empty()).then(|| self.ignore.clone());
        Options { unpack: self.unpack, ignore, ..Options::default() }
    }
}

/// When what is staged is activated.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Activation")]
pub(super) struct BarrierArgs {
    /// Stage everywhere, activate nothing
    #[arg(long, overrides_with = "activate")]
    no_activate: bool,
    #[arg(long, hide = true, overrides_with = "no_activate")]
    activate: bool,
    /// Stay at the barrier until `A` is pressed or `murder activate` is run
    #[arg(long, overrides_with = "no_hold")]
    hold: bool,
    #[arg(long, hide = true, overrides_with = "hold")]
    no_hold: bool,
    /// Open the barrier when this share of the hosts is staged; later ones are activated on arrival
    #[arg(long, value_name = "N%", value_parser = read(&QUORUM))]
    quorum: Option<Percent>,
    /// Stage and activate these hosts first: so many, or an expression as for --limit
    #[arg(long, value_name = "N|EXPR", value_parser = read(&CANARY))]
    canary: Option<Canary>,
}

impl BarrierArgs {
    pub(super) fn options(&self) -> Options {
        Options {
            no_activate: switch(self.no_activate, self.activate),
            hold: switch(self.hold, self.no_hold),
            quorum: self.quorum,
            canary: self.canary.clone(),
            ..Options::default()
        }
    }
}

/// How hosts are switched.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Activation")]
pub(super) struct SwitchArgs {
    /// Hosts activated at a time; the next batch when the hooks of this one passed
    #[arg(long, value_name = "N|N%", value_parser = read(&BATCH))]
    batch: Option<Amount>,
    /// Past so many failed hosts nothing more is activated
    #[arg(long, value_name = "N|N%", value_parser = read(&MAX_FAIL))]
    max_fail: Option<Amount>,
    /// Run no hooks
    #[arg(long, overrides_with = "hooks")]
    no_hooks: bool,
    #[arg(long, hide = true, overrides_with = "no_hooks")]
    hooks: bool,
}

impl SwitchArgs {
    pub(super) fn options(&self) -> Options {
        Options {
            batch: self.batch,
            max_fail: self.max_fail,
            no_hooks: switch(self.no_hooks, self.hooks),
            ..Options::default()
        }
    }
}

/// How hosts are reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct ConnectArgs {
    /// Hosts dialled and launched at once; every launched host is in the swarm
    #[arg(long, value_name = "N", value_parser = read(&FANOUT))]
    fanout: Option<u32>,
    /// How often a host that failed is tried again by itself
    #[arg(long, value_name = "N", value_parser = read(&RETRIES))]
    retries: Option<u32>,
    /// How long a host may take to answer
    #[arg(long, value_name = "TIME", value_parser = read(&DURATION))]
    connect_timeout: Option<Duration>,
}

impl ConnectArgs {
    pub(super) fn options(&self) -> Options {
        Options {
            fanout: self.fanout,
            retries: self.retries,
            connect_timeout: self.connect_timeout,
            ..Options::default()
        }
    }
}

/// How pieces move, wherever the hosts are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Swarm")]
pub(super) struct TransferArgs {
    /// Bytes a second that this machine sends at most
    #[arg(long, value_name = "RATE", value_parser = read(&RATE))]
    seed_rate: Option<u64>,
    /// A host without a verified byte for so long has failed
    #[arg(long, value_name = "TIME", value_parser = read(&DURATION))]
    stall_timeout: Option<Duration>,
}

impl TransferArgs {
    pub(super) fn options(&self) -> Options {
        Options { seed_rate: self.seed_rate, stall_timeout: self.stall_timeout, ..Options::default() }
    }
}

/// The swarm among real hosts.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Swarm")]
pub(super) struct SwarmArgs {
    /// Bytes a second of each host at most, each direction; bits like 100mbit
    #[arg(long, value_name = "RATE", value_parser = read(&RATE))]
    rate: Option<u64>,
    /// Let any BitTorrent client that is given this torrent take part, unencrypted
    #[arg(long, value_name = "FILE", value_parser = read(&FILE), value_hint = ValueHint::FilePath)]
    open_swarm: Option<PathBuf>,
    /// Port of this machine for such clients
    #[arg(long, value_name = "PORT", value_parser = read(&PORT))]
    open_port: Option<u16>,
}

impl SwarmArgs {
    pub(super) fn options(&self) -> Options {
        let open_swarm = self.open_swarm.clone();
        Options { rate: self.rate, open_swarm, open_port: self.open_port, ..Options::default() }
    }
}

/// Where hosts listen.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Swarm")]
pub(super) struct PortArgs {
    /// Ports on the hosts at which they reach each other
    #[arg(long, value_name = "A-B", value_parser = read(&PORTS))]
    ports: Option<PortRange>,
}

impl PortArgs {
    pub(super) fn options(&self) -> Options {
        Options { ports: self.ports, ..Options::default() }
    }
}

/// What is shown, and how.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct FaceArgs {
    /// auto: the screen on a terminal, else plain lines
    #[arg(long, global = true, value_name = "FACE", value_parser = word(Output::WORDS, &OUTPUT))]
    output: Option<Output>,
    /// Whether there are colours; NO_COLOR is honoured by auto
    #[arg(long, global = true, value_name = "WHEN", value_parser = word(ColorChoice::WORDS, &COLOR))]
    color: Option<ColorChoice>,
    /// Colours of the screen
    #[arg(long, global = true, value_name = "NAME", value_parser = word(Theme::WORDS, &THEME))]
    theme: Option<Theme>,
    /// How the screen tells of the first failure and of the end
    #[arg(long, global = true, value_name = "HOW", value_parser = word(Notify::WORDS, &NOTIFY))]
    notify: Option<Notify>,
    /// No characters beyond ASCII
    #[arg(long, global = true, overrides_with = "no_ascii")]
    ascii: bool,
    #[arg(long, global = true, hide = true, overrides_with = "ascii")]
    no_ascii: bool,
    /// Frames a second that the screen draws at most
    #[arg(long, global = true, value_name = "N", value_parser = read(&FPS))]
    fps: Option<u8>,
    /// Answer every confirmation with yes
    #[arg(short, long, global = true, overrides_with = "no_yes")]
    yes: bool,
    #[arg(long, global = true, hide = true, overrides_with = "yes")]
    no_yes: bool,
    /// Say more; twice: still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

impl FaceArgs {
    pub(super) fn options(&self) -> Options {
        Options {
            output: self.output,
            color: self.color,
            theme: self.theme,
            notify: self.notify,
            ascii: switch(self.ascii, self.no_ascii),
            fps: self.fps,
            yes: switch(self.yes, self.no_yes),
            verbose: Some(self.verbose).filter(|level| *level > 0),
            ..Options::default()
        }
    }
}
