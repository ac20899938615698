use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Duration;
use std::{fmt, fs, io};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::CliError;
use crate::inventory::{FILE, Options};
use crate::text::{Key, Kind, Mistake, Notes, TextError, Unique};
use crate::tui::{Keymap, KeymapError};
use crate::units;

/// How many recorded runs stay. The newest one always does.
pub(super) const KEEP_RUNS: Kind<usize> = Kind {
    expected: "a number of runs from 1",
    parse: |text| text.parse().ok().filter(|count| *count > 0).ok_or(None),
};

/// How long recorded runs stay.
pub(super) const KEEP_RUNS_FOR: Kind<Duration> = Kind {
    expected: "a number of days like 90d, or a time like 12h",
    parse: |text| {
        const DAY: u64 = 24 * 3600;
        let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
        let time = days.and_then(|days| days.checked_mul(DAY)).map(Duration::from_secs);
        time.or_else(|| units::parse_duration(text).ok()).filter(|time| !time.is_zero()).ok_or(None)
    },
};

/// The user's own defaults: `config.toml`. Its keys are those of the inventory's `options`, and
/// [`super::CONFIG_KEYS`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// Options.
    pub options: Options,
    /// The inventory, if no other source names one.
    pub inventory: Option<String>,
    /// So many recorded runs stay.
    pub keep_runs: Option<usize>,
    /// Recorded runs stay so long.
    pub keep_runs_for: Option<Duration>,
    /// The keys of the screen, with what `[keys]` says of them.
    pub keys: Keymap,
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
        let known = [&["inventory", "keys", "keep_runs", "keep_runs_for"], Options::KEYS];
        while let Some(key) =
            map.next_key_seed(Key { notes, of: "the configuration", known, seen: &mut seen })?
        {
            match key {
                "inventory" => {
                    let path = map.next_value_seed(notes.scalar(key, &FILE))?;
                    config.inventory = Some(path.to_string_lossy().into_owned());
                }
                "keep_runs" => {
                    config.keep_runs = Some(map.next_value_seed(notes.scalar(key, &KEEP_RUNS))?);
                }
                "keep_runs_for" => {
                    config.keep_runs_for = Some(map.next_value_seed(notes.scalar(key, &KEEP_RUNS_FOR))?);
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
    type Value = Keymap;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Keymap, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = Keymap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keys by the names of actions")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keymap, A::Error> {
        const ACTION: Kind<String> = Kind {
            expected: "the name of an action",
            parse: |text| match Keymap::check_action(text) {
                Ok(()) => Ok(text.to_owned()),
                Err(error) => Err(Some(mistake(&error))),
            },
        };
        const KEYS: Kind<String> = Kind {
            expected: "a key like \"ctrl-r\", or a list of keys",
            parse: |text| match Keymap::check_keys(text) {
                Ok(()) => Ok(text.to_owned()),
                Err(_) if text.is_empty() => Err(None),
                Err(error) => Err(Some(mistake(&error))),
            },
        };
        let mut keys = BTreeMap::new();
        let mut seen = HashSet::new();
        let notes = self.0;
        while let Some(action) =
            map.next_key_seed(Unique { notes, what: "action", kind: &ACTION, seen: &mut seen })?
        {
            let bound = map.next_value_seed(notes.list(&action, &KEYS))?;
            keys.insert(action, bound);
        }
        Keymap::with(&keys).map_err(|error| notes.fail(mistake(&error)))
    }
}

fn mistake(error: &KeymapError) -> Mistake {
    Mistake::new(error.word(), error.to_string()).maybe_help(error.did_you_mean())
}
