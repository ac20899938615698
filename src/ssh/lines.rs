use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes asked for at once.
const CHUNK: usize = 16 * 1024;

/// Reads lines of bounded length. Nothing is lost when a read is given up half-way.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Of the buffer, bytes that are known to hold no newline.
    searched: usize,
    longest: usize,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, longest: usize) -> Self {
        Self { reader, buffer: Vec::new(), searched: 0, longest, ended: false }
    }

    /// The next line without its newline, or what follows the last one; `None` at the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=self.searched + at).collect();
                self.searched = 0;
                return Ok(Some(text(&line[..line.len() - 1])));
            }
            self.searched = self.buffer.len();
            if self.ended {
                self.searched = 0;
                let rest = std::mem::take(&mut self.buffer);
                return Ok((!rest.is_empty()).then(|| text(&rest)));
            }
            if self.buffer.len() > self.longest {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("a line is longer than {} bytes", self.longest),
                ));
            }
            // Reading into the buffer itself keeps it whole when this future is dropped.
            self.buffer.reserve(CHUNK);
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                self.ended = true;
            }
        }
    }

    /// Lines from here on may be so long.
    pub(super) fn allow(&mut self, longest: usize) {
        self.longest = longest;
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_whole_and_the_last_one_too() {
        let mut lines = Lines::new(&b"a\r\n\nb\xffc\nlast"[..], 100);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        assert_eq!(all, ["a", "", "b\u{fffd}c", "last"]);
    }

    #[tokio::test]
    async fn a_line_without_end_is_an_error_and_not_a_full_memory() {
        let endless = tokio::io::repeat(b'x');
        assert!(Lines::new(endless, 64 * 1024).next().await.is_err());
    }
}
