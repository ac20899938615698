use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

/// The process groups that run on one made-up host, each started by one `exec`.
#[derive(Debug, Clone, Default)]
pub(super) struct Processes(Arc<Mutex<HashSet<Pid>>>);

impl Processes {
    /// Notes a group that was just started. What is left of it is killed when the answer is dropped.
    pub(super) fn enroll(&self, leader: Pid) -> Group {
        self.groups().insert(leader);
        Group { leader, processes: self.clone() }
    }

    /// Sends a signal to all of them. One that ended meanwhile is no error.
    pub(super) fn signal(&self, signal: Signal) {
        for leader in self.groups().iter() {
            let _ = kill_process_group(*leader, signal);
        }
    }

    fn groups(&self) -> MutexGuard<'_, HashSet<Pid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A child and all that it starts without leaving its process group.
#[derive(Debug)]
pub(super) struct Group {
    leader: Pid,
    processes: Processes,
}

impl Group {
    /// Sends a signal to the whole group.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.leader, signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        self.processes.groups().remove(&self.leader);
    }
}
