use crate::control::{HostId, LinkCount};

/// Racks that the matrix tells apart; those beyond are counted together in the last one.
const MOST_RACKS: usize = 48;

/// Who feeds whom: bytes between racks, kept as reports come in.
#[derive(Debug, Clone, Default)]
pub struct Flows {
    racks: Vec<String>,
    /// Row-major, the sender's row first; the seeder's row is the last.
    bytes: Vec<u64>,
}

impl Flows {
    pub(super) fn new(names: &[String]) -> Self {
        let mut racks = names.to_vec();
        if racks.len() > MOST_RACKS {
            let rest = racks.len() - (MOST_RACKS - 1);
            racks.truncate(MOST_RACKS - 1);
            racks.push(format!("+{rest} racks"));
        }
        let bytes = vec![0; (racks.len() + 1) * racks.len()];
        Self { racks, bytes }
    }

    /// Names of the racks, in order of the inventory; a fleet without racks has one, without a name.
    pub fn racks(&self) -> &[String] {
        &self.racks
    }

    /// Bytes that hosts of one rack got from those of another, or of their own.
    pub fn between(&self, from: usize, to: usize) -> u64 {
        self.bytes.get(from * self.racks.len() + to).copied().unwrap_or(0)
    }

    /// Bytes that hosts of a rack got from the seeder.
    pub fn from_seeder(&self, to: usize) -> u64 {
        self.between(self.racks.len(), to)
    }

    /// The largest number in the matrix, the seeder's row left out.
    pub fn largest(&self) -> u64 {
        let own = self.racks.len() * self.racks.len();
        self.bytes.iter().take(own).copied().max().unwrap_or(0)
    }

    /// Takes in a new report of one host. Counters start anew with an agent, so only growth is counted.
    pub(super) fn count(
        &mut self,
        to: usize,
        old: &[LinkCount],
        new: &[LinkCount],
        rack: impl Fn(HostId) -> Option<usize>,
    ) {
        let width = self.racks.len();
        for link in new {
            let before = old.iter().find(|known| known.id == link.id).map_or(0, |known| known.down);
            let grown = if link.down >= before { link.down - before } else { link.down };
            let from = if link.id == HostId::SEEDER {
                Some(width)
            } else {
                rack(link.id).map(|rack| rack.min(width - 1))
            };
            let cell =
                from.and_then(|from| self.bytes.get_mut(from * width + to.min(width.saturating_sub(1))));
            if let Some(cell) = cell {
                *cell += grown;
            }
        }
    }
}
