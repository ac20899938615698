use std::collections::BTreeSet;

use crate::control::HostId;
use crate::fleet::{FleetState, Index, Query, Sort};

use super::cursor::Cursor;

/// A row of the table of hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// A host.
    Host(HostId),
    /// So many hosts that are done, in one row.
    Done(usize),
}

/// What the selection stays with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Follow {
    /// The first row, whoever that is.
    #[default]
    Top,
    Host(HostId),
    /// The row of hosts that are done.
    Done,
}

/// The table of hosts: what is shown of it, what is selected and marked. The selection stays with its host wherever that
/// goes; as long as the user has not moved it, it stays at the top.
#[derive(Debug, Clone, Default)]
pub(super) struct HostList {
    /// Which hosts, in which order.
    pub(super) query: Query,
    /// Hosts that were marked by the user.
    pub(super) marks: BTreeSet<HostId>,
    /// Where a range of marks starts, while one is made.
    pub(super) range_from: Option<HostId>,
    /// Whether hosts that are done are shown one by one although they do not fit.
    pub(super) expanded: bool,
    index: Index,
    cursor: Cursor,
    folded: usize,
    follow: Follow,
}

impl HostList {
    /// Brings order and selection up to date for a table of so many rows.
    pub(super) fn prepare(&mut self, fleet: &FleetState, height: usize, now: u64) {
        let moved = self.index.refresh(fleet, &self.query, now);
        let rows = self.index.rows().len();
        let fold = !self.expanded && self.query.sort == Sort::Attention && rows > height;
        // As many of those that are done as there is room for, and a row for the others.
        let shown = (rows - self.index.done()).max(height.saturating_sub(1));
        let folded = if fold { rows.saturating_sub(shown) } else { 0 };
        let refolded = std::mem::replace(&mut self.folded, folded) != folded;
        self.cursor.fit(self.len(), height);
        if moved || refolded {
            self.refollow();
        }
    }

    fn refollow(&mut self) {
        let shown = self.index.rows().len() - self.folded;
        match self.follow {
            Follow::Top => self.cursor.go(0),
            Follow::Done if self.folded > 0 => self.cursor.hold(shown),
            Follow::Done => self.select(self.cursor.index),
            Follow::Host(id) => match self.index.rows()[..shown].iter().position(|row| *row == id) {
                Some(index) => self.cursor.hold(index),
                // It was filtered or folded away: whoever stands there now is selected.
                None => self.select(self.cursor.index),
            },
        }
    }

    fn follow_selected(&mut self) {
        self.follow = match self.selected() {
            Some(Row::Host(id)) => Follow::Host(id),
            Some(Row::Done(_)) => Follow::Done,
            None => Follow::Top,
        };
    }

    /// Rows in all.
    pub(super) fn len(&self) -> usize {
        self.index.rows().len() - self.folded + usize::from(self.folded > 0)
    }

    /// Whether no host is shown.
    pub(super) fn is_empty(&self) -> bool {
        self.index.rows().is_empty()
    }

    /// Hosts of the query, those that are folded away too.
    pub(super) fn hosts(&self) -> &[HostId] {
        self.index.rows()
    }

    /// Hosts that are folded away into one row.
    pub(super) fn folded(&self) -> &[HostId] {
        &self.index.rows()[self.index.rows().len() - self.folded..]
    }

    /// The row at a position.
    pub(super) fn row(&self, index: usize) -> Option<Row> {
        let shown = self.index.rows().len() - self.folded;
        match self.index.rows().get(index) {
            Some(id) if index < shown => Some(Row::Host(*id)),
            Some(_) if index == shown => Some(Row::Done(self.folded)),
            _ => None,
        }
    }

    /// The selected row.
    pub(super) fn selected(&self) -> Option<Row> {
        self.row(self.cursor.index)
    }

    /// The selected host.
    pub(super) fn host(&self) -> Option<HostId> {
        match self.selected()? {
            Row::Host(id) => Some(id),
            Row::Done(_) => None,
        }
    }

    /// What is seen of it.
    pub(super) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Selects a row by its position.
    pub(super) fn select(&mut self, index: usize) {
        self.cursor.go(index);
        self.follow_selected();
    }

    /// Selects a host, wherever it stands.
    pub(super) fn select_host(&mut self, id: HostId) {
        if let Some(index) = self.index.rows().iter().position(|row| *row == id) {
            self.expanded |= index >= self.index.rows().len() - self.folded;
            self.follow = Follow::Host(id);
            self.cursor.hold(index);
        }
    }

    /// Selects the row so many below, above if negative.
    pub(super) fn step(&mut self, by: isize) {
        self.cursor.step(by);
        self.follow_selected();
    }

    /// Selects the next or previous row, from the last on to the first.
    pub(super) fn cycle(&mut self, forward: bool) {
        let len = self.len().max(1);
        let by = if forward { 1 } else { len - 1 };
        self.select((self.cursor.index + by) % len);
    }

    /// Goes to the top and follows nobody, so that what comes first is selected.
    pub(super) fn go_to_top(&mut self) {
        self.cursor.go(0);
        self.follow = Follow::Top;
    }

    /// Marks the selected host, or takes its mark off, and goes on to the next row.
    pub(super) fn toggle_mark(&mut self) {
        if let Some(id) = self.host() {
            self.toggle(id);
            self.step(1);
        }
    }

    /// Marks a host, or takes its mark off.
    pub(super) fn toggle(&mut self, id: HostId) {
        if !self.marks.remove(&id) {
            self.marks.insert(id);
        }
    }

    /// Starts a range at the selected host, or marks from there to here. True if hosts were marked.
    pub(super) fn range(&mut self) -> bool {
        let Some(from) = self.range_from.take() else {
            self.range_from = self.host();
            return false;
        };
        let start = self.index.rows().iter().position(|row| *row == from).unwrap_or(self.cursor.index);
        let (low, high) = (start.min(self.cursor.index), start.max(self.cursor.index));
        for index in low..=high {
            if let Some(Row::Host(id)) = self.row(index) {
                self.marks.insert(id);
            }
        }
        true
    }

    /// Marks every host of the query.
    pub(super) fn mark_all(&mut self) {
        self.marks.extend(self.index.rows().iter().copied());
    }

    /// Takes all marks off.
    pub(super) fn clear_marks(&mut self) {
        self.marks.clear();
        self.range_from = None;
    }

    /// Whether rows wait to be put in order.
    pub(super) fn is_stale(&self, fleet: &FleetState) -> bool {
        self.index.is_stale(fleet)
    }
}
