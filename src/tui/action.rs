/// A view of the body, in the order of its number keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum View {
    /// A row a host.
    #[default]
    Hosts,
    /// A cell a host.
    Grid,
    /// Racks and groups.
    Groups,
    /// Failed hosts by cause.
    Failures,
    /// What was said.
    Log,
    /// Who feeds whom.
    Swarm,
}

impl View {
    /// All views, as the number keys have them.
    pub const ALL: [Self; 6] =
        [Self::Hosts, Self::Grid, Self::Groups, Self::Failures, Self::Log, Self::Swarm];

    /// Its name on the screen.
    pub fn title(self) -> &'static str {
        match self {
            Self::Hosts => "Hosts",
            Self::Grid => "Grid",
            Self::Groups => "Groups",
            Self::Failures => "Failures",
            Self::Log => "Log",
            Self::Swarm => "Swarm",
        }
    }

    pub(super) fn step(self, by: usize) -> Self {
        let at = Self::ALL.iter().position(|view| *view == self).unwrap_or(0);
        Self::ALL[(at + by) % Self::ALL.len()]
    }
}

/// What a key means. Every one has a row in the table of the keymap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is explained in the keymap's table")]
pub enum Action {
    Down,
    Up,
    Left,
    Right,
    Top,
    Bottom,
    PageDown,
    PageUp,
    HalfDown,
    HalfUp,
    Open,
    Back,
    NextView,
    PreviousView,
    Show(View),
    Filter,
    NextMatch,
    PreviousMatch,
    FailuresOnly,
    Sort,
    Reverse,
    Mark,
    MarkRange,
    MarkAll,
    ClearMarks,
    Retry,
    RetryFailed,
    Cancel,
    Stop,
    Activate,
    Rollback,
    Freeze,
    CopyHost,
    CopyError,
    Throttle,
    Undo,
    CommandLine,
    Help,
    Mouse,
    Redraw,
    Suspend,
    Quit,
    Interrupt,
    Pause,
    Faster,
    Slower,
    SeekBack,
    SeekForward,
    FailureBefore,
    FailureAfter,
}
