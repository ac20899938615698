use crate::control::HostId;
use crate::deploy::HostProgress;

/// So many hosts are recorded each second; with more, each of them comes more rarely. 100 lines of 250 bytes a second
/// are 1.5 MB a minute.
const LINES_A_SECOND: usize = 100;
/// A host's progress is recorded at least this often while it moves, in the first [`DOUBLE_AFTER`] bytes.
const RAREST_MS: u64 = 30_000;
/// Each time so many bytes of progress are written, the time between two lines of a host doubles: a run of days stays
/// readable.
const DOUBLE_AFTER: u64 = 16 << 20;

/// Which reports of progress are worth a line. What is held back is not lost: a host's latest report is written before
/// its next change of state.
#[derive(Debug)]
pub(super) struct Thinner {
    every_ms: u64,
    spent: u64,
    slots: Vec<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    written_at: Option<u64>,
    held: Option<Box<HostProgress>>,
}

impl Thinner {
    pub(super) fn new(hosts: usize) -> Self {
        let every_ms = (hosts as u64 * 1000 / LINES_A_SECOND as u64).clamp(1000, RAREST_MS);
        Self { every_ms, spent: 0, slots: std::iter::repeat_with(Slot::default).take(hosts).collect() }
    }

    /// Gives the report back if it is due, else holds it in place of the one held before.
    pub(super) fn progress(
        &mut self,
        at: u64,
        host: HostId,
        mut progress: Box<HostProgress>,
    ) -> Option<Box<HostProgress>> {
        let every_ms = self.every_ms << (self.spent / DOUBLE_AFTER).min(10);
        let slot = self.slots.get_mut(host.index())?;
        // Neighbours come with few reports and would be lost with the one that is replaced.
        if let Some(held) = slot.held.take()
            && progress.links.is_empty()
        {
            progress.links = held.links;
        }
        if slot.written_at.is_some_and(|written| at < written.saturating_add(every_ms)) {
            slot.held = Some(progress);
            return None;
        }
        slot.written_at = Some(at);
        Some(progress)
    }

    /// The report that was held back for a host, before its state changes.
    pub(super) fn release(&mut self, host: HostId) -> Option<Box<HostProgress>> {
        let slot = self.slots.get_mut(host.index())?;
        slot.written_at = None;
        slot.held.take()
    }

    /// Everything that is held back.
    pub(super) fn release_all(&mut self) -> Vec<(HostId, Box<HostProgress>)> {
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(index, slot)| Some((HostId(index as u32), slot.held.take()?))).collect()
    }

    /// Bytes of progress that were written.
    pub(super) fn spent(&mut self, bytes: u64) {
        self.spent += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::LinkCount;

    fn progress(done: u64) -> Box<HostProgress> {
        Box::new(HostProgress { done, ..HostProgress::default() })
    }

    fn lines(hosts: usize, seconds: u64) -> usize {
        let mut thinner = Thinner::new(hosts);
        let mut lines = 0;
        for second in 0..seconds {
            for host in 0..hosts {
                let due = thinner.progress(second * 1000, HostId(host as u32), progress(second));
                lines += usize::from(due.is_some());
            }
        }
        lines
    }

    #[test]
    fn a_small_fleet_is_recorded_each_second_and_a_large_one_stays_small() {
        assert_eq!(lines(24, 60), 24 * 60);
        assert!(lines(1000, 60) <= 6 * 1000);
        assert!(lines(10_000, 60) <= 2 * 10_000);
    }

    #[test]
    fn a_long_run_is_recorded_more_and_more_rarely() {
        let mut thinner = Thinner::new(1);
        assert!(thinner.progress(0, HostId(0), progress(0)).is_some());
        thinner.spent(DOUBLE_AFTER);
        assert!(thinner.progress(1000, HostId(0), progress(1)).is_none());
        assert!(thinner.progress(2000, HostId(0), progress(2)).is_some());
    }

    #[test]
    fn the_last_report_before_a_change_of_state_is_kept_with_its_neighbours() {
        let mut thinner = Thinner::new(1);
        let link = LinkCount { id: HostId::SEEDER, address: None, down: 7, up: 0 };
        assert!(thinner.progress(0, HostId(0), progress(1)).is_some());
        let mut with_links = progress(2);
        with_links.links.push(link);
        assert!(thinner.progress(100, HostId(0), with_links).is_none());
        assert!(thinner.progress(200, HostId(0), progress(3)).is_none());
        let held = thinner.release(HostId(0)).unwrap();
        assert_eq!((held.done, held.links), (3, vec![link]));
        assert!(thinner.release(HostId(0)).is_none());
    }

    #[test]
    fn hosts_that_are_not_of_the_plan_are_ignored() {
        assert!(Thinner::new(1).progress(0, HostId::SEEDER, progress(1)).is_none());
        assert!(Thinner::new(0).release(HostId(0)).is_none());
    }
}
