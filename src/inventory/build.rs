use std::collections::{BTreeMap, HashMap};

use super::fields::Fields;
use super::host::{HostName, with_port};
use super::model::Conflict;
use super::values::Transport;
use super::{Host, expand};
use crate::text::Mistake;

/// A host as one place of the inventory names it.
#[derive(Debug, Clone)]
pub(super) struct Mention {
    pub(super) host: String,
    pub(super) fields: Fields,
}

impl Mention {
    /// All hosts that a host string with ranges and the fields beside it stand for. What the string says wins over the
    /// fields. Ranges in `address` and `swarm` are spread along with those of the name.
    pub(super) fn all(text: &str, fields: &Fields) -> Result<Vec<Self>, Mistake> {
        let names = expand(text)?;
        let addresses = spread("address", fields.address.as_deref(), names.len())?;
        let swarms = spread("swarm", fields.swarm.as_deref(), names.len())?;
        let mut mentions = Vec::with_capacity(names.len());
        for ((name, address), swarm) in names.iter().zip(addresses).zip(swarms) {
            let name = HostName::parse(name)?;
            let own = Fields { user: name.user, port: name.port, address, swarm, ..Fields::default() };
            let mut mention = Self { host: name.host, fields: own };
            mention.fields.fill(&Fields { address: None, swarm: None, ..fields.clone() });
            mentions.push(mention);
        }
        Ok(mentions)
    }
}

/// A value for each of `count` hosts: one for each, or a net for all.
fn spread(field: &str, text: Option<&str>, count: usize) -> Result<Vec<Option<String>>, Mistake> {
    let Some(text) = text else { return Ok(vec![None; count]) };
    if text.contains('/') {
        return Ok(vec![Some(text.to_owned()); count]);
    }
    let values = expand(text)?;
    if values.len() != count {
        let (values, hosts) = (values.len(), crate::units::plural(count, "host"));
        let mistake = Mistake::new(text, format!("`{field}` gives {values} for {hosts}"));
        return Err(mistake.expected("as many as there are hosts, by a range like that of the name"));
    }
    Ok(values.into_iter().map(Some).collect())
}

/// Collects hosts: a host that is named twice is one host, in first place, with the groups of both. What a host's own entries
/// say wins over its groups, and its groups over the defaults; among equals, the first.
#[derive(Debug, Default)]
pub(super) struct Builder {
    entries: Vec<Entry>,
    by_host: HashMap<String, Places>,
    /// Groups and what they say of their hosts.
    groups: Vec<(String, Fields)>,
}

/// The entries of one host string. Two ports are two machines behind one address; without a port, the first is meant.
#[derive(Debug, Default)]
struct Places {
    first: Option<usize>,
    without_port: Option<usize>,
    by_port: HashMap<u16, usize>,
}

impl Places {
    fn find(&self, port: Option<u16>) -> Option<usize> {
        match port {
            Some(port) => self.by_port.get(&port).copied().or(self.without_port),
            None => self.first,
        }
    }

    fn note(&mut self, port: Option<u16>, entry: usize) {
        self.first.get_or_insert(entry);
        match port {
            Some(port) => {
                self.by_port.insert(port, entry);
                self.without_port = self.without_port.filter(|other| *other != entry);
            }
            None if self.by_port.is_empty() => self.without_port = Some(entry),
            None => {}
        }
    }

    fn several(&self) -> bool {
        self.by_port.len() > 1
    }
}

/// A host with the places that name it, in order: the group, and what the entry there says.
#[derive(Debug)]
struct Entry {
    host: String,
    places: Vec<(Option<usize>, Fields)>,
}

impl Builder {
    /// Begins a group; returns its place, for [`Self::add`].
    pub(super) fn group(&mut self, name: String, fields: Fields) -> usize {
        self.groups.push((name, fields));
        self.groups.len() - 1
    }

    /// Adds a host, as a member of a group if one is given.
    pub(super) fn add(&mut self, mention: Mention, group: Option<usize>) {
        let Mention { host, fields } = mention;
        let places = self.by_host.entry(host.clone()).or_default();
        let position = places.find(fields.port).unwrap_or(self.entries.len());
        places.note(fields.port, position);
        if position == self.entries.len() {
            self.entries.push(Entry { host, places: Vec::new() });
        }
        self.entries[position].places.push((group, fields));
    }

