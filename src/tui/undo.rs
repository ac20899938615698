use std::collections::BTreeSet;

use crate::control::HostId;
use crate::deploy::{Command, StateName};
use crate::fleet::Query;
use crate::units::plural;

use super::action::Action;
use super::app::App;

/// Steps that can be taken back.
const STEPS: usize = 32;

/// What can be taken back.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Undo {
    /// Something was asked of the run: its opposite, for these hosts.
    Retried(Vec<HostId>),
    /// The same the other way round.
    Cancelled(Vec<HostId>),
    /// Marks were set or taken off.
    Marks(BTreeSet<HostId>),
    /// The table was narrowed or sorted.
    Query(Box<Query>),
}

impl App {
    /// Does something, and remembers how marks and query were if it changes them.
    pub(super) fn undoable(&mut self, change: impl FnOnce(&mut Self)) {
        let hosts = &self.ui.hosts;
        let (marks, query, steps) = (hosts.marks.clone(), hosts.query.clone(), self.ui.undo.len());
        change(self);
        // A command, or a step back, saw to it by itself; what is typed letter by letter is one step when it is done.
        if self.ui.undo.len() != steps || self.ui.modal.is_some() {
            return;
        }
        if self.ui.hosts.query != query {
            self.remember(Undo::Query(Box::new(query)));
        }
        if self.ui.hosts.marks != marks {
            self.remember(Undo::Marks(marks));
        }
    }

    /// Remembers a step.
    pub(super) fn remember(&mut self, step: Undo) {
        if self.ui.undo.len() == STEPS {
            self.ui.undo.remove(0);
        }
        self.ui.undo.push(step);
    }

    /// Remembers the opposite of a command, if it has one.
    pub(super) fn remember_command(&mut self, command: &Command) {
        let step = match command {
            Command::Retry(ids) => Undo::Retried(ids.clone()),
            Command::RetryFailed => {
                let failed = self.live.ids().filter(|(_, host)| host.name() == StateName::Failed);
                Undo::Retried(failed.map(|(id, _)| id).collect())
            }
            Command::Cancel(ids) => Undo::Cancelled(ids.clone()),
            _ => return,
        };
        self.remember(step);
    }

    /// Takes the last step back that can be.
    pub(super) fn undo(&mut self) {
        let Some(step) = self.ui.undo.pop() else {
            self.complain("nothing to take back");
            return;
        };
        match step {
            Undo::Retried(mut ids) => {
                self.retain(&mut ids, StateName::is_in_flight);
                let none = "is on its way any more";
                self.take_back(Command::TakeBack(ids.clone()), &ids, "as before the retry:", none);
            }
            Undo::Cancelled(mut ids) => {
                self.retain(&mut ids, |state| state == StateName::Cancelled);
                self.take_back(Command::Retry(ids.clone()), &ids, "trying again:", "is cancelled any more");
            }
            Undo::Marks(marks) => {
                self.say(format!("{} marked as before", plural(marks.len(), "host")));
                self.ui.hosts.marks = marks;
            }
            Undo::Query(query) => {
                self.ui.hosts.query = *query;
                self.say("filter and order as before");
            }
        }
    }

    fn take_back(&mut self, command: Command, ids: &[HostId], done: &str, none: &str) {
        if ids.is_empty() {
            self.complain(format!("nothing to take back: no host of these {none}"));
            return;
        }
        let said = format!("{done} {}", self.names(ids));
        self.send(command, said);
    }

    /// What a notice says of a step that can be taken back.
    pub(super) fn undo_hint(&self) -> String {
        let key = self.keymap.key(Action::Undo);
        if key.is_empty() { String::new() } else { format!("; {key} takes it back") }
    }
}
