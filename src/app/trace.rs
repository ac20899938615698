use std::fs::File;
use std::io::{self, Write};
use std::sync::Mutex;

use tracing_subscriber::filter::EnvFilter;

/// The trace stops here, bytes: a fault that repeats itself must not fill the disk.
const MOST: u64 = 32 << 20;

/// Sends what this process traces to a file, for the life of the process, and nothing to the terminal: the screen is
/// drawn there. The first call counts. What libraries trace stays at warnings until more is asked for with `-v`; of SSH
/// itself nothing is traced that could hold a secret.
pub(super) fn trace_to(file: File, verbose: u8) {
    let levels = match verbose {
        0 => "warn,murder=info",
        1 => "info,murder=debug",
        _ => "info,murder=trace,librqbit=debug",
    };
    // Somebody who embeds this has a subscriber of their own; then there is nothing to do here.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(levels))
        .with_writer(Mutex::new(Bounded { file, left: MOST }))
        .with_ansi(false)
        .try_init();
}

/// A file that takes so many bytes and passes over the rest.
struct Bounded<W> {
    file: W,
    left: u64,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.left > 0 {
            self.file.write_all(line)?;
            self.left = self.left.saturating_sub(line.len() as u64);
            if self.left == 0 {
                self.file.write_all(b"the trace ends here: it is too long\n")?;
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_ends_at_its_limit_and_says_so() {
        let mut trace = Bounded { file: Vec::new(), left: 8 };
        for line in ["one\n", "two or three\n", "four\n"] {
            assert_eq!(trace.write(line.as_bytes()).unwrap(), line.len());
        }
        assert_eq!(trace.file, b"one\ntwo or three\nthe trace ends here: it is too long\n");
    }
}
