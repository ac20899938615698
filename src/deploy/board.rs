use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::control::{HostId, Progress};

/// The latest progress of each host: what is not read before the next report comes is never seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Board(Arc<Mutex<BTreeMap<HostId, (u32, Progress)>>>);

impl Board {
    /// Replaces what is there of the host, but for parts that are not in every report.
    pub(super) fn put(&self, host: HostId, attempt: u32, mut progress: Progress) {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, old)) = board.remove(&host) {
            if progress.links.is_empty() {
                progress.links = old.links;
            }
            progress.pieces = progress.pieces.or(old.pieces);
        }
        board.insert(host, (attempt, progress));
    }

    /// Forgets what an attempt said, because something of more weight follows it.
    pub(super) fn drop_of(&self, host: HostId, attempt: u32) {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if board.get(&host).is_some_and(|(at, _)| *at == attempt) {
            board.remove(&host);
        }
    }

    /// All that came since the last call.
    pub(super) fn take(&self) -> BTreeMap<HostId, (u32, Progress)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_wins_and_nothing_rare_is_lost() {
        let board = Board::default();
        let host = HostId(3);
        board.put(host, 1, Progress { done: 1, pieces: Some("f0".into()), ..Progress::default() });
        board.put(host, 1, Progress { done: 2, ..Progress::default() });
        let taken = board.take();
        assert_eq!(taken[&host].1.done, 2);
        assert_eq!(taken[&host].1.pieces.as_deref(), Some("f0"));
        assert!(board.take().is_empty());
    }
}
