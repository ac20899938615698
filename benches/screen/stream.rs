//! What comes of a fleet: with ten thousand hosts more than ten thousand events a second.

use murder::control::{HostId, LogLevel, LogSource};
use murder::deploy::{Body, Event, LogLine};

use super::sim;

/// Lines that hosts say in a step, whatever their number. A host reports its progress once a second and no oftener, and some have
/// failed, so reports alone are a little less than ten thousand a second.
const LINES: usize = 80;

/// What comes in a quarter of a second. All reports of a second come at once, at its end: it is harder than what agents do, which
/// begin one after the other.
pub(super) fn step(sim: &mut sim::Sim, hosts: usize) -> Vec<Event> {
    let mut events = sim.step();
    let at = sim.now();
    events.extend((0..LINES).map(|line| {
        let host = (at as usize / 7 + line * 251) % hosts;
        Event { at, body: Body::Log(said(host)) }
    }));
    events
}

fn said(host: usize) -> LogLine {
    LogLine {
        host: Some(HostId(host as u32)),
        level: LogLevel::Info,
        source: LogSource::Stderr,
        message: "warning: setlocale: LC_ALL: cannot change locale (en_US.UTF-8)".to_owned(),
    }
}
