use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Style;
use super::outcome::{activation, by_words, outcome};
use super::style::Ink;
use super::text::{clean, wrap};
use super::words::{begun, nothing_more, seconds, title};
use crate::control::{Failure, FailureKind, HostId, OTHER_CONTENT, Phase};
use crate::deploy::{FailureGroup, Plan, StateName, Summary};
use crate::fleet::{FleetState, HostRecord, fold_names};
use crate::inventory::{DEFAULT_FILE, file_of};
use crate::units::{format_bytes, plural};

/// Columns of the labels.
const LABEL: usize = 12;
/// What stands beside a wide label is not broken into fewer columns than these.
const MEANEST: usize = 20;
/// So many of a host's last words are repeated for a group of failures.
const WORDS: usize = 5;

/// The run in a text that is understood without its screen: what happened, how well it went, who failed and why, what to
/// do next, where it is recorded, and whether the hosts were left clean. Empty before the run's plan.
pub fn summary(fleet: &FleetState, style: &Style) -> String {
    let (Some(plan), Some(outcome)) = (fleet.plan(), outcome(fleet)) else { return String::new() };
    let mut text = Text { style, fleet, plan, outcome: &outcome, out: String::new() };
    text.headline();
    text.facts();
    text.found();
    text.failures();
    text.out.push('\n');
    text.left();
    text.next();
    if !plan.folder.is_empty() {
        text.fact("recorded", &plan.folder);
    }
    text.out
}

struct Text<'a> {
    style: &'a Style,
    fleet: &'a FleetState,
    plan: &'a Plan,
    outcome: &'a Summary,
    out: String,
}

