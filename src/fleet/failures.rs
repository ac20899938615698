use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use crate::control::{Failure, FailureKind, HostId, Phase};
use crate::deploy::Mark;

use super::{FleetState, HostRecord, Rank, fold_names};

/// What is wrong with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wrong {
    /// It failed.
    Failed(FailureKind),
    /// It is on its way, in trouble.
    Marked(Mark),
}

impl Wrong {
    /// The word shown to users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed(kind) => kind.as_str(),
            Self::Marked(mark) => mark.as_str(),
        }
    }

    /// The kind of failure, if it is one.
    pub fn kind(self) -> Option<FailureKind> {
        match self {
            Self::Failed(kind) => Some(kind),
            Self::Marked(_) => None,
        }
    }

    /// What a person can do about it, one line.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Failed(kind) => kind.advice(),
            Self::Marked(Mark::Stalled) => {
                "wait: it goes on by itself, or fails after --stall-timeout; to go on without it, give it up"
            }
            Self::Marked(Mark::Slow) => {
                "the others wait for it at the barrier; to go on without it, give it up"
            }
            Self::Marked(Mark::Silent) => {
                "look whether it is up: a connection that is gone is made again by itself"
            }
            Self::Marked(Mark::SshOnly) => {
                "let the other hosts reach its swarm port; until then it is fed over SSH"
            }
        }
    }
}

/// Hosts that failed for what is the same reason but for numbers: free megabytes, ports, seconds.
#[derive(Debug, Clone)]
pub struct Cause {
    /// What is wrong.
    pub wrong: Wrong,
    /// Where on their way it was with the first of them.
    pub phase: Phase,
    /// The message; a number that differs between them is an ellipsis.
    pub message: String,
    /// Who, in order of the inventory.
    pub hosts: BTreeSet<HostId>,
    /// The message without its numbers: with [`Self::wrong`], what stays of a cause as hosts come and go.
    pub signature: String,
    parts: Vec<String>,
    /// Their names, folded; made when first asked for, since thousands of names take a while.
    names: OnceLock<String>,
}

impl Cause {
    fn new(wrong: Wrong, phase: Phase, message: &str, host: HostId) -> Self {
        Self {
            wrong,
            phase,
            message: message.to_owned(),
            hosts: BTreeSet::from([host]),
            signature: masked(message),
            parts: split(message).map(str::to_owned).collect(),
            names: OnceLock::new(),
        }
    }

    /// The names of its hosts, folded, given how to name one.
    pub fn names<'n>(&self, name: impl Fn(HostId) -> &'n str) -> &str {
        self.names.get_or_init(|| fold_names(self.hosts.iter().map(|id| name(*id))))
    }

    fn join(&mut self, message: &str, host: HostId) {
        self.hosts.insert(host);
        self.names = OnceLock::new();
        for (known, part) in self.parts.iter_mut().zip(split(message)) {
            if known != part {
                "…".clone_into(known);
            }
        }
        self.message = self.parts.concat();
    }
}

/// Failures by cause, kept as hosts fail and are tried again.
#[derive(Debug, Clone, Default)]
pub struct Causes {
    causes: Vec<Cause>,
    by_signature: HashMap<(Wrong, String), usize>,
}

impl Causes {
    /// All causes, that with most hosts first.
    pub fn list(&self) -> Vec<&Cause> {
        let mut list: Vec<&Cause> = self.causes.iter().filter(|cause| !cause.hosts.is_empty()).collect();
        list.sort_by_key(|cause| std::cmp::Reverse(cause.hosts.len()));
        list
    }

    /// How many causes there are.
    pub fn len(&self) -> usize {
        self.causes.iter().filter(|cause| !cause.hosts.is_empty()).count()
    }

    /// Whether nothing failed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cause of a host's failure.
    pub fn of(&self, failure: &Failure) -> Option<&Cause> {
        self.causes.get(*self.by_signature.get(&signature(failure))?)
    }

    pub(super) fn add(&mut self, failure: &Failure, host: HostId) {
        self.put(Wrong::Failed(failure.kind), failure.phase, &failure.message, host);
    }

