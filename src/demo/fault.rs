use std::fmt;

use crate::control::{FailureKind, Phase};

/// What is wrong with a made-up host. It lasts until the host has failed, then the host heals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nothing listens on the port.
    Refused,
    /// The account does not know the fleet's key.
    Auth,
    /// Another key answers than known_hosts says.
    HostKey,
    /// The folder above DEST cannot be written to.
    Permission,
    /// The agent is killed in the middle of the fetch.
    Lost,
    /// The agent is stopped in the middle of the fetch.
    Stalled,
    /// The hook before activation fails.
    Hook,
}

/// What is done to the processes of a host whose fault shows in the middle of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strike {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Stop,
}

/// A fault of the transfer waits for this share of it, so that there is something to resume.
const STRIKES_AT: f64 = 0.25;

impl Fault {
    /// All faults, in the order in which they are dealt.
    pub const ALL: [Self; 7] =
        [Self::Refused, Self::Auth, Self::HostKey, Self::Permission, Self::Lost, Self::Stalled, Self::Hook];

    /// The kind of failure that it leads to.
    pub fn kind(self) -> FailureKind {
        match self {
            Self::Refused => FailureKind::Refused,
            Self::Auth => FailureKind::Auth,
            Self::HostKey => FailureKind::HostKey,
            Self::Permission => FailureKind::Permission,
            Self::Lost => FailureKind::Lost,
            Self::Stalled => FailureKind::Stalled,
            Self::Hook => FailureKind::Hook,
        }
    }

    /// What it does to a host's processes in this phase with this share of the bytes there, if anything.
    pub(super) fn strikes(self, phase: Phase, done_share: f64) -> Option<Strike> {
        let strike = match self {
            Self::Lost => Strike::Kill,
            Self::Stalled => Strike::Stop,
            _ => return None,
        };
        // A fetch may be over before its first report: then the next phase is struck.
        let now = match phase {
            Phase::Fetching => done_share >= STRIKES_AT,
            Phase::Verifying | Phase::Unpacking => true,
            _ => false,
        };
        now.then_some(strike)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().as_str())
    }
}

/// Spreads `fail` faults evenly over the hosts, their kinds in turn. `fail` is at most `hosts`.
pub(super) fn deal(hosts: usize, fail: usize) -> Vec<Option<Fault>> {
    let mut dealt = vec![None; hosts];
    for (turn, fault) in Fault::ALL.into_iter().cycle().take(fail).enumerate() {
        // The middle of its stretch: the first host, which a canary would be, stays well if it can.
        if let Some(place) = dealt.get_mut((2 * turn + 1) * hosts / (2 * fail)) {
            *place = Some(fault);
        }
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_hosts_fail_as_were_asked_for_and_of_every_kind_in_turn() {
        for hosts in 1..60 {
            for fail in 0..=hosts {
                let dealt: Vec<Fault> = deal(hosts, fail).into_iter().flatten().collect();
                assert_eq!(dealt.len(), fail, "{fail} of {hosts}");
                for (place, fault) in dealt.into_iter().enumerate() {
                    assert_eq!(fault, Fault::ALL[place % Fault::ALL.len()]);
                }
            }
        }
    }

    #[test]
    fn transfers_are_struck_in_the_middle_and_nothing_else_is() {
        let table = [
            (Fault::Lost, Phase::Launching, 0.0, None),
            (Fault::Lost, Phase::Fetching, 0.0, None),
            (Fault::Lost, Phase::Fetching, 0.25, Some(Strike::Kill)),
            (Fault::Stalled, Phase::Fetching, 0.9, Some(Strike::Stop)),
            (Fault::Stalled, Phase::Verifying, 0.0, Some(Strike::Stop)),
            (Fault::Lost, Phase::Unpacking, 0.0, Some(Strike::Kill)),
            (Fault::Lost, Phase::Activating, 1.0, None),
            (Fault::Hook, Phase::Fetching, 0.5, None),
            (Fault::Refused, Phase::Fetching, 0.5, None),
        ];
        for (fault, phase, share, strike) in table {
            assert_eq!(fault.strikes(phase, share), strike, "{fault} in {phase} at {share}");
        }
    }
}
