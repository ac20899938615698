use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::kinds;
use super::values::Transport;
use crate::text::{Key, Notes, Unique};
use crate::units::format_rate;

/// Fields that defaults, groups and hosts may have.
pub(super) const FIELDS: &[&str] = &[
    "user",
    "dest",
    "rack",
    "address",
    "port",
    "identity",
    "jump",
    "swarm",
    "rate",
    "become",
    "ssh_config",
    "transport",
    "labels",
];

/// What one part of an inventory says of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) address: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) identity: Option<Vec<String>>,
    pub(super) jump: Option<Vec<String>>,
    pub(super) swarm: Option<String>,
    pub(super) rack: Option<String>,
    pub(super) rate: Option<u64>,
    pub(super) become_sudo: Option<bool>,
    pub(super) ssh_config: Option<bool>,
    pub(super) transport: Option<Transport>,
    pub(super) dest: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
}

impl Fields {
    /// Takes from `lower` what these do not say; labels one by one.
    pub(super) fn fill(&mut self, lower: &Self) {
        fn fill<T: Clone>(field: &mut Option<T>, lower: &Option<T>) {
            if field.is_none() {
                field.clone_from(lower);
            }
        }
        fill(&mut self.address, &lower.address);
        fill(&mut self.port, &lower.port);
        fill(&mut self.user, &lower.user);
        fill(&mut self.identity, &lower.identity);
        fill(&mut self.jump, &lower.jump);
        fill(&mut self.swarm, &lower.swarm);
        fill(&mut self.rack, &lower.rack);
        fill(&mut self.rate, &lower.rate);
        fill(&mut self.become_sudo, &lower.become_sudo);
        fill(&mut self.ssh_config, &lower.ssh_config);
        fill(&mut self.transport, &lower.transport);
        fill(&mut self.dest, &lower.dest);
        for (label, value) in &lower.labels {
            self.labels.entry(label.clone()).or_insert_with(|| value.clone());
        }
    }

    /// What these say, field by field, in the words of an inventory.
    pub(super) fn said(&self) -> Vec<(String, String)> {
        let joined = |list: &Option<Vec<String>>| list.as_ref().map(|list| list.join(", "));
        let fields = [
            ("user", self.user.clone()),
            ("dest", self.dest.clone()),
            ("rack", self.rack.clone()),
            ("address", self.address.clone()),
            ("port", self.port.map(|port| port.to_string())),
            ("identity", joined(&self.identity)),
            ("jump", joined(&self.jump)),
            ("swarm", self.swarm.clone()),
            ("rate", self.rate.map(format_rate)),
            ("become", self.become_sudo.map(|sudo| if sudo { "sudo" } else { "none" }.to_owned())),
            ("ssh_config", self.ssh_config.map(|user| if user { "user" } else { "none" }.to_owned())),
            ("transport", self.transport.map(|transport| transport.to_string())),
        ];
        let fields = fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?)));
        let labels = self.labels.iter().map(|(label, value)| (format!("label {label}"), value.clone()));
        fields.chain(labels).collect()
    }

    /// Reads the field `key` of a host, one of [`FIELDS`]. Where addresses are, ranges may be.
    pub(super) fn read_of_host<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        map: &mut A,
        notes: &Notes,
    ) -> Result<(), A::Error> {
        match key {
            "address" => self.address = Some(map.next_value_seed(notes.scalar(key, &kinds::ADDRESSES))?),
            "swarm" => self.swarm = Some(map.next_value_seed(notes.scalar(key, &kinds::SWARMS))?),
            _ => self.read(key, map, notes)?,
        }
        Ok(())
    }

    /// Reads the field `key`, one of [`FIELDS`].
    pub(super) fn read<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        map: &mut A,
        notes: &Notes,
    ) -> Result<(), A::Error> {
        macro_rules! scalar {
            ($kind:ident) => {
                Some(map.next_value_seed(notes.scalar(key, &kinds::$kind))?)
            };
        }
        match key {
            "address" => self.address = scalar!(ADDRESS),
            "port" => self.port = scalar!(PORT),
            "user" => self.user = scalar!(USER),
            "identity" => self.identity = Some(map.next_value_seed(notes.list(key, &kinds::IDENTITY))?),
            "jump" => self.jump = Some(map.next_value_seed(notes.list(key, &kinds::JUMP))?.concat()),
            "swarm" => self.swarm = scalar!(SWARM),
            "rack" => self.rack = scalar!(RACK),
            "rate" => self.rate = scalar!(RATE),
            "become" => self.become_sudo = scalar!(BECOME),
            "ssh_config" => self.ssh_config = scalar!(SSH_CONFIG),
            "transport" => self.transport = scalar!(TRANSPORT),
            "dest" => self.dest = scalar!(DEST),
            _ => self.labels = map.next_value_seed(Labels(notes))?,
        }
        Ok(())
    }
}

/// Reads `defaults:`.
pub(super) struct Defaults<'a>(pub(super) &'a Notes);

impl<'de> DeserializeSeed<'de> for Defaults<'_> {
    type Value = Fields;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Fields, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Defaults<'_> {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fields of a host, like `user: deploy`")
    }

    fn visit_unit<E>(self) -> Result<Fields, E> {
        Ok(Fields::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        let mut seen = Vec::new();
        let notes = self.0;
        while let Some(key) =
            map.next_key_seed(Key { notes, of: "the defaults", known: [FIELDS, &[]], seen: &mut seen })?
        {
            fields.read(key, &mut map, notes)?;
        }
        Ok(fields)
    }
}

/// Reads `labels:`.
struct Labels<'a>(&'a Notes);

impl<'de> DeserializeSeed<'de> for Labels<'_> {
    type Value = BTreeMap<String, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Labels<'_> {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels like {ring: canary}")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut labels = BTreeMap::new();
        let mut seen = HashSet::new();
        let notes = self.0;
        while let Some(key) =
            map.next_key_seed(Unique { notes, what: "label", kind: &kinds::WORD, seen: &mut seen })?
        {
            let value = map.next_value_seed(notes.scalar(&key, &kinds::LABEL))?;
            labels.insert(key, value);
        }
        Ok(labels)
    }
}
