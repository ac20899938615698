use crate::inventory::{Notify, Theme as ThemeName};

use super::keymap::Keymap;
use super::symbols::Symbols;
use super::theme::Theme;

/// How the screen looks and behaves.
#[derive(Debug, Clone)]
pub struct TuiOptions {
    /// Colours.
    pub theme: ThemeName,
    /// Only ASCII signs.
    pub ascii: bool,
    /// Whether colours are wanted at all; without, the theme is `mono`.
    pub color: bool,
    /// Pictures a second at most.
    pub fps: u8,
    /// How the first failure and the end are told.
    pub notify: Notify,
    /// Whether the mouse is ours from the start.
    pub mouse: bool,
    /// Bindings.
    pub keymap: Keymap,
}

impl Default for TuiOptions {
    fn default() -> Self {
        Self {
            theme: ThemeName::Default,
            ascii: false,
            color: true,
            fps: 10,
            notify: Notify::Bell,
            mouse: false,
            keymap: Keymap::default(),
        }
    }
}

impl TuiOptions {
    pub(super) fn theme(&self) -> Theme {
        Theme::new(if self.color { self.theme } else { ThemeName::Mono })
    }

    pub(super) fn symbols(&self) -> Symbols {
        if self.ascii { Symbols::ASCII } else { Symbols::UNICODE }
    }
}

/// Whether the locale that the environment names has more letters than ASCII. One that names none, as in containers, says
/// nothing about its terminal, and terminals of today show Unicode. `env` looks a variable up.
pub fn locale_is_utf8(env: impl Fn(&str) -> Option<String>) -> bool {
    // The first of these that is set counts, as in setlocale(3).
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| env(name).filter(|value| !value.is_empty()));
    locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_locale_that_lacks_the_letters_turns_unicode_off() {
        for (variables, utf8) in [
            (&[][..], true),
            (&[("LANG", "de_DE.UTF-8")], true),
            (&[("LANG", "C")], false),
            (&[("LC_ALL", "C"), ("LANG", "C.utf8")], false),
            (&[("LC_ALL", ""), ("LC_CTYPE", "C.UTF-8"), ("LANG", "C")], true),
            (&[("LANG", "ja_JP.eucJP")], false),
        ] {
            let env = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(locale_is_utf8(env), utf8, "{variables:?}");
        }
    }
}
