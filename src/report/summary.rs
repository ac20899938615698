use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::style::Ink;
use super::text::{clean, wrap};
use super::{Digest, Style};
use crate::control::{FailureKind, HostId};
use crate::deploy::{FailureGroup, Plan, StateName, Summary};
use crate::journal::rfc3339;
use crate::units::{format_bytes, format_duration, plural};

/// Columns of the text, with room for a ticket's quotation marks.
const WIDTH: usize = 100;
/// Columns of the labels.
const LABEL: usize = 12;
/// So many of a host's last words are repeated for a group of failures.
const WORDS: usize = 5;

/// The run in a text that is understood without its screen: what happened, how well it went, who failed and why, what to
/// do next, where it is recorded, and whether the hosts were left clean. Empty before the run's plan.
pub fn summary(digest: &Digest, style: &Style) -> String {
    let (Some(plan), Some(outcome)) = (&digest.plan, digest.outcome()) else { return String::new() };
    let mut text = Text { style, out: String::new() };
    text.headline(digest, plan, &outcome);
    text.facts(digest, plan, &outcome);
    text.failures(digest, plan, &outcome);
    text.next(digest, plan, &outcome);
    text.out
}

struct Text<'a> {
    style: &'a Style,
    out: String,
}

impl Text<'_> {
    fn headline(&mut self, digest: &Digest, plan: &Plan, outcome: &Summary) {
        let hosts = plan.hosts.len();
        let well = outcome.active + if is_done_when_staged(plan) { outcome.staged } else { 0 };
        let all_well = well as usize == hosts && outcome.exit == 0;
        let mut verdict = match (digest.summary.is_some(), &digest.stopping) {
            (false, _) => format!("was killed; {well} of {} done until then", plural(hosts, "host")),
            (true, Some(reason)) => {
                format!("stopped: {reason}; {well} of {} done", plural(hosts, "host"))
            }
            (true, None) if all_well => {
                format!("all {} {}", plural(hosts, "host"), done_word(plan, outcome))
            }
            (true, None) if outcome.failed > 0 => {
                format!("{} of {} failed, {well} done", outcome.failed, plural(hosts, "host"))
            }
            (true, None) => format!("{well} of {} done", plural(hosts, "host")),
        };
        if digest.summary.is_some() {
            let _ = write!(verdict, " (exit {})", outcome.exit);
        }
        let tag = if plan.tag.is_empty() { String::new() } else { format!(" {}", plan.tag) };
        let (glyph, ink) = self.style.state(if all_well { StateName::Active } else { StateName::Failed });
        let line = clean(&format!("{glyph} murder {}{tag}: {verdict}", plan.command)).into_owned();
        let line = self.style.paint(ink, &line);
        let _ = writeln!(self.out, "{line}\n");
    }

    fn facts(&mut self, digest: &Digest, plan: &Plan, outcome: &Summary) {
        let begun = rfc3339(digest.started_at);
        self.fact("run", &format!("{}, begun {} {} UTC", plan.run, &begun[..10], &begun[11..19]));
        self.payload(digest, plan);
        self.counts(digest, plan, outcome);
        self.recovered(digest, plan);
        let mut time = format!("{} in all", seconds(outcome.seconds));
        if outcome.swarm.seconds > 0.0 {
            let _ = write!(time, "; transfer {}", seconds(outcome.swarm.seconds));
            if let Some(least) = outcome.swarm.least_seconds.filter(|least| *least > 0.0) {
                let times = outcome.swarm.seconds / least;
                let _ = write!(time, ", {times:.2} times the least possible ({})", seconds(least));
            }
        }
        self.fact("time", &time);
        self.swarm(outcome);
        if let Some((first, last)) = digest.switches {
            let skew = seconds((last - first) as f64 / 1000.0);
            let switched = digest.hosts.iter().filter(|host| host.switched).count();
            self.fact("activation", &format!("{} within {skew}", plural(switched, "host")));
        }
    }

    fn payload(&mut self, digest: &Digest, plan: &Plan) {
        if plan.payload.is_empty() {
            return;
        }
        let mut text = plan.payload.clone();
        if let Some(info) = &digest.info {
            let _ = write!(
                text,
                ": {} in {} files, folders and links, packed to {}",
                format_bytes(info.bytes),
                info.entries,
                format_bytes(info.packed_bytes)
            );
        }
        self.fact("payload", &text);
    }

    fn counts(&mut self, digest: &Digest, plan: &Plan, outcome: &Summary) {
        let on_their_way =
            plan.hosts.len() as u32 - outcome.active - outcome.staged - outcome.failed - outcome.cancelled;
        let mut counts: Vec<String> = [
            (outcome.active, "active"),
            (outcome.staged, if plan.activate { "staged but not active" } else { "staged" }),
            (outcome.failed, "failed"),
            (digest.count(StateName::Cancelled), "cancelled"),
            (digest.count(StateName::Skipped), "skipped"),
            (if digest.summary.is_none() { on_their_way } else { 0 }, "on their way"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
        if counts.is_empty() {
            counts.push("none".to_owned());
        }
        let of = plural(plan.hosts.len(), "host");
        let demo = plan.command == "demo";
        let inventory = if demo { String::new() } else { format!(" in {}", plan.inventory) };
        self.fact("hosts", &format!("{}, of {of}{inventory}", counts.join(", ")));
        self.right_now(digest, plan, outcome);
    }

    /// Which release serves, where the hosts are not all alike.
    fn right_now(&mut self, digest: &Digest, plan: &Plan, outcome: &Summary) {
        let switched = digest.hosts.iter().filter(|host| host.switched).count();
        let unsure =
            digest.hosts.iter().filter(|host| host.switched && host.state != StateName::Active).count();
        let rest = plan.hosts.len() - switched;
        if switched == 0 || outcome.active as usize == plan.hosts.len() {
            return;
        }
        let mut text = format!("{} {} as current", have(outcome.active as usize), plan.tag);
        if unsure > 0 {
            let _ = write!(text, ", {unsure} got it and failed after that");
        }
        if rest > 0 {
            let _ = write!(text, ", {rest} what they had before");
        }
        self.fact("right now", &text);
    }

    /// Hosts that came through, though not at once.
    fn recovered(&mut self, digest: &Digest, plan: &Plan) {
        let came_through = |state| matches!(state, StateName::Active | StateName::Staged);
        let hosts: Vec<usize> = (0..digest.hosts.len())
            .filter(|index| {
                let host = &digest.hosts[*index];
                came_through(host.state) && !host.failures.is_empty()
            })
            .collect();
        if hosts.is_empty() {
            return;
        }
        let kinds =
            kinds(hosts.iter().flat_map(|index| digest.hosts[*index].failures.iter().map(|(_, f)| f.kind)));
        let ids: Vec<HostId> = hosts.iter().map(|index| HostId(*index as u32)).collect();
        let names = self.style.hosts(plan, &ids);
        self.fact("retried", &format!("{} came through after {kinds}: {names}", plural(ids.len(), "host")));
    }

    fn swarm(&mut self, outcome: &Summary) {
        let swarm = &outcome.swarm;
        if swarm.bytes == 0 || swarm.hosts == 0 {
            return;
        }
        let copies = swarm.seeder_bytes as f64 / swarm.bytes as f64;
        let each = plural(swarm.hosts as usize, "host");
        self.fact(
            "swarm",
            &format!(
                "{} to {each}; sent from here {}, that is {copies:.2} copies instead of {}",
                format_bytes(swarm.bytes),
                format_bytes(swarm.seeder_bytes),
                swarm.hosts
            ),
        );
        let fetched = (swarm.bytes as f64 * f64::from(swarm.hosts)).max(1.0);
        let duplicate = swarm.duplicate_bytes as f64 / fetched * 100.0;
        let mut more = vec![format!("duplicates {duplicate:.1} %")];
        for (bytes, what) in [
            (swarm.ssh_only_bytes, "over SSH alone"),
            (swarm.reused_bytes, "were on the hosts before"),
            (swarm.agent_bytes, "of agents sent"),
        ] {
            if bytes > 0 {
                more.push(format!("{} {what}", format_bytes(bytes)));
            }
        }
        self.fact("", &more.join(", "));
    }

    fn failures(&mut self, digest: &Digest, plan: &Plan, outcome: &Summary) {
        if outcome.failures.is_empty() {
            return;
        }
        let title = self.style.paint(Ink::Strong, "failures");
        let _ = writeln!(self.out, "\n{title}");
        for group in &outcome.failures {
            self.failure(digest, plan, group);
        }
    }

    fn failure(&mut self, digest: &Digest, plan: &Plan, group: &FailureGroup) {
        let (glyph, ink) = self.style.state(StateName::Failed);
        let title = format!("{glyph} {} on {}", group.kind, plural(group.hosts.len(), "host"));
        let title = self.style.paint(ink, &title);
        let _ = writeln!(self.out, "  {title}: {}", clean(&self.style.hosts(plan, &group.hosts)));
        let sample = group.hosts.iter().find_map(|id| {
            let host = digest.hosts.get(id.index())?;
            host.failures.last().map(|(_, failure)| (*id, failure))
        });
        let phase = sample.map_or_else(String::new, |(_, failure)| format!("while {}: ", failure.phase));
        self.paragraph(&format!("{phase}{}", group.message));
        if let Some((id, failure)) = sample.filter(|(_, failure)| !failure.detail.is_empty()) {
            if group.hosts.len() > 1 {
                self.paragraph(&format!("last words of {}:", digest.name(id)));
            }
            let from = failure.detail.len().saturating_sub(WORDS);
            for line in &failure.detail[from..] {
                let _ = writeln!(self.out, "      | {}", clean(line));
            }
        }
        let before = group.hosts.iter().filter_map(|id| digest.hosts.get(id.index()));
        let earlier = kinds(before.flat_map(|host| {
            let last = host.failures.len().saturating_sub(1);
            host.failures[..last].iter().map(|(_, failure)| failure.kind)
        }));
        if !earlier.is_empty() {
            self.paragraph(&format!("earlier attempts failed with {earlier}"));
        }
        self.paragraph(&format!("to do: {}", group.kind.advice()));
    }

    fn next(&mut self, digest: &Digest, plan: &Plan, outcome: &Summary) {
        self.out.push('\n');
        self.left(digest, plan, outcome);
        let rest = plan.hosts.len() as u32 - outcome.active - outcome.staged;
        let mut steps = Vec::new();
        if plan.command == "demo" {
            steps.push((format!("murder replay {}", plan.run), "plays this demo again".to_owned()));
        } else if matches!(plan.command.as_str(), "deploy" | "retry") {
            if outcome.staged > 0 {
                let staged = plural(outcome.staged as usize, "host");
                steps.push((
                    format!("murder activate {}", plan.tag),
                    format!("makes it current on the {staged} staged"),
                ));
            }
            if rest > 0 {
                let text = format!("goes on with the {} not done", plural(rest as usize, "host"));
                steps.push((format!("murder retry {}", plan.run), text));
            }
            if outcome.active > 0 && rest > 0 {
                steps.push(("murder rollback".to_owned(), "takes all hosts back to one release".to_owned()));
            }
        }
        if !plan.folder.is_empty() && plan.command != "demo" {
            steps.push((format!("murder show {}", plan.run), "tells more of this run".to_owned()));
        }
        let width = steps.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
        for (index, (command, what)) in steps.iter().enumerate() {
            let label = if index == 0 { "next" } else { "" };
            let command = self.style.paint(Ink::Strong, &format!("{command:width$}"));
            let _ = writeln!(self.out, "  {label:LABEL$}{command}  {what}");
        }
        if !plan.folder.is_empty() {
            self.fact("recorded", &plan.folder);
        }
    }

    fn left(&mut self, digest: &Digest, plan: &Plan, outcome: &Summary) {
        if digest.summary.is_none() {
            let text =
                "on the hosts they end by themselves 60 s after the operator's process, and free their locks";
            self.fact("agents", text);
            return;
        }
        if outcome.left_behind.is_empty() {
            let mut text =
                "no process, port, lock or temporary file of this run stays on any host".to_owned();
            if outcome.failed + outcome.cancelled > 0 && outcome.swarm.bytes > 0 {
                text.push_str("; verified pieces stay for a retry");
            }
            self.fact("left clean", &text);
            return;
        }
        let mut groups: BTreeMap<&str, Vec<HostId>> = BTreeMap::new();
        for (host, what) in &outcome.left_behind {
            groups.entry(what).or_default().push(*host);
        }
        for (index, (what, hosts)) in groups.iter().enumerate() {
            let label = if index == 0 { "left behind" } else { "" };
            self.fact(label, &format!("{}: {what}", self.style.hosts(plan, hosts)));
        }
        if outcome.left_behind.len() < plan.hosts.len() {
            self.fact("", "nothing on the other hosts");
        }
    }

    /// A labelled line, wrapped below itself.
    fn fact(&mut self, label: &str, text: &str) {
        let lines = wrap(&clean(text), WIDTH - LABEL - 2);
        for (index, line) in lines.iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            let label = self.style.paint(Ink::Dim, &format!("{label:LABEL$}"));
            let _ = writeln!(self.out, "  {label}{line}");
        }
    }

    fn paragraph(&mut self, text: &str) {
        for line in wrap(&clean(text), WIDTH - 6) {
            let _ = writeln!(self.out, "      {line}");
        }
    }
}

/// `2 × refused, 1 × timeout`, in the order of kinds.
fn kinds(kinds: impl Iterator<Item = FailureKind>) -> String {
    let mut counts: BTreeMap<FailureKind, u32> = BTreeMap::new();
    for kind in kinds {
        *counts.entry(kind).or_default() += 1;
    }
    let text = |(kind, count): (FailureKind, u32)| {
        if count == 1 { kind.to_string() } else { format!("{kind} ({count} times)") }
    };
    counts.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

fn is_done_when_staged(plan: &Plan) -> bool {
    !plan.activate
}

fn done_word(plan: &Plan, outcome: &Summary) -> &'static str {
    match plan.command.as_str() {
        "deploy" | "demo" | "retry" | "activate" | "rollback" if outcome.active > 0 => "active",
        "deploy" | "demo" | "retry" => "staged",
        _ => "done",
    }
}

fn have(count: usize) -> String {
    if count == 1 { "1 host has".to_owned() } else { format!("{count} hosts have") }
}

fn seconds(seconds: f64) -> String {
    format_duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
