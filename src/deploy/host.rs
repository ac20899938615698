use crate::control::{Failure, FailureKind, OTHER_CONTENT, Phase, Present};

use super::errand::Errand;
use super::event::HostState;
use super::retry::backoff_ms;

/// A host on its way: one enum with what matters in each state, and one pure function that moves it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Host {
    pub(super) way: Way,
    /// Attempt, from 1; 0 before the first.
    pub(super) attempt: u32,
    /// The last attempt that is made without being asked; moved on by a retry of the user.
    last_attempt: u32,
    /// What it was when the user tried it again.
    before: Option<Way>,
}

/// The states of SPEC with what only the operator's side needs to know.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Way {
    /// Waits for a place to dial, not before a time in milliseconds since the epoch.
    Queued {
        not_before: u64,
        reason: String,
    },
    Connecting,
    Launching,
    /// `begun` once the agent was told what to check; it waits for the payload's hash until then.
    Checking {
        begun: bool,
    },
    Fetching,
    /// `verified` once only the gate keeps it from being unpacked.
    Verifying {
        verified: bool,
    },
    Unpacking,
    Staged {
        already: bool,
    },
    Activating(Activation),
    Active,
    /// Asked for what the errand is about; shown as checking.
    Errand(Step),
    /// Switched back to what was current before; the release of the run is only staged again.
    Back,
    /// The errand is done.
    Done,
    Failed(Failure),
    Cancelled,
    Skipped {
        reason: String,
    },
}

/// The steps of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    /// The hook before runs.
    Before,
    /// The hook before passed; waits for its batch.
    Ready,
    /// Told to switch.
    Switching,
    /// The link points at the release; the hook after runs.
    After,
}

/// The steps of an errand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Waits until all hosts are ready to be dialled.
    Waiting,
    /// Was asked.
    Asked,
    /// Waits for what the others say of it.
    Answered,
}

/// What moves a host.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Input {
    /// There is a place to dial for it.
    Start,
    LoggedIn,
    Launched,
    /// The payload's hash is known now.
    Packed,
    Checked(Present),
    Fetched,
    Verified,
    /// Every host holds its lock or was tried once: what is verified may be unpacked.
    GateOpened,
    Staged {
        already: bool,
    },
    /// The barrier lets it run the hook before.
    Prepare,
    Ready,
    /// The barrier shut before its batch came.
    Unprepare,
    /// The barrier lets it switch.
    Switch,
    Activated,
    Settled,
    /// The errand's answer came.
    Answered,
    /// What the others say of it came.
    Judged,
    Failed(Failure),
    Cancel,
    Retry,
    /// That was not meant.
    TakeBack,
    /// It is staged and its agent has left, but the run goes on after all.
    Recall,
    /// Switch back to what was current before this run.
    RollBack,
    Skip {
        reason: String,
    },
}

/// What is to be done because a host moved.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect {
    Connect,
    Begin,
    Join,
    Stage,
    Before,
    Switch,
    /// Ask what the errand is about.
    Ask,
    /// End the agent and the connection. Verified pieces stay for a later attempt.
    Leave,
}

/// What a host must know of the run to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// The payload's hash is known.
    pub(super) packed: bool,
    /// There is a payload; else the release must be on the host.
    pub(super) ships: bool,
    /// What is asked of each host instead of shipping something.
    pub(super) errand: Option<Errand>,
    /// The host goes back to the release before.
    pub(super) back: bool,
    /// See [`Input::GateOpened`].
    pub(super) gate_open: bool,
    /// Attempts that a host gets by itself, the first included.
    pub(super) attempts: u32,
    /// Milliseconds since the epoch.
    pub(super) now: u64,
}

impl Host {
    pub(super) fn new(attempts: u32) -> Self {
        Self {
            way: Way::Queued { not_before: 0, reason: String::new() },
            attempt: 0,
            last_attempt: attempts.max(1),
            before: None,
        }
    }

