use std::collections::HashMap;

use super::run::RunReport;

/// A host is slower if its rate is below this share of the one before.
const SLOWER: f64 = 0.67;

/// A run beside the one before of the same fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Name of the run before.
    pub run: String,
    /// Seconds of its transfer, and of this one.
    pub transfer: (f64, f64),
    /// Bytes a host had to fetch then, and now.
    pub bytes: (u64, u64),
    /// Hosts that fetch far slower than before, the worst first.
    pub slower: Vec<SlowerHost>,
}

/// A host that fetches far slower than before.
#[derive(Debug, Clone, PartialEq)]
pub struct SlowerHost {
    /// Its name.
    pub host: String,
    /// Bytes a second then.
    pub before: u64,
    /// Bytes a second now.
    pub now: u64,
}

impl Comparison {
    /// Of two runs that both fetched something; `None` else. Hosts are compared by their names. What slowed down everybody is no
    /// fault of a host: the hosts' rates are compared by how they stand to the median host of their run.
    pub fn of(now: &RunReport, before: &RunReport) -> Option<Self> {
        let fetched = |run: &RunReport| run.outcome.swarm.hosts > 0 && run.outcome.swarm.seconds > 0.0;
        if !fetched(now) || !fetched(before) {
            return None;
        }
        let (was, is) = (rates(before), rates(now));
        let drift = match (median(&was), median(&is)) {
            (Some(was), Some(is)) => is as f64 / was as f64,
            _ => 1.0,
        };
        let share = |host: &SlowerHost| host.now as f64 / (host.before as f64 * drift);
        let mut slower: Vec<SlowerHost> = is
            .into_iter()
            .filter_map(|(host, now)| {
                Some(SlowerHost { host: host.to_owned(), before: *was.get(host)?, now })
            })
            .filter(|host| share(host) < SLOWER)
            .collect();
        slower.sort_by(|a, b| share(a).total_cmp(&share(b)).then_with(|| a.host.cmp(&b.host)));
        Some(Self {
            run: before.plan.run.0.clone(),
            transfer: (before.outcome.swarm.seconds, now.outcome.swarm.seconds),
            bytes: (before.outcome.swarm.bytes, now.outcome.swarm.bytes),
            slower,
        })
    }
}

fn rates(run: &RunReport) -> HashMap<&str, u64> {
    let rate =
        |(_, record, host): (_, &crate::fleet::HostRecord, &super::run::HostReport)| host.fetch_rate(record);
    run.all().filter_map(|entry| Some((entry.1.info.name.as_str(), rate(entry)?))).collect()
}

fn median(rates: &HashMap<&str, u64>) -> Option<u64> {
    let mut all: Vec<u64> = rates.values().copied().collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::{Summary, SwarmSummary};
    use crate::journal::script::{self, Script};

    fn run(slow: Option<u32>) -> RunReport {
        let mut script = Script::new(script::plan(3));
        script.started().fetch(&[0, 1, 2], 1, 16);
        for id in 0..3 {
            if Some(id) == slow {
                script.after(30_000);
            }
            script.stage(&[id], 1);
        }
        RunReport::of(script.finish(script::summary(0, 0, 3, 0, 0))).unwrap()
    }

    #[test]
    fn a_host_that_is_slower_than_before_is_named() {
        let names = |now, before| -> Vec<String> {
            Comparison::of(&now, &before).unwrap().slower.into_iter().map(|host| host.host).collect()
        };
        assert!(names(run(None), run(None)).is_empty());
        assert_eq!(names(run(Some(2)), run(None)), ["web03.example.com"]);
        assert!(names(run(None), run(Some(2))).is_empty());
    }

    #[test]
    fn a_run_of_other_hosts_says_nothing_of_these() {
        let other = RunReport::of(script::demo()).unwrap();
        let with = run(None);
        assert!(Comparison::of(&with, &other).unwrap().slower.is_empty());
    }

    #[test]
    fn a_run_that_fetched_nothing_is_not_compared() {
        let nothing = RunReport::of(
            Script::new(script::plan(3))
                .started()
                .finish(Summary { swarm: SwarmSummary::default(), ..script::summary(7, 0, 0, 0, 3) }),
        );
        let nothing = nothing.unwrap();
        assert_eq!(Comparison::of(&run(None), &nothing), None);
        assert_eq!(Comparison::of(&nothing, &run(None)), None);
    }
}
