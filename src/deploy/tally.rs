use std::collections::BTreeMap;

use crate::control::{FailureKind, HostId};
use crate::exit;

use super::coordinator::Coordinator;
use super::entry::{Entry, Leave};
use super::event::{ActivationSummary, FailureGroup, Summary, SwarmSummary};
use super::host::Way;

/// The run in numbers, as if it ended now.
pub(super) fn summary(run: &Coordinator) -> Summary {
    let counts = &run.counts;
    Summary {
        run: run.book.run.clone(),
        exit: exit_code(run),
        seconds: seconds(run.elapsed()),
        active: counts.active(),
        done: counts.done(),
        staged: counts.staged() + counts.back(),
        failed: counts.failed(),
        cancelled: counts.cancelled(),
        swarm: swarm(run),
        failures: failures(run),
        activation: activation(run),
        left_behind: left_behind(run),
        unchecked: unchecked(run),
        shut: run.shut().map(str::to_owned),
    }
}

/// Of the hosts whose last switch was made by this run.
fn activation(run: &Coordinator) -> Option<ActivationSummary> {
    let switches = || run.hosts.iter().filter_map(|entry| entry.switched_at);
    let (first, last) = switches().min().zip(switches().max())?;
    Some(ActivationSummary { hosts: switches().count() as u32, seconds: seconds(last - first) })
}

fn exit_code(run: &Coordinator) -> u8 {
    let wanted = run.counts.active()
        + run.counts.done()
        + if run.book.barrier.activate { 0 } else { run.counts.staged() };
    if wanted as usize == run.hosts.len() && !run.cut_off {
        exit::OK
    } else if let Some(exit) = run.broken {
        exit
    } else if run.stopped_early || run.counts.back() > 0 && run.counts.failed() == 0 {
        exit::STOPPED
    } else if run.counts.failed() + run.counts.staged() > 0 {
        exit::FAILED
    } else {
        exit::STOPPED
    }
}

fn swarm(run: &Coordinator) -> SwarmSummary {
    let fetched = run.hosts.iter().filter(|entry| entry.fetch.0.is_some());
    SwarmSummary {
        bytes: run.packed.as_ref().map_or(0, |info| info.packed_bytes),
        hosts: fetched.count() as u32,
        seconds: run.transfer.or_else(|| run.transfer_so_far()).map_or(0.0, seconds),
        least_seconds: run.packed.as_ref().and_then(|info| info.least_seconds),
        seeder_bytes: run.seeder_sent,
        duplicate_bytes: run.hosts.iter().map(|entry| entry.spent.duplicate + entry.progress.duplicate).sum(),
        ssh_only_bytes: run
            .hosts
            .iter()
            .filter(|entry| entry.ssh_only)
            .map(|entry| entry.spent.from_seeder + entry.progress.from_seeder)
            .sum(),
        reused_bytes: run.hosts.iter().map(|entry| entry.reused).sum(),
        agent_bytes: run.hosts.iter().map(|entry| entry.spent.agent).sum(),
    }
}

fn failures(run: &Coordinator) -> Vec<FailureGroup> {
    let mut groups: BTreeMap<(FailureKind, &str), Vec<HostId>> = BTreeMap::new();
    for (id, entry) in run.ids().zip(&run.hosts) {
        if let Way::Failed(failure) = &entry.host.way {
            groups.entry((failure.kind, &failure.message)).or_default().push(id);
        }
    }
    let mut groups: Vec<_> = groups
        .into_iter()
        .map(|((kind, message), hosts)| FailureGroup { kind, message: message.to_owned(), hosts })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.hosts.len()));
    groups
}

fn left_behind(run: &Coordinator) -> Vec<(HostId, String)> {
    run.ids()
        .zip(&run.hosts)
        .filter_map(|(id, entry)| if let Leave::Left(left) = &entry.leave { Some((id, left)) } else { None })
        .flat_map(|(id, left)| left.iter().map(move |what| (id, what.clone())))
        .collect()
}

fn unchecked(run: &Coordinator) -> Vec<(HostId, String)> {
    let why = |entry: &Entry| if let Leave::Unknown(why) = &entry.leave { Some(why.clone()) } else { None };
    run.ids().zip(&run.hosts).filter_map(|(id, entry)| Some((id, why(entry)?))).collect()
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
