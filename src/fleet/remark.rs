use std::time::Duration;

use crate::control::HostId;
use crate::deploy::{HostState, Mark, StateName};
use crate::units::{format_duration, plural};

use super::{FleetState, HostRecord};

/// How much a remark matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// All is as it should be.
    Quiet,
    /// Good to know.
    Note,
    /// Somebody should look.
    Warn,
    /// It failed.
    Fail,
}

/// What there is to say about a host beside its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// How much it matters.
    pub weight: Weight,
    /// One line; empty if there is nothing to say.
    pub text: String,
}

impl Remark {
    fn new(weight: Weight, text: impl Into<String>) -> Self {
        Self { weight, text: text.into() }
    }
}

impl FleetState {
    /// The one thing to say about a host now, the gravest first.
    pub fn remark(&self, id: HostId, now: u64) -> Remark {
        let Some(host) = self.host(id) else { return Remark::new(Weight::Quiet, "") };
        match &host.state {
            HostState::Failed(failure) => Remark::new(Weight::Fail, failure.message.clone()),
            HostState::Cancelled => Remark::new(Weight::Note, "given up by you"),
            HostState::Skipped { reason } => Remark::new(Weight::Note, reason.clone()),
            _ => trouble(host, now).unwrap_or_else(|| self.normal(host, now)),
        }
    }

    fn normal(&self, host: &HostRecord, now: u64) -> Remark {
        let text = match &host.state {
            HostState::Queued { reason } if !reason.is_empty() => reason.clone(),
            HostState::Queued { .. } => self.queue_reason(host, now),
            HostState::Staged { .. } => return self.staged(host, now),
            HostState::Unpacking if host.unpacked.1 > 0 => {
                format!("{:.0} % unpacked", host.unpacked.0 as f64 * 100.0 / host.unpacked.1 as f64)
            }
            HostState::Done => host.found.as_ref().map_or_else(String::new, |found| found.words()),
            HostState::Verifying => "checking what came".to_owned(),
            _ => String::new(),
        };
        if text.is_empty() && host.is_marked(Mark::SshOnly) {
            return Remark::new(Weight::Note, "ssh only: reaches no other host");
        }
        match host.attempts().last() {
            Some(last) if text.is_empty() && !last.reason.is_empty() && host.name().phase().is_some() => {
                Remark::new(Weight::Note, format!("again after: {}", last.reason))
            }
            _ => Remark::new(Weight::Quiet, text),
        }
    }

    fn queue_reason(&self, host: &HostRecord, now: u64) -> String {
        let dialling = self.counts().of_all(&[StateName::Connecting, StateName::Launching]);
        if dialling == 0 || now.saturating_sub(host.since) < 1000 {
            return String::new();
        }
        format!("waits for a place ({dialling} dialling)")
    }

    fn staged(&self, host: &HostRecord, now: u64) -> Remark {
        let waits = self.plan().is_some_and(|plan| plan.activate) && !self.is_resting();
        if let Some(tag) = &host.back {
            return Remark::new(Weight::Note, format!("rolled back to {tag}"));
        }
        if let Some(reason) = self.shut() {
            return Remark::new(Weight::Note, format!("not activated: {reason}"));
        }
        let text = match self.barrier() {
            _ if host.state == (HostState::Staged { already: true }) && !waits => {
                "was there already".to_owned()
            }
            Some(barrier) if waits && !barrier.open && barrier.held && barrier.waiting == 0 => {
                "held until activated".to_owned()
            }
            Some(barrier) if waits && !barrier.open && now.saturating_sub(host.since) > 1000 => {
                format!("waits for {}", plural(barrier.waiting as usize, "host"))
            }
            _ => String::new(),
        };
        Remark::new(Weight::Quiet, text)
    }
}

fn trouble(host: &HostRecord, now: u64) -> Option<Remark> {
    if let Some(quiet) = host.silence(now) {
        let ago = format_duration(Duration::from_secs(quiet / 1000));
        return Some(Remark::new(Weight::Warn, format!("silent for {}", ago.replace(".0", ""))));
    }
    let mark = host.marks().find(|(mark, _)| matches!(mark, Mark::Stalled | Mark::Slow))?;
    let text = if mark.1.is_empty() { mark.0.as_str() } else { mark.1 };
    Some(Remark::new(Weight::Warn, text))
}
