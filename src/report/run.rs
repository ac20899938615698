use super::curve::Curve;
use super::outcome::outcome;
use crate::control::{Failure, HostId};
use crate::deploy::{Body, Event, HostState, Plan, StateName, Summary};
use crate::fleet::{FleetState, HostRecord, Span};

/// A run that is over, with what a report shows beyond its last state: curves over the whole time, and each host's way
/// through all its attempts.
#[derive(Debug, Clone)]
pub struct RunReport {
    pub(super) fleet: FleetState,
    pub(super) plan: Plan,
    pub(super) outcome: Summary,
    pub(super) started_at: u64,
    pub(super) hosts: Vec<HostReport>,
    /// Bytes a second into all hosts together.
    pub(super) throughput: Curve,
    /// Bytes a second out of the seeder.
    pub(super) seeder: Curve,
}

/// One host's way.
#[derive(Debug, Clone, Default)]
pub(super) struct HostReport {
    /// All its states with their times, over all attempts.
    pub(super) spans: Vec<Span>,
    /// Attempt and failure, oldest first.
    pub(super) failures: Vec<(u32, Failure)>,
    /// Where in `spans` its last attempt begins.
    attempt_from: usize,
    attempt: u32,
}

impl RunReport {
    /// Of a run's events; `None` if there is no plan among them.
    pub fn of(events: impl IntoIterator<Item = Event>) -> Option<Self> {
        let mut fleet = FleetState::new();
        let mut hosts: Vec<HostReport> = Vec::new();
        let (mut throughput, mut seeder) = (Curve::default(), Curve::default());
        let mut before = 0;
        for event in events {
            let start = fleet.started_at().unwrap_or(event.at);
            let now = event.at.saturating_sub(start);
            if now > before {
                throughput.add(before, now, fleet.totals().rate as f64);
                if fleet.counts().of(StateName::Fetching) > 0 {
                    seeder.add(before, now, fleet.seeder().rate as f64);
                }
                before = now;
            }
            match &event.body {
                Body::Planned(plan) => {
                    hosts = vec![HostReport::default(); plan.hosts.len()];
                    (throughput, seeder, before) = (Curve::default(), Curve::default(), 0);
                }
                Body::Host { host, attempt, state } => {
                    if let Some(host) = hosts.get_mut(host.index()) {
                        host.enter(event.at, *attempt, state);
                    }
                }
                // While the run rests nobody waits for anybody, and its time stands still.
                Body::Resting(_) => hosts.iter_mut().for_each(|host| host.close(event.at)),
                _ => {}
            }
            fleet.apply(&event);
        }
        for host in &mut hosts {
            host.close(fleet.last_at());
        }
        let plan = fleet.plan()?.clone();
        let outcome = outcome(&fleet)?.into_owned();
        Some(Self { started_at: fleet.started_at()?, plan, outcome, hosts, throughput, seeder, fleet })
    }

    /// The state of the fleet at the end.
    pub fn fleet(&self) -> &FleetState {
        &self.fleet
    }

    /// Hosts with their records and ways, in the order of the inventory.
    pub(super) fn all(&self) -> impl Iterator<Item = (HostId, &HostRecord, &HostReport)> {
        self.fleet.ids().zip(&self.hosts).map(|((id, record), report)| (id, record, report))
    }

    /// Hosts with those first that need a person, then the slowest.
    pub(super) fn worst_first(&self) -> Vec<(HostId, &HostRecord, &HostReport)> {
        let mut hosts: Vec<_> = self.all().collect();
        let rank = |state: StateName| match state {
            StateName::Failed => 0,
            StateName::Active | StateName::Done => 3,
            StateName::Staged => 2,
            _ => 1,
        };
        hosts.sort_by_key(|(id, record, report)| {
            (rank(record.name()), std::cmp::Reverse(report.busy_ms()), *id)
        });
        hosts
    }

    /// Hosts that fetched, the slowest first, with the milliseconds of their last attempt's fetch.
    pub(super) fn slowest_fetches(&self) -> Vec<(u64, &HostRecord, &HostReport)> {
        let mut hosts: Vec<_> = self
            .all()
            .filter_map(|(id, record, host)| Some((host.millis(StateName::Fetching)?, id, record, host)))
            .collect();
        hosts.sort_by_key(|(ms, id, ..)| (std::cmp::Reverse(*ms), *id));
        hosts.into_iter().map(|(ms, _, record, host)| (ms, record, host)).collect()
    }

    /// Milliseconds from the start to the last event.
    pub(super) fn length_ms(&self) -> u64 {
        self.fleet.last_at().saturating_sub(self.started_at)
    }
}

impl HostReport {
    fn enter(&mut self, at: u64, attempt: u32, state: &HostState) {
        self.close(at);
        if attempt > self.attempt {
            self.attempt = attempt;
            self.attempt_from = self.spans.len();
        }
        if let HostState::Failed(failure) = state {
            self.failures.push((attempt, failure.clone()));
        }
        let name = state.name();
        let is_final = !matches!(name, StateName::Queued | StateName::Staged) && name.phase().is_none();
        if !is_final {
            self.spans.push(Span { state: name, start: at, end: None });
        }
    }

    fn close(&mut self, at: u64) {
        if let Some(span) = self.spans.last_mut() {
            span.end.get_or_insert(at);
        }
    }

    /// Milliseconds of its last attempt in a state; `None` if it never was in it.
    pub(super) fn millis(&self, state: StateName) -> Option<u64> {
        let spans = self.spans[self.attempt_from..].iter().filter(|span| span.state == state);
        spans.map(|span| span.millis(span.start)).reduce(|a, b| a + b)
    }

    /// Milliseconds in which anything was done for it, waiting not counted.
    pub(super) fn busy_ms(&self) -> u64 {
        let spans = self.spans.iter().filter(|span| span.state.phase().is_some());
        spans.map(|span| span.millis(span.start)).sum()
    }

    /// Mean rate of the fetch in its last attempt, bytes a second, if it took long enough to be one.
    pub(super) fn fetch_rate(&self, record: &HostRecord) -> Option<u64> {
        let ms = self.millis(StateName::Fetching).filter(|ms| *ms >= 100)?;
        let fetched = record.progress.down.max(record.fetched.saturating_sub(record.progress.reused));
        Some(fetched * 1000 / ms).filter(|rate| *rate > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::script;

    #[test]
    fn the_curve_holds_about_what_the_hosts_fetched() {
        let report = RunReport::of(script::success()).unwrap();
        let passed: f64 = report.throughput.points().map(|(_, rate)| rate * report.throughput.step()).sum();
        let fetched = (5 * script::PACKED) as f64;
        assert!((passed / fetched - 1.0).abs() < 0.1, "{passed} of {fetched}");
    }

    #[test]
    fn a_host_s_way_holds_all_its_attempts() {
        let report = RunReport::of(script::some_failed()).unwrap();
        let host = &report.hosts[2];
        assert_eq!(host.failures.len(), 1);
        assert!(host.spans.iter().all(|span| span.end.is_some()));
        assert_eq!(host.spans.iter().filter(|span| span.state == StateName::Connecting).count(), 2);
        assert!(host.millis(StateName::Fetching).unwrap() >= 17_000);
        assert_eq!(host.millis(StateName::Queued), Some(3190));
        let first = report.worst_first()[0].1.name();
        assert_eq!(first, StateName::Failed);
    }

    #[test]
    fn events_without_a_plan_are_no_run() {
        assert!(RunReport::of([]).is_none());
        assert!(RunReport::of(script::success().into_iter().skip(1)).is_none());
    }
}
