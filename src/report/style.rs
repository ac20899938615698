use crate::deploy::StateName;

/// How text is dressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// With colours, for a terminal.
    pub color: bool,
    /// With no character beyond ASCII.
    pub ascii: bool,
    /// Columns of the terminal; `None` where it goes elsewhere.
    pub columns: Option<usize>,
}

/// Columns of text, with room for a ticket's quotation marks.
const WIDEST: usize = 100;
/// Text is not broken into fewer columns than these.
const NARROWEST: usize = 60;

/// What a piece of text means; each has a colour of the terminal's own sixteen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Good,
    Bad,
    Warn,
    Moving,
    Dim,
    Strong,
}

impl Style {
    /// Columns that text is wrapped to.
    pub(super) fn width(&self) -> usize {
        self.columns.map_or(WIDEST, |columns| columns.clamp(NARROWEST, WIDEST))
    }

    pub(super) fn paint(&self, ink: Ink, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Good => "32",
            Ink::Bad => "31",
            Ink::Warn => "33",
            Ink::Moving => "36",
            Ink::Dim => "2",
            Ink::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    pub(super) fn state(&self, state: StateName) -> (&'static str, Ink) {
        let (glyph, ascii, ink) = match state {
            StateName::Active | StateName::Done | StateName::Staged => ("✓", "+", Ink::Good),
            StateName::Failed => ("✗", "x", Ink::Bad),
            StateName::Cancelled | StateName::Skipped => ("-", "-", Ink::Dim),
            StateName::Queued => ("·", ".", Ink::Dim),
            _ => ("▸", ">", Ink::Moving),
        };
        (if self.ascii { ascii } else { glyph }, ink)
    }
}
