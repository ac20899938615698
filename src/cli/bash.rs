use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_complete::env::{self, EnvCompleter};

/// What clap's script gives up of the line: bash breaks words at `=` and `:`, and calls what stands after the break the
/// word that is completed. Without the break nobody could tell `ring=` from `ring `.
const LOST: &str = r#"words[COMP_CWORD]="$2""#;
const KEPT: &str = r#"[[ "${words[COMP_CWORD]}" == [=:] ]] || words[COMP_CWORD]="$2""#;

/// bash, with conditions like `ring=canary` in one piece.
pub(super) struct Bash;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn is(&self, name: &str) -> bool {
        name == self.name()
    }

    fn write_registration(
        &self,
        var: &str,
        name: &str,
        bin: &str,
        completer: &str,
        buf: &mut dyn Write,
    ) -> io::Result<()> {
        let mut script = Vec::new();
        env::Bash.write_registration(var, name, bin, completer, &mut script)?;
        buf.write_all(String::from_utf8_lossy(&script).replace(LOST, KEPT).as_bytes())
    }

    fn write_complete(
        &self,
        command: &mut Command,
        words: Vec<OsString>,
        folder: Option<&Path>,
        buf: &mut dyn Write,
    ) -> io::Result<()> {
        let variable = |name| std::env::var(name).ok();
        let index = variable("_CLAP_COMPLETE_INDEX").and_then(|index| index.parse().ok()).unwrap_or_default();
        let (words, index, kept) = rejoined(words, index);
        let candidates = clap_complete::engine::complete(command, words, index, folder)?;
        let values = candidates.iter().map(|candidate| candidate.get_value().to_string_lossy());
        let rest: Vec<String> = values.map(|value| value.get(kept..).unwrap_or(&value).to_owned()).collect();
        buf.write_all(rest.join(&variable("_CLAP_IFS").unwrap_or_else(|| "\n".to_owned())).as_bytes())
    }
}

/// Words as they were before bash broke them, the place of the one that is completed, and how many bytes of that bash
/// leaves in the line.
fn rejoined(words: Vec<OsString>, index: usize) -> (Vec<OsString>, usize, usize) {
    let mut whole: Vec<OsString> = Vec::new();
    let (mut place, mut kept, mut after_break) = (index, 0, false);
    for (at, word) in words.into_iter().enumerate() {
        let is_break = word == "=" || word == ":";
        let begun = whole.len();
        match whole.last_mut() {
            Some(last) if begun > 1 && (is_break || after_break) => {
                if at == index {
                    kept = last.len() + if is_break { word.len() } else { 0 };
                }
                last.push(&word);
            }
            _ => whole.push(word),
        }
        if at == index {
            place = whole.len() - 1;
        }
        after_break = is_break;
    }
    (whole, place, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(line: &str, index: usize) -> (String, usize, usize) {
        let (words, index, kept) = rejoined(line.split('|').map(OsString::from).collect(), index);
        (words.join(&OsString::from("|")).into_string().unwrap(), index, kept)
    }

    #[test]
    fn what_bash_broke_is_one_word_again() {
        for (line, index, whole, place, kept) in [
            ("murder|check|-l|we", 3, "murder|check|-l|we", 3, 0),
            ("murder|check|-l|", 3, "murder|check|-l|", 3, 0),
            ("murder|check|-l|ring|=|ca", 5, "murder|check|-l|ring=ca", 3, 5),
            ("murder|check|-l|ring|=", 4, "murder|check|-l|ring=", 3, 5),
            ("murder|check|--limit|=|ring|=|ca", 6, "murder|check|--limit=ring=ca", 2, 13),
            ("murder|check|-i|a|:|b|-l|we", 7, "murder|check|-i|a:b|-l|we", 5, 0),
        ] {
            assert_eq!(joined(line, index), (whole.to_owned(), place, kept), "{line}");
        }
    }

    #[test]
    fn the_script_keeps_the_break() {
        let mut script = Vec::new();
        Bash.write_registration("V", "murder", "murder", "murder", &mut script).unwrap();
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains(KEPT), "clap's script has changed:\n{script}");
    }
}
