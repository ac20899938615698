use std::collections::VecDeque;

use crate::control::{HostId, LogLevel};
use crate::deploy::{Command, Question, StateName};
use crate::fleet::{Cause, Causes, FleetState, Group, GroupKind, LogEntry, Wrong};

use super::action::View;
use super::cursor::Cursor;
use super::hostlist::HostList;
use super::input::Input;
use super::undo::Undo;
use super::view::GridPlan;

/// What is asked before something is done that cannot be taken back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Confirm {
    /// The question, one line.
    pub(super) question: String,
    /// What a yes means, a line each.
    pub(super) lines: Vec<String>,
    /// What a yes does.
    pub(super) then: Then,
}

/// What follows a yes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Then {
    /// A command to the run.
    Send(Command),
    /// A clean stop, and out.
    Quit,
}

/// Between two orders of a list that sorts itself, so that rows do not dance; milliseconds.
const CALM_MS: u64 = 500;

/// What takes the keys instead of the view.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Modal {
    /// The table of keys, scrolled by so many lines.
    Help(u16),
    /// A yes or no.
    Confirm(Confirm),
    /// The run's question to the user, and the answer so far.
    Question(Question, Input),
    /// The filter as it is typed, and what it was before.
    Filter(Input, String),
    /// The command line, and which completion is picked.
    Command(Input, Option<usize>),
}

/// A line that says what a key did, for a few seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    /// The line.
    pub(super) text: String,
    /// When it goes, by the clock of the screen, milliseconds.
    pub(super) until: u64,
    /// It says that something did not work.
    pub(super) wrong: bool,
}

/// Where the user is: which view, what is selected, what is being asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Ui {
    /// The view of the body.
    pub(super) view: View,
    /// The host that is open over it.
    pub(super) detail: Option<HostId>,
    /// Lines that its detail is scrolled by.
    pub(super) detail_scroll: usize,
    /// Hosts: query, order, selection, marks. The grid has the same selection.
    pub(super) hosts: HostList,
    /// The host whose cell of the grid is selected.
    pub(super) grid_at: Option<HostId>,
    /// The list of groups.
    pub(super) groups: Cursor,
    /// Its rows, as positions in the fleet's list.
    group_rows: Vec<usize>,
    /// The list of causes.
    pub(super) causes: Cursor,
    /// Hosts in trouble by cause, below those that failed.
    troubles: Causes,
    /// When lists that sort themselves were sorted last, and for which view.
    sorted: Option<(View, u64)>,
    /// The group that is selected, so that the selection stays with it.
    pub(super) group: Option<(GroupKind, String)>,
    /// The cause that is selected, so that the selection stays with it.
    pub(super) cause: Option<(Wrong, String)>,
    /// The log, the newest line last.
    pub(super) log: Cursor,
    /// Whether the log has been scrolled away from its end.
    pub(super) log_held: bool,
    /// Lines of the log that match the filter, counted from the first that was ever said.
    log_lines: VecDeque<u64>,
    /// What they were made for: lines so far, the filter, whether only grave ones are wanted.
    log_made_for: (u64, String, bool),
    /// Cells of the grid.
    pub(super) grid: GridPlan,
    /// The swarm's matrix.
    pub(super) swarm: Cursor,
    /// Its first column that is seen.
    pub(super) swarm_left: usize,
    /// What takes the keys.
    pub(super) modal: Option<Modal>,
    /// What the last key did.
    pub(super) notice: Option<Notice>,
    /// What can be taken back, the last thing last.
    pub(super) undo: Vec<Undo>,
    /// Whether the picture is held still.
    pub(super) frozen: bool,
    /// Whether the mouse is ours.
    pub(super) mouse: bool,
    /// Where a replay stands.
    pub(super) replay: Option<ReplayBar>,
    /// Whether the run is being left.
    pub(super) leaving: bool,
}

/// Where a replay stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ReplayBar {
    /// Milliseconds from the start.
    pub(super) position: u64,
    /// Milliseconds in all.
    pub(super) length: u64,
    /// Seconds of the run in a second.
    pub(super) speed: f64,
    /// Time stands still.
    pub(super) paused: bool,
}

/// Racks and groups as positions in the fleet's list: those that need a person first, then those that are least done; else
/// racks before groups, in order of the inventory.
fn sorted_groups(fleet: &FleetState) -> Vec<usize> {
    let done = |group: &Group| u64::from(group.counts.done()) * 1000 / (group.hosts.len().max(1) as u64);
    let mut rows: Vec<usize> = (0..fleet.groups().len()).collect();
    rows.sort_by_key(|row| {
        let group = &fleet.groups()[*row];
        (std::cmp::Reverse(group.counts.failed()), done(group), group.kind == GroupKind::Group)
    });
    rows
}

