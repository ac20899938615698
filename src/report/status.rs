use std::time::Duration;

use super::Digest;
use crate::deploy::StateName;
use crate::units::{format_clock, format_rate, plural};

impl Digest {
    /// The run in one line: `fetching 3, staged 2, failed 1 of 6 hosts; 43 %, 12.3 MB/s, seeder 0.71 copies, 0:14 left`.
    pub fn status_line(&self) -> String {
        let states: Vec<String> = StateName::ALL
            .into_iter()
            .filter(|state| self.count(*state) > 0)
            .map(|state| format!("{state} {}", self.count(state)))
            .collect();
        let mut parts = vec![format!("{} of {}", states.join(", "), plural(self.hosts.len(), "host"))];
        let mut numbers = Vec::new();
        if let Some(share) = self.share_done() {
            numbers.push(format!("{:.0} %", (share * 100.0).floor()));
        }
        if self.count(StateName::Fetching) > 0 {
            numbers.push(format_rate(self.rate));
            if let Some(copies) = self.copies(self.seeder.sent) {
                numbers.push(format!("seeder {copies:.2} copies"));
            }
            if let Some(left) = self.seconds_left() {
                numbers.push(format!("{} left", format_clock(Duration::from_secs(left))));
            }
        }
        if !numbers.is_empty() {
            parts.push(numbers.join(", "));
        }
        parts.join("; ")
    }

    /// Bytes as a number of copies of the artifact, `None` if nothing is shipped.
    pub(super) fn copies(&self, bytes: u64) -> Option<f64> {
        let packed = self.info.as_ref().map(|info| info.packed_bytes).filter(|packed| *packed > 0)?;
        Some(bytes as f64 / packed as f64)
    }

    /// What is fetched, of what the hosts that are not given up must have; from 0 to 1.
    fn share_done(&self) -> Option<f64> {
        let packed = self.info.as_ref().map(|info| info.packed_bytes).filter(|packed| *packed > 0)?;
        let gone = |state| matches!(state, StateName::Failed | StateName::Cancelled | StateName::Skipped);
        let (mut done, mut total) = (0, 0);
        for host in self.hosts.iter().filter(|host| !gone(host.state)) {
            done += if host.state > StateName::Fetching { packed } else { host.done.min(packed) };
            total += packed;
        }
        (total > 0).then(|| done as f64 / total as f64)
    }

    /// Until the slowest host that moves has fetched everything, at its rate of now.
    fn seconds_left(&self) -> Option<u64> {
        let packed = self.info.as_ref()?.packed_bytes;
        let fetching =
            self.hosts.iter().filter(|host| host.state == StateName::Fetching && host.down_rate > 0);
        fetching.map(|host| packed.saturating_sub(host.done).div_ceil(host.down_rate)).max()
    }
}