impl Text<'_> {
    fn headline(&mut self) {
        let total = self.fleet.hosts().len();
        let hosts = plural(total, "host");
        let well = self.outcome.active
            + self.outcome.done
            + if self.plan.activate { 0 } else { self.outcome.staged };
        let failed = self.outcome.failed;
        let ended = self.fleet.is_resting();
        let all_well = ended && well as usize == total && self.outcome.exit == 0;
        let mut verdict = match self.fleet.stopping() {
            _ if !ended => format!("was cut short; {well} of {hosts} done until then"),
            Some(reason) => format!("stopped: {reason}; {well} of {hosts} done"),
            None if all_well => format!("all {hosts} {}", self.done_word()),
            None if failed > 0 => format!("{failed} of {hosts} failed, {well} done"),
            None => format!("{well} of {hosts} done"),
        };
        if ended {
            let _ = write!(verdict, " (exit {})", self.outcome.exit);
        }
        let (glyph, ink) = self.style.state(if all_well { StateName::Active } else { StateName::Failed });
        let line = format!("{glyph} {}: {verdict}", title(self.plan));
        for line in wrap(&clean(&line), self.style.width()) {
            let _ = writeln!(self.out, "{}", self.style.paint(ink, &line));
        }
        self.out.push('\n');
    }

    fn done_word(&self) -> &'static str {
        match self.plan.command.as_str() {
            "deploy" | "demo" | "retry" | "activate" | "rollback" if self.outcome.active > 0 => "active",
            "deploy" | "demo" | "retry" => "staged",
            _ => "done",
        }
    }

    fn facts(&mut self) {
        let begun = begun(self.fleet.started_at().unwrap_or(0));
        self.fact("run", &format!("{}, begun {begun}", self.plan.run));
        if let Some(info) = self.fleet.info().filter(|info| info.packed_bytes > 0) {
            let text = format!(
                "{}: {} in {} files, folders and links, packed to {}",
                self.plan.payload,
                format_bytes(info.bytes),
                info.entries,
                format_bytes(info.packed_bytes)
            );
            self.fact("payload", &text);
        }
        self.counts();
        self.right_now();
        self.shut();
        self.rolled_back();
        self.recovered();
        self.time();
        self.swarm();
        if let Some(activation) = self.outcome.activation.or_else(|| activation(self.fleet)) {
            let within = seconds(activation.seconds);
            let hosts = plural(activation.hosts as usize, "host");
            self.fact("activation", &format!("{hosts} within {within}"));
        }
    }

    fn counts(&mut self) {
        let counts = self.fleet.counts();
        let texts: Vec<String> = [
            (self.outcome.active, "active"),
            (self.outcome.done, "done"),
            (self.outcome.staged, if self.plan.activate { "staged but not active" } else { "staged" }),
            (self.outcome.failed, "failed"),
            (counts.of(StateName::Cancelled), "cancelled"),
            (counts.of(StateName::Skipped), "skipped"),
            (counts.in_flight(), "on their way"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
        let of = plural(self.fleet.hosts().len(), "host");
        let demo = self.plan.command == "demo";
        let inventory = if demo { String::new() } else { format!(" in {}", self.plan.inventory) };
        self.fact("hosts", &format!("{}, of {of}{inventory}", texts.join(", ")));
    }

    /// Which release serves, where the hosts are not all alike.
    fn right_now(&mut self) {
        let hosts = self.fleet.hosts();
        let switched = || hosts.iter().filter(|host| host.activated_at.is_some());
        let unsure = switched().filter(|host| host.name() != StateName::Active).count();
        let rest = hosts.len() - switched().count();
        if rest == hosts.len() || self.outcome.active as usize == hosts.len() {
            return;
        }
        let active = self.outcome.active as usize;
        let have = if active == 1 { "has" } else { "have" };
        let mut text = format!("{} {have} {} as current", plural(active, "host"), self.plan.tag);
        if unsure > 0 {
            let _ = write!(text, ", {unsure} got it and failed after that");
        }
        if rest > 0 {
            let has = if rest == 1 { "it" } else { "they" };
            let _ = write!(text, ", {rest} what {has} had before");
        }
        self.fact("right now", &text);
    }

    /// Why the rest was not activated.
    fn shut(&mut self) {
        if let Some(reason) = &self.outcome.shut {
            self.fact("barrier", &nothing_more(reason));
        }
    }

    /// Hosts that were switched back.
    fn rolled_back(&mut self) {
        let mut tags: BTreeMap<&str, Vec<HostId>> = BTreeMap::new();
        for (id, host) in self.fleet.ids() {
            if let Some(tag) = &host.back {
                tags.entry(tag).or_default().push(id);
            }
        }
        for (tag, hosts) in tags {
            let text = format!("{} to {tag}: {}", plural(hosts.len(), "host"), self.names(&hosts));
            self.fact("rolled back", &text);
        }
    }

    /// Hosts that came through, though not at once.
    fn recovered(&mut self) {
        let came_through = |host: &HostRecord| {
            matches!(host.name(), StateName::Active | StateName::Staged)
                && !host.attempts().is_empty()
                && host.back.is_none()
        };
        let hosts: Vec<(HostId, &HostRecord)> =
            self.fleet.ids().filter(|(_, host)| came_through(host)).collect();
        if hosts.is_empty() {
            return;
        }
        let kinds = earlier(hosts.iter().map(|(_, host)| *host));
        let after = if kinds.is_empty() { "another attempt".to_owned() } else { kinds };
        let names = fold_names(hosts.iter().map(|(_, host)| host.info.name.as_str()));
        let text = format!("{} came through after {after}: {names}", plural(hosts.len(), "host"));
        self.fact("retried", &text);
    }

    fn time(&mut self) {
        let swarm = &self.outcome.swarm;
        let mut text = format!("{} in all", seconds(self.outcome.seconds));
        if swarm.seconds > 0.0 && swarm.hosts > 0 {
            let _ = write!(text, "; transfer {}", seconds(swarm.seconds));
            // Of a transfer that was broken off the comparison would flatter.
            let whole = self.fleet.is_resting() && self.fleet.stopping().is_none();
            if let Some(least) = swarm.comparable_least().filter(|_| whole) {
                let times = swarm.seconds / least;
                let _ = write!(text, ", {times:.2} times the least possible ({})", seconds(least));
            }
        }
        self.fact("time", &text);
    }

    fn swarm(&mut self) {
        let swarm = &self.outcome.swarm;
        if swarm.bytes == 0 || swarm.hosts == 0 {
            return;
        }
        let text = format!(
            "{} to {}; sent from here {}, that is {:.2} copies instead of {}",
            format_bytes(swarm.bytes),
            plural(swarm.hosts as usize, "host"),
            format_bytes(swarm.seeder_bytes),
            swarm.seeder_bytes as f64 / swarm.bytes as f64,
            swarm.hosts
        );
        let fetched = swarm.bytes as f64 * f64::from(swarm.hosts);
        let mut more = vec![format!("duplicates {:.1} %", swarm.duplicate_bytes as f64 / fetched * 100.0)];
        for (bytes, what) in [
            (swarm.ssh_only_bytes, "over SSH alone"),
            (swarm.reused_bytes, "were on the hosts before"),
            (swarm.agent_bytes, "of agents sent"),
        ] {
            if bytes > 0 {
                more.push(format!("{} {what}", format_bytes(bytes)));
            }
        }
        self.fact("swarm", &text);
        self.fact("", &more.join(", "));
    }

    /// What an errand found on the hosts.
    fn found(&mut self) {
        let lines = self.fleet.found_lines();
        if lines.is_empty() {
            return;
        }
        let _ = writeln!(self.out, "\n{}", self.style.paint(Ink::Strong, "on the hosts"));
        let width = lines.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0).max(LABEL - 2);
        let room = self.style.width().saturating_sub(width + 4).max(MEANEST);
        for (label, line) in lines {
            let mut label = clean(&label).into_owned();
            let line = clean(&line);
            // Rows of a table are as wide as they are.
            let whole = line.chars().count() <= room || line.contains("  ");
            for line in if whole { vec![line.into_owned()] } else { wrap(&line, room) } {
                let label = self.style.paint(Ink::Dim, &format!("{:width$}", std::mem::take(&mut label)));
                let _ = writeln!(self.out, "  {label}  {line}");
            }
        }
    }

    fn failures(&mut self) {
        if self.outcome.failures.is_empty() {
            return;
        }
        let _ = writeln!(self.out, "\n{}", self.style.paint(Ink::Strong, "failures"));
        for group in &self.outcome.failures {
            self.failure(group);
        }
    }

    fn failure(&mut self, group: &FailureGroup) {
        let (glyph, ink) = self.style.state(StateName::Failed);
        let title = format!("{glyph} {} on {}", group.kind, plural(group.hosts.len(), "host"));
        let names = self.names(&group.hosts);
        let names = clean(&names);
        let fits = title.chars().count() + names.chars().count() + 4 <= self.style.width();
        let title = self.style.paint(ink, &title);
        if fits {
            let _ = writeln!(self.out, "  {title}: {names}");
        } else {
            let _ = writeln!(self.out, "  {title}:");
            self.paragraph(&names);
        }
        let records: Vec<&HostRecord> = group.hosts.iter().filter_map(|id| self.fleet.host(*id)).collect();
        let sample = records.iter().find_map(|host| Some((*host, host.failure()?)));
        let phase = sample.map_or_else(String::new, |(_, failure)| format!("while {}: ", failure.phase));
        self.paragraph(&format!("{phase}{}", group.message));
        if let Some((host, failure)) = sample {
            self.last_words(if records.len() > 1 { Some(host) } else { None }, failure);
        }
        let earlier = earlier(records.into_iter());
        if !earlier.is_empty() {
            self.paragraph(&format!("earlier attempts failed with {earlier}"));
        }
        self.paragraph(&format!("to do: {}", group.kind.advice()));
    }

    fn last_words(&mut self, of: Option<&HostRecord>, failure: &Failure) {
        if let Some(host) = of.filter(|_| !failure.detail.is_empty()) {
            self.paragraph(&format!("last words of {}:", host.info.name));
        }
        let from = failure.detail.len().saturating_sub(WORDS);
        for line in &failure.detail[from..] {
            let _ = writeln!(self.out, "      | {}", clean(line));
        }
    }

    /// What stays of the run on the hosts.
    fn left(&mut self) {
        if !self.fleet.is_resting() {
            let text =
                "on the hosts they end by themselves 60 s after the operator's process, and free their locks";
            self.fact("agents", text);
            return;
        }
        let Summary { left_behind, unchecked, .. } = self.outcome;
        if left_behind.is_empty() && unchecked.is_empty() {
            let mut text =
                "no process, port, lock or temporary file of this run stays on any host".to_owned();
            if self.fleet.hosts().iter().any(has_partial_data) {
                text.push_str("; verified pieces stay for a retry");
            }
            self.fact("left clean", &text);
            return;
        }
        let mut label = "left behind";
        for (what, hosts) in by_words(left_behind) {
            self.fact(std::mem::take(&mut label), &format!("{}: {what}", self.names(&hosts)));
        }
        let mut label = "not checked";
        for (why, hosts) in by_words(unchecked) {
            self.fact(std::mem::take(&mut label), &format!("{}: {why}", self.names(&hosts)));
        }
        if !unchecked.is_empty() {
            let text = "what of this run is left there ends by itself within 60 s; a retry, or `murder clean`, removes the rest";
            self.fact("", text);
        }
        if left_behind.len() + unchecked.len() < self.fleet.hosts().len() {
            self.fact("", "nothing stays on the other hosts");
        }
    }

    fn next(&mut self) {
        let steps = self.steps();
        let width = steps.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
        let longest = steps.iter().map(|(_, what)| what.chars().count()).max().unwrap_or(0);
        let beside = self.style.columns.is_none_or(|columns| 2 + LABEL + width + 2 + longest <= columns);
        let mut label = "next";
        for (command, what) in steps {
            let label = self.style.paint(Ink::Dim, &format!("{:LABEL$}", std::mem::take(&mut label)));
            let command = clean(&command);
            if beside {
                let command = self.style.paint(Ink::Strong, &format!("{command:width$}"));
                let _ = writeln!(self.out, "  {label}{command}  {what}");
                continue;
            }
            // Where there is no room for both side by side, what a command does stands below it.
            let _ = writeln!(self.out, "  {label}{}", self.style.paint(Ink::Strong, &command));
            for line in wrap(&clean(&what), self.style.width() - LABEL - 4) {
                let _ = writeln!(self.out, "  {:LABEL$}  {line}", "");
            }
        }
    }

    /// Commands that lead on from here, and what each does.
    fn steps(&self) -> Vec<(String, String)> {
        let Plan { run, tag, command, folder, .. } = self.plan;
        let hosts = |count: u32| plural(count as usize, "host");
        let mut steps = Vec::new();
        if folder.is_empty() {
            return steps;
        }
        if command == "demo" {
            steps.push((format!("murder replay {run}"), "plays this demo again".to_owned()));
            return steps;
        }
        let Summary { active, staged, .. } = *self.outcome;
        let rest = (self.fleet.hosts().len() as u32).saturating_sub(active + staged);
        if matches!(command.as_str(), "deploy" | "retry") {
            if staged > 0 {
                let despite = if self.outcome.shut.is_some() { ", whatever shut the barrier" } else { "" };
                let what = format!("makes it current on the {} staged{despite}", hosts(staged));
                steps.push((format!("murder activate {tag}{}", self.of_inventory()), what));
            }
            steps.extend(self.again(rest));
            if active > 0 && rest > 0 {
                steps.push((
                    format!("murder rollback TAG{}", self.of_inventory()),
                    "takes all hosts back to one release".to_owned(),
                ));
            }
        }
        if matches!(command.as_str(), "activate" | "rollback") && rest > 0 {
            let what = "lists what is on the hosts".to_owned();
            steps.push((format!("murder releases{}", self.of_inventory()), what));
        }
        steps.push((format!("murder show {run}"), "tells more of this run".to_owned()));
        steps
    }

    /// The flag that names the same inventory again, where one was named.
    fn of_inventory(&self) -> String {
        let Some(inventory) = file_of(&self.plan.inventory) else { return String::new() };
        if inventory.trim_start_matches("./") == DEFAULT_FILE.trim_start_matches("./") {
            return String::new();
        }
        let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+:@%,".contains(letter);
        if inventory.chars().all(is_plain) {
            format!(" -i {inventory}")
        } else {
            format!(" -i '{}'", inventory.replace('\'', r"'\''"))
        }
    }

    /// What brings the release to the hosts that are not done. Where the tag is taken, only another one does, and then all hosts
    /// of the run are to have that one.
    fn again(&self, rest: u32) -> Vec<(String, String)> {
        let Plan { run, tag, payload, .. } = self.plan;
        let taken = |host: &&HostRecord| host.failure().is_some_and(Failure::needs_other_tag);
        let taken = self.fleet.hosts().iter().filter(taken).count() as u32;
        let none_done = rest as usize == self.fleet.hosts().len();
        let mut steps = Vec::new();
        if taken > 0 {
            let (again, with) = if none_done {
                (format!("retry {run} --tag TAG"), "")
            } else {
                (
                    format!("deploy {payload} --tag TAG{}", self.of_inventory()),
                    ", with the options of this run",
                )
            };
            let on = plural(taken as usize, "host");
            let what = format!("ships it under another tag{with}: {tag} {OTHER_CONTENT} on {on}");
            steps.push((format!("murder {again}"), what));
        }
        if rest > taken && (taken == 0 || !none_done) {
            let vain = if taken > 0 { "; in vain where the tag is taken" } else { "" };
            let what = format!("goes on with the {} not done{vain}", plural(rest as usize, "host"));
            steps.push((format!("murder retry {run}"), what));
        }
        steps
    }

    fn names(&self, hosts: &[HostId]) -> String {
        fold_names(hosts.iter().map(|host| self.fleet.host_name(*host)))
    }

    /// A labelled line, wrapped below itself.
    fn fact(&mut self, label: &str, text: &str) {
        let mut label = label;
        for line in wrap(&clean(text), self.style.width() - LABEL - 2) {
            let label = self.style.paint(Ink::Dim, &format!("{:LABEL$}", std::mem::take(&mut label)));
            let _ = writeln!(self.out, "  {label}{line}");
        }
    }

    fn paragraph(&mut self, text: &str) {
        for line in wrap(&clean(text), self.style.width() - 6) {
            let _ = writeln!(self.out, "      {line}");
        }
    }
}

/// Whether pieces lie on a host that a retry need not fetch again.
fn has_partial_data(host: &HostRecord) -> bool {
    let broken_off = match host.failure() {
        Some(failure) => failure.phase < Phase::Activating,
        None => host.name() == StateName::Cancelled,
    };
    // An attempt that does not come as far as fetching leaves what those before it fetched.
    broken_off && host.fetched.max(host.fetched_before) > 0
}

/// Kinds of the failures of attempts before the last: `refused (2 times), lost`. Empty if there were none.
fn earlier<'a>(hosts: impl Iterator<Item = &'a HostRecord>) -> String {
    let mut counts: BTreeMap<FailureKind, u32> = BTreeMap::new();
    for host in hosts {
        for kind in host.attempts().iter().filter_map(|attempt| attempt.kind) {
            *counts.entry(kind).or_default() += 1;
        }
    }
    let text = |(kind, count): (FailureKind, u32)| {
        if count == 1 { kind.to_string() } else { format!("{kind} ({count} times)") }
    };
    counts.into_iter().map(text).collect::<Vec<_>>().join(", ")
}
