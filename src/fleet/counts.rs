use crate::deploy::StateName;

/// Hosts by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    by_state: [u32; StateName::ALL.len()],
}

impl Counts {
    /// Hosts in a state.
    pub fn of(&self, state: StateName) -> u32 {
        self.by_state[state as usize]
    }

    /// Hosts in any of these states.
    pub fn of_all(&self, states: &[StateName]) -> u32 {
        states.iter().map(|state| self.of(*state)).sum()
    }

    /// All hosts.
    pub fn total(&self) -> u32 {
        self.by_state.iter().sum()
    }

    /// Hosts that were given up.
    pub fn failed(&self) -> u32 {
        self.of(StateName::Failed)
    }

    /// Hosts that carry the release, staged or active, or on which an errand is done.
    pub fn done(&self) -> u32 {
        self.of_all(&[StateName::Staged, StateName::Active, StateName::Done])
    }

    /// Hosts that somebody works on now, from dialling to activation; those that wait for a place are not among them.
    pub fn moving(&self) -> u32 {
        StateName::ALL.into_iter().filter(|state| state.phase().is_some()).map(|state| self.of(state)).sum()
    }

    /// Hosts that are neither in a final state nor staged.
    pub fn in_flight(&self) -> u32 {
        self.moving() + self.of(StateName::Queued)
    }

    /// Hosts that the user or the end of the run kept from going on.
    pub fn left_out(&self) -> u32 {
        self.of_all(&[StateName::Cancelled, StateName::Skipped])
    }

    pub(super) fn add(&mut self, state: StateName) {
        self.by_state[state as usize] += 1;
    }

    pub(super) fn change(&mut self, from: StateName, to: StateName) {
        let from = &mut self.by_state[from as usize];
        *from = from.saturating_sub(1);
        self.add(to);
    }
}
