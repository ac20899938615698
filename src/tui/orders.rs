use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::control::HostId;
use crate::deploy::{Command, StateName};
use crate::fleet::{FleetState, fold_names};
use crate::units::plural;

use super::app::{App, Effect, Exit};
use super::ui::{Confirm, Modal, TRIED, Then};

/// Names in a question, columns; more are counted.
const NAMES: usize = 60;

impl App {
    /// Asks for a yes before something that cannot be taken back.
    fn confirm(&mut self, question: String, lines: Vec<String>, then: Then) {
        self.ui.modal = Some(Modal::Confirm(Confirm { question, lines, then }));
    }

    pub(super) fn send(&mut self, command: Command, said: String) {
        if !self.live_run {
            self.complain("this is a replay: nothing can be changed");
            return;
        }
        self.outbox.push_back(command);
        self.ui.hosts.clear_marks();
        self.say(said);
    }

    /// Sends what a person wants of the run, says so, and remembers how it is taken back.
    pub(super) fn order(&mut self, command: Command) {
        let said = match &command {
            Command::RetryFailed => format!("trying all failed hosts again{}", self.undo_hint()),
            Command::Cancel(ids) => format!("giving up {}{}", self.names(ids), self.undo_hint()),
            Command::Stop => "stopping: agents leave, locks are released".to_owned(),
            Command::Activate => "activating what is staged".to_owned(),
            Command::Rollback => "rolling back".to_owned(),
            Command::Retry(ids) => format!("trying {} again{}", self.names(ids), self.undo_hint()),
            _ => String::new(),
        };
        if self.live_run {
            self.remember_command(&command);
        }
        self.send(command, said);
    }

    /// Host names, folded, or their number if that is long.
    pub(super) fn names(&self, ids: &[HostId]) -> String {
        let names = fold_names(ids.iter().map(|id| self.live.host_name(*id)));
        if names.chars().count() <= NAMES { names } else { plural(ids.len(), "host") }
    }

    fn targets(&self) -> Vec<HostId> {
        self.ui.targets(self.shown()).collect()
    }

    /// Keeps those hosts whose state is wanted.
    pub(super) fn retain(&self, ids: &mut Vec<HostId>, wanted: impl Fn(StateName) -> bool) {
        ids.retain(|id| self.live.host(*id).is_some_and(|host| wanted(host.name())));
    }

    pub(super) fn retry(&mut self) {
        self.retry_of(self.targets());
    }

    /// Tries those of some hosts again that can be.
    pub(super) fn retry_of(&mut self, mut ids: Vec<HostId>) {
        self.retain(&mut ids, |state| TRIED.contains(&state));
        if ids.is_empty() {
            self.complain("nothing to retry here: only failed and cancelled hosts can be");
            return;
        }
        self.order(Command::Retry(ids));
    }

    pub(super) fn retry_failed(&mut self) {
        let failed = self.live.counts().failed() as usize;
        if failed == 0 {
            self.complain("no host failed");
            return;
        }
        let mut lines: Vec<String> = Vec::new();
        for cause in self.live.causes().list().iter().take(6) {
            lines.push(format!("{:>5}  {}: {}", cause.hosts.len(), cause.wrong.as_str(), cause.message));
        }
        let question = format!("Retry {}?", plural(failed, "failed host"));
        self.confirm(question, lines, Then::Send(Command::RetryFailed));
    }

    pub(super) fn cancel(&mut self) {
        self.cancel_of(self.targets());
    }

    /// Gives those of some hosts up that are on their way, if the user confirms it.
    pub(super) fn cancel_of(&mut self, mut ids: Vec<HostId>) {
        self.retain(&mut ids, StateName::is_in_flight);
        if ids.is_empty() {
            self.complain("nothing to cancel here: no host of these is on its way");
            return;
        }
        let lines = vec!["What they fetched stays; r tries them again.".to_owned()];
        self.confirm(format!("Cancel {}?", self.names(&ids)), lines, Then::Send(Command::Cancel(ids)));
    }

