use std::io::{self, ErrorKind, Write};

use crate::deploy::Event;

/// Something that prints a run while it goes on. Nothing it meets stops the run: a reader that left is no reason to
/// leave hosts half deployed.
pub trait Face: Send {
    /// Takes the next event.
    fn event(&mut self, event: &Event);

    /// Nothing happened for a while; `now` is milliseconds since the epoch. Once a second is enough.
    fn tick(&mut self, now: u64);

    /// A question stands at the terminal, or is answered: what would be printed over it waits until then.
    fn hold(&mut self, _on: bool) {}

    /// Why output is missing, unless its reader just closed the pipe.
    fn trouble(&self) -> Option<String>;
}

/// Where a face writes. After the first error it stays silent.
#[derive(Debug)]
pub(super) struct Out<W> {
    writer: W,
    failed: Option<io::Error>,
}

impl<W: Write> Out<W> {
    pub(super) fn new(writer: W) -> Self {
        Self { writer, failed: None }
    }

    pub(super) fn write(&mut self, text: &str) {
        if text.is_empty() || self.failed.is_some() {
            return;
        }
        self.failed = self.writer.write_all(text.as_bytes()).and_then(|()| self.writer.flush()).err();
    }

    pub(super) fn trouble(&self) -> Option<String> {
        let error = self.failed.as_ref().filter(|error| error.kind() != ErrorKind::BrokenPipe)?;
        Some(format!("cannot write the output: {error}"))
    }
}
