use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use crate::control::{Failure, FailureKind, HostId, Phase};

use super::fold_names;

/// Hosts that failed for what is the same reason but for numbers: free megabytes, ports, seconds.
#[derive(Debug, Clone)]
pub struct Cause {
    /// The kind.
    pub kind: FailureKind,
    /// Where on their way the first of them failed.
    pub phase: Phase,
    /// The message; a number that differs between them is an ellipsis.
    pub message: String,
    /// Who, in order of the inventory.
    pub hosts: BTreeSet<HostId>,
    parts: Vec<String>,
    /// Their names, folded; made when first asked for, since thousands of names take a while.
    names: OnceLock<String>,
}

impl Cause {
    fn new(failure: &Failure, host: HostId) -> Self {
        Self {
            kind: failure.kind,
            phase: failure.phase,
            message: failure.message.clone(),
            hosts: BTreeSet::from([host]),
            parts: split(&failure.message).map(str::to_owned).collect(),
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
    by_signature: HashMap<(FailureKind, String), usize>,
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
        let next = self.causes.len();
        let index = *self.by_signature.entry(signature(failure)).or_insert(next);
        match self.causes.get_mut(index) {
            Some(cause) if cause.hosts.is_empty() => *cause = Cause::new(failure, host),
            Some(cause) => cause.join(&failure.message, host),
            None => self.causes.push(Cause::new(failure, host)),
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

fn signature(failure: &Failure) -> (FailureKind, String) {
    let masked = split(&failure.message)
        .map(|part| if part.starts_with(|c: char| c.is_ascii_digit()) { "0" } else { part });
    (failure.kind, masked.collect())
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
