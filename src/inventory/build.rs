use std::collections::HashMap;

use super::fields::Fields;
use super::host::{HostName, with_port};
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

#[derive(Debug)]
struct Entry {
    host: String,
    own: Fields,
    group: Fields,
    groups: Vec<String>,
}

impl Builder {
    /// Adds a host, as a member of a group if one is given.
    pub(super) fn add(&mut self, mention: Mention, group: Option<(&str, &Fields)>) {
        let Mention { host, fields } = mention;
        let places = self.by_host.entry(host.clone()).or_default();
        let position = places.find(fields.port).unwrap_or(self.entries.len());
        places.note(fields.port, position);
        if position == self.entries.len() {
            let (own, group) = (Fields::default(), Fields::default());
            self.entries.push(Entry { host, own, group, groups: Vec::new() });
        }
        let entry = &mut self.entries[position];
        entry.own.fill(&fields);
        if let Some((name, fields)) = group {
            entry.group.fill(fields);
            if !entry.groups.iter().any(|known| known == name) {
                entry.groups.push(name.to_owned());
            }
        }
    }

    /// The hosts, in order. Hosts that share a name are told apart by their ports.
    pub(super) fn finish(self, defaults: &Fields) -> Vec<Host> {
        let Self { entries, by_host } = self;
        let shared = |host: &str| by_host.get(host).is_some_and(Places::several);
        let build = |entry: Entry| {
            let Entry { host, own: mut fields, group, groups } = entry;
            let mut name = host;
            if let Some(port) = fields.port.filter(|_| shared(&name)) {
                fields.address.get_or_insert_with(|| name.clone());
                name = with_port(&name, port);
            }
            fields.fill(&group);
            fields.fill(defaults);
            into_host(name, fields, groups)
        };
        entries.into_iter().map(build).collect()
    }
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
