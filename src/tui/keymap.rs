use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::text::did_you_mean;

use super::action::{Action, View};

/// Where a binding stands in the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Going about.
    Move,
    /// Choosing hosts and views.
    Look,
    /// Changing the run.
    Act,
    /// The screen itself.
    Screen,
    /// Only in a replay.
    Replay,
}

impl Section {
    /// All sections, in the order of the help.
    pub const ALL: [Self; 5] = [Self::Move, Self::Look, Self::Act, Self::Screen, Self::Replay];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Move => "Move",
            Self::Look => "Look",
            Self::Act => "Act",
            Self::Screen => "Screen",
            Self::Replay => "Replay",
        }
    }
}

/// One row of the table from which footer, help, `murder keys` and the README come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    /// What the keys do.
    pub(super) action: Action,
    /// Name in the configuration file.
    pub(super) name: &'static str,
    /// Keys as they are bound if nothing else is said.
    pub(super) keys: &'static [&'static str],
    /// One or two words for the footer.
    pub(super) short: &'static str,
    /// A line for the help.
    pub(super) long: &'static str,
    /// Where it stands in the help.
    pub(super) section: Section,
}

macro_rules! rows {
    ($($section:ident { $($action:expr, $name:literal, [$($key:literal),+], $short:literal, $long:literal;)+ })+) => {
        &[$($(Row {
            action: $action,
            name: $name,
            keys: &[$($key),+],
            short: $short,
            long: $long,
            section: Section::$section,
        }),+),+]
    };
}

/// All bindings.
pub(super) const TABLE: &[Row] = rows! {
    Move {
        Action::Down, "down", ["j", "Down"], "down", "the next row";
        Action::Up, "up", ["k", "Up"], "up", "the row before";
        Action::Left, "left", ["h", "Left"], "left", "the cell or column to the left";
        Action::Right, "right", ["l", "Right"], "right", "the cell or column to the right";
        Action::Top, "top", ["g g", "Home"], "top", "the first row";
        Action::Bottom, "bottom", ["G", "End"], "bottom", "the last row";
        Action::PageDown, "page-down", ["PgDn"], "page down", "a page down";
        Action::PageUp, "page-up", ["PgUp"], "page up", "a page up";
        Action::HalfDown, "half-down", ["^d"], "half down", "half a page down";
        Action::HalfUp, "half-up", ["^u"], "half up", "half a page up";
        Action::Open, "open", ["Enter"], "open", "open the host, or a group's or cause's hosts";
        Action::Back, "back", ["Esc"], "back", "close, clear the filter, go back";
    }
    Look {
        Action::Show(View::Hosts), "hosts", ["1"], "hosts", "a row a host, failures first";
        Action::Show(View::Grid), "grid", ["2"], "grid", "a cell a host";
        Action::Show(View::Groups), "groups", ["3"], "groups", "racks and groups, the worst first";
        Action::Show(View::Failures), "failures", ["4"], "failures", "failed hosts by cause, and what to do";
        Action::Show(View::Log), "log", ["5"], "log", "what was said";
        Action::Show(View::Swarm), "swarm", ["6"], "swarm", "pieces by copies, who feeds whom";
        Action::NextView, "next-view", ["Tab"], "next view", "the next view";
        Action::PreviousView, "previous-view", ["S-Tab"], "previous view", "the view before";
        Action::Filter, "filter", ["/"], "filter", "only hosts that match: web !db state:failed";
        Action::NextMatch, "next-match", ["n"], "next", "the next match";
        Action::PreviousMatch, "previous-match", ["N"], "previous", "the match before";
        Action::FailuresOnly, "failures-only", ["f"], "failures only", "only failed hosts, or all again";
        Action::Sort, "sort", ["s"], "sort", "the next order, from attention to rack";
        Action::Reverse, "reverse", ["S"], "reverse", "turn the order round";
        Action::Mark, "mark", ["Space"], "mark", "mark the row, or take its mark off";
        Action::MarkRange, "mark-range", ["v"], "range", "mark from here to where v is pressed again";
        Action::MarkAll, "mark-all", ["a"], "mark all", "mark all rows that are shown";
        Action::ClearMarks, "clear-marks", ["\\"], "clear marks", "take all marks off";
    }
    Act {
        Action::Retry, "retry", ["r"], "retry", "try selected or marked hosts again";
        Action::RetryFailed, "retry-failed", ["R"], "retry failed", "try every failed host again (asks)";
        Action::Cancel, "cancel", ["x"], "cancel", "give up selected or marked hosts (asks)";
        Action::Stop, "stop", ["X"], "stop", "stop the deployment (asks)";
        Action::Activate, "activate", ["A"], "activate", "activate what is staged now";
        Action::Rollback, "rollback", ["B"], "roll back", "back to what was current before (asks)";
        Action::Undo, "undo", ["u"], "undo", "take back a retry, cancel, mark or filter";
        Action::Throttle, "throttle", ["t"], "throttle", "limit the rate of each host";
        Action::CommandLine, "command", [":"], "command", "a command line, with completion";
        Action::CopyHost, "copy-host", ["y"], "copy", "copy names of selected or marked hosts";
        Action::CopyError, "copy-error", ["Y"], "copy error", "copy the error, all that is known of it";
    }
    Screen {
        Action::Help, "help", ["?", "F1"], "help", "this help";
        Action::Freeze, "freeze", ["z"], "freeze", "hold the picture still; the run goes on";
        Action::Mouse, "mouse", ["M"], "mouse", "let the mouse select and scroll, or not";
        Action::Redraw, "redraw", ["^l"], "redraw", "draw everything anew";
        Action::Suspend, "suspend", ["^z"], "suspend", "to the shell; agents stay for 30 minutes";
        Action::Quit, "quit", ["q"], "quit", "leave (asks while hosts are in flight)";
        Action::Interrupt, "interrupt", ["^c"], "interrupt", "stop cleanly; a second time: at once";
    }
    Replay {
        Action::Pause, "pause", ["p"], "pause", "stop the time, or let it run";
        Action::Slower, "slower", ["["], "slower", "half the speed";
        Action::Faster, "faster", ["]"], "faster", "twice the speed";
        Action::SeekBack, "seek-back", ["<"], "back 10 s", "ten seconds back";
        Action::SeekForward, "seek-forward", [">"], "on 10 s", "ten seconds on";
        Action::FailureBefore, "failure-before", ["{"], "failure before", "back to the failure before";
        Action::FailureAfter, "failure-after", ["}"], "next failure", "on to the next failure";
    }
};

