//! Errands that never happened: `check`, `releases`, `clean`.

use crate::control::{Failure, FailureKind, HostId, Phase, Release};
use crate::deploy::{Body, Checkup, Cleaned, Event, FailureGroup, Found, HostState, Plan, RunInfo, Summary};

use super::script::{Script, plan, summary};

fn errand(command: &str, hosts: usize) -> Script {
    let plan = Plan {
        command: command.into(),
        tag: String::new(),
        payload: String::new(),
        activate: false,
        ..plan(hosts)
    };
    Script::new(plan)
}

fn find(script: &mut Script, id: u32, found: Found) {
    script.after(40).push(Body::Found { host: HostId(id), result: Box::new(found) });
}

/// Four hosts; nobody reaches the port of the last one.
pub(crate) fn check() -> Vec<Event> {
    let mut script = errand("check", 4);
    let info = RunInfo { bytes: 64 << 20, least_seconds: Some(16.0), ..RunInfo::default() };
    script.push(Body::Started(Box::new(info)));
    for id in 0..4 {
        script.after(30).host(id, 1, HostState::Connecting).host(id, 1, HostState::Checking);
    }
    for id in 0..4 {
        let others = (0..4).filter(|other| *other != id);
        let checkup = Checkup {
            free_bytes: (40 - u64::from(id)) << 30,
            free_inodes: (id > 0).then_some(1 << 20),
            current: Some(if id == 2 { "v1" } else { "v2" }.to_owned()),
            clock_offset_ms: Some(if id == 1 { -7_500 } else { 12 }),
            reaches: others.clone().filter(|other| *other != 3).map(HostId).collect(),
            blocked: others
                .filter(|other| *other == 3)
                .map(|other| (HostId(other), "no answer within 3 s".to_owned()))
                .collect(),
        };
        find(&mut script, id, Found::Checkup(checkup));
        if id < 3 {
            script.host(id, 1, HostState::Done);
        }
    }
    let blocked = Failure {
        detail: vec!["from web1: no answer within 3 s".into()],
        ..Failure::new(Phase::Checking, FailureKind::PortBlocked, "no other host reaches its swarm port")
    };
    script.host(3, 1, HostState::Failed(blocked.clone()));
    let group = FailureGroup { kind: blocked.kind, message: blocked.message, hosts: vec![HostId(3)] };
    script.finish(Summary { done: 3, failures: vec![group], ..summary(6, 0, 0, 1, 0) })
}

fn release(tag: &str, current: bool, manifest: &str, previous: Option<&str>) -> Release {
    Release {
        tag: tag.into(),
        manifest: Some(manifest.repeat(32)),
        bytes: Some(if tag == "v1" { 40 << 20 } else { 41 << 20 }),
        staged_at: Some(1_795_000_000 + u64::from(tag == "v2")),
        activated_at: current.then_some(1_795_000_100),
        current,
        previous: previous.map(str::to_owned),
    }
}

/// Four hosts: one with other content, one behind, one bare.
pub(crate) fn releases() -> Vec<Event> {
    let mut script = errand("releases", 4);
    script.push(Body::Started(Box::default()));
    let on = [
        vec![release("v1", false, "aa", None), release("v2", true, "bb", Some("v1"))],
        vec![release("v1", false, "cc", None), release("v2", true, "bb", Some("v1"))],
        vec![release("v1", true, "aa", None)],
        vec![],
    ];
    for (id, releases) in (0..).zip(on) {
        find(&mut script, id, Found::Releases { releases });
        script.host(id, 1, HostState::Done);
    }
    script.finish(Summary { done: 4, ..summary(0, 0, 0, 0, 0) })
}

/// Two hosts, one with something to remove.
pub(crate) fn clean() -> Vec<Event> {
    let mut script = errand("clean", 2);
    script.push(Body::Started(Box::default()));
    let cleaned = Cleaned { bytes: 81 << 20, tags: vec!["v0".into(), "v1".into()], agents: 1, ended: 1 };
    find(&mut script, 0, Found::Cleaned(cleaned));
    script.host(0, 1, HostState::Done);
    find(&mut script, 1, Found::Cleaned(Cleaned { agents: 1, ..Cleaned::default() }));
    script.host(1, 1, HostState::Done);
    script.finish(Summary { done: 2, ..summary(0, 0, 0, 0, 0) })
}
