use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::build::{Builder, Mention};
use super::fields::{Defaults, FIELDS, Fields};
use super::host::EXPECTED as EXPECTED_HOST;
use super::model::Conflict;
use super::values::AfterFailure;
use super::{Hooks, Host, Options, kinds};
use crate::text::{Key, Kind, Mistake, Notes, Unique};

/// What a YAML inventory says.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) defaults: Fields,
    pub(super) hooks: Hooks,
    pub(super) options: Options,
    sections: Vec<Section>,
}

/// Hosts of one group, or of none.
#[derive(Debug, Default)]
struct Section {
    group: Option<String>,
    fields: Fields,
    mentions: Vec<Mention>,
}

impl Document {
    /// All hosts, with their groups' fields and the defaults, and what is said of them differently.
    pub(super) fn hosts(&mut self) -> (Vec<Host>, Vec<Conflict>) {
        let mut builder = Builder::default();
        for section in self.sections.drain(..) {
            let Section { group, fields, mentions } = section;
            let group = group.map(|name| builder.group(name, fields));
            for mention in mentions {
                builder.add(mention, group);
            }
        }
        builder.finish(&self.defaults)
    }
}

/// Reads a whole inventory: a mapping, or a bare list of hosts.
pub(super) struct DocumentReader<'a>(pub(super) &'a Notes);

impl<'de> DeserializeSeed<'de> for DocumentReader<'_> {
    type Value = Document;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DocumentReader<'_> {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of hosts, or a mapping of `defaults`, `groups`, `hosts`, `hooks` and `options`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Document, E> {
        let mistake = Mistake::new(text, "text, but no list of hosts").expected("a YAML list or mapping");
        Err(self.0.fail(
            mistake.help("in YAML an entry begins with `- `; lines without it are read from a .txt file"),
        ))
    }

    fn visit_none<E>(self) -> Result<Document, E> {
        Ok(Document::default())
    }

    fn visit_unit<E>(self) -> Result<Document, E> {
        Ok(Document::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Document, A::Error> {
        let section = Section { mentions: HostList(self.0).visit_seq(items)?, ..Section::default() };
        Ok(Document { sections: vec![section], ..Document::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        const KNOWN: [&[&str]; 2] = [&["defaults", "groups", "hosts", "hooks", "options"], &[]];
        let notes = self.0;
        let mut document = Document::default();
        let mut seen = Vec::new();
        while let Some(key) =
            map.next_key_seed(Key { notes, of: "the inventory", known: KNOWN, seen: &mut seen })?
        {
            match key {
                "defaults" => document.defaults = map.next_value_seed(Defaults(notes))?,
                "groups" => document.sections.extend(map.next_value_seed(Groups(notes))?),
                "hosts" => {
                    let mentions = map.next_value_seed(HostList(notes))?;
                    document.sections.push(Section { mentions, ..Section::default() });
                }
                "hooks" => document.hooks = map.next_value_seed(HooksReader(notes))?,
                _ => document.options = map.next_value_seed(OptionsReader(notes))?,
            }
        }
        Ok(document)
    }
}

/// Implements reading a seed by its own visitor.
macro_rules! read_any {
    ($seed:ident, $value:ty) => {
        impl<'de> DeserializeSeed<'de> for $seed<'_> {
            type Value = $value;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<$value, D::Error> {
                deserializer.deserialize_any(self)
            }
        }
    };
}

struct Groups<'a>(&'a Notes);

read_any!(Groups, Vec<Section>);

impl<'de> Visitor<'de> for Groups<'_> {
    type Value = Vec<Section>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("groups by their names, like `web: [web1, web2]`")
    }

    fn visit_unit<E>(self) -> Result<Vec<Section>, E> {
        Ok(Vec::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Section>, A::Error> {
        let notes = self.0;
        let mut sections = Vec::new();
        let mut seen = HashSet::new();
        while let Some(name) =
            map.next_key_seed(Unique { notes, what: "group", kind: &kinds::WORD, seen: &mut seen })?
        {
            let section = map.next_value_seed(Group(notes))?;
            sections.push(Section { group: Some(name), ..section });
        }
        Ok(sections)
    }
}

/// A group: its hosts, or a mapping of fields with `hosts`.
struct Group<'a>(&'a Notes);

read_any!(Group, Section);

