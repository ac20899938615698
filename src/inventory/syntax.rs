use serde::Deserialize as _;
use serde::de::{DeserializeSeed as _, IgnoredAny};

use super::document::{Document, DocumentReader};
use crate::text::{Mistake, Notes, TextError};

/// Reads a YAML inventory.
pub(super) fn read(source: &str, text: &str) -> Result<Document, Box<TextError>> {
    let yaml = || serde_yaml::Deserializer::from_str(text);
    // What follows from a bracket that is not closed is not worth telling: YAML first, its meaning then.
    IgnoredAny::deserialize(yaml()).map_err(|error| {
        let place = Place::of(text, &error);
        let (column, mistake) = syntax_mistake(&place, &error.to_string());
        Box::new(TextError::in_file(source, text, place.line, column, mistake))
    })?;
    let notes = Notes::default();
    DocumentReader(&notes).deserialize(yaml()).map_err(|error| {
        let place = Place::of(text, &error);
        let mistake = notes.take().unwrap_or_else(|| Mistake::of_type(&place.strip(&error.to_string())));
        Box::new(TextError::in_file(source, text, place.line, place.column, mistake))
    })
}

/// Where the deserializer stopped.
struct Place<'a> {
    /// From 1.
    line: usize,
    /// In characters, from 1.
    column: usize,
    /// The line up to there.
    before: &'a str,
    /// The line from there.
    after: &'a str,
}

impl<'a> Place<'a> {
    fn of(text: &'a str, error: &serde_yaml::Error) -> Self {
        let (line, column) = error.location().map_or((1, 1), |place| (place.line(), place.column()));
        let content = text.lines().nth(line - 1).unwrap_or_default();
        let at = content.char_indices().nth(column - 1).map_or(content.len(), |(at, _)| at);
        let (before, after) = content.split_at(at);
        Self { line, column, before, after }
    }

    /// The deserializer's message without this place, which it names too.
    fn strip(&self, message: &str) -> String {
        message.replacen(&format!(" at line {} column {}", self.line, self.column), "", 1)
    }
}

/// This is no YAML. The column of the mistake, and its words.
fn syntax_mistake(place: &Place<'_>, message: &str) -> (usize, Mistake) {
    if let Some((bytes_back, mistake)) = unquoted(place.before, place.after) {
        let start = place.before.len() - bytes_back;
        return (place.before[..start].chars().count() + 1, mistake);
    }
    let mistake = if place.after.starts_with('\t') {
        Mistake::new("\t", "a tab in front of a YAML value").expected("spaces")
    } else if let Some(alias) = place.after.strip_prefix('*') {
        let alias = word(alias);
        let help = "a name that begins with `*` needs quotes";
        Mistake::new(format!("*{alias}"), format!("no `&{alias}` for the alias `*{alias}`")).help(help)
    } else if message.contains("more than one document") {
        Mistake::new("", "more than one YAML document").expected("one, without a second `---`")
    } else {
        Mistake::new("", format!("no valid YAML: {}", place.strip(message)))
    };
    (place.column, mistake)
}

/// YAML ends a plain word at a bracket within `[…]`, and takes one that begins with a bracket for a list. How many bytes
/// before the place the word begins, and the mistake.
fn unquoted(before: &str, after: &str) -> Option<(usize, Mistake)> {
    let attached = &before[before.rfind(|c: char| ends(c) || c == '[').map_or(0, |at| at + 1)..];
    let (start, whole) = if after.starts_with('[') && !attached.is_empty() {
        let end = after.find(']').map_or(after.len(), |at| at + 1);
        (attached, format!("{attached}{}{}", &after[..end], word(&after[end..])))
    } else {
        let list = before.ends_with(']').then(|| before.rfind('[')).flatten()?;
        (&before[list..], format!("{}{}", &before[list..], word(after)))
    };
    let what = if whole.contains("::") { "an address in brackets" } else { "a range in a YAML list `[…]`" };
    let mistake =
        Mistake::new(whole.as_str(), format!("{what} needs quotes")).expected(format!("\"{whole}\""));
    Some((start.len(), mistake))
}

/// The text up to where YAML ends a word.
fn word(text: &str) -> &str {
    &text[..text.find(|c: char| ends(c) || c == ']').unwrap_or(text.len())]
}

fn ends(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | '"' | '\'' | '{' | '}')
}
