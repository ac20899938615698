use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::build::{Builder, Mention};
use super::fields::Fields;
use super::{Inventory, InventoryError, syntax};
use crate::text::{Mistake, TextError, did_you_mean_file};

/// Where an inventory is looked for if none is named.
pub const DEFAULT_FILE: &str = "./hosts.yaml";
/// What standard input is called in messages.
const STDIN: &str = "standard input";
/// And hosts on the command line.
const HOSTS: &str = "--hosts";
/// What helps where there is no inventory.
const NAME_ANOTHER: &str = "name another with -i FILE, or hosts with --hosts";

/// The file that an inventory came from, by its `source`, if it came from one.
pub fn file_of(source: &str) -> Option<&str> {
    Some(source).filter(|source| !source.is_empty() && *source != STDIN && !source.starts_with(HOSTS))
}

impl Inventory {
    /// Reads a file in any of the forms.
    pub fn load(path: &Path) -> Result<Self, InventoryError> {
        let source_name = path.display().to_string();
        let bytes = fs::read(path).map_err(|error| {
            let help = did_you_mean_file(path).unwrap_or_else(|| NAME_ANOTHER.to_owned());
            InventoryError::Read { source_name: source_name.clone(), error, help }
        })?;
        Self::from_bytes(&source_name, bytes)
    }

    /// Reads any of the forms from a stream: `--hosts -`.
    pub fn from_reader(mut reader: impl Read) -> Result<Self, InventoryError> {
        let mut bytes = Vec::new();
        let read = reader.read_to_end(&mut bytes);
        read.map_err(|error: io::Error| InventoryError::Read {
            source_name: STDIN.to_owned(),
            error,
            help: NAME_ANOTHER.to_owned(),
        })?;
        Self::from_bytes(STDIN, bytes)
    }

    /// Reads hosts and ranges joined by commas or spaces: `--hosts web[01-20],db1`.
    pub fn from_hosts(list: &str) -> Result<Self, InventoryError> {
        let mut builder = Builder::default();
        for (start, word) in words(list) {
            let mentions = Mention::all(word, &Fields::default()).map_err(|mistake| {
                let column = list[..start].chars().count();
                Box::new(TextError::in_argument(HOSTS, list, column, mistake))
            })?;
            mentions.into_iter().for_each(|mention| builder.add(mention, None));
        }
        Ok(Self::listed(HOSTS, builder))
    }

    /// Reads YAML or lines of text. The ending of `source_name` says which, else the look of the first line does.
    pub fn parse(source_name: &str, text: &str) -> Result<Self, InventoryError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if !is_yaml(source_name, text) {
            return lines(source_name, text).map_err(InventoryError::from);
        }
        let mut document = syntax::read(source_name, text)?;
        let (hosts, conflicts) = document.hosts();
        let (hooks, options, defaults) = (document.hooks, document.options, document.defaults);
        Ok(Self { source: source_name.to_owned(), hosts, hooks, options, defaults, conflicts })
    }

    /// Of hosts without groups and defaults.
    fn listed(source: &str, builder: Builder) -> Self {
        let (hosts, conflicts) = builder.finish(&Fields::default());
        Self { conflicts, ..Self::new(source, hosts) }
    }

    fn from_bytes(source_name: &str, bytes: Vec<u8>) -> Result<Self, InventoryError> {
        let text = String::from_utf8(bytes).map_err(|error| {
            let offset = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            let mistake = Mistake::new("\u{fffd}", "a byte that is no UTF-8").expected("text in UTF-8");
            Box::new(TextError::at_offset(source_name, &text, offset, mistake))
        })?;
        Self::parse(source_name, &text)
    }
}

/// One host or range a line; `#` begins a comment.
fn lines(source: &str, text: &str) -> Result<Inventory, Box<TextError>> {
    let mut builder = Builder::default();
    for (number, line) in text.lines().enumerate() {
        let entry = without_comment(line);
        if entry.is_empty() {
            continue;
        }
        let mentions = Mention::all(entry, &Fields::default()).map_err(|mistake| {
            let ini = entry.starts_with('[') && entry.ends_with(']');
            let mistake = if ini { mistake.help("groups are written in YAML") } else { mistake };
            let start = line.chars().take_while(|c| c.is_whitespace()).count();
            Box::new(TextError::in_file(source, text, number + 1, start + 1, mistake))
        })?;
        mentions.into_iter().for_each(|mention| builder.add(mention, None));
    }
    Ok(Inventory::listed(source, builder))
}

fn without_comment(line: &str) -> &str {
    let starts = |at: usize| line[..at].chars().next_back().is_none_or(char::is_whitespace);
    let comment = line.match_indices('#').map(|(at, _)| at).find(|at| starts(*at));
    line[..comment.unwrap_or(line.len())].trim()
}

/// Words between commas and spaces that are not within brackets, each with its place in bytes.
fn words(list: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let (mut start, mut depth) = (0, 0usize);
    let separators = list.char_indices().filter(|(_, c)| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && (*c == ',' || c.is_whitespace())
    });
    for (end, separator) in separators.chain([(list.len(), ',')]) {
        words.push((start, &list[start..end]));
        start = (end + separator.len_utf8()).min(list.len());
    }
    words.retain(|(_, word)| !word.is_empty());
    words
}

fn is_yaml(source_name: &str, text: &str) -> bool {
    match Path::new(source_name).extension().and_then(|end| end.to_str()) {
        Some("yaml" | "yml" | "json") => true,
        Some("txt") => false,
        _ => text.lines().map(without_comment).find(|line| !line.is_empty()).is_some_and(looks_like_yaml),
    }
}

/// Whether a file's first line begins a YAML list or mapping. A host with a port has no space after its colon.
fn looks_like_yaml(line: &str) -> bool {
    let list = line == "-" || line.starts_with("- ") || line.starts_with("---");
    let mapping = line.starts_with('{') || line.ends_with(':') || line.contains(": ");
    // `[1-3].example.com` and `[::1]:22` are hosts, `[web1, web2]` is a list.
    let flow = line.starts_with('[') && line.find(']').is_none_or(|end| end + 1 == line.len());
    let address = line.starts_with('[') && line.contains("::");
    list || mapping || (flow && !address)
}
