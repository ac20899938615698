use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::folder::{self, EVENTS, HOSTS, LOG, RECORD, STATUS, TRACE};
use super::record::{Meta, Outcome, Record, Status};
use super::stderr::LastWords;
use super::thin::Thinner;
use super::{JournalError, rfc3339};
use crate::control::{HostId, LogSource};
use crate::deploy::{Body, Event, HostProgress, HostState, LogLine, Plan, Summary};

/// Events on their way to the disk. A burst in which every host of a large fleet changes its state at once fits, so
/// that the run does not wait for the disk.
const QUEUE: usize = 16 * 1024;
/// What is written reaches the file at least this often.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// So many events are written before a change of state among them is flushed.
const BATCH: usize = 256;
/// Lines of remote output and of the log stop here, bytes: a host that talks without end must not fill the disk.
const LOG_LIMIT: u64 = 32 << 20;

/// Writes a run to its folder, on a thread of its own.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    queue: Option<SyncSender<Event>>,
    thread: Option<JoinHandle<()>>,
    trouble: Trouble,
}

/// The first thing that could not be written.
type Trouble = Arc<Mutex<Option<JournalError>>>;

impl Journal {
    /// Makes `root/RUN/`, which must not be there, and writes what was asked for. `plan.folder` is not looked at.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be made.
    pub fn create(root: &Path, plan: &Plan, meta: Meta) -> Result<Self, JournalError> {
        folder::make_folders(root)?;
        let folder = root.join(&plan.run.0);
        folder::make_run_folder(&folder)?;
        let writer = Writer::new(&folder, plan, meta)?;
        let trouble = Trouble::default();
        let (queue, events) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn({
                let trouble = Arc::clone(&trouble);
                move || writer.run(&events, &trouble)
            })
            .map_err(JournalError::io("start the thread that writes", &folder))?;
        Ok(Self { folder, queue: Some(queue), thread: Some(thread), trouble })
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens the file for what the process traces, readable by its owner alone.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn trace(&self) -> Result<File, JournalError> {
        let path = self.folder.join(TRACE);
        folder::append(&path).map_err(JournalError::io("create", path))
    }

    /// Records an event. Progress is dropped while the disk lags; anything else waits for it, and so does the caller then.
    pub fn write(&self, event: &Event) {
        let Some(queue) = &self.queue else { return };
        // A closed queue means that the thread ended; what it ended of is told by `trouble` and `close`.
        if matches!(event.body, Body::Progress { .. } | Body::Seeder(_) | Body::Packing { .. }) {
            let _ = queue.try_send(event.clone());
        } else {
            let _ = queue.send(event.clone());
        }
    }

    /// The first thing that could not be written, for a face to show. The run goes on without its record.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(ToString::to_string)
    }

    /// Writes what waits and ends the record.
    ///
    /// # Errors
    /// The first thing that could not be written since the start.
    pub fn close(mut self) -> Result<(), JournalError> {
        self.end();
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    fn end(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // Only a panic makes this fail, and it has been printed.
            let _ = thread.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.end();
    }
}

struct Writer {
    folder: PathBuf,
    events: BufWriter<File>,
    log: BufWriter<File>,
    log_spent: u64,
    words: LastWords,
    names: Vec<String>,
    thinner: Thinner,
    record: Record,
    status: Status,
    packing_at: Option<u64>,
}

impl Writer {
    fn new(folder: &Path, plan: &Plan, meta: Meta) -> Result<Self, JournalError> {
        let open = |name: &str| {
            let path = folder.join(name);
            folder::append(&path).map_err(JournalError::io("create", path))
        };
        let events = open(EVENTS)?;
        // Held as long as the file is open: by it a reader tells a run that goes on from one that was killed. Where
        // the file system knows no locks, each unfinished run looks killed, which harms nobody.
        let _ = flock(&events, FlockOperation::NonBlockingLockExclusive);
        let status = Status::new(plan, &meta);
        let record = Record::new(plan, meta);
        folder::replace_json(&folder.join(RECORD), &record)?;
        folder::replace_json(&folder.join(STATUS), &status)?;
        let names: Vec<String> = plan.hosts.iter().map(|host| host.name.clone()).collect();
        Ok(Self {
            events: BufWriter::new(events),
            log: BufWriter::new(open(LOG)?),
            log_spent: 0,
            words: LastWords::new(&folder.join(HOSTS), names.iter().cloned()),
            thinner: Thinner::new(names.len()),
            names,
            record,
            status,
            packing_at: None,
            folder: folder.to_owned(),
        })
    }

