use std::io::Write;

use super::face::Out;
use super::{Digest, Face, Style, summary};
use crate::deploy::{Body, Event};

/// Prints the summary and nothing else.
#[derive(Debug)]
pub struct Quiet<W> {
    out: Out<W>,
    style: Style,
    digest: Digest,
}

impl<W: Write> Quiet<W> {
    /// Writes to `writer`.
    pub fn new(writer: W, style: Style) -> Self {
        Self { out: Out::new(writer), style, digest: Digest::new() }
    }
}

impl<W: Write + Send> Face for Quiet<W> {
    fn event(&mut self, event: &Event) {
        self.digest.apply(event);
        if matches!(event.body, Body::Finished(_)) {
            self.out.write(&summary(&self.digest, &self.style));
        }
    }

    fn tick(&mut self, _now: u64) {}

    fn trouble(&self) -> Option<String> {
        self.out.trouble()
    }
}
