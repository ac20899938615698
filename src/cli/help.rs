use std::fmt::Write as _;

use clap::builder::StyledStr;
use clap::{Arg, Command, CommandFactory as _};

use super::Cli;
use super::complete::with_values;
use super::options::defaults;
use super::setup::variable_of;
use crate::exit;
use crate::inventory::Options;

/// Exit codes and what they mean, for help and documentation.
pub const EXIT_CODES: [(u8, &str); 8] = [
    (exit::OK, "all hosts are active, or staged with --no-activate"),
    (exit::INTERNAL, "internal error"),
    (exit::USAGE, "wrong command line"),
    (exit::CONFIG, "wrong inventory or configuration; nothing was contacted"),
    (exit::NO_HOST, "no host is selected"),
    (exit::FAILED, "some hosts failed"),
    (exit::STOPPED, "stopped by the user"),
    (exit::ABORTED, "second Ctrl-C"),
];

/// Examples of each command, below its help.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "murder",
        "  murder demo                                     see it at work, with nothing set up
  murder check                                    what would fail on the hosts of ./hosts.yaml?
  murder deploy ./build --tag 2026.11.23          ship and activate
  murder retry last                               once more, to the hosts that failed
  murder rollback                                 back to what was current before",
    ),
    (
        "deploy",
        "  murder deploy ./build                           to all hosts of ./hosts.yaml
  murder deploy app.tar.gz --unpack always --tag 2026.11.23
  murder deploy ./build -l 'web & !ring=canary' --batch 25%
  murder deploy ./build --canary ring=canary --max-fail 5%
  murder deploy ./build --hosts 'web[01-20].example.com' --to /srv/app
  murder deploy ./build --dry-run                 the plan; nothing is contacted
  murder deploy ./build --output json | jq -r 'select(.type == \"run_finished\").failures[].hosts[]'",
    ),
    (
        "demo",
        "  murder demo
  murder demo --fleet 48 --fail 5                 five hosts fail: press R to retry them
  murder demo --output plain",
    ),
    (
        "check",
        "  murder check
  murder check -l web --size 400M                 how long would 400 MB take?",
    ),
    (
        "activate",
        "  murder activate 2026.11.23
  murder activate 2026.11.23 --batch 10",
    ),
    (
        "rollback",
        "  murder rollback                                 to what was current before
  murder rollback 2026.11.20 -y",
    ),
    (
        "releases",
        "  murder releases
  murder releases -l db --output json",
    ),
    (
        "clean",
        "  murder clean
  murder clean --keep 2",
    ),
    (
        "runs",
        "  murder runs -n 10
  murder runs --output json | jq -r 'select(.failed > 0) | .run'",
    ),
    (
        "show",
        "  murder show
  murder show 20261123-150146 --output json",
    ),
    (
        "retry",
        "  murder retry last
  murder retry 20261123-150146 -x rack=r7         all that failed, but for those in rack r7",
    ),
    (
        "replay",
        "  murder replay last --speed 4
  murder replay 20261123 --from 2m                from its third minute on",
    ),
    (
        "completions",
        "  murder completions bash > ~/.local/share/bash-completion/completions/murder
  murder completions zsh > ~/.zfunc/_murder
  murder completions fish > ~/.config/fish/completions/murder.fish",
    ),
    ("keys", "  murder keys | less"),
    ("paths", "  murder paths\n  du -sh \"$(murder paths | awk '/^runs/ {print $2}')\""),
    (
        "man",
        "  murder man | man -l -
  murder man --dir ~/.local/share/man/man1",
    ),
];

/// The whole command line, with defaults and variables written into its help.
pub fn command() -> Command {
    let annotated = Cli::command().mut_args(annotate).after_help(overview());
    annotated.mut_subcommands(|sub| {
        let sub = sub.mut_args(annotate).mut_args(with_values);
        match examples_of(sub.get_name()) {
            Some(examples) => sub.after_help(format!("Examples:\n{examples}")),
            None => sub,
        }
    })
}

