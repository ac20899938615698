use std::net::SocketAddr;

use crate::control::{Checked, FailureKind, HostId, LogLevel, LogSource, Phase, Progress, Report, SAME_DEST};

use super::coordinator::{Coordinator, Order};
use super::event::{Body, HostProgress, HostState};
use super::host::Input;

impl Coordinator {
    /// An agent said something.
    pub(super) fn said(&mut self, id: HostId, report: Report) {
        match report {
            Report::Checked(checked) => self.checked(id, *checked),
            Report::Joined { done, reused } => {
                let now = self.now;
                let entry = &mut self.hosts[id.index()];
                entry.moved_at = now;
                entry.reused += reused;
                entry.progress.done = done;
                entry.progress.total = self.packed.as_ref().map_or(0, |info| info.packed_bytes);
                entry.to_fetch = entry.progress.total.saturating_sub(done);
                self.show_progress(id);
            }
            Report::Progress(progress) => self.progress(id, *progress),
            Report::Fetched(progress) => {
                self.progress(id, *progress);
                self.step(id, Input::Fetched);
            }
            Report::Verified => self.step(id, Input::Verified),
            Report::Unpacking { done, total } => self.unpacking(id, done, total),
            Report::Staged { already } => self.step(id, Input::Staged { already }),
            Report::Ready => self.step(id, Input::Ready),
            Report::Activated { previous, .. } => {
                self.switched(id, previous);
                self.step(id, Input::Activated);
            }
            Report::SwitchedBack { tag } => {
                self.hosts[id.index()].switched_at = None;
                self.orders.push(Order::Emit(Body::RolledBack { host: id, tag }));
            }
            Report::Settled => self.step(id, Input::Settled),
            Report::Failed(failure) => self.failed(id, failure),
            report @ Report::Probed { .. } if self.book.errand.is_some() => self.answered(id, report),
            Report::Probed { open, closed } => self.probed(id, &open, &closed),
            Report::BadPiece { from, piece } => {
                let sender = self.book.names.get(from.index()).map_or("the seeder", String::as_str);
                let message = format!(
                    "{sender} sent piece {piece} with wrong bytes; it was dropped and the piece asked again"
                );
                self.log(Some(id), LogLevel::Warn, LogSource::Murder, message);
                if from.index() < self.hosts.len() {
                    let changes = self.links.cut(id, from);
                    self.tell(changes);
                }
            }
            Report::Releases { .. } | Report::Cleaned { .. } => self.answered(id, report),
            Report::Hello(_)
            | Report::Resumable { .. }
            | Report::Resumed { .. }
            | Report::Log { .. }
            | Report::Bye { .. } => {}
        }
    }

    fn switched(&mut self, id: HostId, previous: Option<String>) {
        let at = self.now;
        let entry = &mut self.hosts[id.index()];
        entry.switched = entry.back.is_none();
        entry.switched_at = Some(at).filter(|_| entry.switched);
        let body = match &entry.back {
            Some(tag) => Body::RolledBack { host: id, tag: tag.clone() },
            None => {
                // A second activation of the same release has nothing new to go back to.
                let before = previous.filter(|tag| *tag != self.book.tag);
                entry.previous = before.or(entry.previous.take());
                Body::Activated { host: id, at, previous: entry.previous.clone() }
            }
        };
        self.orders.push(Order::Emit(body));
    }

    fn checked(&mut self, id: HostId, checked: Checked) {
        let twin = self.hosts.iter().zip(self.ids()).find(|(entry, other)| {
            *other != id && entry.agent && entry.place.as_deref() == Some(checked.place.as_str())
        });
        if let Some((_, twin)) = twin {
            let message = format!("{SAME_DEST}{}", self.book.names[twin.index()]);
            return self.fail(id, Phase::Checking, FailureKind::Locked, message);
        }
        if let Some(owner) = &checked.took_over {
            let message = format!("took over the lock of {owner}, which is gone");
            self.log(Some(id), LogLevel::Warn, LogSource::Murder, message);
        }
        self.note_checkup(id, &checked);
        let entry = &mut self.hosts[id.index()];
        entry.past_gate = true;
        entry.place = Some(checked.place);
        entry.port = checked.port;
        entry.holdings = checked.holdings;
        entry.addresses =
            checked.addresses.iter().map(|address| SocketAddr::new(*address, checked.port)).collect();
        self.ready(id, checked.present);
    }

    fn progress(&mut self, id: HostId, progress: Progress) {
        let now = self.now;
        let entry = &mut self.hosts[id.index()];
        if !entry.agent {
            // It was counted when its agent left.
            return;
        }
        if progress.done > entry.progress.done {
            entry.moved_at = now;
        }
        entry.progress = progress;
        self.see_rates(id);
        self.show_progress(id);
    }

    fn show_progress(&mut self, id: HostId) {
        let entry = &self.hosts[id.index()];
        if entry.host.state() != HostState::Fetching {
            return;
        }
        let report = &entry.progress;
        let progress = HostProgress {
            done: report.done,
            total: report.total,
            down: report.down,
            up: report.up,
            down_rate: report.down_rate,
            up_rate: report.up_rate,
            peers: report.peers,
            reused: entry.reused,
            from_seeder: report.from_seeder,
            duplicate: report.duplicate,
            wait: report.wait,
            links: report.links.clone(),
        };
        self.orders.push(Order::Emit(Body::Progress { host: id, progress: Box::new(progress) }));
    }

    fn unpacking(&mut self, id: HostId, done: u64, total: u64) {
        let now = self.now;
        let entry = &mut self.hosts[id.index()];
        entry.moved_at = now;
        let report = &entry.progress;
        let progress = HostProgress {
            done,
            total,
            down: report.down,
            up: report.up,
            up_rate: report.up_rate,
            peers: report.peers,
            reused: entry.reused,
            from_seeder: report.from_seeder,
            duplicate: report.duplicate,
            ..HostProgress::default()
        };
        self.orders.push(Order::Emit(Body::Progress { host: id, progress: Box::new(progress) }));
    }
}