    fn put(&mut self, wrong: Wrong, phase: Phase, message: &str, host: HostId) {
        let next = self.causes.len();
        let index = *self.by_signature.entry((wrong, masked(message))).or_insert(next);
        match self.causes.get_mut(index) {
            Some(cause) if cause.hosts.is_empty() => *cause = Cause::new(wrong, phase, message, host),
            Some(cause) => cause.join(message, host),
            None => self.causes.push(Cause::new(wrong, phase, message, host)),
        }
    }

    pub(super) fn remove(&mut self, failure: &Failure, host: HostId) {
        let index = self.by_signature.get(&signature(failure));
        if let Some(cause) = index.and_then(|index| self.causes.get_mut(*index)) {
            cause.hosts.remove(&host);
            cause.names = OnceLock::new();
        }
    }
}

impl FleetState {
    /// Hosts that are on their way and in trouble, by what the trouble is. It looks at each of them: not for every picture.
    pub fn troubles(&self, now: u64) -> Causes {
        let mut causes = Causes::default();
        let troubled = self.ids().zip(self.glances()).filter(|(_, glance)| glance.rank == Rank::Trouble);
        for ((id, host), _) in troubled {
            let Some((mark, phase)) = host.trouble().zip(host.name().phase()) else { continue };
            causes.put(Wrong::Marked(mark), phase, &told(host, mark, now), id);
        }
        causes
    }
}

fn told(host: &HostRecord, mark: Mark, now: u64) -> String {
    let said = host.marks().find(|(set, text)| *set == mark && !text.is_empty()).map(|(_, text)| text);
    match (mark, said) {
        (_, Some(text)) => text.to_owned(),
        (Mark::Silent, _) => format!("not heard of for {} s", now.saturating_sub(host.heard) / 1000),
        (Mark::Slow, _) => "far slower than the others".to_owned(),
        _ => "no verified piece for a while".to_owned(),
    }
}

fn signature(failure: &Failure) -> (Wrong, String) {
    (Wrong::Failed(failure.kind), masked(&failure.message))
}

fn masked(message: &str) -> String {
    split(message)
        .map(|part| if part.starts_with(|c: char| c.is_ascii_digit()) { "0" } else { part })
        .collect()
}

/// Runs of digits (with their points) and what is between them, in turn.
fn split(message: &str) -> impl Iterator<Item = &str> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let digits = first.is_ascii_digit();
        let inside = |c: char| if digits { c.is_ascii_digit() || c == '.' } else { !c.is_ascii_digit() };
        let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        let (part, tail) = rest.split_at(end);
        rest = tail;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(message: &str) -> Failure {
        Failure::new(Phase::Checking, FailureKind::DiskFull, message)
    }

    #[test]
    fn failures_that_differ_in_numbers_only_are_one_cause() {
        let mut causes = Causes::default();
        causes.add(&disk("/srv has 12.5 MB free, the release needs 231 MB"), HostId(3));
        causes.add(&disk("/srv has 9 MB free, the release needs 231 MB"), HostId(1));
        causes.add(&disk("/var has 9 MB free, the release needs 231 MB"), HostId(2));
        let list = causes.list();
        assert_eq!(list.len(), 2);
        assert_eq!(list[0].message, "/srv has … MB free, the release needs 231 MB");
        assert_eq!(list[0].hosts, BTreeSet::from([HostId(1), HostId(3)]));
    }

    #[test]
    fn a_cause_without_hosts_is_gone_and_comes_back_with_its_own_numbers() {
        let mut causes = Causes::default();
        causes.add(&disk("1 MB free"), HostId(0));
        causes.add(&disk("2 MB free"), HostId(1));
        causes.remove(&disk("1 MB free"), HostId(0));
        causes.remove(&disk("2 MB free"), HostId(1));
        assert!(causes.is_empty());
        causes.add(&disk("7 MB free"), HostId(1));
        assert_eq!(causes.list()[0].message, "7 MB free");
    }
}