/// One press.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    code: KeyCode,
    modifiers: KeyModifiers,
}

impl From<KeyEvent> for Key {
    fn from(event: KeyEvent) -> Self {
        let mut modifiers =
            event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
        let code = match event.code {
            KeyCode::Char(c) if modifiers.contains(KeyModifiers::CONTROL) => {
                KeyCode::Char(c.to_ascii_lowercase())
            }
            code => code,
        };
        // Shift is in the letter already, and terminals do not agree on whether to send it too.
        if matches!(code, KeyCode::Char(_) | KeyCode::BackTab) {
            modifiers -= KeyModifiers::SHIFT;
        }
        Self { code, modifiers }
    }
}

impl From<Key> for KeyEvent {
    fn from(key: Key) -> Self {
        Self::new(key.code, key.modifiers)
    }
}

/// A key or two that are pressed one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Keys(Vec<Key>);

/// Why a binding of the configuration file cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeymapError {
    /// Nothing is called so.
    #[error("no action is called {0:?}: `murder keys` lists them")]
    UnknownAction(String),
    /// Not the name of a key.
    #[error(
        "{0:?} is no key: expected a character, ^x or ctrl-x, or one of Enter Esc Tab S-Tab Space Up Down Left Right Home End PgUp PgDn F1 to F12"
    )]
    UnknownKey(String),
    /// Two actions with one key.
    #[error("{keys} is bound to both {first} and {second}")]
    Twice {
        /// As the user writes it.
        keys: String,
        /// One action.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
}

impl KeymapError {
    /// The word of the user's that is wrong.
    pub fn word(&self) -> &str {
        match self {
            Self::UnknownAction(word) | Self::UnknownKey(word) | Self::Twice { keys: word, .. } => word,
        }
    }

    /// What the user may have meant, if it is a matter of spelling.
    pub fn did_you_mean(&self) -> Option<String> {
        match self {
            Self::UnknownAction(word) => did_you_mean(word, TABLE.iter().map(|row| row.name)),
            _ => None,
        }
    }
}

const NAMED: [(&str, KeyCode); 14] = [
    ("Enter", KeyCode::Enter),
    ("Esc", KeyCode::Esc),
    ("Tab", KeyCode::Tab),
    ("S-Tab", KeyCode::BackTab),
    ("Space", KeyCode::Char(' ')),
    ("Up", KeyCode::Up),
    ("Down", KeyCode::Down),
    ("Left", KeyCode::Left),
    ("Right", KeyCode::Right),
    ("Home", KeyCode::Home),
    ("End", KeyCode::End),
    ("PgUp", KeyCode::PageUp),
    ("PgDn", KeyCode::PageDown),
    ("Del", KeyCode::Delete),
];

