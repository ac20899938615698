use std::collections::HashMap;

use crate::control::{HostId, LogLevel, LogSource, Phase};
use crate::deploy::{
    Body, Event, HostInfo, HostProgress, HostState, LogLine, Mark, Plan, StateName, Summary,
};

use super::{
    Causes, Counts, FleetState, Flows, Glance, Group, GroupKind, HostRecord, LogEntry, Pulse, Totals, eta,
};

impl FleetState {
    /// Takes in one event. Events about unknown hosts are passed over: a recorded run may be cut short.
    pub fn apply(&mut self, event: &Event) {
        let at = event.at;
        self.revision += 1;
        self.last_at = self.last_at.max(at);
        if at / 1000 > self.second && self.started_at.is_some() {
            self.tick(at);
        }
        match &event.body {
            Body::Planned(plan) => self.begin(plan, at),
            Body::Packing { done, total } => self.packing = Some((*done, *total)),
            Body::Started(info) => {
                self.packing = None;
                self.info = Some(info.clone());
                (0..self.hosts.len()).for_each(|index| {
                    self.credit(index);
                    self.glance(index);
                });
            }
            Body::Host { host, attempt, state } => self.enter(*host, *attempt, state, at),
            Body::Progress { host, progress } => self.report(*host, progress, at),
            Body::Mark { host, mark, on, message } => self.set_mark(*host, *mark, *on, message, at),
            Body::Seeder(progress) => {
                self.seeder_rates.push(progress.rate);
                self.seeder_at = at;
                self.seeder = (**progress).clone();
            }
            Body::Limit(limit) => self.limit = Some(*limit),
            Body::Log(line) => self.hear_line(line, at),
            Body::Barrier(barrier) => self.barrier = Some(*barrier),
            Body::Activated { host, at: switched, previous } => {
                if let Some(host) = self.hosts.get_mut(host.index()) {
                    host.activated_at = Some(*switched);
                    host.previous.clone_from(previous);
                    host.back = None;
                    host.hear(at);
                }
                self.glance(host.index());
            }
            Body::RolledBack { host, tag } => {
                if let Some(host) = self.hosts.get_mut(host.index()) {
                    host.activated_at = None;
                    host.back = Some(tag.clone());
                    host.hear(at);
                }
                self.glance(host.index());
                self.note(at, Some(*host), LogLevel::Info, format!("rolled back to {tag}"));
            }
            Body::Found { host, result } => {
                if let Some(host) = self.hosts.get_mut(host.index()) {
                    host.found = Some(result.clone());
                    host.hear(at);
                }
                self.glance(host.index());
            }
            Body::Question(question) => self.questions.push_back(question.clone()),
            Body::QuestionDone { id } => self.questions.retain(|question| question.id != *id),
            Body::Stopping { reason } => {
                self.note(at, None, LogLevel::Warn, format!("stopping: {reason}"));
                self.stopping = Some(reason.clone());
            }
            Body::Resting(summary) => self.rest(summary, at),
            Body::Finished(summary) => {
                self.rest(summary, at);
                self.finished = true;
            }
        }
    }

    /// The user answered a question: it is not asked again, whatever becomes of the answer.
    pub fn answered(&mut self, id: u32) {
        self.questions.retain(|question| question.id != id);
    }

    /// Lets time pass: marks hosts that fell silent, takes the sample of the second, estimates the end. Called once a
    /// second by whoever shows this; events do it too. True if something changed that a screen may show.
    pub fn tick(&mut self, now: u64) -> bool {
        let second = now / 1000;
        if self.started_at.is_none() || self.is_resting() || second <= self.second {
            return false;
        }
        self.find_silent(now);
        if self.fetch_from.is_some() && self.fetch_to.is_none() {
            for _ in 0..(second - self.second.max(1)).clamp(1, self.throughput_gap()) {
                self.throughput.push(self.totals.rate);
            }
            self.eta = eta::estimate(self, now);
        } else {
            self.eta = None;
        }
        self.second = second;
        true
    }

    /// Samples to fill in at most when nothing was heard for long.
    fn throughput_gap(&self) -> u64 {
        if self.throughput.is_empty() { 1 } else { 30 }
    }

    fn find_silent(&mut self, now: u64) {
        for index in 0..self.pulses.len() {
            if self.pulses.get(index).is_none_or(|pulse| now <= pulse.silent_at) {
                continue;
            }
            let Some(host) = self.hosts.get_mut(index).filter(|host| !host.is_marked(Mark::Silent)) else {
                continue;
            };
            host.mark(Mark::Silent, true, "");
            self.order += 1;
            self.revision += 1;
            let old = host.progress.down_rate;
            host.progress.down_rate = 0;
            self.shift_rate(index, old, 0);
            self.glance(index);
        }
    }