    fn run(mut self, events: &Receiver<Event>, trouble: &Trouble) {
        let keep = |result: Result<(), JournalError>| {
            if let Err(error) = result {
                let mut first = trouble.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(error);
            }
        };
        let mut flushed = Instant::now();
        loop {
            let mut ended = false;
            let mut urgent = false;
            match events.recv_timeout(FLUSH_EVERY.saturating_sub(flushed.elapsed())) {
                Ok(event) => {
                    urgent = is_urgent(&event);
                    keep(self.take(event));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => ended = true,
            }
            for _ in 0..BATCH {
                match events.try_recv() {
                    Ok(event) => {
                        urgent |= is_urgent(&event);
                        keep(self.take(event));
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        ended = true;
                        break;
                    }
                }
            }
            if ended {
                keep(self.end());
                return;
            }
            if urgent || flushed.elapsed() >= FLUSH_EVERY {
                keep(self.flush());
                flushed = Instant::now();
            }
        }
    }

    fn take(&mut self, event: Event) -> Result<(), JournalError> {
        let at = event.at;
        match event.body {
            Body::Progress { host, progress } => match self.thinner.progress(at, host, progress) {
                Some(progress) => self.progress(at, host, progress),
                None => Ok(()),
            },
            Body::Packing { done, total } if !self.packing_is_due(at, done == total) => Ok(()),
            Body::Log(line) => self.log(at, line),
            body => {
                self.before(at, &body)?;
                let event = Event { at, body };
                self.event(&event)?;
                self.after(&event)
            }
        }
    }

    /// Writes what was held back and must stand before this event.
    fn before(&mut self, at: u64, body: &Body) -> Result<(), JournalError> {
        match body {
            Body::Host { host, .. } => match self.thinner.release(*host) {
                Some(progress) => self.progress(at, *host, progress),
                None => Ok(()),
            },
            Body::Resting(_) | Body::Finished(_) => self.release_all(at),
            _ => Ok(()),
        }
    }

    /// Keeps the short records up to date.
    fn after(&mut self, event: &Event) -> Result<(), JournalError> {
        match &event.body {
            Body::Started(info) => {
                self.record.manifest = Some(info.manifest.clone()).filter(|hash| !hash.is_empty());
                self.status.started(info);
                folder::replace_json(&self.folder.join(RECORD), &self.record)?;
                self.write_status()
            }
            Body::Host { host, state, .. } => {
                if let HostState::Failed(failure) = state {
                    self.words.line(host.index(), &format!("{} {failure}", rfc3339(event.at)));
                    failure.detail.iter().for_each(|line| self.words.line(host.index(), line));
                }
                // A retry woke the run up: until it rests again, being killed is its outcome.
                if self.status.outcome.take().is_some() { self.write_status() } else { Ok(()) }
            }
            Body::Resting(summary) | Body::Finished(summary) => self.outcome(event.at, summary),
            _ => Ok(()),
        }
    }

    fn outcome(&mut self, at: u64, summary: &Summary) -> Result<(), JournalError> {
        self.flush()?;
        self.status.outcome = Some(Outcome::new(at, summary));
        self.write_status()
    }

    fn write_status(&self) -> Result<(), JournalError> {
        folder::replace_json(&self.folder.join(STATUS), &self.status)
    }

    fn progress(&mut self, at: u64, host: HostId, progress: Box<HostProgress>) -> Result<(), JournalError> {
        let bytes = self.event(&Event { at, body: Body::Progress { host, progress } })?;
        self.thinner.spent(bytes);
        Ok(())
    }

    fn release_all(&mut self, at: u64) -> Result<(), JournalError> {
        self.thinner
            .release_all()
            .into_iter()
            .try_for_each(|(host, progress)| self.progress(at, host, progress))
    }

    fn packing_is_due(&mut self, at: u64, last: bool) -> bool {
        let due = last || self.packing_at.is_none_or(|before| at >= before.saturating_add(1000));
        if due {
            self.packing_at = Some(at);
        }
        due
    }

    fn log(&mut self, at: u64, line: LogLine) -> Result<(), JournalError> {
        if self.log_spent > LOG_LIMIT {
            return Ok(());
        }
        let host = line.host.and_then(|host| self.names.get(host.index()));
        let of = host.map_or("-", String::as_str);
        let source = match line.source {
            LogSource::Murder => "",
            LogSource::Stderr => "stderr: ",
            LogSource::Hook => "hook: ",
        };
        let level = format!("{:?}", line.level).to_lowercase();
        let text = format!("{} {level:5} {of} {source}{}\n", rfc3339(at), one_line(&line.message));
        self.log.write_all(text.as_bytes()).map_err(JournalError::io("write", self.folder.join(LOG)))?;
        if let (Some(host), LogSource::Stderr | LogSource::Hook) = (line.host, line.source) {
            self.words.line(host.index(), &line.message);
        }
        self.log_spent += text.len() as u64;
        if self.log_spent > LOG_LIMIT {
            let end = "the log ends here: too many lines\n";
            self.log.write_all(end.as_bytes()).map_err(JournalError::io("write", self.folder.join(LOG)))?;
        }
        self.event(&Event { at, body: Body::Log(line) }).map(|_| ())
    }

    /// Writes an event and gives its length in bytes back.
    fn event(&mut self, event: &Event) -> Result<u64, JournalError> {
        let path = || self.folder.join(EVENTS);
        let mut line =
            serde_json::to_vec(event).map_err(|source| JournalError::Json { path: path(), source })?;
        line.push(b'\n');
        self.events.write_all(&line).map_err(JournalError::io("write", path()))?;
        Ok(line.len() as u64)
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        let events = self.events.flush().map_err(JournalError::io("write", self.folder.join(EVENTS)));
        let log = self.log.flush().map_err(JournalError::io("write", self.folder.join(LOG)));
        let words = self.words.flush().map_err(JournalError::io("write", self.folder.join(HOSTS)));
        events.and(log).and(words)
    }

    fn end(&mut self) -> Result<(), JournalError> {
        self.flush()?;
        self.events.get_ref().sync_data().map_err(JournalError::io("write", self.folder.join(EVENTS)))
    }
}

/// Whether an event must be on disk at once, because a run that is killed now is judged by it.
fn is_urgent(event: &Event) -> bool {
    !matches!(
        event.body,
        Body::Progress { .. }
            | Body::Seeder(_)
            | Body::Limit(_)
            | Body::Packing { .. }
            | Body::Log(_)
            | Body::Mark { .. }
    )
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
