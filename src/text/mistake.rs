use std::fmt;

use unicode_width::UnicodeWidthStr as _;

/// Columns of a line that are shown around a mistake.
const SHOWN: usize = 100;

/// What is wrong with a piece of text, before it is known where that text stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mistake {
    text: String,
    headline: String,
    expected: Option<String>,
    help: Option<String>,
}

impl Mistake {
    /// `text` is what the caret points at, `headline` one line that says what is wrong with it.
    pub fn new(text: impl Into<String>, headline: impl Into<String>) -> Self {
        Self { text: text.into(), headline: headline.into(), expected: None, help: None }
    }

    /// Advice alone; what is wrong is said by whoever knows what the text is for.
    pub fn hint(help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..Self::default() }
    }

    /// Whether it is such advice.
    pub(super) fn is_hint(&self) -> bool {
        self.headline.is_empty()
    }

    /// Says what is wrong, unless that is said already.
    #[must_use]
    pub(super) fn or_headline(self, text: &str, headline: String) -> Self {
        if self.is_hint() { Self { text: text.to_owned(), headline, ..self } } else { self }
    }

    /// The words for what a deserializer found by itself: `… invalid type: map, expected a port`.
    pub fn of_type(message: &str) -> Self {
        let mismatch = message.split_once("invalid type: ").map(|(_, mismatch)| mismatch);
        let Some((found, expected)) = mismatch.and_then(|mismatch| mismatch.split_once(", expected ")) else {
            return Self::new("", message);
        };
        let found = match found {
            "map" => "a mapping",
            "sequence" => "a list",
            "unit value" => "nothing",
            other => other,
        };
        Self::new("", format!("{found} does not fit here")).expected(expected)
    }

    /// Says what could stand there, unless that is said already.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected.get_or_insert(expected.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says what to do, if there is something to say.
    #[must_use]
    pub fn maybe_help(self, help: Option<String>) -> Self {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    /// The offending text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// On one line, for places that name the text by themselves.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline)?;
        if let Some(expected) = &self.expected {
            write!(f, ": expected {expected}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistake {}

/// A mistake and its place. Shown with the line and a caret below the offending text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextError {
    source: String,
    line: Option<usize>,
    column: usize,
    shown: String,
    caret: usize,
    width: usize,
    mistake: Mistake,
}

impl TextError {
    /// A mistake in a text of many lines. `line` and `column` count from 1, columns in characters; the caret moves on
    /// to the mistake's text if that stands later in the line.
    pub fn in_file(source: &str, text: &str, line: usize, column: usize, mistake: Mistake) -> Self {
        let content = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        Self::place(source, Some(line.max(1)), content, column.saturating_sub(1), mistake)
    }

    /// A mistake at byte `offset` of a text of many lines.
    pub fn at_offset(source: &str, text: &str, offset: usize, mistake: Mistake) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self::in_file(source, text, line, column, mistake)
    }

    /// A mistake at character `column`, counted from 0, of an argument.
    pub fn in_argument(name: &str, argument: &str, column: usize, mistake: Mistake) -> Self {
        Self::place(name, None, argument, column, mistake)
    }

    /// Line of the mistake, from 1; an argument has one line.
    pub fn line(&self) -> usize {
        self.line.unwrap_or(1)
    }

    /// Column of the mistake in characters, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What is wrong.
    pub fn mistake(&self) -> &Mistake {
        &self.mistake
    }

    fn place(source: &str, line: Option<usize>, content: &str, start: usize, mistake: Mistake) -> Self {
        let start_byte = content.char_indices().nth(start).map_or(content.len(), |(byte, _)| byte);
        let found = (!mistake.text.is_empty()).then(|| content[start_byte..].find(&mistake.text)).flatten();
        let (at, marked) = match found {
            Some(offset) => (start_byte + offset, mistake.text.as_str()),
            None => (start_byte, ""),
        };
        let column = content[..at].chars().count();
        let (shown, before) = window(content, column);
        let caret = shown.chars().take(before).collect::<String>().width();
        let width = tame(marked).width().min(shown.width().saturating_sub(caret)).max(1);
        Self { source: source.to_owned(), line, column: column + 1, caret, width, shown, mistake }
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, column, shown, mistake, .. } = self;
        let number = self.line.map(|line| line.to_string()).unwrap_or_default();
        let indent = " ".repeat(number.len());
        match self.line {
            Some(line) => writeln!(f, "{source}:{line}:{column}: {}", mistake.headline)?,
            None => writeln!(f, "{source}, column {column}: {}", mistake.headline)?,
        }
        let (space, caret) = (" ".repeat(self.caret), "^".repeat(self.width));
        write!(f, "{indent} |\n{number} | {shown}\n{indent} | {space}{caret}")?;
        if let Some(expected) = &mistake.expected {
            write!(f, "\n{indent} = expected {expected}")?;
        }
        if let Some(help) = &mistake.help {
            write!(f, "\n{indent} = {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for TextError {}

/// The part of a line around a column, and how many of its characters stand before that column.
fn window(content: &str, column: usize) -> (String, usize) {
    let tamed = tame(content);
    let length = tamed.chars().count();
    if length <= SHOWN {
        return (tamed, column);
    }
    let start = column.saturating_sub(SHOWN / 2).min(length - SHOWN);
    let (head, tail) = (if start > 0 { "…" } else { "" }, if start + SHOWN < length { "…" } else { "" });
    let middle: String = tamed.chars().skip(start).take(SHOWN).collect();
    (format!("{head}{middle}{tail}"), column - start + head.chars().count())
}

/// The same number of characters, none of which moves the cursor.
fn tame(text: &str) -> String {
    let visible = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_the_text() {
        let text = "a: 1\n\tname:  wéb bad # x\n";
        let error =
            TextError::in_file("f", text, 2, 2, Mistake::new("bad", "no").expected("good").help("do it"));
        assert_eq!((error.line(), error.column()), (2, 13));
        assert_eq!(
            error.to_string(),
            "f:2:13: no\n  |\n2 |  name:  wéb bad # x\n  |             ^^^\n  = expected good\n  = do it"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}bad{}", "a".repeat(500), "b".repeat(500));
        let error = TextError::in_argument("--hosts", &line, 0, Mistake::new("bad", "no")).to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines[0], "--hosts, column 501: no");
        assert!(lines[2].chars().count() < SHOWN + 10, "{error}");
        let caret = lines[3].find('^').unwrap();
        assert_eq!(&lines[2].replace('…', ".")[caret..caret + 3], "bad");
    }

    #[test]
    fn what_stands_in_a_file_cannot_steer_the_terminal() {
        let error = TextError::in_file("f", "\u{1b}[2Jx", 1, 1, Mistake::new("x", "no"));
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }

    #[test]
    fn a_place_beyond_the_text_is_shown_at_its_end() {
        for (line, column) in [(1, 9), (9, 9), (0, 0)] {
            let error = TextError::in_file("f", "ab\n", line, column, Mistake::new("", "no"));
            assert!(error.to_string().contains('^'), "{error}");
        }
        assert_eq!(TextError::at_offset("f", "a\nbcd", 4, Mistake::new("d", "no")).column(), 3);
    }
}
