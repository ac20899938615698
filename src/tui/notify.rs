use base64::Engine as _;

use crate::inventory::Notify;

/// What a terminal shows of a run beside its screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signal {
    /// The window's title.
    Title(String),
    /// Progress in the task bar, OSC 9;4: percent, and whether something failed.
    Progress(u8, bool),
    /// No progress in the task bar any more.
    NoProgress,
    /// The user's attention, for a reason.
    Notify(Notify, String),
    /// Text for the clipboard, OSC 52.
    Copy(String),
    /// The mouse is taken, or given back.
    Mouse(bool),
}

impl Signal {
    /// The bytes for the terminal.
    pub(super) fn bytes(&self) -> String {
        match self {
            Self::Title(title) => format!("\u{1b}]2;{}\u{7}", clean(title)),
            Self::Progress(percent, failed) => {
                format!("\u{1b}]9;4;{};{}\u{7}", if *failed { 2 } else { 1 }, percent.min(&100))
            }
            Self::NoProgress => "\u{1b}]9;4;0;0\u{7}".to_owned(),
            Self::Notify(Notify::None, _) => String::new(),
            Self::Notify(Notify::Bell, _) => "\u{7}".to_owned(),
            Self::Notify(Notify::Osc9, text) => format!("\u{1b}]9;murder: {}\u{7}", clean(text)),
            Self::Notify(Notify::Osc777, text) => format!("\u{1b}]777;notify;murder;{}\u{7}", clean(text)),
            Self::Copy(text) => {
                format!("\u{1b}]52;c;{}\u{7}", base64::engine::general_purpose::STANDARD.encode(text))
            }
            Self::Mouse(true) => "\u{1b}[?1000h\u{1b}[?1006h".to_owned(),
            Self::Mouse(false) => "\u{1b}[?1006l\u{1b}[?1000l".to_owned(),
        }
    }
}

/// Host names and remote words end up here: nothing of them may end a sequence or begin one.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_cannot_leave_their_sequence() {
        let signal = Signal::Title("web\u{7}\u{1b}]52;c;AAAA\u{9c}".to_owned());
        assert_eq!(signal.bytes(), "\u{1b}]2;web  ]52;c;AAAA \u{7}");
    }

    #[test]
    fn the_task_bar_turns_red_with_the_first_failure() {
        assert_eq!(Signal::Progress(40, false).bytes(), "\u{1b}]9;4;1;40\u{7}");
        assert_eq!(Signal::Progress(200, true).bytes(), "\u{1b}]9;4;2;100\u{7}");
        assert_eq!(Signal::Copy("web-1".to_owned()).bytes(), "\u{1b}]52;c;d2ViLTE=\u{7}");
    }
}
