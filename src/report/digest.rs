use std::borrow::Cow;

use crate::control::{Failure, HostId, RunId};
use crate::deploy::{
    BarrierState, Body, Event, FailureGroup, HostState, Plan, RunInfo, SeederProgress, StateName, Summary,
    SwarmSummary,
};

/// What the summary and the status line tell of a run, kept up to date by its events.
#[derive(Debug, Clone, Default)]
pub struct Digest {
    pub(super) plan: Option<Plan>,
    pub(super) info: Option<RunInfo>,
    pub(super) started_at: u64,
    pub(super) now: u64,
    pub(super) hosts: Vec<HostDigest>,
    counts: [u32; StateName::ALL.len()],
    pub(super) rate: u64,
    pub(super) seeder: SeederProgress,
    pub(super) barrier: Option<BarrierState>,
    pub(super) stopping: Option<String>,
    /// First and last switch of a link, milliseconds since the epoch.
    pub(super) switches: Option<(u64, u64)>,
    pub(super) summary: Option<Summary>,
    pub(super) finished: bool,
}

#[derive(Debug, Clone)]
pub(super) struct HostDigest {
    pub(super) state: StateName,
    pub(super) attempt: u32,
    /// Verified bytes of the artifact.
    pub(super) done: u64,
    pub(super) down_rate: u64,
    pub(super) switched: bool,
    /// Attempt and failure, oldest first.
    pub(super) failures: Vec<(u32, Failure)>,
}

impl Digest {
    /// Of no run yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next event.
    pub fn apply(&mut self, event: &Event) {
        self.now = self.now.max(event.at);
        match &event.body {
            Body::Planned(plan) => self.planned(event.at, plan),
            Body::Started(info) => self.info = Some((**info).clone()),
            Body::Host { host, attempt, state } => self.host(*host, *attempt, state),
            Body::Progress { host, progress } => {
                if let Some(host) = self.hosts.get_mut(host.index())
                    && host.state == StateName::Fetching
                {
                    self.rate = self.rate - host.down_rate + progress.down_rate;
                    host.down_rate = progress.down_rate;
                    host.done = progress.done;
                }
            }
            Body::Seeder(seeder) => self.seeder = (**seeder).clone(),
            Body::Barrier(barrier) => self.barrier = Some(*barrier),
            Body::Activated { host, at } => {
                if let Some(host) = self.hosts.get_mut(host.index()) {
                    host.switched = true;
                }
                let (first, last) = self.switches.unwrap_or((*at, *at));
                self.switches = Some((first.min(*at), last.max(*at)));
            }
            Body::Stopping { reason } => self.stopping = Some(reason.clone()),
            Body::Resting(summary) => self.summary = Some((**summary).clone()),
            Body::Finished(summary) => {
                self.summary = Some((**summary).clone());
                self.finished = true;
            }
            Body::Packing { .. }
            | Body::Mark { .. }
            | Body::Log(_)
            | Body::Question(_)
            | Body::QuestionDone { .. } => {}
        }
    }

    /// Hosts in a state.
    pub fn count(&self, state: StateName) -> u32 {
        self.counts[state as usize]
    }

    /// Milliseconds since the run began.
    pub fn elapsed_ms(&self, at: u64) -> u64 {
        at.saturating_sub(self.started_at)
    }

