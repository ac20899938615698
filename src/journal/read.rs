use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::JournalError;
use super::folder::{self, EVENTS, HOSTS, LOG, RECORD, STATUS};
use super::record::{Record, Status, VERSION};
use crate::control::{Failure, HostId};
use crate::deploy::{Body, Event, HostState, StateName};

/// A run that was recorded, or is being recorded.
#[derive(Debug, Clone)]
pub struct Recorded {
    folder: PathBuf,
    record: Record,
}

/// A host that a run did not bring to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Unfinished {
    /// Its number in that run.
    pub id: HostId,
    /// Its name in the inventory.
    pub name: String,
    /// Its last state: `Failed`, `Cancelled`, `Skipped`, or where it was when the run was killed.
    pub state: StateName,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

impl Recorded {
    /// Opens the record in a run's folder.
    ///
    /// # Errors
    /// When it cannot be read, or a later version of murder wrote it.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let record: Record = read_json(&folder.join(RECORD))?;
        if record.v > VERSION {
            let path = folder.join(RECORD);
            return Err(JournalError::Version { path, found: record.v, known: VERSION });
        }
        Ok(Self { folder: folder.to_owned(), record })
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What was asked for: hosts, options, payload, manifest, tag.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// How it stands.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn status(&self) -> Result<Status, JournalError> {
        read_json(&self.folder.join(STATUS))
    }

    /// The events from the first on. Lines that cannot be read are passed over: the last one of a killed run may be
    /// torn, and a later murder may know more events.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn events(&self) -> Result<Events, JournalError> {
        let path = self.folder.join(EVENTS);
        let file = File::open(&path).map_err(JournalError::io("open", path))?;
        Ok(Events { lines: BufReader::new(file), buffer: Vec::new(), unread: 0 })
    }

    /// Path of the log for people.
    pub fn log(&self) -> PathBuf {
        self.folder.join(LOG)
    }

    /// The last words of a host, `None` if it said nothing.
    pub fn last_words(&self, host: HostId, name: &str) -> Option<String> {
        let bytes = fs::read(self.folder.join(HOSTS).join(folder::host_file(name, host.index()))).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The hosts that a retry is for, in the run's order: all that did not end `active`, or `staged` where nothing was
    /// to be activated. Of a run that was killed these are also the hosts that were on their way.
    ///
    /// # Errors
    /// When the events cannot be opened.
    pub fn unfinished(&self) -> Result<Vec<Unfinished>, JournalError> {
        let mut hosts: Vec<Unfinished> = Vec::new();
        for event in self.events()? {
            match event.body {
                Body::Planned(plan) => {
                    let queued = |(index, host): (usize, crate::deploy::HostInfo)| Unfinished {
                        id: HostId(index as u32),
                        name: host.name,
                        state: StateName::Queued,
                        failure: None,
                    };
                    hosts = plan.hosts.into_iter().enumerate().map(queued).collect();
                }
                Body::Host { host, state, .. } => {
                    if let Some(host) = hosts.get_mut(host.index()) {
                        host.state = state.name();
                        host.failure =
                            if let HostState::Failed(failure) = state { Some(failure) } else { None };
                    }
                }
                _ => {}
            }
        }
        let staged_is_done = !self.record.activate;
        hosts.retain(|host| match host.state {
            StateName::Active | StateName::Done => false,
            StateName::Staged => !staged_is_done,
            _ => true,
        });
        Ok(hosts)
    }
}

/// The events of a run, in their order.
#[derive(Debug)]
pub struct Events {
    lines: BufReader<File>,
    buffer: Vec<u8>,
    unread: u64,
}

impl Events {
    /// Lines passed over so far, because they could not be read.
    pub fn unread(&self) -> u64 {
        self.unread
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            self.buffer.clear();
            match self.lines.read_until(b'\n', &mut self.buffer) {
                Ok(0) => return None,
                Ok(_) => match serde_json::from_slice(&self.buffer) {
                    Ok(event) => return Some(event),
                    Err(_) => self.unread += 1,
                },
                Err(_) => {
                    self.unread += 1;
                    return None;
                }
            }
        }
    }
}

pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, JournalError> {
    let bytes = fs::read(path).map_err(JournalError::io("read", path))?;
    serde_json::from_slice(&bytes).map_err(|source| JournalError::Json { path: path.to_owned(), source })
}
