use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Write as _};

use crate::cli::{Cli, RollbackArgs, Setup, Surroundings};
use crate::control::{HostId, Release};
use crate::deploy::{Body, Errand, Found, Question, StateName, start};
use crate::exit;
use crate::fleet::{FleetState, fold_names};
use crate::paths::Paths;
use crate::units::plural;

use super::AppError;
use super::deploy::switch;
use super::errand::errand_plan;
use super::follow::obey;
use super::questions;
use super::signals::{Signals, Wish};

/// `murder rollback [TAG]`: looks at the hosts, says what will not go smoothly, asks, and switches.
pub(super) async fn rollback(
    cli: &Cli,
    around: &Surroundings,
    paths: &Paths,
    args: &RollbackArgs,
) -> Result<u8, AppError> {
    let setup = Setup::new(cli, around)?;
    let yes = setup.face.yes;
    if let Some(tag) = args.tag.as_ref().filter(|_| yes) {
        return switch(cli, around, paths, "rollback", tag).await;
    }
    let fleet = match look(&setup, paths).await? {
        Looked::Seen(fleet) => fleet,
        Looked::Left(code) => return Ok(code),
    };
    let Some(tag) = args.tag.clone().or_else(|| most_before(&fleet)) else {
        return Err(AppError::Config(
            "no host knows what was current before: name the release to go back to, `murder releases` lists them".to_owned(),
        ));
    };
    if !listed(&fleet).any(|(_, releases)| releases.iter().any(|release| release.tag == tag)) {
        return Err(AppError::Config(format!("no host has {tag}: {}", there(&fleet))));
    }
    let odd = oddities(&fleet, &tag, args.tag.is_none());
    if yes {
        if !odd.is_empty() {
            return Err(AppError::Config(format!(
                "not all hosts can go back to {tag} alike:\n{odd}name the release to go back to: murder rollback {tag} -y"
            )));
        }
    } else if !asked(&fleet, &tag, &odd).await? {
        let _ = writeln!(io::stderr(), "murder: nothing was changed");
        return Ok(exit::STOPPED);
    }
    switch(cli, around, paths, "rollback", &tag).await
}

/// How the look at the hosts ended.
enum Looked {
    /// What is on them.
    Seen(Box<FleetState>),
    /// The user did not want to wait for it: the exit code.
    Left(u8),
}

/// What is on the hosts.
async fn look(setup: &Setup, paths: &Paths) -> Result<Looked, AppError> {
    let mut run = start(errand_plan(setup, paths, "releases", Errand::Releases, false)?)?;
    let mut signals = Signals::new()?;
    eprintln!("murder: looking at {}", plural(setup.hosts.len(), "host"));
    let (mut fleet, mut left) = (Box::<FleetState>::default(), None);
    loop {
        tokio::select! {
            event = run.events.recv() => {
                let Some(event) = event else { break };
                fleet.apply(&event);
                if let Body::Question(question) = event.body {
                    let commands = run.commands.clone();
                    tokio::task::spawn_blocking(move || questions::answer(&question, &commands));
                }
            }
            wish = signals.next() => {
                if wish != Wish::Detach {
                    left = Some(if wish == Wish::Abort { exit::ABORTED } else { exit::STOPPED });
                }
                obey(wish, &run.commands).await;
            }
        }
    }
    let _ = run.task.await;
    Ok(left.map_or(Looked::Seen(fleet), Looked::Left))
}

/// The releases of each host that answered.
fn listed(fleet: &FleetState) -> impl Iterator<Item = (HostId, &[Release])> {
    fleet.ids().filter_map(|(id, host)| match host.found.as_deref() {
        Some(Found::Releases { releases }) => Some((id, releases.as_slice())),
        _ => None,
    })
}

fn before(releases: &[Release]) -> Option<&str> {
    releases.iter().find(|release| release.current)?.previous.as_deref()
}

/// The tag that was current before on most hosts.
fn most_before(fleet: &FleetState) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for tag in listed(fleet).filter_map(|(_, releases)| before(releases)) {
        *counts.entry(tag).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(tag, _)| tag.to_owned())
}

/// The releases that could be meant.
fn there(fleet: &FleetState) -> String {
    let tags: BTreeSet<&str> =
        listed(fleet).flat_map(|(_, releases)| releases.iter().map(|release| release.tag.as_str())).collect();
    if tags.is_empty() {
        return "there is no release on any of them".to_owned();
    }
    format!("there are {}", tags.into_iter().collect::<Vec<_>>().join(", "))
}

/// Hosts that will not go back as the others do, a line for each reason; empty if there are none.
fn oddities(fleet: &FleetState, tag: &str, by_history: bool) -> String {
    let mut groups: BTreeMap<String, Vec<HostId>> = BTreeMap::new();
    for (id, host) in fleet.ids().filter(|(_, host)| host.name() != StateName::Done) {
        let why = host.failure().map_or_else(|| host.name().to_string(), ToString::to_string);
        groups.entry(format!("could not be asked ({why})")).or_default().push(id);
    }
    for (id, releases) in listed(fleet) {
        let current = releases.iter().find(|release| release.current).map_or("none", |it| it.tag.as_str());
        let odd = if !releases.iter().any(|release| release.tag == tag) {
            format!("lacks {tag}, stays at {current}")
        } else if current == tag {
            format!("is at {tag} already")
        } else if by_history && before(releases) != Some(tag) {
            format!(
                "has another history: {current} is current, before it {}",
                before(releases).unwrap_or("none")
            )
        } else {
            continue;
        };
        groups.entry(odd).or_default().push(id);
    }
    groups.into_iter().fold(String::new(), |mut text, (odd, hosts)| {
        let names = fold_names(hosts.iter().map(|id| fleet.host_name(*id)));
        let _ = writeln!(text, "  {names}: {odd}");
        text
    })
}

/// Asks on the terminal. A signal instead of an answer is a no.
async fn asked(fleet: &FleetState, tag: &str, odd: &str) -> Result<bool, AppError> {
    // The terminal may be gone since.
    let _ = write!(io::stderr(), "{odd}");
    let hosts = plural(listed(fleet).count(), "host");
    let question = Question { id: 0, prompt: format!("roll back {hosts} to {tag}? (y/n)"), echo: true };
    let mut signals = Signals::new()?;
    let answer = tokio::select! {
        answer = tokio::task::spawn_blocking(move || questions::ask(&question)) => answer.ok().flatten(),
        _ = signals.next() => {
            let _ = writeln!(io::stderr());
            return Ok(false);
        }
    };
    let answer = answer.ok_or_else(|| {
        AppError::Config(format!(
            "nobody said yes to going back to {tag}: answer y, or give -y and the release"
        ))
    })?;
    Ok(matches!(answer.expose().trim(), "y" | "Y" | "yes"))
}