impl FromStr for Key {
    type Err = KeymapError;

    fn from_str(text: &str) -> Result<Self, KeymapError> {
        let wrong = || KeymapError::UnknownKey(text.to_owned());
        let bare = |code| Self { code, modifiers: KeyModifiers::NONE };
        if let Some((_, code)) = NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            return Ok(bare(*code));
        }
        let lower = text.to_ascii_lowercase();
        let control =
            lower.strip_prefix("ctrl-").or_else(|| lower.strip_prefix("c-")).map(|key| format!("^{key}"));
        if lower == "shift-tab" {
            return Ok(bare(KeyCode::BackTab));
        }
        let mut letters = control.as_deref().unwrap_or(text).chars();
        match (letters.next(), letters.next(), letters.next()) {
            (Some(letter), None, None) => Ok(bare(KeyCode::Char(letter))),
            (Some('^'), Some(letter), None) => Ok(Self {
                code: KeyCode::Char(letter.to_ascii_lowercase()),
                modifiers: KeyModifiers::CONTROL,
            }),
            (Some('F' | 'f'), Some(_), _) => {
                let number = text[1..].parse().ok().filter(|number| (1..=12).contains(number));
                number.map(|number| bare(KeyCode::F(number))).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.modifiers.contains(KeyModifiers::CONTROL) {
            f.write_str("^")?;
        }
        if let Some((name, _)) = NAMED.iter().find(|(_, code)| *code == self.code) {
            return f.write_str(name);
        }
        match self.code {
            KeyCode::Char(letter) => write!(f, "{letter}"),
            KeyCode::F(number) => write!(f, "F{number}"),
            code => write!(f, "{code}"),
        }
    }
}

impl FromStr for Keys {
    type Err = KeymapError;

    fn from_str(text: &str) -> Result<Self, KeymapError> {
        let keys: Vec<Key> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        if keys.is_empty() || keys.len() > 2 {
            return Err(KeymapError::UnknownKey(text.to_owned()));
        }
        Ok(Self(keys))
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, key) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{key}")?;
        }
        Ok(())
    }
}

/// What a press means, given the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Press {
    /// A binding is complete.
    Action(Action),
    /// The first of two.
    Waits,
    /// Nothing is bound to it.
    Nothing,
}

/// The bindings in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keymap {
    bindings: Vec<(Keys, &'static Row)>,
}

impl Default for Keymap {
    fn default() -> Self {
        // The table is checked by a test: a key that cannot be read would be left out here.
        let bind =
            |row: &'static Row| row.keys.iter().filter_map(move |keys| Some((keys.parse().ok()?, row)));
        Self { bindings: TABLE.iter().flat_map(bind).collect() }
    }
}

impl Keymap {
    /// Whether an action is called so.
    pub fn check_action(name: &str) -> Result<(), KeymapError> {
        row_of(name).map(drop)
    }

    /// Whether that is a key, or two that are pressed one after the other.
    pub fn check_keys(text: &str) -> Result<(), KeymapError> {
        text.parse::<Keys>().map(drop)
    }

    /// The default bindings with those of some actions, by name, replaced.
    pub fn with(changes: &BTreeMap<String, Vec<String>>) -> Result<Self, KeymapError> {
        let mut keymap = Self::default();
        for (name, keys) in changes {
            let row = row_of(name)?;
            keymap.bindings.retain(|(_, bound)| bound.action != row.action);
            for keys in keys {
                keymap.bindings.push((keys.parse()?, row));
            }
        }
        keymap.check()?;
        Ok(keymap)
    }

    fn check(&self) -> Result<(), KeymapError> {
        for (index, (keys, row)) in self.bindings.iter().enumerate() {
            let clash = |other: &&(Keys, &'static Row)| {
                other.0.0.starts_with(&keys.0) || keys.0.starts_with(&other.0.0)
            };
            if let Some((_, other)) = self.bindings[index + 1..].iter().find(clash) {
                return Err(KeymapError::Twice {
                    keys: keys.to_string(),
                    first: row.name,
                    second: other.name,
                });
            }
        }
        Ok(())
    }

    /// What a press means when `before` was pressed just before and waits for a second key.
    pub(super) fn press(&self, before: Option<Key>, key: Key) -> Press {
        let pressed: Vec<Key> = before.into_iter().chain([key]).collect();
        if let Some((_, row)) = self.bindings.iter().find(|(keys, _)| keys.0 == pressed) {
            return Press::Action(row.action);
        }
        if self.bindings.iter().any(|(keys, _)| keys.0.starts_with(&pressed)) {
            return Press::Waits;
        }
        // A first key that led nowhere does not swallow the second.
        if before.is_some() { self.press(None, key) } else { Press::Nothing }
    }

