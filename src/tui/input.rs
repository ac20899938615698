use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A line that is typed. The cursor stands between letters.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Input {
    text: String,
    at: usize,
    masked: bool,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Input({:?})", self.shown())
    }
}

/// What a key did to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Typed {
    /// It is another line, or the cursor is elsewhere.
    Changed,
    /// Enter.
    Done,
    /// Esc, or ^c.
    Left,
    /// None of its keys.
    Nothing,
}

impl Input {
    /// A line to go on with, the cursor at its end.
    pub(super) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { at: text.len(), text, masked: false }
    }

    /// An empty line that shows dots instead of letters.
    pub(super) fn masked() -> Self {
        Self { masked: true, ..Self::default() }
    }

    /// What was typed.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What may be seen of it.
    pub(super) fn shown(&self) -> String {
        if self.masked { "*".repeat(self.text.chars().count()) } else { self.text.clone() }
    }

    /// What may be seen of it before the cursor.
    pub(super) fn before_cursor(&self) -> String {
        let before = &self.text[..self.at];
        if self.masked { "*".repeat(before.chars().count()) } else { before.to_owned() }
    }

    /// Puts text in at the cursor; of several lines the first.
    pub(super) fn insert(&mut self, text: &str) {
        let line: String = text.lines().next().unwrap_or("").chars().filter(|c| !c.is_control()).collect();
        self.text.insert_str(self.at, &line);
        self.at += line.len();
    }

    /// Takes another line in its place.
    pub(super) fn set(&mut self, text: impl Into<String>) {
        self.text = text.into();
        self.at = self.text.len();
    }

    /// Lets a key work on it, as shells do.
    pub(super) fn key(&mut self, key: KeyEvent) -> Typed {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return Typed::Done,
            KeyCode::Esc => return Typed::Left,
            KeyCode::Char('c' | 'g') if ctrl => return Typed::Left,
            KeyCode::Char('a') if ctrl => self.at = 0,
            KeyCode::Char('e') if ctrl => self.at = self.text.len(),
            KeyCode::Char('b') if ctrl => self.at = self.before(),
            KeyCode::Char('f') if ctrl => self.at = self.after(),
            KeyCode::Char('u') if ctrl => {
                self.text.replace_range(..self.at, "");
                self.at = 0;
            }
            KeyCode::Char('k') if ctrl => self.text.truncate(self.at),
            KeyCode::Char('w') if ctrl => self.cut(self.word()),
            KeyCode::Char('h') if ctrl => self.cut(self.before()),
            KeyCode::Char(letter) if !ctrl && !letter.is_control() => {
                self.text.insert(self.at, letter);
                self.at += letter.len_utf8();
            }
            KeyCode::Backspace => self.cut(self.before()),
            KeyCode::Delete => {
                let end = self.after();
                self.text.replace_range(self.at..end, "");
            }
            KeyCode::Left => self.at = self.before(),
            KeyCode::Right => self.at = self.after(),
            KeyCode::Home => self.at = 0,
            KeyCode::End => self.at = self.text.len(),
            _ => return Typed::Nothing,
        }
        Typed::Changed
    }

    fn before(&self) -> usize {
        self.text[..self.at].char_indices().next_back().map_or(0, |(index, _)| index)
    }

    fn after(&self) -> usize {
        self.text[self.at..].chars().next().map_or(self.at, |letter| self.at + letter.len_utf8())
    }

    fn word(&self) -> usize {
        let before = self.text[..self.at].trim_end();
        before
            .char_indices()
            .rev()
            .find(|(_, c)| c.is_whitespace())
            .map_or(0, |(index, c)| index + c.len_utf8())
    }

    fn cut(&mut self, from: usize) {
        self.text.replace_range(from..self.at, "");
        self.at = from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(input: &mut Input, keys: &str) {
        for key in keys.chars() {
            let event = match key {
                '<' => KeyEvent::new(KeyCode::Backspace, KeyModifiers::NONE),
                '{' => KeyEvent::new(KeyCode::Left, KeyModifiers::NONE),
                '^' => KeyEvent::new(KeyCode::Char('w'), KeyModifiers::CONTROL),
                '#' => KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL),
                letter => KeyEvent::new(KeyCode::Char(letter), KeyModifiers::NONE),
            };
            assert_eq!(input.key(event), Typed::Changed);
        }
    }

    #[test]
    fn a_line_is_edited_as_in_a_shell() {
        for (keys, text) in [
            ("web", "web"),
            ("wèß<b", "wèb"),
            ("wb{e", "web"),
            ("one two ^", "one "),
            ("one{{#", "ne"),
            ("<", ""),
        ] {
            let mut input = Input::default();
            typed(&mut input, keys);
            assert_eq!(input.text(), text, "{keys}");
        }
    }

    #[test]
    fn a_secret_is_seen_nowhere() {
        let mut input = Input::masked();
        typed(&mut input, "hunter2{");
        assert_eq!((input.shown().as_str(), input.before_cursor().as_str()), ("*******", "******"));
        assert!(!format!("{input:?}").contains("hunter2"));
        assert_eq!(input.text(), "hunter2");
    }
}