/// Adds default and variable to the help of an option that other sources can set.
fn annotate(arg: Arg) -> Arg {
    let id = arg.get_id().as_str();
    let known = Options::KEYS.contains(&id) || matches!(id, "inventory" | "hosts");
    let (Some(help), true) = (arg.get_help().cloned(), known && !arg.is_hide_set()) else { return arg };
    // `--rate` of the demo has its own default and no variable.
    if help.to_string().contains("[default:") {
        return arg;
    }
    let mut text = help.to_string();
    if let Some(default) = default_of(id) {
        let _ = write!(text, " [default: {default}]");
    }
    let _ = write!(text, " [env: {}]", variable_of(id));
    arg.help(StyledStr::from(text))
}

/// The default of an option in words, if it is more than "no".
pub(super) fn default_of(key: &str) -> Option<String> {
    Some(match key {
        "inventory" => defaults::INVENTORY.to_owned(),
        "hosts" => "those of the inventory".to_owned(),
        "tag" => "the time, YYYYMMDD-HHMMSS in UTC".to_owned(),
        "to" => "the inventory's dest".to_owned(),
        "link" => defaults::LINK.to_owned(),
        "batch" | "limit" => "all".to_owned(),
        "keep" => defaults::KEEP.to_string(),
        "retries" => defaults::RETRIES.to_string(),
        "max_fail" | "canary" | "exclude" | "report" | "open_swarm" => "none".to_owned(),
        "quorum" => defaults::QUORUM.to_string(),
        "fanout" => defaults::FANOUT.to_string(),
        "rate" | "seed_rate" => "no limit".to_owned(),
        "ports" | "open_port" => "any".to_owned(),
        "connect_timeout" => seconds(defaults::CONNECT_TIMEOUT),
        "stall_timeout" => seconds(defaults::STALL_TIMEOUT),
        "unpack" => defaults::UNPACK.to_string(),
        "ignore" => defaults::IGNORE.join(" "),
        "host_keys" => "what ssh does for that host".to_owned(),
        "output" => defaults::OUTPUT.to_string(),
        "color" => defaults::COLOR.to_string(),
        "theme" => defaults::THEME.to_string(),
        "notify" => defaults::NOTIFY.to_string(),
        "ascii" => "where the locale is not UTF-8".to_owned(),
        "fps" => format!("{}, over ssh {}", defaults::FPS, defaults::FPS_OVER_SSH),
        _ => return None,
    })
}

fn seconds(time: std::time::Duration) -> String {
    format!("{}s", time.as_secs())
}

/// Examples of a command, if it has some.
pub(super) fn examples_of(name: &str) -> Option<&'static str> {
    EXAMPLES.iter().find(|(command, _)| *command == name).map(|(_, examples)| *examples)
}

/// Which source of options wins.
pub(super) const PRECEDENCE: &str = "An option is taken from the command line, else from its MURDER_… variable, \
else from the inventory's `options:`, else from $XDG_CONFIG_HOME/murder/config.toml, else its default counts; the latter two \
write its name with `_` for `-`. A switch that one of them has set is taken back by its opposite: --no-hold, --activate, \
--hooks, --no-yes, --no-ascii, --no-dry-run.";

/// How numbers with units are written.
pub(super) const UNITS: &str = "Sizes: bytes, or with K, M, G, which are powers of 1024. Rates: the same a second, or \
bits like 100mbit. Times: 10s, 2m.";

/// What stands below the help of `murder` itself.
fn overview() -> String {
    let examples = examples_of("murder").unwrap_or_default();
    let mut text = format!("Examples:\n{examples}\n\n{PRECEDENCE}\n\n{UNITS}\n\nExit codes:\n");
    for (code, meaning) in EXIT_CODES {
        let _ = writeln!(text, "  {code:<4} {meaning}");
    }
    text.truncate(text.trim_end().len());
    text
}
