use std::fmt;

use serde::{Deserialize, Serialize};

/// So many hosts, or such a share of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// This many.
    Count(u32),
    /// This share, in percent, at most 100.
    Percent(u8),
}

impl Amount {
    /// How many of `total` these are, rounded up: at least one of one or more.
    pub fn rounded_up(self, total: usize) -> usize {
        match self {
            Self::Count(count) => count as usize,
            Self::Percent(share) => (total * usize::from(share)).div_ceil(100),
        }
    }

    /// How many of `total` these are at most.
    pub fn rounded_down(self, total: usize) -> usize {
        match self {
            Self::Count(count) => count as usize,
            Self::Percent(share) => total * usize::from(share) / 100,
        }
    }

    /// Reads `N` or `N%`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(share) => Percent::parse_number(share).map(Self::Percent),
            None => text.parse().ok().filter(|_| is_digits(text)).map(Self::Count),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(share) => write!(f, "{share}%"),
        }
    }
}

/// A share of the hosts, in percent, at most 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(pub u8);

impl Percent {
    /// The least number of `total` hosts that makes up this share.
    pub fn of(self, total: usize) -> usize {
        Amount::Percent(self.0).rounded_up(total)
    }

    /// Reads `N%`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.strip_suffix('%').and_then(Self::parse_number).map(Self)
    }

    fn parse_number(text: &str) -> Option<u8> {
        text.parse().ok().filter(|share| is_digits(text) && *share <= 100)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// The hosts that go first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Canary {
    /// The first so many of those selected.
    Count(u32),
    /// Those of the selected that match an expression, which [`super::Expr::parse`] accepts.
    Hosts(String),
}

impl fmt::Display for Canary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Hosts(expression) => f.write_str(expression),
        }
    }
}

/// Ports from `first` to `last`, both included, none of them 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    /// Lowest port.
    pub first: u16,
    /// Highest port.
    pub last: u16,
}

impl PortRange {
    /// Reads `A-B`, or one port.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| is_digits(text) && *port > 0);
        let (first, last) = (port(first)?, port(last)?);
        (first <= last).then_some(Self { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Enums whose values are words that users write.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// All words, in the order in which help shows them.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word of this value.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The value of a word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}

words! {
    /// Who speaks SSH to a host.
    Transport {
        /// This process.
        Russh = "russh",
        /// The system's `ssh`.
        Openssh = "openssh",
    }
    /// What a host does when its hook after the switch fails.
    AfterFailure {
        /// The new release stays.
        Keep = "keep",
        /// The former one comes back.
        Rollback = "rollback",
    }
    /// What is unpacked on the hosts.
    Unpack {
        /// A directory; a file stays a file.
        Auto = "auto",
        /// Archives too.
        Always = "always",
        /// Nothing.
        Never = "never",
    }
    /// What becomes of a host key that is in no known_hosts.
    HostKeys {
        /// The host is refused.
        Strict = "strict",
        /// The key is added.
        AcceptNew = "accept-new",
    }
    /// The face of a run.
    Output {
        /// The screen on a terminal, else plain.
        Auto = "auto",
        /// The screen.
        Tui = "tui",
        /// Lines for people and logs.
        Plain = "plain",
        /// One JSON object a line.
        Json = "json",
        /// The summary alone.
        Quiet = "quiet",
    }
    /// Whether there are colours.
    ColorChoice {
        /// On a terminal that does not forbid them.
        Auto = "auto",
        /// Always.
        Always = "always",
        /// Never.
        Never = "never",
    }
    /// The colours of the screen.
    Theme {
        /// The terminal's own 16 colours and background.
        Default = "default",
        /// For a dark background.
        Dark = "dark",
        /// For a light background.
        Light = "light",
        /// Black, white and bright colours.
        HighContrast = "high-contrast",
        /// Blue and orange in place of green and red.
        ColorBlind = "color-blind",
        /// No colours.
        Mono = "mono",
    }
    /// How the first failure and the end are told to somebody who looks elsewhere.
    Notify {
        /// Not at all.
        None = "none",
        /// The terminal's bell.
        Bell = "bell",
        /// OSC 9, a line of text.
        Osc9 = "osc9",
        /// OSC 777, title and text.
        Osc777 = "osc777",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_numbers_or_shares() {
        for (text, amount) in [
            ("3", Some(Amount::Count(3))),
            ("0", Some(Amount::Count(0))),
            ("25%", Some(Amount::Percent(25))),
            ("100%", Some(Amount::Percent(100))),
            ("101%", None),
            ("-1", None),
            ("+1", None),
            ("%", None),
            ("", None),
            ("2.5%", None),
        ] {
            assert_eq!(Amount::parse(text), amount, "{text}");
        }
    }

    #[test]
    fn a_share_is_rounded_to_the_safe_side() {
        let tenth = Amount::Percent(10);
        assert_eq!((tenth.rounded_up(24), tenth.rounded_down(24)), (3, 2));
        assert_eq!((tenth.rounded_up(1), tenth.rounded_down(1)), (1, 0));
        assert_eq!((tenth.rounded_up(0), Percent(100).of(7)), (0, 7));
        assert_eq!((Amount::Count(3).rounded_up(1), Amount::Count(3).rounded_down(9)), (3, 3));
    }

    #[test]
    fn port_ranges_go_up() {
        assert_eq!(PortRange::parse("7000-7010"), Some(PortRange { first: 7000, last: 7010 }));
        assert_eq!(PortRange::parse("7000"), Some(PortRange { first: 7000, last: 7000 }));
        for text in ["7010-7000", "0-5", "1-65536", "a-b", "", "-", "1-2-3", "+1-2"] {
            assert_eq!(PortRange::parse(text), None, "{text}");
        }
    }
}
