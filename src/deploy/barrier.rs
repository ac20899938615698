use std::collections::BTreeSet;

use crate::control::HostId;
use crate::inventory::{Amount, Percent};

use super::counts::Counts;
use super::entry::Entry;
use super::host::{Activation, Input, Way};

/// What decides when staged hosts are activated.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BarrierRules {
    /// Activate at all.
    pub activate: bool,
    /// Stay closed until the user opens it.
    pub hold: bool,
    /// Open when so many are staged; else when every host is staged or final.
    pub quorum: Option<Percent>,
    /// Switch so many at a time.
    pub batch: Option<Amount>,
    /// Past so many failures nothing more is activated.
    pub max_fail: Option<Amount>,
    /// These are activated before the others, as soon as they are staged.
    pub canary: Vec<HostId>,
}

/// How far the run is with activation.
#[derive(Debug, Clone, PartialEq)]
enum Stage {
    /// Waits for the canaries to be staged, or for their activation.
    Canary { started: bool },
    /// Waits for hosts to be staged.
    Closed,
    /// Would open, but for the user.
    Held,
    /// Hooks before run on all that are staged.
    Preparing,
    /// Batches switch, one by one.
    Switching,
    /// The waves are through; who comes late is activated on arrival.
    Open,
    /// Too many failed: nothing more is activated.
    Shut { reason: String },
}

impl Stage {
    fn first(rules: &BarrierRules) -> Self {
        if rules.canary.is_empty() { Self::Closed } else { Self::Canary { started: false } }
    }
}

/// Between staging and activation: decides who may run its hook, and who may switch.
#[derive(Debug, Clone)]
pub(super) struct Barrier {
    rules: BarrierRules,
    stage: Stage,
    /// The user opened it.
    forced: bool,
    /// The batch that was told to switch last.
    batch: Vec<HostId>,
}

impl Barrier {
    pub(super) fn new(rules: BarrierRules) -> Self {
        Self { stage: Stage::first(&rules), rules, forced: false, batch: Vec::new() }
    }