    /// The first key of an action, as the footer shows it; empty if it has none.
    pub(super) fn key(&self, action: Action) -> String {
        self.bindings
            .iter()
            .find(|(_, row)| row.action == action)
            .map(|(keys, _)| keys.to_string())
            .unwrap_or_default()
    }

    /// All keys of an action.
    pub(super) fn keys(&self, action: Action) -> Vec<String> {
        let bound = self.bindings.iter().filter(|(_, row)| row.action == action);
        bound.map(|(keys, _)| keys.to_string()).collect()
    }

    /// All bindings as text, as `murder keys` prints them.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for section in Section::ALL {
            text.push_str(&format!("{}{}\n", if text.is_empty() { "" } else { "\n" }, section.title()));
            for row in TABLE.iter().filter(|row| row.section == section) {
                text.push_str(&format!(
                    "  {:<10}  {:<15}  {}\n",
                    self.keys(row.action).join(" or "),
                    row.name,
                    row.long
                ));
            }
        }
        text
    }

    /// All bindings as a table of the README, a part a section.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| key | does |\n|---|---|\n");
        for section in Section::ALL {
            text.push_str(&format!("| **{}** | |\n", section.title()));
            for row in TABLE.iter().filter(|row| row.section == section) {
                let keys: Vec<String> =
                    self.keys(row.action).iter().map(|keys| format!("`{keys}`")).collect();
                text.push_str(&format!("| {} | {} |\n", keys.join(" "), row.long.replace('|', "\\|")));
            }
        }
        text
    }
}

fn row_of(name: &str) -> Result<&'static Row, KeymapError> {
    let row = TABLE.iter().find(|row| row.name == name);
    row.ok_or_else(|| KeymapError::UnknownAction(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        text.parse().unwrap()
    }

    #[test]
    fn no_key_is_bound_twice_and_every_key_can_be_read() {
        let keymap = Keymap::default();
        assert_eq!(keymap.bindings.len(), TABLE.iter().map(|row| row.keys.len()).sum::<usize>());
        keymap.check().unwrap();
        let names: std::collections::BTreeSet<_> = TABLE.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), TABLE.len());
    }

    #[test]
    fn the_help_fits_beside_itself() {
        for row in TABLE {
            assert!(row.long.chars().count() <= 45, "{}", row.long);
        }
    }

    #[test]
    fn keys_are_written_as_they_are_read() {
        for row in TABLE {
            for keys in row.keys {
                assert_eq!(keys.parse::<Keys>().unwrap().to_string(), *keys);
            }
        }
    }

    #[test]
    fn two_keys_make_one_action_and_a_stray_first_key_swallows_nothing() {
        let keymap = Keymap::default();
        assert_eq!(keymap.press(None, key("g")), Press::Waits);
        assert_eq!(keymap.press(Some(key("g")), key("g")), Press::Action(Action::Top));
        assert_eq!(keymap.press(Some(key("g")), key("j")), Press::Action(Action::Down));
        assert_eq!(keymap.press(None, key("^x")), Press::Nothing);
    }

    #[test]
    fn keys_can_be_bound_anew_but_not_to_two_things() {
        let change = |name: &str, keys: &str| BTreeMap::from([(name.to_owned(), vec![keys.to_owned()])]);
        let keymap = Keymap::with(&change("quit", "ctrl-q")).unwrap();
        assert_eq!(keymap.press(None, key("^q")), Press::Action(Action::Quit));
        assert_eq!(keymap.press(None, key("q")), Press::Nothing);
        assert!(matches!(Keymap::with(&change("quit", "j")), Err(KeymapError::Twice { .. })));
        assert!(matches!(Keymap::with(&change("quit", "g")), Err(KeymapError::Twice { .. })));
        assert!(matches!(Keymap::with(&change("leave", "j")), Err(KeymapError::UnknownAction(_))));
        assert!(matches!(Keymap::with(&change("quit", "Hyper-q")), Err(KeymapError::UnknownKey(_))));
    }

    #[test]
    fn every_key_that_users_were_promised_is_bound() {
        let keymap = Keymap::default();
        let promised = "j k Up Down G PgUp PgDn ^u ^d Enter Esc Tab / n N f s S Space v a \\ r R x X A B z y Y t : ? M ^z q 1 2 3 4 5 6";
        for text in promised.split(' ') {
            assert!(matches!(keymap.press(None, key(text)), Press::Action(_)), "{text}");
        }
    }
}