    /// The hosts, in order, and where their groups or entries contradict each other. Hosts that share a name are told apart by
    /// their ports.
    pub(super) fn finish(self, defaults: &Fields) -> (Vec<Host>, Vec<Conflict>) {
        let mut conflicts = Vec::new();
        let hosts = self.entries.iter().map(|entry| {
            let (own, group) = self.said_of(entry);
            let mut fields = own;
            let mut name = entry.host.clone();
            let shared = self.by_host.get(&name).is_some_and(Places::several);
            if let Some(port) = fields.port.filter(|_| shared) {
                fields.address.get_or_insert_with(|| name.clone());
                name = with_port(&name, port);
            }
            conflicts.extend(self.contradictions(entry, &name));
            fields.fill(&group);
            fields.fill(defaults);
            into_host(name, fields, self.groups_of(entry))
        });
        (hosts.collect(), conflicts)
    }

    /// What a host's own entries say of it, and what its groups do.
    fn said_of(&self, entry: &Entry) -> (Fields, Fields) {
        let (mut own, mut group) = (Fields::default(), Fields::default());
        for (place, fields) in &entry.places {
            own.fill(fields);
            if let Some((_, fields)) = place.and_then(|place| self.groups.get(place)) {
                group.fill(fields);
            }
        }
        (own, group)
    }

    fn groups_of(&self, entry: &Entry) -> Vec<String> {
        let mut groups: Vec<String> = Vec::new();
        for (name, _) in entry.places.iter().filter_map(|(place, _)| self.groups.get((*place)?)) {
            if !groups.contains(name) {
                groups.push(name.clone());
            }
        }
        groups
    }

    /// What the entries of a host, or its groups with no entry above them, say differently, by field.
    fn contradictions(&self, entry: &Entry, host: &str) -> Vec<Conflict> {
        if entry.places.len() < 2 {
            return Vec::new();
        }
        let group = |place: &Option<usize>| self.groups.get((*place)?);
        let own = entry.places.iter().map(|(place, fields)| match group(place) {
            Some((name, _)) => (format!("its entry in group {name}"), fields),
            None => ("its entry in no group".to_owned(), fields),
        });
        let groups = entry.places.iter().filter_map(|(place, _)| group(place));
        let mut claims = claims(groups.map(|(name, fields)| (format!("group {name}"), fields)));
        claims.extend(self::claims(own));
        claims.retain(|_, values| values.len() > 1);
        let conflict = |(field, values): (String, Vec<(String, String)>)| {
            let all: Vec<String> = values.iter().map(|(by, value)| format!("{value} by {by}")).collect();
            let (_, used) = values.into_iter().next().unwrap_or_default();
            let words = format!("{}; {used} is used, being the first", all.join(", "));
            Conflict { host: host.to_owned(), field, used, words }
        };
        claims.into_iter().map(conflict).collect()
    }
}

/// The different values of each field, the first that says so with each.
fn claims<'a>(by: impl Iterator<Item = (String, &'a Fields)>) -> BTreeMap<String, Vec<(String, String)>> {
    let mut claims: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (who, fields) in by {
        for (field, value) in fields.said() {
            let values = claims.entry(field).or_default();
            if !values.iter().any(|(_, known)| *known == value) {
                values.push((who.clone(), value));
            }
        }
    }
    claims
}

/// A host of which its own entry says only what `named` says, with defaults below.
pub(super) fn with_defaults(named: &Host, defaults: &Fields) -> Host {
    let mut fields = said(named);
    fields.fill(defaults);
    into_host(named.name.clone(), fields, Vec::new())
}

/// A host of the inventory with what a host string said of it on top.
pub(super) fn overlay(named: &Host, host: &Host) -> Host {
    let Fields { address, port, user, .. } = said(named);
    let host = host.clone();
    Host { address: host.address.or(address), port: port.or(host.port), user: user.or(host.user), ..host }
}

/// What a host string can say.
fn said(named: &Host) -> Fields {
    let (address, user) = (named.address.clone(), named.user.clone());
    Fields { address, user, port: named.port, ..Fields::default() }
}

fn into_host(name: String, fields: Fields, groups: Vec<String>) -> Host {
    Host {
        name,
        address: fields.address,
        port: fields.port,
        user: fields.user,
        identity: fields.identity.unwrap_or_default(),
        jump: fields.jump.unwrap_or_default(),
        swarm: fields.swarm,
        rack: fields.rack,
        rate: fields.rate,
        become_sudo: fields.become_sudo.unwrap_or(false),
        ssh_config: fields.ssh_config.unwrap_or(true),
        transport: fields.transport.unwrap_or(Transport::Russh),
        dest: fields.dest,
        labels: fields.labels,
        groups,
    }
}