    /// It lets hosts through.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Preparing | Stage::Switching | Stage::Open)
    }

    /// Only the user opens it.
    pub(super) fn is_held(&self) -> bool {
        self.stage == Stage::Held
    }

    /// Why nothing more is activated, if so.
    pub(super) fn shut(&self) -> Option<&str> {
        if let Stage::Shut { reason } = &self.stage { Some(reason) } else { None }
    }

    /// Staged hosts will not go on by themselves.
    pub(super) fn staged_is_final(&self) -> bool {
        !self.rules.activate || self.shut().is_some()
    }

    /// The user opens it: hold, quorum, canaries and max-fail are overruled. It waits for staged hosts that have to be
    /// `recalled` first, so that batches are as large as they were asked for.
    pub(super) fn force(&mut self, recalled: bool) {
        if !matches!(self.stage, Stage::Switching | Stage::Open) {
            self.forced = true;
            self.stage = if recalled { Stage::Closed } else { Stage::Preparing };
            self.batch.clear();
        }
    }

    /// The run ends: nobody goes through any more.
    pub(super) fn close(&mut self) {
        self.stage = Stage::Shut { reason: "the run was stopped".to_owned() };
    }

    /// Failed hosts are tried again: what was shut may open after all, canaries first.
    pub(super) fn reconsider(&mut self) {
        if self.shut().is_some() {
            self.forced = false;
            self.stage = Stage::first(&self.rules);
            self.batch.clear();
        }
    }

    /// Decides after any change; asked again until it has nothing to say.
    pub(super) fn poll(&mut self, hosts: &[Entry], counts: &Counts) -> Vec<(HostId, Input)> {
        if !self.rules.activate {
            return Vec::new();
        }
        loop {
            let before = self.stage.clone();
            let moves = self.moves(hosts, counts);
            if !moves.is_empty() || self.stage == before {
                return moves;
            }
        }
    }

    fn moves(&mut self, hosts: &[Entry], counts: &Counts) -> Vec<(HostId, Input)> {
        if let Some(limit) = self.rules.max_fail
            && !self.forced
            && counts.failed() as usize > limit.rounded_down(hosts.len())
            && !matches!(self.stage, Stage::Open | Stage::Shut { .. })
        {
            let failed = counts.failed();
            self.stage = Stage::Shut { reason: format!("{failed} failed, more than --max-fail {}", limit) };
        }
        match self.stage {
            Stage::Canary { started } => self.canary(started, hosts),
            Stage::Closed => self.closed(hosts, counts),
            Stage::Held => Vec::new(),
            Stage::Shut { .. } if counts.ready() > 0 => unprepare(hosts),
            Stage::Shut { .. } => Vec::new(),
            Stage::Preparing => self.preparing(hosts, counts),
            Stage::Switching => self.switching(hosts, counts),
            Stage::Open if counts.staged() + counts.ready() > 0 => arrivals(hosts),
            Stage::Open => Vec::new(),
        }
    }

    fn canary(&mut self, started: bool, hosts: &[Entry]) -> Vec<(HostId, Input)> {
        let canaries: BTreeSet<HostId> = self.rules.canary.iter().copied().collect();
        let of = |id: HostId| hosts.get(id.index()).map(|entry| &entry.host.way);
        if !started {
            let arrived =
                canaries.iter().all(|id| of(*id).is_none_or(|way| is_staged(way) || way.is_final()));
            if !arrived {
                return Vec::new();
            }
            self.stage = Stage::Canary { started: true };
        }
        let mut moves: Vec<(HostId, Input)> = Vec::new();
        for id in &canaries {
            match of(*id) {
                Some(way) if is_staged(way) => moves.push((*id, Input::Prepare)),
                Some(Way::Activating(Activation::Ready)) => moves.push((*id, Input::Switch)),
                _ => {}
            }
        }
        if moves.is_empty() && canaries.iter().all(|id| of(*id).is_none_or(Way::is_final)) {
            let lost = canaries.iter().filter(|id| !matches!(of(**id), Some(Way::Active))).count();
            self.stage = if lost == 0 {
                Stage::Closed
            } else {
                Stage::Shut { reason: format!("{lost} of {} canaries did not become active", canaries.len()) }
            };
        }
        moves
    }

    fn closed(&mut self, hosts: &[Entry], counts: &Counts) -> Vec<(HostId, Input)> {
        let total = hosts.len() as u32;
        let staged = counts.staged() + counts.active();
        let all_there = counts.staged() + counts.finals() == total;
        let enough = self.rules.quorum.is_some_and(|quorum| staged as usize >= quorum.of(hosts.len()).max(1));
        if !all_there && !enough || counts.staged() == 0 {
            // Everything final with nothing staged: whoever is retried later is activated on arrival.
            if all_there {
                self.stage = Stage::Open;
            }
            return Vec::new();
        }
        if self.rules.hold && !self.forced {
            self.stage = Stage::Held;
            return Vec::new();
        }
        self.stage = Stage::Preparing;
        prepare_all(hosts)
    }

    fn preparing(&mut self, hosts: &[Entry], counts: &Counts) -> Vec<(HostId, Input)> {
        if counts.preparing() == 0 {
            if counts.ready() == 0 && counts.staged() > 0 {
                return prepare_all(hosts);
            }
            self.stage = Stage::Switching;
        }
        Vec::new()
    }

    fn switching(&mut self, hosts: &[Entry], counts: &Counts) -> Vec<(HostId, Input)> {
        if counts.switching() > 0 {
            return Vec::new();
        }
        let failed =
            |id: &&HostId| matches!(hosts.get(id.index()).map(|entry| &entry.host.way), Some(Way::Failed(_)));
        let lost = self.batch.iter().filter(failed).count();
        if self.rules.batch.is_some() && lost > 0 && counts.ready() > 0 {
            let reason = format!("{lost} of a batch of {} failed", self.batch.len());
            self.stage = Stage::Shut { reason };
            return Vec::new();
        }
        let size = self.rules.batch.map_or(usize::MAX, |batch| batch.rounded_up(hosts.len()).max(1));
        let batch: Vec<_> = ids(hosts, |way| matches!(way, Way::Activating(Activation::Ready)))
            .take(size)
            .map(|id| (id, Input::Switch))
            .collect();
        if batch.is_empty() {
            self.stage = Stage::Open;
        }
        self.batch = batch.iter().map(|(id, _)| *id).collect();
        batch
    }
}

fn prepare_all(hosts: &[Entry]) -> Vec<(HostId, Input)> {
    ids(hosts, is_staged).map(|id| (id, Input::Prepare)).collect()
}

fn unprepare(hosts: &[Entry]) -> Vec<(HostId, Input)> {
    ids(hosts, |way| matches!(way, Way::Activating(Activation::Ready)))
        .map(|id| (id, Input::Unprepare))
        .collect()
}

fn arrivals(hosts: &[Entry]) -> Vec<(HostId, Input)> {
    let mut moves = prepare_all(hosts);
    let ready = ids(hosts, |way| matches!(way, Way::Activating(Activation::Ready)));
    moves.extend(ready.map(|id| (id, Input::Switch)));
    moves
}

fn ids<'a>(hosts: &'a [Entry], keep: impl Fn(&Way) -> bool + 'a) -> impl Iterator<Item = HostId> + 'a {
    hosts
        .iter()
        .enumerate()
        .filter(move |(_, entry)| keep(&entry.host.way))
        .map(|(index, _)| HostId(index as u32))
}

fn is_staged(way: &Way) -> bool {
    matches!(way, Way::Staged { .. })
}
