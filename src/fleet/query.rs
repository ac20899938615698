use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::control::HostId;
use crate::deploy::{HostState, StateName};

use super::{FleetState, HostRecord, Rank};

/// The order of hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// Who needs a person first: failed, then in trouble, moving, queued, done.
    #[default]
    Attention,
    /// As in the inventory.
    Inventory,
    /// By name.
    Name,
    /// Least done first.
    Progress,
    /// Slowest first.
    Rate,
    /// Most attempts first.
    Attempts,
    /// By rack.
    Rack,
}

impl Sort {
    /// All orders, as `s` goes through them.
    pub const ALL: [Self; 7] = [
        Self::Attention,
        Self::Inventory,
        Self::Name,
        Self::Progress,
        Self::Rate,
        Self::Attempts,
        Self::Rack,
    ];

    /// The word shown to users and taken by `:sort`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::Inventory => "inventory",
            Self::Name => "name",
            Self::Progress => "progress",
            Self::Rate => "rate",
            Self::Attempts => "attempts",
            Self::Rack => "rack",
        }
    }

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }

    /// Whether plain progress changes it, so that it has to be made anew each second.
    fn moves(self) -> bool {
        matches!(self, Self::Progress | Self::Rate)
    }
}

/// A set of hosts that was picked elsewhere: a group, a cause of failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// What it is, for the screen.
    pub label: String,
    /// Who is in it.
    pub hosts: Arc<BTreeSet<HostId>>,
}

/// Words that a host must match, all of them: parts of its name, state, mark, group, rack or message; `state:failed`,
/// `group:web`, `rack:r1`, `kind:disk_full`, `label=value`; `!` before a word means that it must not match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    text: String,
    words: Vec<Word>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    negated: bool,
    field: Option<String>,
    text: String,
}

impl Filter {
    /// Reads a filter; any text is one.
    pub fn parse(text: &str) -> Self {
        let words = text.split_whitespace().filter_map(|word| {
            let (negated, word) = word.strip_prefix('!').map_or((false, word), |rest| (true, rest));
            let (field, text) = match word.split_once([':', '=']) {
                Some((field, text)) if !field.is_empty() => (Some(field.to_owned()), text),
                _ => (None, word),
            };
            (!text.is_empty()).then(|| Word { negated, field, text: text.to_lowercase() })
        });
        Self { text: text.to_owned(), words: words.collect() }
    }

    /// As it was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it lets every host through.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether a host matches.
    pub fn matches(&self, host: &HostRecord) -> bool {
        self.words.iter().all(|word| word.matches(host) != word.negated)
    }
}

impl Word {
    fn matches(&self, host: &HostRecord) -> bool {
        let has = |text: &str| contains(text, &self.text);
        let message = || match &host.state {
            HostState::Failed(failure) => failure.message.as_str(),
            HostState::Queued { reason } | HostState::Skipped { reason } => reason,
            _ => "",
        };
        let kind = || host.failure().map_or("", |failure| failure.kind.as_str());
        match self.field.as_deref() {
            None => {
                has(&host.info.name)
                    || has(host.name().as_str())
                    || has(&host.info.rack)
                    || has(kind())
                    || host.info.groups.iter().any(|group| has(group))
                    || host.marks().any(|(mark, _)| has(mark.as_str()))
                    || has(message())
            }
            Some("state") => has(host.name().as_str()),
            Some("name") => has(&host.info.name),
            Some("rack") => host.info.rack.eq_ignore_ascii_case(&self.text),
            Some("group") => host.info.groups.iter().any(|group| group.eq_ignore_ascii_case(&self.text)),
            Some("kind") => has(kind()),
            Some("mark") => host.marks().any(|(mark, _)| has(mark.as_str())),
            Some("message") => has(message()),
            Some(label) => host.info.labels.iter().any(|(key, value)| {
                key.eq_ignore_ascii_case(label) && value.eq_ignore_ascii_case(&self.text)
            }),
        }
    }
}

/// Whether `text` contains `word`, which is in lower case.
fn contains(text: &str, word: &str) -> bool {
    if text.is_ascii() && word.is_ascii() {
        let word = word.as_bytes();
        return text.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word));
    }
    text.to_lowercase().contains(word)
}