    pub(super) fn stop(&mut self) {
        if self.live.is_resting() {
            self.complain("nothing to stop: every host is in its final state");
            return;
        }
        self.confirm(
            "Stop the deployment?".to_owned(),
            what_a_stop_does(&self.live),
            Then::Send(Command::Stop),
        );
    }

    pub(super) fn activate(&mut self) {
        let staged = self.live.counts().of(StateName::Staged) as usize;
        let waiting = self.live.counts().in_flight() as usize;
        if let Some(plan) = self.live.plan().filter(|plan| !plan.activate) {
            let words = format!("this run only stages; `murder activate {}` switches to it", plan.tag);
            self.complain(words);
            return;
        }
        if staged == 0 {
            self.complain("nothing to activate: no host is staged");
            return;
        }
        let held = self.live.barrier().is_some_and(|barrier| barrier.held);
        let mut lines = Vec::new();
        if let Some(reason) = self.live.shut() {
            lines.push(format!("Nothing more was to be activated: {reason}."));
            lines.push("They are logged in to again, and activated all the same.".to_owned());
        } else if !held {
            lines.push("Canaries, --quorum and --max-fail are overruled.".to_owned());
        }
        if waiting > 0 {
            let they = if waiting == 1 { "it is" } else { "they are" };
            lines.push(format!("{} still on the way; {they} activated on arrival.", are(waiting)));
        }
        if lines.is_empty() {
            self.order(Command::Activate);
        } else {
            let question = format!("Activate {} now?", plural(staged, "staged host"));
            self.confirm(question, lines, Then::Send(Command::Activate));
        }
    }

    pub(super) fn roll_back(&mut self) {
        let active = self.live.ids().filter(|(_, host)| host.name() == StateName::Active);
        let mut tags: BTreeMap<Option<&str>, Vec<HostId>> = BTreeMap::new();
        for (id, host) in active {
            tags.entry(host.previous.as_deref()).or_default().push(id);
        }
        let first = tags.remove(&None).unwrap_or_default();
        if tags.is_empty() {
            let why = if first.is_empty() {
                "this run activated no host"
            } else {
                "no host had a release before this one"
            };
            self.complain(format!("nothing to roll back: {why}"));
            return;
        }
        let mut tags: Vec<(&str, Vec<HostId>)> =
            tags.into_iter().filter_map(|(tag, ids)| Some((tag?, ids))).collect();
        tags.sort_by_key(|(_, ids)| std::cmp::Reverse(ids.len()));
        let back: usize = tags.iter().map(|(_, ids)| ids.len()).sum();
        let question = match &tags[..] {
            [(tag, _)] => format!("Roll {} back to {tag}?", plural(back, "host")),
            _ => format!("Roll {} back to what each had before?", plural(back, "host")),
        };
        let mut lines: Vec<String> = if tags.len() > 1 {
            tags.iter().map(|(tag, ids)| format!("{tag}: {}", self.names(ids))).collect()
        } else {
            Vec::new()
        };
        if !first.is_empty() {
            let stay = if first.len() == 1 { "stays: it" } else { "stay: they" };
            lines.push(format!("{} {stay} had no release before.", self.names(&first)));
        }
        lines.push("Hooks are run as in a deployment.".to_owned());
        self.confirm(question, lines, Then::Send(Command::Rollback));
    }

    pub(super) fn quit(&mut self) {
        if !self.live_run || self.live.is_finished() || self.live.plan().is_none() {
            self.exit = Some(Exit::Now);
        } else if self.live.is_resting() || !would_lose_by_a_stop(&self.live) {
            self.outbox.push_back(Command::Stop);
            self.exit = Some(Exit::WhenFinished);
            self.say("leaving as soon as all agents have left");
        } else if self.ui.leaving {
            self.say("still stopping: agents leave; ^c ends at once");
        } else {
            let lines = what_a_stop_does(&self.live);
            self.confirm("Quit?".to_owned(), lines, Then::Quit);
        }
    }

