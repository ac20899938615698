use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use super::{Kind, Mistake, did_you_mean};

/// Where a reader leaves its mistake. The deserializer's own error, which it wraps, knows the place but holds only a line
/// of text.
#[derive(Debug, Default)]
pub struct Notes(RefCell<Option<Mistake>>);

impl Notes {
    /// Leaves a mistake, and makes the error that goes up through the deserializer.
    pub fn fail<E: Error>(&self, mistake: Mistake) -> E {
        let error = E::custom(&mistake);
        self.0.borrow_mut().get_or_insert(mistake);
        error
    }

    /// Takes the mistake that was left, if any.
    pub fn take(&self) -> Option<Mistake> {
        self.0.borrow_mut().take()
    }

    /// Reads the scalar value of `key`.
    pub fn scalar<'a, T>(&'a self, key: &'a str, kind: &'a Kind<T>) -> Scalar<'a, T> {
        Scalar { notes: self, key, kind }
    }

    /// Reads a list of scalars, or one.
    pub fn list<'a, T>(&'a self, key: &'a str, kind: &'a Kind<T>) -> OneOrMany<'a, T> {
        OneOrMany(self.scalar(key, kind))
    }
}

/// Reads one scalar. YAML hands its text over as it was written (`1.10` stays `1.10`), TOML its value.
#[derive(Debug)]
pub struct Scalar<'a, T> {
    notes: &'a Notes,
    key: &'a str,
    kind: &'a Kind<T>,
}

impl<T> Clone for Scalar<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Scalar<'_, T> {}

impl<'de, T> DeserializeSeed<'de> for Scalar<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, T> Visitor<'de> for Scalar<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        self.kind.read(self.key, text).map_err(|mistake| self.notes.fail(mistake))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        self.visit_str(if value { "true" } else { "false" })
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        self.visit_str(&value.to_string())
    }
}

/// Reads a list of scalars, or one scalar in its place.
#[derive(Debug)]
pub struct OneOrMany<'a, T>(Scalar<'a, T>);

impl<'de, T> DeserializeSeed<'de> for OneOrMany<'_, T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T> Visitor<'de> for OneOrMany<'_, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or a list of such", self.0.kind.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
        Ok(vec![self.0.visit_str(text)?])
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Vec<T>, E> {
        Ok(vec![self.0.visit_u64(value)?])
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Vec<T>, E> {
        Ok(vec![self.0.visit_i64(value)?])
    }

    fn visit_unit<E: Error>(self) -> Result<Vec<T>, E> {
        Ok(vec![self.0.visit_str("")?])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = items.next_element_seed(self.0)? {
            read.push(item);
        }
        Ok(read)
    }
}

/// Reads a key that must be one of those known, and new.
#[derive(Debug)]
pub struct Key<'a> {
    /// Where a mistake goes.
    pub notes: &'a Notes,
    /// What has these keys: "a host".
    pub of: &'static str,
    /// The keys that it may have, in two parts.
    pub known: [&'static [&'static str]; 2],
    /// Those seen so far.
    pub seen: &'a mut Vec<&'static str>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static str, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a field of {}", self.of)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<&'static str, E> {
        let known = || self.known.into_iter().flatten().copied();
        let Some(key) = known().find(|known| *known == text) else {
            let headline = format!("unknown field `{text}` of {}", self.of);
            let all = known().collect::<Vec<_>>().join(", ");
            let mistake = Mistake::new(text, headline).expected(format!("one of {all}"));
            let help = match text {
                "<<" => Some("YAML's merge keys are not read".to_owned()),
                _ => did_you_mean(text, known()),
            };
            return Err(self.notes.fail(mistake.maybe_help(help)));
        };
        if self.seen.contains(&key) {
            let headline = format!("`{key}` is given twice");
            return Err(self.notes.fail(Mistake::new(key, headline).help("remove one of the two")));
        }
        self.seen.push(key);
        Ok(key)
    }
}

/// Reads a key that the user chose, and that must be new.
#[derive(Debug)]
pub struct Unique<'a> {
    /// Where a mistake goes.
    pub notes: &'a Notes,
    /// What the key is: "group".
    pub what: &'a str,
    /// How it is read.
    pub kind: &'a Kind<String>,
    /// Those seen so far.
    pub seen: &'a mut HashSet<String>,
}

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Unique<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        let key = self.notes.scalar(self.what, self.kind).visit_str(text)?;
        if self.seen.insert(key.clone()) {
            return Ok(key);
        }
        let headline = format!("{} `{key}` is given twice", self.what);
        Err(self.notes.fail(Mistake::new(key, headline).help("put both into one")))
    }
}
