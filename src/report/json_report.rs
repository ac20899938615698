use serde::Serialize;

use super::words::verdict;
use super::{Comparison, RunReport};
use crate::control::{FailureKind, Phase};
use crate::deploy::{StateName, SwarmSummary};
use crate::journal::rfc3339;

/// Version of the object.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Report<'a> {
    v: u32,
    run: &'a str,
    command: &'a str,
    tag: &'a str,
    payload: &'a str,
    inventory: &'a str,
    started: String,
    verdict: &'static str,
    exit: u8,
    seconds: f64,
    active: u32,
    staged: u32,
    failed: u32,
    cancelled: u32,
    swarm: &'a SwarmSummary,
    stopped: Option<&'a str>,
    shut: Option<&'a str>,
    failures: Vec<Group<'a>>,
    hosts: Vec<Host<'a>>,
    throughput: Curve,
    before: Option<Before<'a>>,
}

#[derive(Serialize)]
struct Group<'a> {
    kind: FailureKind,
    message: &'a str,
    advice: &'static str,
    hosts: Vec<&'a str>,
}

#[derive(Serialize)]
struct Host<'a> {
    host: &'a str,
    rack: &'a str,
    state: StateName,
    attempts: u32,
    /// Seconds since the start of the run.
    activated: Option<f64>,
    /// Bytes.
    down: u64,
    up: u64,
    from_seeder: u64,
    reused: u64,
    /// Bytes a second.
    fetch_rate: Option<u64>,
    phases: Vec<Stretch>,
    failures: Vec<HostFailure<'a>>,
}

/// A stretch of time in one state, seconds since the start of the run.
#[derive(Serialize)]
struct Stretch {
    state: StateName,
    from: f64,
    to: f64,
}

#[derive(Serialize)]
struct HostFailure<'a> {
    attempt: u32,
    phase: Phase,
    kind: FailureKind,
    message: &'a str,
    detail: &'a [String],
}

/// Bytes a second, a value each `step` seconds.
#[derive(Serialize)]
struct Curve {
    step: f64,
    hosts: Vec<u64>,
    seeder: Vec<u64>,
}

#[derive(Serialize)]
struct Before<'a> {
    run: &'a str,
    seconds: f64,
    slower: Vec<Slower<'a>>,
}

#[derive(Serialize)]
struct Slower<'a> {
    host: &'a str,
    then: u64,
    now: u64,
}

/// The run as one JSON object: sizes in bytes, times in seconds, rates in bytes a second, hosts never folded.
pub(super) fn json(run: &RunReport, before: Option<&Comparison>) -> String {
    let (plan, outcome) = (&run.plan, &run.outcome);
    let group = |group: &'_ crate::deploy::FailureGroup| (group.kind, group.hosts.clone());
    let failures = outcome.failures.iter().map(|one| {
        let (kind, hosts) = group(one);
        let hosts = hosts.into_iter().map(|id| run.fleet.host_name(id)).collect();
        Group { kind, message: &one.message, advice: kind.advice(), hosts }
    });
    let report = Report {
        v: VERSION,
        run: &plan.run.0,
        command: &plan.command,
        tag: &plan.tag,
        payload: &plan.payload,
        inventory: &plan.inventory,
        started: rfc3339(run.started_at),
        verdict: verdict(run),
        exit: outcome.exit,
        seconds: outcome.seconds,
        active: outcome.active,
        staged: outcome.staged,
        failed: outcome.failed,
        cancelled: outcome.cancelled,
        swarm: &outcome.swarm,
        stopped: run.fleet.stopping(),
        shut: outcome.shut.as_deref(),
        failures: failures.collect(),
        hosts: hosts(run),
        throughput: curve(run),
        before: before.map(|before| Before {
            run: &before.run,
            seconds: before.transfer.0,
            slower: before
                .slower
                .iter()
                .map(|host| Slower { host: &host.host, then: host.before, now: host.now })
                .collect(),
        }),
    };
    // Numbers and strings alone: nothing in it can fail to become JSON.
    let mut text = serde_json::to_string_pretty(&report).unwrap_or_default();
    text.push('\n');
    text
}

fn hosts(run: &RunReport) -> Vec<Host<'_>> {
    let since = |at: u64| at.saturating_sub(run.started_at) as f64 / 1000.0;
    run.all()
        .map(|(_, record, host)| Host {
            host: &record.info.name,
            rack: &record.info.rack,
            state: record.name(),
            attempts: record.attempt,
            activated: record.activated_at.map(since),
            down: record.progress.down,
            up: record.progress.up,
            from_seeder: record.progress.from_seeder,
            reused: record.progress.reused,
            fetch_rate: host.fetch_rate(record),
            phases: host
                .spans
                .iter()
                .map(|span| Stretch {
                    state: span.state,
                    from: since(span.start),
                    to: since(span.end.unwrap_or(span.start)),
                })
                .collect(),
            failures: host
                .failures
                .iter()
                .map(|(attempt, failure)| HostFailure {
                    attempt: *attempt,
                    phase: failure.phase,
                    kind: failure.kind,
                    message: &failure.message,
                    detail: &failure.detail,
                })
                .collect(),
        })
        .collect()
}

fn curve(run: &RunReport) -> Curve {
    let hosts = run.throughput.smoothed(1.0);
    let seeder = run.seeder.smoothed(hosts.step());
    let rates = |curve: &super::curve::Curve| curve.points().map(|(_, rate)| rate as u64).collect();
    Curve { step: hosts.step(), hosts: rates(&hosts), seeder: rates(&seeder) }
}
