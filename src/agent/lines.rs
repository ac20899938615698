use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::control::{LineError, LogLevel, LogSource, MARKER, MAX_LINE, Progress, Report, encode};

/// Bytes asked of the operator's stream at once.
const READ: usize = 16 << 10;

/// Lines of logs that wait for a slow operator. A hook may say more than its link carries; the run must not wait for that.
const MOST_LOGS: usize = 256;

/// The longest line of a log, bytes: one of a hook that prints a file must not fill the stream.
const MOST_LOG: usize = 4096;

/// Numbered lines that are kept for an operator that comes back: far more than one can be behind.
const MOST_KEPT: usize = 512;

/// Lines of the operator.
pub(super) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new() }
    }

    /// The next line, `None` at the end of the stream. May be dropped and called again: nothing is lost.
    pub(super) async fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.drain(..=end).collect();
                return String::from_utf8(line).map(Some).map_err(io::Error::other);
            }
            if self.buffer.len() > MAX_LINE {
                return Err(io::Error::other(LineError::TooLong(self.buffer.len())));
            }
            self.buffer.reserve(READ);
            if self.input.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Reports that wait to be written. States are kept whatever comes; of progress only the last counts, and of many logs the last ones.
pub(super) struct Outbox<W> {
    output: W,
    lines: VecDeque<Line>,
    logs: usize,
    lost_logs: usize,
    progress: Option<Box<Progress>>,
    /// Bytes of the first line that are written.
    written: usize,
    /// The last numbered lines, written or not.
    kept: VecDeque<Line>,
    /// Number of the first of them.
    kept_from: u64,
}

#[derive(Clone)]
struct Line {
    bytes: Bytes,
    is_log: bool,
}

impl<W: AsyncWrite + Unpin> Outbox<W> {
    pub(super) fn new(output: W) -> Self {
        Self {
            output,
            lines: VecDeque::new(),
            logs: 0,
            lost_logs: 0,
            progress: None,
            written: 0,
            kept: VecDeque::new(),
            kept_from: 0,
        }
    }

    /// The first line: login shells may have printed something before it.
    pub(super) fn introduce(&mut self, hello: &Report) {
        if let Ok(line) = encode(hello) {
            let bytes = [b"\n", MARKER.as_bytes(), b" ", &line].concat().into();
            self.lines.push_back(Line { bytes, is_log: false });
        }
    }

    pub(super) fn push(&mut self, report: Report) {
        let report = match report {
            Report::Progress(progress) => {
                self.progress = Some(progress);
                return;
            }
            Report::Log { level, source, message } => return self.push_log(level, source, &message),
            report => report,
        };
        // Progress that was told before a change of state stays before it.
        self.flush_progress();
        match encode(&report) {
            Ok(bytes) => self.enqueue(Line { bytes: bytes.into(), is_log: false }, report.is_numbered()),
            Err(error) => {
                self.push_log(LogLevel::Error, LogSource::Murder, &format!("cannot tell a report: {error}"));
            }
        }
    }

    fn push_log(&mut self, level: LogLevel, source: LogSource, message: &str) {
        if self.logs >= MOST_LOGS {
            self.lost_logs += 1;
            return;
        }
        if self.lost_logs > 0 {
            let lost = format!("({} lines are left out here)", self.lost_logs);
            self.lost_logs = 0;
            self.push_log(level, source, &lost);
        }
        let message = shortened(message, MOST_LOG);
        if let Ok(bytes) = encode(&Report::Log { level, source, message }) {
            self.logs += 1;
            self.enqueue(Line { bytes: bytes.into(), is_log: true }, true);
        }
    }

    fn enqueue(&mut self, line: Line, numbered: bool) {
        if numbered {
            self.kept.push_back(line.clone());
            if self.kept.len() > MOST_KEPT {
                self.kept.pop_front();
                self.kept_from += 1;
            }
        }
        self.lines.push_back(line);
    }

    /// Goes on over another stream, behind the first `heard` numbered lines; `requests` were heard here.
    pub(super) fn resume(&mut self, output: W, heard: u64, requests: u64) {
        (self.output, self.written) = (output, 0);
        let next = heard.clamp(self.kept_from, self.kept_from + self.kept.len() as u64);
        let unheard = self.kept.iter().skip((next - self.kept_from) as usize).cloned();
        let first = encode(&Report::Resumed { heard: requests, next });
        let first = first.into_iter().map(|bytes| Line { bytes: bytes.into(), is_log: false });
        self.lines = first.chain(unheard).collect();
        self.logs = self.lines.iter().filter(|line| line.is_log).count();
    }

