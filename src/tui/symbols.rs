use std::borrow::Cow;

use crate::deploy::{Mark, StateName};
use crate::fleet::{HostRecord, Rank};

/// The signs that views draw with. Every one is a single column wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Symbols {
    /// Finished.
    pub(super) ok: &'static str,
    /// Failed.
    pub(super) fail: &'static str,
    /// Somebody should look.
    pub(super) warn: &'static str,
    /// On its way.
    pub(super) moving: &'static str,
    /// Waits.
    pub(super) waiting: &'static str,
    /// Staged: here, and not yet active.
    pub(super) staged: &'static str,
    /// Given up by the user or never tried.
    pub(super) left_out: &'static str,
    /// Filled part of a bar.
    pub(super) full: &'static str,
    /// Half a cell of a bar.
    pub(super) half: &'static str,
    /// The rest of a bar.
    pub(super) rest: &'static str,
    /// The part of a bar that failed.
    pub(super) broken: &'static str,
    /// Levels of a sparkline, lowest first.
    pub(super) levels: [&'static str; 8],
    /// Before the selected row.
    pub(super) cursor: &'static str,
    /// Before a marked row.
    pub(super) mark: &'static str,
    /// Where text is cut.
    pub(super) ellipsis: &'static str,
    /// Between things of a line.
    pub(super) dot: &'static str,
    /// From, to.
    pub(super) arrow: &'static str,
    /// Where there is nothing to show.
    pub(super) dash: &'static str,
    /// Times.
    pub(super) times: &'static str,
    /// The Enter key.
    pub(super) enter: &'static str,
    /// Of a range.
    pub(super) range: &'static str,
    /// A line between parts of the screen.
    pub(super) rule: &'static str,
    /// Down a list.
    pub(super) down: &'static str,
    /// Up a list.
    pub(super) up: &'static str,
}

impl Symbols {
    /// For terminals with Unicode.
    pub(super) const UNICODE: Self = Self {
        ok: "✓",
        fail: "✗",
        warn: "!",
        moving: "▸",
        waiting: "·",
        staged: "◆",
        left_out: "○",
        full: "━",
        half: "╾",
        rest: "─",
        broken: "╍",
        levels: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
        cursor: "▌",
        mark: "●",
        ellipsis: "…",
        dot: "·",
        arrow: "→",
        dash: "—",
        times: "×",
        enter: "↵",
        range: "–",
        rule: "─",
        down: "↓",
        up: "↑",
    };

    /// For `--ascii`.
    pub(super) const ASCII: Self = Self {
        ok: "+",
        fail: "x",
        warn: "!",
        moving: ">",
        waiting: ".",
        staged: "*",
        left_out: "o",
        full: "=",
        half: "-",
        rest: ".",
        broken: "x",
        levels: ["_", ".", "-", "~", "=", "+", "*", "#"],
        cursor: "|",
        mark: "@",
        ellipsis: "~",
        dot: "-",
        arrow: ">",
        dash: "-",
        times: "x",
        enter: "Enter",
        range: "-",
        rule: "-",
        down: "v",
        up: "^",
    };

    /// The sign of a state.
    pub(super) fn state(&self, state: StateName) -> &'static str {
        match state {
            StateName::Queued => self.waiting,
            StateName::Staged => self.staged,
            StateName::Active | StateName::Done => self.ok,
            StateName::Failed => self.fail,
            StateName::Cancelled | StateName::Skipped => self.left_out,
            _ => self.moving,
        }
    }

    /// The sign of a rank.
    pub(super) fn rank(&self, rank: Rank) -> &'static str {
        match rank {
            Rank::Failed => self.fail,
            Rank::Trouble => self.warn,
            Rank::Moving => self.moving,
            Rank::Queued => self.waiting,
            Rank::LeftOut => self.left_out,
            Rank::Staged => self.staged,
            Rank::Active => self.ok,
        }
    }

    /// The sign of a host: that of its trouble, or of its state.
    pub(super) fn host(&self, host: &HostRecord) -> &'static str {
        if host.needs_eyes() { self.warn } else { self.state(host.name()) }
    }

    /// The word of a host: that of its trouble, or of its state.
    pub(super) fn word(host: &HostRecord) -> &'static str {
        host.trouble().map_or(host.name().as_str(), Mark::as_str)
    }

    /// Text in which every sign that ASCII lacks has a stand-in.
    pub(super) fn plain<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if *self != Self::ASCII || text.is_ascii() {
            return text.into();
        }
        text.chars()
            .map(|c| match c {
                '…' => "~".to_owned(),
                '—' | '–' | '·' => "-".to_owned(),
                '×' => "x".to_owned(),
                '→' => ">".to_owned(),
                '“' | '”' => "\"".to_owned(),
                '‘' | '’' => "'".to_owned(),
                c if c.is_ascii() => c.to_string(),
                _ => "?".to_owned(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    #[test]
    fn every_sign_is_one_column_and_ascii_is_ascii() {
        for (set, ascii) in [(Symbols::UNICODE, false), (Symbols::ASCII, true)] {
            let signs = [
                set.ok,
                set.fail,
                set.warn,
                set.moving,
                set.waiting,
                set.staged,
                set.left_out,
                set.full,
                set.half,
                set.rest,
                set.broken,
                set.cursor,
                set.mark,
                set.ellipsis,
                set.dot,
                set.arrow,
                set.dash,
                set.times,
                set.range,
                set.rule,
                set.down,
                set.up,
            ];
            for sign in signs.into_iter().chain(set.levels) {
                assert_eq!(sign.width(), 1, "{sign}");
                assert!(!ascii || sign.is_ascii(), "{sign}");
            }
        }
    }

    #[test]
    fn states_that_differ_for_a_person_have_signs_of_their_own() {
        for set in [Symbols::UNICODE, Symbols::ASCII] {
            let states = [
                StateName::Queued,
                StateName::Fetching,
                StateName::Staged,
                StateName::Active,
                StateName::Failed,
                StateName::Skipped,
            ];
            let signs: std::collections::BTreeSet<_> =
                states.into_iter().map(|state| set.state(state)).collect();
            assert_eq!(signs.len(), states.len());
            assert!(!signs.contains(set.warn));
        }
    }
}
