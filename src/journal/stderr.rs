use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use super::folder;

/// A host's file never grows beyond this, bytes; past it the older half goes.
const LONGEST: u64 = 256 * 1024;

/// The last words of the hosts, each in a file of its own. Files are opened for each batch of lines and closed again:
/// there may be more hosts than descriptors.
#[derive(Debug)]
pub(super) struct LastWords {
    files: Vec<PathBuf>,
    waiting: Vec<(usize, String)>,
}

impl LastWords {
    pub(super) fn new(folder: &std::path::Path, names: impl Iterator<Item = String>) -> Self {
        let files = names.enumerate().map(|(index, name)| folder.join(folder::host_file(&name, index)));
        Self { files: files.collect(), waiting: Vec::new() }
    }

    /// Takes a line, to be written by the next [`Self::flush`].
    pub(super) fn line(&mut self, host: usize, line: &str) {
        if host < self.files.len() {
            self.waiting.push((host, format!("{line}\n")));
        }
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        // Stable: a host's lines keep their order.
        waiting.sort_by_key(|(host, _)| *host);
        for lines in waiting.chunk_by(|a, b| a.0 == b.0) {
            let text: String = lines.iter().map(|(_, line)| line.as_str()).collect();
            self.write(lines[0].0, &text)?;
        }
        Ok(())
    }

    fn write(&self, host: usize, text: &str) -> io::Result<()> {
        let path = &self.files[host];
        let mut file = folder::append(path)?;
        file.write_all(text.as_bytes())?;
        if file.metadata()?.len() > LONGEST {
            let content = fs::read(path)?;
            let from = content.len() - (LONGEST / 2) as usize;
            let line =
                content[from..].iter().position(|byte| *byte == b'\n').map_or(from, |at| from + at + 1);
            file.set_len(0)?;
            file.write_all(&content[line..])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chatty_host_keeps_its_last_words_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut words = LastWords::new(folder.path(), ["web01", "db1"].map(String::from).into_iter());
        for turn in 0..20 {
            for line in 0..1000 {
                words.line(0, &format!("line {turn}/{line} of many that say little"));
            }
            words.flush().unwrap();
        }
        words.line(1, "one");
        words.line(9, "nobody");
        words.flush().unwrap();
        let text = fs::read_to_string(folder.path().join("web01.stderr")).unwrap();
        assert!(text.len() as u64 <= LONGEST, "{}", text.len());
        assert!(text.starts_with("line "), "begins with a whole line");
        assert!(text.ends_with("line 19/999 of many that say little\n"));
        assert_eq!(fs::read_to_string(folder.path().join("db1.stderr")).unwrap(), "one\n");
    }
}