    /// A clean stop, then out.
    pub(super) fn leave(&mut self) {
        self.outbox.push_back(Command::Stop);
        self.ui.leaving = true;
        self.exit = Some(Exit::WhenFinished);
        self.say("stopping: agents leave, locks are released; ^c ends at once");
    }

    /// The first time a clean stop without a question, the second time the end.
    pub(super) fn interrupt(&mut self) {
        if !self.live_run || self.live.is_finished() {
            self.exit = Some(Exit::Now);
        } else if self.ui.leaving {
            self.outbox.push_back(Command::Abort);
            self.aborted = true;
            self.exit = Some(Exit::Now);
        } else {
            self.leave();
        }
    }

    pub(super) fn copy_hosts(&mut self) {
        let ids = self.targets();
        if ids.is_empty() {
            self.complain("no host is selected");
            return;
        }
        let names: Vec<&str> = ids.iter().map(|id| self.live.host_name(*id)).collect();
        self.effects.push(Effect::Copy(names.join("\n")));
        self.say(format!("copied {} (OSC 52)", self.names(&ids)));
    }

    pub(super) fn copy_error(&mut self) {
        let fleet = self.shown();
        let failed = |id: &HostId| fleet.host(*id).is_some_and(|host| host.failure().is_some());
        let ids: Vec<HostId> = self.ui.targets(fleet).filter(failed).collect();
        let Some(first) = ids.first() else {
            self.complain("no failed host is selected");
            return;
        };
        let text = error_text(fleet, &ids);
        let said = format!("copied the error of {} (OSC 52)", fleet.host_name(*first));
        self.effects.push(Effect::Copy(text));
        self.say(said);
    }
}

fn are(count: usize) -> String {
    format!("{} {}", plural(count, "host"), if count == 1 { "is" } else { "are" })
}

/// Whether a stop would keep a host from something. The last host is final a moment before the run says that it rests.
fn would_lose_by_a_stop(fleet: &FleetState) -> bool {
    let counts = fleet.counts();
    let activates = fleet.plan().is_some_and(|plan| plan.activate);
    counts.in_flight() > 0 || activates && counts.of(StateName::Staged) > 0
}

/// What becomes of the hosts when the run is stopped now.
fn what_a_stop_does(fleet: &FleetState) -> Vec<String> {
    let counts = fleet.counts();
    let mut lines = Vec::new();
    let (moving, staged, active) =
        (counts.in_flight(), counts.of(StateName::Staged), counts.of(StateName::Active));
    if moving > 0 {
        let them = if moving == 1 { "it is" } else { "they are" };
        lines.push(format!("{} on the way: {them} cancelled, verified pieces stay.", are(moving as usize)));
    }
    if staged > 0 && fleet.plan().is_some_and(|plan| plan.activate) {
        lines.push(format!("{} staged and will not be activated.", are(staged as usize)));
    }
    if active > 0 {
        lines.push(format!("{} active and will stay so.", are(active as usize)));
    }
    lines.push("Agents leave and locks are released; `murder retry last` goes on later.".to_owned());
    lines
}

/// All that is known of the failures of some hosts, to be pasted into a report.
fn error_text(fleet: &FleetState, ids: &[HostId]) -> String {
    let mut text = String::new();
    if let Some(plan) = fleet.plan() {
        let _ = writeln!(text, "run {} tag {}", plan.run, plan.tag);
    }
    for id in ids {
        let Some(host) = fleet.host(*id) else { continue };
        let Some(failure) = host.failure() else { continue };
        let _ = writeln!(
            text,
            "{} ({}): {failure} (while {}, attempt {})",
            host.info.name, host.info.address, failure.phase, host.attempt
        );
        for attempt in host.attempts().iter() {
            let _ = writeln!(text, "  attempt {}: {}", attempt.number, attempt.reason);
        }
        for line in &failure.detail {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}
