use std::io::Write;

use super::face::Out;
use super::{Face, Style, summary};
use crate::deploy::{Body, Event};
use crate::fleet::FleetState;

/// Prints the summary and nothing else.
#[derive(Debug)]
pub struct Quiet<W> {
    out: Out<W>,
    style: Style,
    fleet: FleetState,
}

impl<W: Write> Quiet<W> {
    /// Writes to `writer`.
    pub fn new(writer: W, style: Style) -> Self {
        Self { out: Out::new(writer), style, fleet: FleetState::new() }
    }
}

impl<W: Write + Send> Face for Quiet<W> {
    fn event(&mut self, event: &Event) {
        self.fleet.apply(event);
        if matches!(event.body, Body::Finished(_)) {
            self.out.write(&summary(&self.fleet, &self.style));
        }
    }

    fn tick(&mut self, _now: u64) {}

    fn trouble(&self) -> Option<String> {
        self.out.trouble()
    }
}