/// What a retry moves.
pub(super) const TRIED: [StateName; 2] = [StateName::Failed, StateName::Cancelled];

impl Ui {
    /// The list of failures: causes, then what hosts that are on their way have trouble with.
    pub(super) fn cause_rows<'f>(&'f self, fleet: &'f FleetState) -> Vec<&'f Cause> {
        let mut rows = fleet.causes().list();
        rows.extend(self.troubles.list());
        rows
    }

    /// The cause that is selected in the list of failures.
    pub(super) fn selected_cause<'f>(&'f self, fleet: &'f FleetState) -> Option<&'f Cause> {
        self.cause_rows(fleet).get(self.causes.index).copied()
    }

    /// The group in a row of the list of groups.
    pub(super) fn group_at<'f>(&self, fleet: &'f FleetState, row: usize) -> Option<&'f Group> {
        fleet.groups().get(*self.group_rows.get(row)?)
    }

    /// The group that is selected in the list of groups.
    pub(super) fn selected_group<'f>(&self, fleet: &'f FleetState) -> Option<&'f Group> {
        self.group_at(fleet, self.groups.index)
    }

    /// Whether marks can be set and seen.
    pub(super) fn shows_marks(&self) -> bool {
        matches!(self.view, View::Hosts | View::Grid) && self.detail.is_none()
    }

    /// Whether commands are about the marked hosts: never where marks are not seen.
    pub(super) fn uses_marks(&self) -> bool {
        self.shows_marks() && !self.hosts.marks.is_empty()
    }

    /// Whether there is a host to try again among those that a command is about.
    pub(super) fn can_retry(&self, fleet: &FleetState) -> bool {
        if let (View::Groups, None) = (self.view, self.detail) {
            return self.selected_group(fleet).is_some_and(|group| group.counts.of_all(&TRIED) > 0);
        }
        self.tried(fleet).next().is_some()
    }

    /// Whether a host is on its way among those that a command is about. Asked for every picture: where that is known of a
    /// whole group, its hosts are not looked at.
    pub(super) fn can_cancel(&self, fleet: &FleetState) -> bool {
        match (self.view, self.detail) {
            (View::Groups, None) => {
                self.selected_group(fleet).is_some_and(|group| group.counts.in_flight() > 0)
            }
            (View::Failures, None) => {
                self.selected_cause(fleet).is_some_and(|cause| cause.wrong.kind().is_none())
            }
            _ if fleet.counts().in_flight() == 0 => false,
            _ => self.targets(fleet).any(|id| fleet.host(id).is_some_and(|host| host.name().is_in_flight())),
        }
    }

    /// The hosts that can be tried again among those that a command is about.
    pub(super) fn tried<'f>(&'f self, fleet: &'f FleetState) -> impl Iterator<Item = HostId> + 'f {
        let tried = |id: &HostId| fleet.host(*id).is_some_and(|host| TRIED.contains(&host.name()));
        self.targets(fleet).filter(tried)
    }

    /// Whether pictures tell of the order of hosts, or of how many the filter lets through. Where they do not, it is made
    /// when a key needs it.
    pub(super) fn shows_order(&self) -> bool {
        self.view == View::Hosts || self.detail.is_some() || self.hosts.query.narrows()
    }

    /// The host that is selected in the table or the grid.
    pub(super) fn selected_host(&self, fleet: &FleetState) -> Option<HostId> {
        match self.view {
            View::Grid => self.grid_at.or_else(|| (!fleet.hosts().is_empty()).then_some(HostId(0))),
            _ => self.hosts.host(),
        }
    }

    /// The hosts that a command is about: of the open host, the cause or group, or the marked or selected ones. They may be
    /// thousands, and are looked at for every picture.
    pub(super) fn targets<'f>(&'f self, fleet: &'f FleetState) -> Box<dyn Iterator<Item = HostId> + 'f> {
        if self.detail.is_some() {
            return Box::new(self.detail.into_iter());
        }
        if self.uses_marks() {
            return Box::new(self.hosts.marks.iter().copied());
        }
        match self.view {
            View::Failures => {
                Box::new(self.selected_cause(fleet).into_iter().flat_map(|cause| cause.hosts.iter().copied()))
            }
            View::Groups => {
                Box::new(self.selected_group(fleet).into_iter().flat_map(|group| group.hosts.iter().copied()))
            }
            View::Log => Box::new(self.log_host(fleet).filter(|_| self.log_held).into_iter()),
            View::Hosts | View::Grid => Box::new(self.selected_host(fleet).into_iter()),
            View::Swarm => Box::new(std::iter::empty()),
        }
    }

    /// The host that the selected line of the log is about.
    pub(super) fn log_host(&self, fleet: &FleetState) -> Option<HostId> {
        self.log_line(fleet, self.log.index)?.host
    }

    /// A line of the log, counted from the first that matches.
    pub(super) fn log_line<'f>(&self, fleet: &'f FleetState, index: usize) -> Option<&'f LogEntry> {
        let line = self.log_lines.get(index)?.checked_sub(fleet.log().dropped())?;
        fleet.log().get(line as usize)
    }

    /// Keeps the list of the view that is open in line with the fleet; `seen` says how many of so many rows there
    /// is room for.
    pub(super) fn prepare_list(&mut self, fleet: &FleetState, seen: impl Fn(usize) -> usize, now: u64) {
        let calm = self.sorted.is_some_and(|(view, at)| view == self.view && now.abs_diff(at) < CALM_MS);
        if !calm || self.group_rows.len() != fleet.groups().len() {
            self.sorted = Some((self.view, now));
            self.group_rows = sorted_groups(fleet);
            self.troubles = if self.view == View::Failures { fleet.troubles(now) } else { Causes::default() };
        }
        match self.view {
            View::Groups => self.prepare_groups(fleet, seen),
            View::Failures => self.prepare_causes(fleet, seen),
            View::Log => self.prepare_log(fleet, seen),
            View::Swarm => {
                let racks = fleet.flows().racks().len();
                self.swarm.fit(racks, seen(racks));
            }
            View::Hosts | View::Grid => {}
        }
    }

    fn prepare_groups(&mut self, fleet: &FleetState, seen: impl Fn(usize) -> usize) {
        self.groups.fit(self.group_rows.len(), seen(self.group_rows.len()));
        let is = |row: &usize, kind: GroupKind, name: &str| {
            fleet.groups().get(*row).is_some_and(|group| group.kind == kind && group.name == name)
        };
        if let Some((kind, name)) = &self.group
            && let Some(index) = self.group_rows.iter().position(|row| is(row, *kind, name))
        {
            self.groups.hold(index);
        }
        self.group = self.selected_group(fleet).map(|group| (group.kind, group.name.clone()));
    }

    fn prepare_causes(&mut self, fleet: &FleetState, seen: impl Fn(usize) -> usize) {
        let rows = self.cause_rows(fleet);
        let (len, held) = (rows.len(), self.cause.as_ref());
        let held = held.and_then(|(wrong, signature)| {
            rows.iter().position(|cause| cause.wrong == *wrong && cause.signature == *signature)
        });
        self.causes.fit(len, seen(len));
        held.into_iter().for_each(|index| self.causes.hold(index));
        self.cause = self.selected_cause(fleet).map(|cause| (cause.wrong, cause.signature.clone()));
    }

    fn prepare_log(&mut self, fleet: &FleetState, seen: impl Fn(usize) -> usize) {
        let (log, query) = (fleet.log(), &self.hosts.query);
        let (first, end) = (log.dropped(), log.dropped() + log.len() as u64);
        let (filter, grave) = (query.filter.text().to_lowercase(), query.failures_only);
        let (known, for_filter, for_grave) = &self.log_made_for;
        let mut from = *known;
        // Lines come at the end: those before stay as they are, unless they are told anew.
        if (for_filter, *for_grave) != (&filter, grave) || end < from {
            self.log_lines.clear();
            from = 0;
        }
        while self.log_lines.front().is_some_and(|line| *line < first) {
            self.log_lines.pop_front();
            self.log.scroll_off();
        }
        let shows = |line: &LogEntry| {
            let named = |filter: &str| {
                let name = line.host.map_or("", |id| fleet.host_name(id));
                name.to_lowercase().contains(filter) || line.message.to_lowercase().contains(filter)
            };
            (!grave || line.level >= LogLevel::Warn) && (filter.is_empty() || named(&filter))
        };
        for number in from.max(first)..end {
            if log.get((number - first) as usize).is_some_and(shows) {
                self.log_lines.push_back(number);
            }
        }
        self.log_made_for = (end, filter, grave);
        self.log.fit(self.log_lines.len(), seen(self.log_lines.len()));
        if !self.log_held {
            self.log.go(usize::MAX);
        }
    }
}
