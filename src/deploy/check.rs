use std::collections::BTreeMap;

use crate::control::{Checked, Failure, FailureKind, HostId, LogLevel, LogSource, Neighbour, Phase, Report};
use crate::units::plural;

use super::coordinator::{Coordinator, Order};
use super::errand::{Checkup, Cleaned, Errand, Found};
use super::event::Body;
use super::host::{Input, Step, Way};

/// Reasons of others that are told with a blocked port.
const MOST_REASONS: usize = 5;

/// How the others fared that dialled one host.
#[derive(Default)]
struct Reached {
    by: u32,
    not_by: Vec<(HostId, String)>,
}

impl Coordinator {
    /// Asks the host for what the errand is about.
    pub(super) fn ask(&mut self, host: HostId) {
        let Some(errand) = self.book.errand else { return };
        let peers = if errand.is_together() { self.to_probe(host) } else { Vec::new() };
        self.orders.push(Order::Ask { host, peers });
    }

    /// The neighbours that a deployment would deal to the host, as far as they wait to be dialled.
    fn to_probe(&self, id: HostId) -> Vec<Neighbour> {
        let dealt = self.links.dealt(id).iter().map(|other| (*other, &self.hosts[other.index()]));
        dealt
            .filter(|(_, entry)| entry.agent && matches!(entry.host.way, Way::Errand(_)))
            .map(|(id, entry)| Neighbour { id, life: entry.host.attempt, addresses: entry.addresses.clone() })
            .collect()
    }

    /// Keeps what the preflight of a check said.
    pub(super) fn note_checkup(&mut self, id: HostId, checked: &Checked) {
        if !matches!(self.book.errand, Some(Errand::Check { .. })) {
            return;
        }
        let entry = &mut self.hosts[id.index()];
        entry.checkup = Some(Checkup {
            free_bytes: checked.free_bytes,
            free_inodes: (checked.free_inodes < u64::MAX).then_some(checked.free_inodes),
            current: checked.current.clone(),
            clock_offset_ms: entry.clock_offset_ms,
            ..Checkup::default()
        });
    }

    /// An agent answered what the errand asked.
    pub(super) fn answered(&mut self, host: HostId, report: Report) {
        let found = match report {
            Report::Probed { open, closed } => {
                if let Some(checkup) = &mut self.hosts[host.index()].checkup {
                    (checkup.reaches, checkup.blocked) = (open, closed);
                }
                None
            }
            Report::Releases { releases } => Some(Found::Releases { releases }),
            Report::Cleaned { bytes, tags, agents, ended } => {
                Some(Found::Cleaned(Cleaned { bytes, tags, agents, ended }))
            }
            _ => return,
        };
        if let Some(found) = found.filter(|_| matches!(self.hosts[host.index()].host.way, Way::Errand(_))) {
            self.orders.push(Order::Emit(Body::Found { host, result: Box::new(found) }));
        }
        self.step(host, Input::Answered);
    }

    /// When every host has told whom it reaches, says which hosts nobody reaches.
    pub(super) fn judge(&mut self) {
        let answered = self.counts.answered();
        if answered == 0 || (answered + self.counts.finals()) as usize != self.hosts.len() {
            return;
        }
        let mut reached: BTreeMap<HostId, Reached> = BTreeMap::new();
        for (id, entry) in self.ids().zip(&self.hosts) {
            let Some(checkup) = entry.checkup.as_ref().filter(|_| is_answered(&entry.host.way)) else {
                continue;
            };
            checkup.reaches.iter().for_each(|other| reached.entry(*other).or_default().by += 1);
            for (other, reason) in &checkup.blocked {
                reached.entry(*other).or_default().not_by.push((id, reason.clone()));
            }
        }
        let judged: Vec<HostId> =
            self.ids().filter(|id| is_answered(&self.hosts[id.index()].host.way)).collect();
        for host in judged {
            if let Some(checkup) = self.hosts[host.index()].checkup.clone() {
                let result = Box::new(Found::Checkup(checkup));
                self.orders.push(Order::Emit(Body::Found { host, result }));
            }
            self.verdict(host, reached.remove(&host).unwrap_or_default());
        }
    }

    fn verdict(&mut self, host: HostId, Reached { by, not_by }: Reached) {
        let tried = by as usize + not_by.len();
        let reasons = not_by.iter().take(MOST_REASONS);
        let reasons: Vec<String> =
            reasons.map(|(from, why)| format!("from {}: {why}", self.book.names[from.index()])).collect();
        if by == 0 && tried > 0 {
            let message = "no other host reaches its swarm port".to_owned();
            let kind = FailureKind::PortBlocked;
            let failure = Failure { detail: reasons, ..Failure::new(Phase::Checking, kind, message) };
            return self.step(host, Input::Failed(failure));
        }
        if !not_by.is_empty() {
            let message = format!(
                "its swarm port is not reached by {} of {} that tried: {}",
                not_by.len(),
                plural(tried, "host"),
                reasons.join("; ")
            );
            self.log(Some(host), LogLevel::Warn, LogSource::Murder, message);
        }
        self.step(host, Input::Judged);
    }
}

fn is_answered(way: &Way) -> bool {
    matches!(way, Way::Errand(Step::Answered))
}
