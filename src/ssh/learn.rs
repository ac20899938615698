use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::client::Warn;
use super::known_hosts::{KnownHosts, Stamp};

/// Keys waiting to be written; more than a full fan-out learns at once.
const WAITING: usize = 1024;

/// Hands new host keys to the one task that writes them.
#[derive(Clone)]
pub(super) struct Learner {
    sender: mpsc::Sender<Job>,
}

enum Job {
    Append { file: PathBuf, line: String },
    Flush(oneshot::Sender<()>),
}

impl Learner {
    /// Starts the writer on a runtime. It ends when the last learner is gone and all is written.
    pub(super) fn start(runtime: &tokio::runtime::Handle, hosts: Arc<KnownHosts>, warn: Warn) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        runtime.spawn(write_all(receiver, hosts, warn));
        Self { sender }
    }

    /// Has a line, newline included, appended to a file.
    pub(super) async fn append(&self, file: PathBuf, line: String) {
        // Nobody receives only when the runtime is going down.
        let _ = self.sender.send(Job::Append { file, line }).await;
    }

    /// Returns when all that was appended before is on disk.
    pub(super) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.sender.send(Job::Flush(done)).await.is_ok() {
            let _ = written.await;
        }
    }
}

async fn write_all(mut jobs: mpsc::Receiver<Job>, hosts: Arc<KnownHosts>, warn: Warn) {
    let mut warned = std::collections::HashSet::new();
    let mut batch = Vec::new();
    while jobs.recv_many(&mut batch, WAITING).await > 0 {
        let mut texts: BTreeMap<PathBuf, String> = BTreeMap::new();
        let mut flushes = Vec::new();
        for job in batch.drain(..) {
            match job {
                Job::Append { file, line } => texts.entry(file).or_default().push_str(&line),
                Job::Flush(done) => flushes.push(done),
            }
        }
        for (file, text) in texts {
            let hosts = Arc::clone(&hosts);
            let path = file.clone();
            let written = tokio::task::spawn_blocking(move || {
                let before = Stamp::of(&path);
                append(&path, &text)?;
                hosts.appended(&path, before);
                Ok::<(), std::io::Error>(())
            });
            if let Ok(Err(error)) = written.await
                && warned.insert(file.clone())
            {
                warn(format!("new host keys cannot be written to {}: {error}", file.display()));
            }
        }
        for done in flushes {
            let _ = done.send(());
        }
    }
}

/// Appends whole lines in one write and waits for the disk. A last line that somebody left without a newline gets one.
fn append(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = std::fs::OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let separator = if last == *b"\n" { "" } else { "\n" };
    file.write_all(format!("{separator}{text}").as_bytes())?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended_whole_whatever_was_there() {
        let folder = tempfile::tempdir().unwrap();
        for (name, before, after) in [
            ("new", None, "b\n"),
            ("empty", Some(""), "b\n"),
            ("ended", Some("a\n"), "a\nb\n"),
            ("open", Some("a"), "a\nb\n"),
        ] {
            let path = folder.path().join("made").join(name);
            if let Some(before) = before {
                std::fs::write(&path, before).unwrap();
            }
            append(&path, "b\n").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after, "{name}");
        }
    }

    #[tokio::test]
    async fn a_thousand_tasks_that_learn_at_once_leave_a_thousand_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        let learner =
            Learner::start(&tokio::runtime::Handle::current(), Arc::default(), Arc::new(|_: String| {}));
        let tasks: Vec<_> = (0..1000)
            .map(|i| {
                let (learner, path) = (learner.clone(), path.clone());
                tokio::spawn(async move { learner.append(path, format!("line {i}\n")).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        learner.flush().await;
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1000);
        assert!(text.lines().all(|line| line.starts_with("line ")));
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_is_warned_about_once() {
        let folder = tempfile::tempdir().unwrap();
        let warnings = Arc::new(std::sync::Mutex::new(Vec::new()));
        let warn: Warn = {
            let warnings = Arc::clone(&warnings);
            Arc::new(move |warning| warnings.lock().unwrap().push(warning))
        };
        let learner = Learner::start(&tokio::runtime::Handle::current(), Arc::default(), warn);
        for _ in 0..3 {
            learner.append(folder.path().to_owned(), "x\n".into()).await;
            learner.flush().await;
        }
        assert_eq!(warnings.lock().unwrap().len(), 1);
    }
}
