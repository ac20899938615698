use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::{fmt, fs, io};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::CliError;
use crate::inventory::{FILE, Options};
use crate::text::{Key, Kind, Mistake, Notes, TextError, Unique};

/// The user's own defaults: `config.toml`. Its keys are those of the inventory's `options`, and two more.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// Options.
    pub options: Options,
    /// The inventory, if no other source names one.
    pub inventory: Option<String>,
    /// `[keys]`: the user's bindings for the screen, by the name of the action. What the names and keys are is for the
    /// screen to say.
    pub keys: BTreeMap<String, Vec<String>>,
}

impl Config {
    /// Reads the file; one that is not there says nothing.
    pub fn load(path: &Path) -> Result<Self, CliError> {
        let source = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&source, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(CliError::ReadConfig { path: source, error }),
        }
    }

    /// Reads the text of such a file.
    pub fn parse(source: &str, text: &str) -> Result<Self, CliError> {
        let notes = Notes::default();
        let wrong = |error: toml::de::Error| {
            let offset = error.span().map_or(0, |span| span.start);
            let mistake = notes.take().unwrap_or_else(|| Mistake::of_type(error.message()));
            CliError::Config(Box::new(TextError::at_offset(source, text, offset, mistake)))
        };
        let reader = toml::Deserializer::parse(text).map_err(wrong)?;
        ConfigReader(&notes).deserialize(reader).map_err(wrong)
    }
}

struct ConfigReader<'a>(&'a Notes);

impl<'de> DeserializeSeed<'de> for ConfigReader<'_> {
    type Value = Config;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Config, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ConfigReader<'_> {
    type Value = Config;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("options")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Config, A::Error> {
        let notes = self.0;
        let mut config = Config::default();
        let mut seen = Vec::new();
        let known = [&["inventory", "keys"], Options::KEYS];
        while let Some(key) =
            map.next_key_seed(Key { notes, of: "the configuration", known, seen: &mut seen })?
        {
            match key {
                "inventory" => {
                    let path = map.next_value_seed(notes.scalar(key, &FILE))?;
                    config.inventory = Some(path.to_string_lossy().into_owned());
                }
                "keys" => config.keys = map.next_value_seed(Keys(notes))?,
                option => config.options.read(option, &mut map, notes)?,
            }
        }
        Ok(config)
    }
}

struct Keys<'a>(&'a Notes);

impl<'de> DeserializeSeed<'de> for Keys<'_> {
    type Value = BTreeMap<String, Vec<String>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = BTreeMap<String, Vec<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keys by the names of actions")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        const TEXT: Kind<String> = Kind {
            expected: "a key like \"ctrl-r\", or a list of keys",
            parse: |text| if text.is_empty() { Err(None) } else { Ok(text.to_owned()) },
        };
        let mut keys = BTreeMap::new();
        let mut seen = HashSet::new();
        let notes = self.0;
        while let Some(action) =
            map.next_key_seed(Unique { notes, what: "action", kind: &TEXT, seen: &mut seen })?
        {
            let bound = map.next_value_seed(notes.list(&action, &TEXT))?;
            keys.insert(action, bound);
        }
        Ok(keys)
    }
}