impl<'de> Visitor<'de> for Group<'_> {
    type Value = Section;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of hosts, or fields of hosts with `hosts`")
    }

    fn visit_unit<E>(self) -> Result<Section, E> {
        Ok(Section::default())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Section, E> {
        Ok(Section { mentions: HostList(self.0).visit_str(text)?, ..Section::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Section, A::Error> {
        Ok(Section { mentions: HostList(self.0).visit_seq(items)?, ..Section::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Section, A::Error> {
        let notes = self.0;
        let known = [&["hosts"], FIELDS];
        let mut section = Section::default();
        let mut seen = Vec::new();
        while let Some(key) = map.next_key_seed(Key { notes, of: "a group", known, seen: &mut seen })? {
            match key {
                "hosts" => section.mentions = map.next_value_seed(HostList(notes))?,
                field => section.fields.read(field, &mut map, notes)?,
            }
        }
        Ok(section)
    }
}

/// A list of hosts, or one host or range in its place.
struct HostList<'a>(&'a Notes);

read_any!(HostList, Vec<Mention>);

impl<'de> Visitor<'de> for HostList<'_> {
    type Value = Vec<Mention>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of hosts")
    }

    fn visit_unit<E>(self) -> Result<Vec<Mention>, E> {
        Ok(Vec::new())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<Mention>, E> {
        HostEntry(self.0).visit_str(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Mention>, A::Error> {
        let mut mentions = Vec::new();
        while let Some(more) = items.next_element_seed(HostEntry(self.0))? {
            mentions.extend(more);
        }
        Ok(mentions)
    }
}

/// An entry of a list of hosts: a host string, or a mapping with `host`.
struct HostEntry<'a>(&'a Notes);

read_any!(HostEntry, Vec<Mention>);

impl<'de> Visitor<'de> for HostEntry<'_> {
    type Value = Vec<Mention>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{EXPECTED_HOST}, or fields with `host`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<Mention>, E> {
        Mention::all(text, &Fields::default()).map_err(|mistake| self.0.fail(mistake))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Vec<Mention>, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_unit<E: Error>(self) -> Result<Vec<Mention>, E> {
        Err(self.0.fail(Mistake::new("", "an empty entry in a list of hosts").expected(EXPECTED_HOST)))
    }

    /// YAML takes `[1-3]web`, or the address `[::1]`, for a list.
    fn visit_seq<A: SeqAccess<'de>>(self, _items: A) -> Result<Vec<Mention>, A::Error> {
        let mistake = Mistake::new("", "a list within a list of hosts").expected(EXPECTED_HOST);
        Err(self
            .0
            .fail(mistake.help("a host that begins with `[` needs quotes, like \"[01-20].example.com\"")))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Mention>, A::Error> {
        let notes = self.0;
        let known = [&["host"], FIELDS];
        let mut fields = Fields::default();
        let mut host: Option<String> = None;
        let mut seen = Vec::new();
        while let Some(key) = map.next_key_seed(Key { notes, of: "a host", known, seen: &mut seen })? {
            match key {
                "host" => host = Some(map.next_value_seed(notes.scalar(key, &HOST))?),
                field => fields.read_of_host(field, &mut map, notes)?,
            }
        }
        let Some(host) = host else {
            let mistake = Mistake::new("", "a host without a name").expected("a field `host`");
            return Err(notes.fail(mistake));
        };
        Mention::all(&host, &fields).map_err(|mistake| notes.fail(mistake))
    }
}

/// A host string, checked where it stands.
const HOST: Kind<String> = Kind {
    expected: EXPECTED_HOST,
    parse: |text| Mention::all(text, &Fields::default()).map(|_| text.to_owned()).map_err(Some),
};

struct HooksReader<'a>(&'a Notes);

read_any!(HooksReader, Hooks);

impl<'de> Visitor<'de> for HooksReader<'_> {
    type Value = Hooks;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hooks, like `after_activate: systemctl reload app`")
    }

    fn visit_unit<E>(self) -> Result<Hooks, E> {
        Ok(Hooks::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Hooks, A::Error> {
        const KNOWN: [&[&str]; 2] =
            [&["before_activate", "after_activate", "on_after_failure", "timeout"], &[]];
        const AFTER_FAILURE: Kind<AfterFailure> = Kind {
            expected: "keep or rollback",
            parse: |text| kinds::word(text, AfterFailure::WORDS, AfterFailure::from_word),
        };
        let notes = self.0;
        let mut hooks = Hooks::default();
        let mut seen = Vec::new();
        while let Some(key) =
            map.next_key_seed(Key { notes, of: "the hooks", known: KNOWN, seen: &mut seen })?
        {
            let line = notes.scalar(key, &kinds::SHELL);
            match key {
                "on_after_failure" => {
                    hooks.on_after_failure = map.next_value_seed(notes.scalar(key, &AFTER_FAILURE))?;
                }
                "timeout" => hooks.timeout = map.next_value_seed(notes.scalar(key, &kinds::DURATION))?,
                "before_activate" => hooks.before_activate = map.next_value_seed(line)?,
                _ => hooks.after_activate = map.next_value_seed(line)?,
            }
        }
        Ok(hooks)
    }
}

struct OptionsReader<'a>(&'a Notes);

read_any!(OptionsReader, Options);

impl<'de> Visitor<'de> for OptionsReader<'_> {
    type Value = Options;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("options, like {keep: 5, retries: 2}")
    }

    fn visit_unit<E>(self) -> Result<Options, E> {
        Ok(Options::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Options, A::Error> {
        let notes = self.0;
        let mut options = Options::default();
        let mut seen = Vec::new();
        let known = [Options::KEYS, &[]];
        while let Some(key) = map.next_key_seed(Key { notes, of: "the options", known, seen: &mut seen })? {
            options.read(key, &mut map, notes)?;
        }
        Ok(options)
    }
}