    /// Name of a host, `#7` if it is none of the plan.
    pub fn name(&self, host: HostId) -> Cow<'_, str> {
        let known = self.plan.as_ref().and_then(|plan| plan.hosts.get(host.index()));
        known.map_or_else(|| Cow::Owned(host.to_string()), |host| Cow::Borrowed(host.name.as_str()))
    }

    /// How the run ended; of one that was killed, how it stood, or `None` before its plan.
    pub(super) fn outcome(&self) -> Option<Cow<'_, Summary>> {
        match &self.summary {
            Some(summary) => Some(Cow::Borrowed(summary)),
            None => self.plan.as_ref().map(|plan| Cow::Owned(self.so_far(&plan.run))),
        }
    }

    fn planned(&mut self, at: u64, plan: &Plan) {
        let host = HostDigest {
            state: StateName::Queued,
            attempt: 0,
            done: 0,
            down_rate: 0,
            switched: false,
            failures: Vec::new(),
        };
        *self = Self { started_at: at, now: at, hosts: vec![host; plan.hosts.len()], ..Self::default() };
        self.counts[StateName::Queued as usize] = plan.hosts.len() as u32;
        self.plan = Some(plan.clone());
    }

    fn host(&mut self, host: HostId, attempt: u32, state: &HostState) {
        let Some(host) = self.hosts.get_mut(host.index()) else { return };
        let name = state.name();
        self.counts[host.state as usize] -= 1;
        self.counts[name as usize] += 1;
        self.rate -= host.down_rate;
        host.down_rate = 0;
        host.state = name;
        host.attempt = attempt;
        match state {
            HostState::Failed(failure) => host.failures.push((attempt, failure.clone())),
            HostState::Verifying | HostState::Staged { .. } => {
                host.done = self.info.as_ref().map_or(host.done, |info| info.packed_bytes);
            }
            _ => {}
        }
        // A host that moves again after the run rested makes its outcome a thing of the past.
        self.summary = None;
    }

    fn so_far(&self, run: &RunId) -> Summary {
        let mut failures: Vec<FailureGroup> = Vec::new();
        for (index, host) in self.hosts.iter().enumerate() {
            let Some((_, failure)) = host.failures.last().filter(|_| host.state == StateName::Failed) else {
                continue;
            };
            let id = HostId(index as u32);
            match failures
                .iter_mut()
                .find(|group| group.kind == failure.kind && group.message == failure.message)
            {
                Some(group) => group.hosts.push(id),
                None => failures.push(FailureGroup {
                    kind: failure.kind,
                    message: failure.message.clone(),
                    hosts: vec![id],
                }),
            }
        }
        failures.sort_by_key(|group| std::cmp::Reverse(group.hosts.len()));
        Summary {
            run: run.clone(),
            exit: 1,
            seconds: self.elapsed_ms(self.now) as f64 / 1000.0,
            active: self.count(StateName::Active),
            staged: self.count(StateName::Staged),
            failed: self.count(StateName::Failed),
            cancelled: self.count(StateName::Cancelled) + self.count(StateName::Skipped),
            swarm: SwarmSummary {
                bytes: self.info.as_ref().map_or(0, |info| info.packed_bytes),
                least_seconds: self.info.as_ref().and_then(|info| info.least_seconds),
                seeder_bytes: self.seeder.sent,
                ..SwarmSummary::default()
            },
            failures,
            left_behind: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::script;

    #[test]
    fn counts_are_those_of_a_recount() {
        for events in [script::success(), script::some_failed(), script::stopped(), script::held()] {
            let mut digest = Digest::new();
            for event in &events {
                digest.apply(event);
                for state in StateName::ALL {
                    let recount = digest.hosts.iter().filter(|host| host.state == state).count();
                    assert_eq!(digest.count(state) as usize, recount, "{state} after {event:?}");
                }
                assert_eq!(digest.rate, digest.hosts.iter().map(|host| host.down_rate).sum::<u64>());
            }
        }
    }

    #[test]
    fn a_killed_run_is_counted_from_its_states() {
        let mut digest = Digest::new();
        assert!(digest.outcome().is_none());
        let events = script::some_failed();
        let rests = events.iter().position(|event| matches!(event.body, Body::Resting(_))).unwrap();
        events[..rests].iter().for_each(|event| digest.apply(event));
        let so_far = digest.outcome().unwrap().into_owned();
        assert_eq!((so_far.active, so_far.failed), (3, 3));
        assert_eq!(so_far.failures.len(), 3);
        events[rests..].iter().for_each(|event| digest.apply(event));
        assert_eq!(digest.outcome().unwrap().exit, 6);
    }
}
