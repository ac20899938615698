use ratatui::style::{Color, Modifier, Style};

use crate::deploy::StateName;
use crate::fleet::{HostRecord, Rank, Weight};
use crate::inventory::Theme as ThemeName;

/// What each thing on the screen looks like. Views name roles, never colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Theme {
    /// Ordinary text.
    pub(super) text: Style,
    /// What the eye should find first.
    pub(super) strong: Style,
    /// What it may pass over.
    pub(super) muted: Style,
    /// Lines and empty parts of bars.
    pub(super) faint: Style,
    /// What moves.
    pub(super) accent: Style,
    /// What is finished.
    pub(super) ok: Style,
    /// What somebody should look at.
    pub(super) warn: Style,
    /// What failed.
    pub(super) fail: Style,
    /// Keys, in footer and help.
    pub(super) key: Style,
    /// Laid over the selected row.
    pub(super) selected: Style,
    /// The bar before the selected row.
    pub(super) cursor: Style,
    /// Letters that matched a filter.
    pub(super) matched: Style,
    /// Behind dialogs.
    pub(super) panel: Style,
}

impl Theme {
    /// The theme of that name.
    pub(super) fn new(name: ThemeName) -> Self {
        match name {
            ThemeName::Default => Self::sixteen(),
            ThemeName::Dark => Self::indexed(&DARK),
            ThemeName::Light => Self::indexed(&LIGHT),
            ThemeName::HighContrast => Self::high_contrast(),
            ThemeName::ColorBlind => Self::indexed(&COLOR_BLIND),
            ThemeName::Mono => Self::mono(),
        }
    }

    fn sixteen() -> Self {
        let plain = Style::new();
        Self {
            text: plain,
            strong: plain.add_modifier(Modifier::BOLD),
            muted: plain.fg(Color::DarkGray),
            faint: plain.fg(Color::DarkGray),
            accent: plain.fg(Color::Cyan),
            ok: plain.fg(Color::Green),
            warn: plain.fg(Color::Yellow),
            fail: plain.fg(Color::Red),
            key: plain.fg(Color::Cyan).add_modifier(Modifier::BOLD),
            selected: plain.add_modifier(Modifier::BOLD),
            cursor: plain.fg(Color::Cyan).add_modifier(Modifier::BOLD),
            matched: plain.add_modifier(Modifier::UNDERLINED),
            panel: plain,
        }
    }