    fn flush_progress(&mut self) {
        if let Some(bytes) =
            self.progress.take().and_then(|progress| encode(&Report::Progress(progress)).ok())
        {
            self.lines.push_back(Line { bytes: bytes.into(), is_log: false });
        }
    }

    /// Writes some of what waits; never ends when nothing does. May be dropped and called again.
    pub(super) async fn write_some(&mut self) -> io::Result<()> {
        if self.lines.is_empty() {
            self.flush_progress();
        }
        let Some(line) = self.lines.front() else { return std::future::pending().await };
        let rest = &line.bytes[self.written..];
        let wrote = self.output.write(rest).await?;
        if wrote == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.written += wrote;
        if wrote == rest.len() {
            self.logs -= usize::from(line.is_log);
            self.lines.pop_front();
            self.written = 0;
            if self.lines.is_empty() && self.progress.is_none() {
                self.output.flush().await?;
            }
        }
        Ok(())
    }

    /// Writes all that waits.
    pub(super) async fn write_all(&mut self) -> io::Result<()> {
        while !self.lines.is_empty() || self.progress.is_some() {
            self.write_some().await?;
        }
        self.output.flush().await
    }
}

/// At most so many bytes of a message.
pub(super) fn shortened(message: &str, most: usize) -> String {
    let mut end = message.len().min(most);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    if end < message.len() { format!("{}…", &message[..end]) } else { message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(message: &str) -> Report {
        let (level, source) = (LogLevel::Info, LogSource::Hook);
        Report::Log { level, source, message: message.to_owned() }
    }

    fn progress(done: u64) -> Report {
        Report::Progress(Box::new(Progress { done, ..Progress::default() }))
    }

    async fn written(reports: Vec<Report>) -> Vec<Report> {
        let mut bytes = Vec::new();
        let mut outbox = Outbox::new(&mut bytes);
        for report in reports {
            outbox.push(report);
        }
        outbox.write_all().await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(|line| crate::control::decode(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn of_progress_the_last_is_told_and_states_are_kept_in_order() {
        let told =
            written(vec![progress(1), progress(2), Report::Verified, progress(3), Report::Ready]).await;
        assert_eq!(told, [progress(2), Report::Verified, progress(3), Report::Ready]);
    }

    #[tokio::test]
    async fn a_flood_of_logs_is_cut_and_says_so() {
        let mut reports: Vec<_> = (0..MOST_LOGS + 10).map(|line| log(&line.to_string())).collect();
        reports.push(Report::Ready);
        let told = written(reports).await;
        assert_eq!(told.len(), MOST_LOGS + 1);
        assert_eq!(told.last(), Some(&Report::Ready));
        let long = written(vec![log(&"ä".repeat(100_000))]).await;
        assert!(matches!(&long[0], Report::Log { message, .. } if message.len() < MOST_LOG + 8));
    }

    #[tokio::test]
    async fn over_another_stream_what_was_not_heard_is_told_again_and_nothing_else() {
        let mut outbox = Outbox::new(Vec::new());
        for report in [Report::Verified, progress(1), log("a"), Report::Ready] {
            outbox.push(report);
        }
        outbox.write_some().await.unwrap();
        for (heard, told) in [(0, 3), (1, 2), (3, 0), (9, 0)] {
            outbox.resume(Vec::new(), heard, 7);
            outbox.write_all().await.unwrap();
            let text = String::from_utf8(outbox.output.clone()).unwrap();
            let lines: Vec<Report> = text.lines().map(|line| crate::control::decode(line).unwrap()).collect();
            assert_eq!(lines[0], Report::Resumed { heard: 7, next: heard.min(3) });
            assert_eq!(lines.len(), 1 + told, "{lines:?}");
        }
        assert_eq!(outbox.logs, 0);
        (0..2000).for_each(|_| outbox.push(Report::Ready));
        outbox.resume(Vec::new(), 3, 7);
        assert_eq!(outbox.lines.len(), 1 + MOST_KEPT, "what is kept is bounded");
    }

    #[tokio::test]
    async fn lines_come_whole_however_they_are_cut() {
        let (mut theirs, ours) = tokio::io::duplex(3);
        tokio::spawn(async move {
            theirs.write_all(b"one\ntwo and more\nrest").await.unwrap();
        });
        let mut lines = Lines::new(ours);
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("one\n"));
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("two and more\n"));
        assert_eq!(lines.next_line().await.unwrap(), None, "a line that was cut off is none");
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused() {
        let mut lines = Lines::new(tokio::io::repeat(b'x'));
        assert!(lines.next_line().await.is_err());
    }
}