    /// Brings what is seen of a host at a glance in line with all that is known of it.
    fn glance(&mut self, index: usize) {
        let packed = self.packed_bytes();
        let Self { hosts, glances, pulses, .. } = self;
        if let (Some(host), Some(glance), Some(pulse)) =
            (hosts.get(index), glances.get_mut(index), pulses.get_mut(index))
        {
            (*glance, *pulse) = (Glance::of(host), Pulse::of(host, packed));
        }
    }

    fn begin(&mut self, plan: &Plan, at: u64) {
        let mut builder = Grouping::default();
        let records: Vec<HostRecord> = (0..)
            .map(HostId)
            .zip(&plan.hosts)
            .map(|(id, info)| {
                let (rack, groups) = builder.place(id, info);
                HostRecord::new(info.clone(), at, rack, groups)
            })
            .collect();
        let by_name = (0..).map(HostId).zip(&plan.hosts).map(|(id, info)| (info.name.clone(), id)).collect();
        let mut counts = Counts::default();
        records.iter().for_each(|host| counts.add(host.name()));
        let mut by_names: Vec<usize> = (0..records.len()).collect();
        by_names.sort_by(|a, b| plan.hosts[*a].name.cmp(&plan.hosts[*b].name));
        let mut name_order = vec![0; records.len()];
        (0..).zip(by_names).for_each(|(place, host)| name_order[host] = place);
        *self = Self {
            plan: Some(Box::new(Plan { hosts: Vec::new(), ..plan.clone() })),
            glances: records.iter().map(Glance::of).collect(),
            pulses: records.iter().map(|host| Pulse::of(host, 0)).collect(),
            name_order,
            hosts: records,
            by_name,
            longest_name: plan.hosts.iter().map(|info| info.name.chars().count()).max().unwrap_or(0),
            one_rate: plan.hosts.windows(2).all(|pair| pair[0].rate == pair[1].rate)
                && plan.hosts.first().is_some_and(|info| info.rate.is_some()),
            counts,
            flows: Flows::new(&builder.racks),
            groups: builder.groups,
            racks: builder.racks,
            causes: Causes::default(),
            totals: Totals::default(),
            started_at: Some(at),
            last_at: at,
            second: at / 1000,
            revision: self.revision,
            order: self.order + 1,
            ..Self::new()
        };
    }

    fn enter(&mut self, id: HostId, attempt: u32, state: &HostState, at: u64) {
        let Some(host) = self.hosts.get_mut(id.index()) else { return };
        let (before, after) = (host.name(), state.name());
        let old_rate = host.progress.down_rate;
        if let HostState::Failed(failure) = &host.state {
            self.causes.remove(failure, id);
        }
        host.enter(state.clone(), attempt, at);
        let new_rate = host.progress.down_rate;
        self.counts.change(before, after);
        for group in &host.groups {
            if let Some(group) = self.groups.get_mut(*group as usize) {
                group.counts.change(before, after);
            }
        }
        if let HostState::Failed(failure) = state {
            self.causes.add(failure, id);
            self.first_failure.get_or_insert(id);
            let words = format!("failed while {}: {failure}", failure.phase);
            for line in &failure.detail {
                host.say(at, LogSource::Stderr, LogLevel::Error, line);
            }
            self.note(at, Some(id), LogLevel::Error, words);
        }
        self.shift_rate(id.index(), old_rate, new_rate);
        self.credit(id.index());
        self.time_fetching(before, after, at);
        if after.is_in_flight() {
            self.wake(at);
        }
        self.glance(id.index());
        self.order += 1;
    }

    /// A retry goes on after a rest; the time in between is not the run's.
    fn wake(&mut self, at: u64) {
        if self.finished {
            return;
        }
        if let Some(rest) = self.rests_at.take() {
            self.rested_ms += at.saturating_sub(rest);
        }
        self.summary = None;
    }

    fn time_fetching(&mut self, before: StateName, after: StateName, at: u64) {
        if after == StateName::Fetching {
            self.fetch_from.get_or_insert(at);
            self.fetch_to = None;
            return;
        }
        if after == StateName::Verifying {
            self.whole_at = Some(at);
        }
        if before == StateName::Fetching && self.counts.of(StateName::Fetching) == 0 {
            self.fetch_to = Some(at);
            self.eta = None;
        }
    }

    fn report(&mut self, id: HostId, progress: &HostProgress, at: u64) {
        let Self { hosts, flows, .. } = self;
        if let Some(host) = hosts.get(id.index()).filter(|_| !progress.links.is_empty()) {
            let rack = |id: HostId| hosts.get(id.index()).map(|host| host.rack);
            flows.count(host.rack, host.links(), &progress.links, rack);
        }
        let Some(host) = hosts.get_mut(id.index()) else { return };
        let was_silent = host.is_marked(Mark::Silent);
        let old = host.progress.clone();
        // The rate of a host that fetches nothing is not throughput, whatever a late report says.
        let fetching = host.name() == StateName::Fetching;
        let shown =
            HostProgress { down_rate: if fetching { progress.down_rate } else { 0 }, ..progress.clone() };
        host.report(shown, at);
        let new = &host.progress;
        let rates = (old.down_rate, new.down_rate);
        let grown = |old: u64, new: u64| if new >= old { new - old } else { new };
        self.totals.down += grown(old.down, new.down);
        self.totals.up += grown(old.up, new.up);
        self.totals.duplicate += grown(old.duplicate, new.duplicate);
        self.totals.reused += grown(old.reused, new.reused);
        self.top_rate = self.top_rate.max(rates.1);
        self.shift_rate(id.index(), rates.0, rates.1);
        self.credit(id.index());
        self.glance(id.index());
        self.order += u64::from(was_silent);
    }