    /// Moves on. An input that does not belong to the state (a late word of an agent that was given up) changes nothing.
    pub(super) fn step(&mut self, input: Input, rules: Rules) -> Vec<Effect> {
        if let Some(effects) = self.step_aside(&input, rules) {
            return effects;
        }
        let (way, effects) = match (&self.way, input) {
            (Way::Queued { .. }, Input::Start) => {
                self.attempt += 1;
                (Way::Connecting, vec![Effect::Connect])
            }
            (Way::Connecting, Input::LoggedIn) => (Way::Launching, vec![]),
            (Way::Launching, Input::Launched) if rules.packed => {
                (Way::Checking { begun: true }, vec![Effect::Begin])
            }
            (Way::Launching, Input::Launched) => (Way::Checking { begun: false }, vec![]),
            (Way::Checking { begun: false }, Input::Packed) => {
                (Way::Checking { begun: true }, vec![Effect::Begin])
            }
            (Way::Checking { .. }, Input::Checked(_)) if rules.errand.is_some() => {
                let waits = rules.errand.is_some_and(Errand::is_together) && !rules.gate_open;
                if waits {
                    (Way::Errand(Step::Waiting), vec![])
                } else {
                    (Way::Errand(Step::Asked), vec![Effect::Ask])
                }
            }
            (Way::Errand(Step::Waiting), Input::GateOpened) => (Way::Errand(Step::Asked), vec![Effect::Ask]),
            (Way::Errand(Step::Asked), Input::Answered) if rules.errand.is_some_and(Errand::is_together) => {
                (Way::Errand(Step::Answered), vec![])
            }
            (Way::Errand(Step::Asked), Input::Answered) | (Way::Errand(Step::Answered), Input::Judged) => {
                (Way::Done, vec![Effect::Leave])
            }
            (Way::Checking { .. }, Input::Checked(Present::Same)) => (Way::Staged { already: true }, vec![]),
            (Way::Checking { .. }, Input::Checked(Present::Absent)) => (Way::Fetching, vec![Effect::Join]),
            (Way::Fetching, Input::Fetched) => (Way::Verifying { verified: false }, vec![]),
            (Way::Verifying { .. }, Input::Verified) if rules.gate_open => {
                (Way::Unpacking, vec![Effect::Stage])
            }
            (Way::Verifying { .. }, Input::Verified) => (Way::Verifying { verified: true }, vec![]),
            (Way::Verifying { verified: true }, Input::GateOpened) => (Way::Unpacking, vec![Effect::Stage]),
            (Way::Unpacking, Input::Staged { already }) => (Way::Staged { already }, vec![]),
            (Way::Staged { .. }, Input::Prepare) => {
                (Way::Activating(Activation::Before), vec![Effect::Before])
            }
            (Way::Activating(Activation::Before), Input::Ready) => {
                (Way::Activating(Activation::Ready), vec![])
            }
            (Way::Activating(Activation::Ready), Input::Unprepare) => {
                (Way::Staged { already: false }, vec![])
            }
            (Way::Activating(Activation::Ready), Input::Switch) => {
                (Way::Activating(Activation::Switching), vec![Effect::Switch])
            }
            (Way::Activating(Activation::Switching), Input::Activated) => {
                (Way::Activating(Activation::After), vec![])
            }
            (Way::Activating(Activation::After), Input::Settled) if rules.back => (Way::Back, vec![]),
            (Way::Activating(Activation::After), Input::Settled) => (Way::Active, vec![]),
            _ => return Vec::new(),
        };
        self.way = way;
        effects
    }

