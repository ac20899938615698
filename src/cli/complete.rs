use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::time::Duration;

use clap::Arg;
use clap::builder::StyledStr;
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Elvish, Fish, Powershell, Shells, Zsh};

use super::bash::Bash;
use super::groups::SourceArgs;
use super::help::command;
use super::setup::Surroundings;
use crate::inventory::Inventory;
use crate::journal::{self, Run};
use crate::paths::Paths;
use crate::report::format_age;
use crate::units::plural;

/// The variable by which a shell's script asks `murder` itself for completions.
const VARIABLE: &str = "_MURDER_COMPLETE";

/// The shells that ask.
const SHELLS: Shells<'static> = Shells(&[&Bash, &Zsh, &Fish, &Elvish, &Powershell]);

/// Hosts that are offered by name. A shell has no use for more, and the next letters find the rest.
const MOST_HOSTS: usize = 500;

/// The script that a shell reads once; it asks `murder` each time, so that hosts, groups, tags and runs are today's.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    if let Some(completer) = SHELLS.completer(&shell.to_string()) {
        // Writing to memory cannot fail.
        let _ = completer.write_registration(VARIABLE, "murder", "murder", "murder", &mut script);
    }
    String::from_utf8_lossy(&script).into_owned()
}

/// Answers the script of [`completions`], and says whether it was that which asked.
pub fn answered_shell() -> bool {
    // A shell has no place for an error; it offers nothing then.
    CompleteEnv::with_factory(command)
        .var(VARIABLE)
        .shells(SHELLS)
        .try_complete(std::env::args_os(), std::env::current_dir().ok().as_deref())
        .unwrap_or_else(|_| std::env::var_os(VARIABLE).is_some())
}

/// Gives an argument what completes it, if that lies in the inventory or in the records of runs.
pub(super) fn with_values(arg: Arg) -> Arg {
    let positional = arg.is_positional();
    match arg.get_id().as_str() {
        "limit" | "exclude" | "canary" => arg.add(ArgValueCompleter::new(|current: &OsStr| {
            of_process(|known| known.inventory().map(|inventory| selection(&inventory, current)))
        })),
        "hosts" => arg.add(ArgValueCompleter::new(|current: &OsStr| {
            of_process(|known| known.inventory().map(|inventory| hosts(&inventory, current)))
        })),
        "tag" if positional => arg.add(ArgValueCompleter::new(|current: &OsStr| {
            of_process(|known| Some(tags(&known.runs(), journal::now(), current)))
        })),
        "run" if positional => arg.add(ArgValueCompleter::new(|current: &OsStr| {
            of_process(|known| Some(runs(&known.runs(), journal::now(), current)))
        })),
        _ => arg,
    }
}

/// What this process knows while it completes a line.
struct Known {
    around: Surroundings,
    paths: Paths,
    line: Vec<OsString>,
}

fn of_process(offer: impl FnOnce(&Known) -> Option<Vec<CompletionCandidate>>) -> Vec<CompletionCandidate> {
    let known = || {
        let paths = Paths::find(|name| std::env::var_os(name)).ok()?;
        let around = Surroundings::of_process(&paths.config_file()).ok()?;
        // The line's own standard input is not there yet, and the shell's is not ours.
        let around = Surroundings { stdin: Box::new(|| Box::new(io::empty())), ..around };
        let line = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
        Some(Known { around, paths, line })
    };
    known().as_ref().and_then(offer).unwrap_or_default()
}

impl Known {
    fn inventory(&self) -> Option<Inventory> {
        let inventory = named_inventory(&self.line).map(|name| self.paths.expand(&name));
        self.around.inventory(&SourceArgs { inventory, hosts: None }).ok()
    }

    fn runs(&self) -> Vec<Run> {
        journal::runs(&self.paths.runs()).unwrap_or_default()
    }
}