    fn set_mark(&mut self, id: HostId, mark: Mark, on: bool, message: &str, at: u64) {
        let Some(host) = self.hosts.get_mut(id.index()) else { return };
        let news = on && !host.is_marked(mark);
        host.mark(mark, on, message);
        self.glance(id.index());
        self.order += 1;
        if news && !message.is_empty() {
            self.note(at, Some(id), LogLevel::Warn, format!("{}: {message}", mark.as_str()));
        }
    }

    fn hear_line(&mut self, line: &LogLine, at: u64) {
        if let Some(host) = line.host.and_then(|id| self.hosts.get_mut(id.index())) {
            host.say(at, line.source, line.level, &line.message);
            if host.is_marked(Mark::Silent) {
                self.order += 1;
            }
            host.hear(at);
        }
        line.host.into_iter().for_each(|id| self.glance(id.index()));
        let LogLine { host, level, source, message } = line.clone();
        self.log.push(LogEntry { at, host, level, source, message });
    }

    fn note(&mut self, at: u64, host: Option<HostId>, level: LogLevel, message: String) {
        self.log.push(LogEntry { at, host, level, source: LogSource::Murder, message });
    }

    fn rest(&mut self, summary: &Summary, at: u64) {
        self.rests_at.get_or_insert(at);
        if self.first_pass.is_none() {
            self.first_pass = self.transfer_millis();
        }
        self.summary = Some(Box::new(summary.clone()));
        self.eta = None;
        self.questions.clear();
    }

    fn shift_rate(&mut self, index: usize, old: u64, new: u64) {
        let shift = |sum: &mut u64| *sum = (*sum + new).saturating_sub(old);
        shift(&mut self.totals.rate);
        for group in self.hosts.get(index).map_or(&[][..], |host| &host.groups) {
            if let Some(group) = self.groups.get_mut(*group as usize) {
                shift(&mut group.rate);
            }
        }
    }

    /// Brings the sums of bytes in line with what a host has now.
    fn credit(&mut self, index: usize) {
        let packed = self.packed_bytes();
        let Some(host) = self.hosts.get_mut(index) else { return };
        // Whoever failed after it was staged has all, also if it was there before this attempt.
        let staged = host.failure().is_some_and(|failure| failure.phase == Phase::Activating);
        let whole = staged || host.share() >= 1.0 && host.name() != StateName::Fetching;
        let new = if whole { packed } else { host.fetched.min(packed) };
        let old = std::mem::replace(&mut host.credit, new);
        let shift = |sum: &mut u64| *sum = (*sum + new).saturating_sub(old);
        shift(&mut self.totals.done);
        for group in &host.groups {
            if let Some(group) = self.groups.get_mut(*group as usize) {
                shift(&mut group.done);
            }
        }
    }
}

/// Sorts hosts into racks and groups while the plan is read.
#[derive(Default)]
struct Grouping {
    racks: Vec<String>,
    groups: Vec<Group>,
    known: HashMap<(GroupKind, String), u32>,
    rack_numbers: HashMap<String, usize>,
}

impl Grouping {
    fn place(&mut self, id: HostId, info: &HostInfo) -> (usize, Vec<u32>) {
        let next = self.racks.len();
        let rack = *self.rack_numbers.entry(info.rack.clone()).or_insert(next);
        if rack == next {
            self.racks.push(info.rack.clone());
        }
        let named = (!info.rack.is_empty()).then(|| (GroupKind::Rack, info.rack.clone()));
        let named_groups = info.groups.iter().map(|group| (GroupKind::Group, group.clone()));
        let all: Vec<u32> = named.into_iter().chain(named_groups).map(|key| self.join(key, id)).collect();
        (rack, all)
    }

    fn join(&mut self, key: (GroupKind, String), id: HostId) -> u32 {
        let next = self.groups.len() as u32;
        let index = *self.known.entry(key.clone()).or_insert(next);
        if index == next {
            let (kind, name) = key;
            self.groups.push(Group {
                kind,
                name,
                hosts: Vec::new(),
                counts: Counts::default(),
                done: 0,
                rate: 0,
            });
        }
        if let Some(group) = self.groups.get_mut(index as usize) {
            group.hosts.push(id);
            group.counts.add(StateName::Queued);
        }
        index
    }
}