    /// What may happen in any state: failure, and the user's wishes.
    fn step_aside(&mut self, input: &Input, rules: Rules) -> Option<Vec<Effect>> {
        match input {
            Input::Checked(Present::Other) => {
                let words = format!("the tag {OTHER_CONTENT}");
                Some(self.fail(Failure::new(Phase::Checking, FailureKind::DestExists, words), rules))
            }
            Input::Checked(Present::Absent) if !rules.ships && rules.errand.is_none() => {
                let words = "the release is not on this host: deploy it first";
                Some(self.fail(Failure::new(Phase::Checking, FailureKind::Activate, words), rules))
            }
            Input::Failed(failure) => Some(self.fail(failure.clone(), rules)),
            Input::Cancel if !self.is_final() => Some(self.leave(Way::Cancelled)),
            Input::Skip { reason } if !self.is_final() => {
                Some(self.leave(Way::Skipped { reason: reason.clone() }))
            }
            Input::Retry | Input::Recall | Input::RollBack if self.may_begin_again(input) => {
                self.last_attempt = self.attempt + rules.attempts.max(1);
                let queued = Way::Queued { not_before: rules.now, reason: String::new() };
                let before = std::mem::replace(&mut self.way, queued);
                self.before = Some(before).filter(|_| *input == Input::Retry);
                Some(vec![])
            }
            Input::TakeBack if !self.is_final() && self.before.is_some() => {
                let before = self.before.take()?;
                Some(self.leave(before))
            }
            Input::Cancel
            | Input::Skip { .. }
            | Input::Retry
            | Input::TakeBack
            | Input::Recall
            | Input::RollBack => Some(vec![]),
            _ => None,
        }
    }

    /// Ends here, as that.
    fn leave(&mut self, way: Way) -> Vec<Effect> {
        let runs = self.has_agent();
        self.way = way;
        if runs { vec![Effect::Leave] } else { vec![] }
    }

    /// One more attempt than was promised: this one was no host's fault.
    pub(super) fn grant_attempt(&mut self) {
        self.last_attempt += 1;
    }

    fn may_begin_again(&self, input: &Input) -> bool {
        match &self.way {
            Way::Failed(_) => *input != Input::Recall,
            Way::Staged { .. } => *input == Input::Recall,
            Way::Active => *input == Input::RollBack,
            Way::Cancelled | Way::Skipped { .. } => *input == Input::Retry,
            _ => false,
        }
    }

    fn fail(&mut self, failure: Failure, rules: Rules) -> Vec<Effect> {
        if !self.has_agent() {
            return Vec::new();
        }
        if failure.kind.retryable() && self.attempt < self.last_attempt {
            let wait = backoff_ms(self.attempt);
            self.way = Way::Queued { not_before: rules.now + wait, reason: failure.to_string() };
        } else {
            self.way = Way::Failed(failure);
        }
        vec![Effect::Leave]
    }

    /// A connection or an agent may be there for it.
    fn has_agent(&self) -> bool {
        !self.is_final() && !matches!(self.way, Way::Queued { .. })
    }

    /// See [`Way::is_final`].
    pub(super) fn is_final(&self) -> bool {
        self.way.is_final()
    }

    /// The phase that a failure of the connection falls into.
    pub(super) fn phase(&self) -> Phase {
        self.state().name().phase().unwrap_or(Phase::Activating)
    }

    /// The state as faces see it.
    pub(super) fn state(&self) -> HostState {
        self.way.state()
    }
}

impl Way {
    /// The state as faces see it.
    pub(super) fn state(&self) -> HostState {
        match self {
            Self::Queued { reason, .. } => HostState::Queued { reason: reason.clone() },
            Self::Connecting => HostState::Connecting,
            Self::Launching => HostState::Launching,
            Self::Checking { .. } | Self::Errand(_) => HostState::Checking,
            Self::Fetching => HostState::Fetching,
            Self::Verifying { .. } => HostState::Verifying,
            Self::Unpacking => HostState::Unpacking,
            Self::Staged { already } => HostState::Staged { already: *already },
            Self::Activating(_) => HostState::Activating,
            Self::Active => HostState::Active,
            Self::Back => HostState::Staged { already: true },
            Self::Done => HostState::Done,
            Self::Failed(failure) => HostState::Failed(failure.clone()),
            Self::Cancelled => HostState::Cancelled,
            Self::Skipped { reason } => HostState::Skipped { reason: reason.clone() },
        }
    }

    /// Nothing moves it but a retry. (`Staged` is final only for a run that activates nothing; the run knows.)
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Active | Self::Back | Self::Done | Self::Failed(_) | Self::Cancelled | Self::Skipped { .. }
        )
    }
}

#[cfg(test)]
mod tests;
