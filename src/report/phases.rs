use super::run::RunReport;
use crate::control::HostId;
use crate::deploy::StateName;

/// How long the hosts took for one part of their way, in their last attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PhaseTimes {
    pub(super) state: StateName,
    /// Hosts that went through it.
    pub(super) hosts: usize,
    /// Milliseconds.
    pub(super) median: u64,
    /// Milliseconds; 95 of 100 hosts took no longer.
    pub(super) most: u64,
    /// Milliseconds.
    pub(super) longest: u64,
    /// Who took longest.
    pub(super) slowest: HostId,
}

/// The parts of the way that any host went through, in order. Waiting at the barrier is told of as `staged`, where there is
/// one.
pub(super) fn phases(run: &RunReport) -> Vec<PhaseTimes> {
    let waits = |state: &StateName| *state != StateName::Staged || run.plan.activate;
    StateName::ALL.into_iter().filter(waits).filter_map(|state| phase(run, state)).collect()
}

fn phase(run: &RunReport, state: StateName) -> Option<PhaseTimes> {
    let mut times: Vec<(u64, HostId)> =
        run.all().filter_map(|(id, _, host)| Some((host.millis(state)?, id))).collect();
    times.sort();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).or(times.last());
    let (longest, slowest) = *times.last()?;
    let (median, most) = (at(0.5)?.0, at(0.95)?.0);
    Some(PhaseTimes { state, hosts: times.len(), median, most, longest, slowest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::{Body, Event};
    use crate::journal::script;

    #[test]
    fn phases_come_in_the_order_of_a_host_s_way() {
        let run = RunReport::of(script::some_failed()).unwrap();
        let phases = phases(&run);
        assert!(phases.is_sorted_by_key(|phase| phase.state));
        let fetching = phases.iter().find(|phase| phase.state == StateName::Fetching).unwrap();
        assert_eq!(fetching.hosts, 5);
        assert!(fetching.median <= fetching.most && fetching.most <= fetching.longest);
        assert!(fetching.longest > 17_000, "{fetching:?}");
    }

    #[test]
    fn nobody_waits_longer_than_the_run_took() {
        let mut script = script::Script::new(script::plan(2));
        script.started().fetch(&[0, 1], 1, 16).stage(&[0, 1], 1).barrier(2, 0, 0, false);
        script.after(1_000).push(Body::Resting(Box::new(script::summary(7, 0, 2, 0, 0))));
        let mut events = script.after(60_000).finish(script::summary(7, 0, 2, 0, 0));
        let waited = |events: &[Event]| {
            let run = RunReport::of(events.to_vec()).unwrap();
            phases(&run).into_iter().find(|phase| phase.state == StateName::Staged).map(|phase| phase.longest)
        };
        assert_eq!(waited(&events), Some(1_030));
        if let Body::Planned(plan) = &mut events[0].body {
            plan.activate = false;
        }
        assert_eq!(waited(&events), None, "there was no barrier");
    }
}
