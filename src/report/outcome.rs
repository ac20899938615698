use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::control::HostId;
use crate::deploy::{ActivationSummary, FailureGroup, Summary, SwarmSummary};
use crate::fleet::FleetState;

/// How the run ended; of one that was cut short, how it stood then. `None` before its plan.
pub(super) fn outcome(fleet: &FleetState) -> Option<Cow<'_, Summary>> {
    match fleet.summary() {
        Some(summary) => Some(Cow::Borrowed(summary)),
        None => so_far(fleet).map(Cow::Owned),
    }
}

fn so_far(fleet: &FleetState) -> Option<Summary> {
    let counts = fleet.counts();
    let group = |cause: &crate::fleet::Cause| {
        Some(FailureGroup {
            kind: cause.wrong.kind()?,
            message: cause.message.clone(),
            hosts: cause.hosts.iter().copied().collect(),
        })
    };
    let fetched = fleet.hosts().iter().filter(|host| host.fetched > 0).count();
    Some(Summary {
        run: fleet.plan()?.run.clone(),
        exit: 1,
        seconds: fleet.elapsed_millis(fleet.last_at()) as f64 / 1000.0,
        active: counts.of(crate::deploy::StateName::Active),
        done: counts.of(crate::deploy::StateName::Done),
        staged: counts.of(crate::deploy::StateName::Staged),
        failed: counts.failed(),
        cancelled: counts.left_out(),
        swarm: SwarmSummary {
            bytes: fleet.packed_bytes(),
            hosts: fetched as u32,
            seconds: fleet.fetch_millis(fleet.last_at()).unwrap_or(0) as f64 / 1000.0,
            least_seconds: fleet.least_seconds(),
            seeder_bytes: fleet.seeder().sent,
            duplicate_bytes: fleet.totals().duplicate,
            reused_bytes: fleet.totals().reused,
            ..SwarmSummary::default()
        },
        failures: fleet.causes().list().into_iter().filter_map(group).collect(),
        activation: activation(fleet),
        left_behind: Vec::new(),
        unchecked: Vec::new(),
        shut: None,
    })
}

/// From the first to the last switch of the link, as the events tell it.
pub(super) fn activation(fleet: &FleetState) -> Option<ActivationSummary> {
    let switches = || fleet.hosts().iter().filter_map(|host| host.activated_at);
    let (first, last) = switches().min().zip(switches().max())?;
    Some(ActivationSummary { hosts: switches().count() as u32, seconds: (last - first) as f64 / 1000.0 })
}

/// The hosts of each of the words that are said of them.
pub(super) fn by_words(said: &[(HostId, String)]) -> BTreeMap<&str, Vec<HostId>> {
    let mut groups: BTreeMap<&str, Vec<HostId>> = BTreeMap::new();
    for (host, words) in said {
        groups.entry(words).or_default().push(*host);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::Body;
    use crate::journal::script;

    #[test]
    fn a_run_that_was_cut_short_is_counted_from_its_states() {
        let mut fleet = FleetState::new();
        assert!(outcome(&fleet).is_none());
        let events = script::some_failed();
        let rests = events.iter().position(|event| matches!(event.body, Body::Resting(_))).unwrap();
        events[..rests].iter().for_each(|event| fleet.apply(event));
        let so_far = outcome(&fleet).unwrap().into_owned();
        assert_eq!((so_far.active, so_far.failed, so_far.swarm.hosts), (3, 3, 5));
        assert_eq!(so_far.failures.len(), 3);
        events[rests..].iter().for_each(|event| fleet.apply(event));
        assert_eq!(outcome(&fleet).unwrap().exit, 6);
    }
}