    fn high_contrast() -> Self {
        let plain = Style::new().fg(Color::White).bg(Color::Black);
        let bold = Modifier::BOLD;
        Self {
            text: plain,
            strong: plain.add_modifier(bold),
            muted: plain,
            faint: plain.fg(Color::Gray),
            accent: plain.fg(Color::LightCyan).add_modifier(bold),
            ok: plain.fg(Color::LightGreen).add_modifier(bold),
            warn: plain.fg(Color::LightYellow).add_modifier(bold),
            fail: plain.fg(Color::LightRed).add_modifier(bold),
            key: plain.fg(Color::LightYellow).add_modifier(bold),
            selected: Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED),
            cursor: plain.fg(Color::LightYellow).add_modifier(bold),
            matched: Style::new().add_modifier(Modifier::UNDERLINED),
            panel: plain,
        }
    }

    /// Every colour is `Reset`: crossterm 0.29 would else write a bare `CSI m` under `NO_COLOR`, which undoes bold and
    /// reverse.
    fn mono() -> Self {
        let plain = Style::new();
        let bold = plain.add_modifier(Modifier::BOLD);
        Self {
            text: plain,
            strong: bold,
            muted: plain,
            faint: plain.add_modifier(Modifier::DIM),
            accent: plain,
            ok: plain,
            warn: bold,
            fail: bold,
            key: bold,
            selected: plain.add_modifier(Modifier::REVERSED),
            cursor: bold,
            matched: plain.add_modifier(Modifier::UNDERLINED),
            panel: plain,
        }
    }

    fn indexed(colors: &Palette) -> Self {
        let base = match colors.background {
            Some(color) => Style::new().bg(Color::Indexed(color)),
            None => Style::new(),
        };
        let color = |number: u8| base.fg(Color::Indexed(number));
        let bold = Modifier::BOLD;
        Self {
            text: color(colors.text),
            strong: color(colors.strong).add_modifier(bold),
            muted: color(colors.muted),
            faint: color(colors.faint),
            accent: color(colors.accent),
            ok: color(colors.ok),
            warn: color(colors.warn),
            fail: color(colors.fail),
            key: color(colors.accent).add_modifier(bold),
            selected: Style::new().bg(Color::Indexed(colors.selected)).add_modifier(bold),
            cursor: color(colors.accent).add_modifier(bold),
            matched: Style::new().add_modifier(Modifier::UNDERLINED),
            panel: color(colors.text),
        }
    }

    /// Of a state.
    pub(super) fn state(&self, state: StateName) -> Style {
        match state {
            StateName::Failed => self.fail,
            StateName::Active | StateName::Done | StateName::Staged => self.ok,
            StateName::Queued | StateName::Cancelled | StateName::Skipped => self.muted,
            _ => self.accent,
        }
    }

    /// Of a rank.
    pub(super) fn rank(&self, rank: Rank) -> Style {
        match rank {
            Rank::Failed => self.fail,
            Rank::Trouble => self.warn,
            Rank::Moving => self.accent,
            Rank::Queued | Rank::LeftOut => self.muted,
            Rank::Staged | Rank::Active => self.ok,
        }
    }

    /// Of a host: that of its trouble, or of its state.
    pub(super) fn host(&self, host: &HostRecord) -> Style {
        if host.needs_eyes() { self.warn } else { self.state(host.name()) }
    }

    /// Of a remark.
    pub(super) fn weight(&self, weight: Weight) -> Style {
        match weight {
            Weight::Quiet | Weight::Note => self.muted,
            Weight::Warn => self.warn,
            Weight::Fail => self.text,
        }
    }
}

/// Numbers of the 256 colours that every terminal of this century has.
struct Palette {
    background: Option<u8>,
    text: u8,
    strong: u8,
    muted: u8,
    faint: u8,
    accent: u8,
    ok: u8,
    warn: u8,
    fail: u8,
    selected: u8,
}

const DARK: Palette = Palette {
    background: Some(234),
    text: 252,
    strong: 231,
    muted: 245,
    faint: 239,
    accent: 80,
    ok: 114,
    warn: 221,
    fail: 203,
    selected: 237,
};

const LIGHT: Palette = Palette {
    background: Some(231),
    text: 236,
    strong: 16,
    muted: 243,
    faint: 250,
    accent: 31,
    ok: 28,
    warn: 130,
    fail: 160,
    selected: 254,
};

/// After Okabe and Ito: blue, orange and reddish purple stay apart for every kind of colour vision.
const COLOR_BLIND: Palette = Palette {
    background: None,
    text: 252,
    strong: 231,
    muted: 245,
    faint: 240,
    accent: 152,
    ok: 75,
    warn: 176,
    fail: 214,
    selected: 237,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mono_sets_no_colour_anywhere() {
        let theme = Theme::new(ThemeName::Mono);
        for style in [
            theme.text,
            theme.strong,
            theme.muted,
            theme.faint,
            theme.accent,
            theme.ok,
            theme.warn,
            theme.fail,
            theme.key,
            theme.selected,
            theme.cursor,
            theme.matched,
            theme.panel,
        ] {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }

    #[test]
    fn failure_looks_like_nothing_else_in_every_theme() {
        for name in ThemeName::WORDS.iter().filter_map(|word| ThemeName::from_word(word)) {
            let theme = Theme::new(name);
            assert!(theme.fail != theme.ok && theme.fail != theme.accent, "{name:?}");
        }
    }
}
