use super::event::StateName;
use super::host::{Activation, Step, Way};

/// How many hosts are in each state, kept by (before, after) and never counted anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    states: [u32; StateName::ALL.len()],
    steps: [u32; 4],
    answered: u32,
    back: u32,
}

impl Counts {
    pub(super) fn add(&mut self, way: &Way, name: StateName) {
        self.states[name as usize] += 1;
        if let Way::Activating(step) = way {
            self.steps[*step as usize] += 1;
        }
        self.answered += u32::from(*way == Way::Errand(Step::Answered));
        self.back += u32::from(*way == Way::Back);
    }

    pub(super) fn remove(&mut self, way: &Way, name: StateName) {
        self.states[name as usize] -= 1;
        if let Way::Activating(step) = way {
            self.steps[*step as usize] -= 1;
        }
        self.answered -= u32::from(*way == Way::Errand(Step::Answered));
        self.back -= u32::from(*way == Way::Back);
    }

    pub(super) fn of(&self, name: StateName) -> u32 {
        self.states[name as usize]
    }

    /// Staged and not switched back: these may yet be activated.
    pub(super) fn staged(&self) -> u32 {
        self.of(StateName::Staged) - self.back
    }

    pub(super) fn active(&self) -> u32 {
        self.of(StateName::Active)
    }

    /// Switched back to what was current before.
    pub(super) fn back(&self) -> u32 {
        self.back
    }

    pub(super) fn done(&self) -> u32 {
        self.of(StateName::Done)
    }

    /// Hosts that wait for what the others say of them.
    pub(super) fn answered(&self) -> u32 {
        self.answered
    }

    pub(super) fn failed(&self) -> u32 {
        self.of(StateName::Failed)
    }

    /// Given up by the user or by the run.
    pub(super) fn cancelled(&self) -> u32 {
        self.of(StateName::Cancelled) + self.of(StateName::Skipped)
    }

    pub(super) fn finals(&self) -> u32 {
        self.active() + self.back() + self.done() + self.failed() + self.cancelled()
    }

    /// Dialling or launching: these hold a place of the fan-out.
    pub(super) fn starting(&self) -> u32 {
        self.of(StateName::Connecting) + self.of(StateName::Launching)
    }

    /// The hook before runs.
    pub(super) fn preparing(&self) -> u32 {
        self.steps[Activation::Before as usize]
    }

    /// Waiting for their batch.
    pub(super) fn ready(&self) -> u32 {
        self.steps[Activation::Ready as usize]
    }

    /// Switching, or running the hook after.
    pub(super) fn switching(&self) -> u32 {
        self.steps[Activation::Switching as usize] + self.steps[Activation::After as usize]
    }
}
