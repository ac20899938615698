use super::keymap::Keymap;
use super::notify::Notify;
use super::symbols::Symbols;
use super::theme::{Theme, ThemeName};

/// Pictures a second on a local terminal.
pub const FPS_LOCAL: u16 = 10;
/// Pictures a second over SSH, where each costs the connection.
pub const FPS_SSH: u16 = 4;

/// How the screen looks and behaves.
#[derive(Debug, Clone)]
pub struct TuiOptions {
    /// Colours.
    pub theme: ThemeName,
    /// Only ASCII signs.
    pub ascii: bool,
    /// Whether colours are wanted at all; without, the theme is `mono`.
    pub color: bool,
    /// Pictures a second; `None` for [`FPS_LOCAL`], or [`FPS_SSH`] over SSH.
    pub fps: Option<u16>,
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
            fps: None,
            notify: Notify::default(),
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

    pub(super) fn fps(&self) -> u16 {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let usual = if set("SSH_CONNECTION") || set("SSH_TTY") { FPS_SSH } else { FPS_LOCAL };
        self.fps.unwrap_or(usual).clamp(*super::commandline::FPS.start(), *super::commandline::FPS.end())
    }
}

/// Whether the locale's letters are UTF-8, so that more than ASCII can be shown.
pub fn locale_is_utf8() -> bool {
    // The first of these that is set counts, as in setlocale(3).
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}