/// The inventory that a line names so far: `-i FILE`, `-iFILE`, `--inventory FILE`, `--inventory=FILE`.
fn named_inventory(line: &[OsString]) -> Option<String> {
    let mut words = line.iter().map(|word| word.to_string_lossy());
    let mut named = None;
    while let Some(word) = words.next() {
        named = match &*word {
            "-i" | "--inventory" => words.next().map(String::from).filter(|name| name != "="),
            word => match word.strip_prefix("--inventory=").or_else(|| word.strip_prefix("-i")) {
                Some(name) if !name.is_empty() => Some(name.to_owned()),
                _ => named,
            },
        };
    }
    named
}

/// Conditions that continue an expression: groups, labels, hosts.
fn selection(inventory: &Inventory, current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let (before, begun) = current.split_at(current.rfind([',', '&', '!', '(', ' ']).map_or(0, |at| at + 1));
    let mut groups: BTreeMap<String, usize> = BTreeMap::new();
    let mut labels: BTreeMap<String, usize> = BTreeMap::new();
    for host in &inventory.hosts {
        host.groups.iter().for_each(|group| *groups.entry(group.clone()).or_default() += 1);
        let own = host.labels.iter().map(|(label, value)| format!("{label}={value}"));
        own.chain(host.rack.iter().map(|rack| format!("rack={rack}")))
            .for_each(|label| *labels.entry(label).or_default() += 1);
    }
    let counted = |kind: &'static str| {
        move |(name, count): (String, usize)| (name, format!("{kind} of {}", plural(count, "host")))
    };
    let named = groups.into_iter().map(counted("group")).chain(labels.into_iter().map(counted("label")));
    let hosts = host_names(inventory, begun).map(|name| (name.to_owned(), "host".to_owned()));
    let fits = |name: &str| name.starts_with(begun);
    named
        .filter(|(name, _)| fits(name))
        .chain(hosts)
        .map(|(name, what)| candidate(format!("{before}{name}"), what))
        .collect()
}

/// Hosts that continue a list.
fn hosts(inventory: &Inventory, current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let (before, begun) = current.split_at(current.rfind(',').map_or(0, |at| at + 1));
    host_names(inventory, begun).map(|name| CompletionCandidate::new(format!("{before}{name}"))).collect()
}

fn host_names<'a>(inventory: &'a Inventory, begun: &str) -> impl Iterator<Item = &'a str> {
    let names = inventory.hosts.iter().map(|host| host.name.as_str());
    names.filter(move |name| name.starts_with(begun)).take(MOST_HOSTS)
}

/// Releases that were shipped from here, the newest first.
fn tags(runs: &[Run], now: u64, current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let mut seen = Vec::new();
    let shipped = runs.iter().filter(|run| {
        !run.status.demo && run.status.bytes.is_some() && run.status.tag.starts_with(&*current)
    });
    let mut offered = Vec::new();
    for run in shipped {
        if !seen.contains(&run.status.tag.as_str()) {
            seen.push(&run.status.tag);
            let what = format!("shipped {} ago to {}", age(run, now), hosts_of(run));
            offered.push(candidate(run.status.tag.clone(), what));
        }
    }
    offered
}

/// Names of runs, the newest first.
fn runs(runs: &[Run], now: u64, current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let last = ("last".to_owned(), "the newest one that was no demo".to_owned());
    let named = runs.iter().map(|run| {
        let what =
            format!("{} {} {} ago, {}", run.status.command, run.status.tag, age(run, now), hosts_of(run));
        (run.status.run.0.clone(), what)
    });
    let all = [last].into_iter().filter(|_| !runs.is_empty()).chain(named);
    all.filter(|(name, _)| name.starts_with(&*current)).map(|(name, what)| candidate(name, what)).collect()
}

fn age(run: &Run, now: u64) -> String {
    format_age(Duration::from_millis(now.saturating_sub(run.status.started_at)))
}

fn hosts_of(run: &Run) -> String {
    plural(run.status.hosts as usize, "host")
}

fn candidate(value: String, what: String) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(StyledStr::from(what)))
}
