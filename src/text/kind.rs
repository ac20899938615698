use super::{Mistake, did_you_mean};

/// How a scalar is read: what a user may write, in words, and the reader. A reader that has nothing to add to
/// `expected` fails with `None`, one that has only advice to add with a [`Mistake::hint`].
#[derive(Debug)]
pub struct Kind<T> {
    /// Completes the sentence "expected …".
    pub expected: &'static str,
    /// The reader.
    pub parse: fn(&str) -> Result<T, Option<Mistake>>,
}

impl<T> Kind<T> {
    /// Reads the value of `key`.
    pub fn read(&self, key: &str, text: &str) -> Result<T, Mistake> {
        (self.parse)(text).map_err(|mistake| {
            let headline = if text.is_empty() {
                format!("`{key}` is empty")
            } else {
                format!("`{}` is no value for `{key}`", shorten(text))
            };
            mistake.unwrap_or_default().or_headline(text, headline).expected(self.expected)
        })
    }

    /// Reads a command line's argument, whose name and text clap prints itself.
    pub fn read_argument(&self, text: &str) -> Result<T, Mistake> {
        (self.parse)(text).map_err(|mistake| match mistake {
            Some(mistake) if !mistake.is_hint() => mistake.expected(self.expected),
            hint => hint.unwrap_or_default().or_headline(text, format!("expected {}", self.expected)),
        })
    }
}

/// What a reader of one of a few words fails with: the word that was meant, if it is near.
pub fn no_word<T>(text: &str, words: &[&str]) -> Result<T, Option<Mistake>> {
    Err(did_you_mean(text, words.iter().copied()).map(Mistake::hint))
}

/// So much of a text as fits a headline.
fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