/// Which hosts are shown, in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Typed by the user.
    pub filter: Filter,
    /// Only hosts that failed.
    pub failures_only: bool,
    /// Only hosts of this set.
    pub scope: Option<Scope>,
    /// The order.
    pub sort: Sort,
    /// The order turned round.
    pub reverse: bool,
}

impl Query {
    /// Whether it leaves hosts out.
    pub fn narrows(&self) -> bool {
        self.failures_only || self.scope.is_some() || !self.filter.is_empty()
    }

    /// Whether a host is shown.
    pub fn matches(&self, id: HostId, host: &HostRecord) -> bool {
        (!self.failures_only || host.name() == StateName::Failed)
            && self.scope.as_ref().is_none_or(|scope| scope.hosts.contains(&id))
            && self.filter.matches(host)
    }
}

/// The hosts of a query, in order. Made anew when states, marks or the query change, not for each picture.
#[derive(Debug, Clone, Default)]
pub struct Index {
    rows: Vec<HostId>,
    done: usize,
    made_for: Option<(Query, u64)>,
    made_at: u64,
    /// Kept to be filled again: this is done twice a second, however many hosts there are.
    ranks: [Vec<HostId>; Rank::ALL.len()],
}

/// Between two orders of the same query, so that rows do not dance; milliseconds.
const CALM_MS: u64 = 500;

impl Index {
    /// The hosts.
    pub fn rows(&self) -> &[HostId] {
        &self.rows
    }

    /// How many at the end of [`Self::rows`] are staged or active, when sorted by attention; 0 otherwise.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Brings it up to date: at once for another query, else at most twice a second. True if rows may have moved.
    pub fn refresh(&mut self, fleet: &FleetState, query: &Query, now: u64) -> bool {
        let revision = fleet.order_revision() + if query.sort.moves() { now / 1000 } else { 0 };
        let same_query = self.made_for.as_ref().is_some_and(|(made_for, _)| made_for == query);
        let same = same_query && self.made_for.as_ref().is_some_and(|(_, at)| *at == revision);
        if same || (same_query && now.abs_diff(self.made_at) < CALM_MS) {
            return false;
        }
        self.make(fleet, query);
        self.made_for = Some((query.clone(), revision));
        self.made_at = now;
        true
    }

    /// Whether it is behind the fleet, so that a later [`Self::refresh`] will move rows.
    pub fn is_stale(&self, fleet: &FleetState) -> bool {
        self.made_for.as_ref().is_none_or(|(query, at)| !query.sort.moves() && *at != fleet.order_revision())
    }

    fn make(&mut self, fleet: &FleetState, query: &Query) {
        let glances = (0..).map(HostId).zip(fleet.glances());
        let all = !query.narrows();
        let shown =
            glances.filter(|(id, _)| all || fleet.host(*id).is_some_and(|host| query.matches(*id, host)));
        self.done = 0;
        self.rows.clear();
        if query.sort == Sort::Attention {
            let ranks = &mut self.ranks;
            ranks.iter_mut().for_each(Vec::clear);
            shown.for_each(|(id, glance)| ranks[glance.rank as usize].push(id));
            if !query.reverse {
                self.done = ranks[Rank::Staged as usize].len() + ranks[Rank::Active as usize].len();
            }
            ranks.iter().for_each(|ids| self.rows.extend(ids));
        } else {
            self.rows.extend(shown.map(|(id, _)| id));
            sort(&mut self.rows, fleet, query.sort);
        }
        if query.reverse {
            self.rows.reverse();
        }
    }
}

fn sort(rows: &mut [HostId], fleet: &FleetState, by: Sort) {
    let host = |id: &HostId| fleet.host(*id);
    let glance = |id: &HostId| fleet.glances().get(id.index());
    let rate = |id: &HostId| fleet.pulses().get(id.index()).map(|pulse| pulse.rate);
    match by {
        Sort::Attention | Sort::Inventory => {}
        Sort::Name => rows.sort_by_key(|id| fleet.name_order().get(id.index())),
        Sort::Progress => rows.sort_by_key(|id| glance(id).map(|glance| glance.share)),
        Sort::Rate => rows.sort_by_key(|id| (glance(id).map(|glance| !glance.fetching), rate(id))),
        Sort::Attempts => rows.sort_by_cached_key(|id| Reverse(host(id).map(|host| host.attempt))),
        Sort::Rack => rows.sort_by_cached_key(|id| host(id).map(|host| host.rack)),
    }
}
