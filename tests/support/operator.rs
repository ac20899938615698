//! An operator with a home of its own, who runs the real `murder`.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use murder::control::Phase;
use murder::demo::DemoFleet;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::LONG;

/// A home, with an inventory in it.
pub(crate) struct Operator {
    folder: TempDir,
}

impl Operator {
    /// A home without anything.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["home/.ssh", "tmp", "state", "cache", "config"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    /// Knows the fleet's keys and has its inventory.
    pub(crate) fn of_fleet(fleet: &DemoFleet) -> Self {
        let operator = Self::new();
        operator.knows(&fs::read_to_string(fleet.known_hosts()).unwrap());
        operator.has_inventory(&fleet.inventory());
        operator
    }

    /// Replaces `known_hosts`.
    pub(crate) fn knows(&self, known_hosts: &str) {
        fs::write(self.path("home/.ssh/known_hosts"), known_hosts).unwrap();
    }

    /// Replaces `hosts.yaml`, which is found without being named.
    pub(crate) fn has_inventory(&self, text: &str) {
        fs::write(self.path("hosts.yaml"), text).unwrap();
    }

    /// A path in the operator's folder, which is also the working folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Environment of the operator's commands; nothing else is set.
    pub(crate) fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let mut environment = vec![
            ("HOME", self.path("home")),
            ("TMPDIR", self.path("tmp")),
            ("XDG_STATE_HOME", self.path("state")),
            ("XDG_CACHE_HOME", self.path("cache")),
            ("XDG_CONFIG_HOME", self.path("config")),
        ];
        environment.extend(std::env::var_os("PATH").map(|path| ("PATH", path.into())));
        environment
    }

    /// `murder` with arguments, not started yet.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_murder"));
        command.args(arguments).env_clear().envs(self.environment()).current_dir(self.folder.path());
        command
    }

    /// Runs `murder` to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Done {
        self.start(arguments).end()
    }

    /// Starts `murder`.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Running {
        Running::start(self.command(arguments))
    }
}

/// A `murder` that runs. It is killed if the test ends before it.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    stderr: Option<JoinHandle<String>>,
    end: Instant,
}

impl Running {
    /// Starts a command that is or becomes `murder`.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { child, lines, seen: Vec::new(), stderr: Some(stderr), end: Instant::now() + LONG }
    }

    /// Its next line of output, `None` at the end.
    pub(crate) fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(self.end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                self.seen.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                let _ = self.child.kill();
                panic!("murder runs for {LONG:?} now; it said\n{}", self.seen.join("\n"));
            }
        }
    }

    /// Its next JSON object.
    pub(crate) fn event(&mut self) -> Option<Value> {
        self.line().map(|line| parse(&line))
    }

    /// Reads until an event of this kind that holds.
    pub(crate) fn until(&mut self, kind: &str, mut holds: impl FnMut(&Value) -> bool) -> Value {
        loop {
            match self.event() {
                Some(event) if event["type"] == kind && holds(&event) => return event,
                Some(_) => {}
                None => panic!("murder ended before {kind}; it said\n{}", self.seen.join("\n")),
            }
        }
    }

    /// Tells the fleet how its hosts are, as a demo does; `heals` says whether a failed host becomes well.
    pub(crate) fn followed_by(mut self, fleet: &DemoFleet, heals: bool) -> Done {
        while let Some(event) = self.event() {
            let host = fleet.hosts().iter().position(|host| event["host"] == host.name.as_str());
            let Some(host) = host else { continue };
            match event["type"].as_str() {
                Some("host_state") if event["state"] == "failed" && heals => fleet.heal(host).unwrap(),
                Some("host_state") => {
                    if let Ok(phase) = serde_json::from_value::<Phase>(event["state"].clone()) {
                        fleet.progressed(host, phase, 0.0);
                    }
                }
                Some("progress") => {
                    let total = event["total"].as_f64().unwrap().max(1.0);
                    fleet.progressed(host, Phase::Fetching, event["done"].as_f64().unwrap() / total);
                }
                _ => {}
            }
        }
        self.end()
    }

    /// Sends it a signal, as the terminal or a supervisor would.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has a handler for a signal.
    pub(crate) fn awaits(&self, signal: Signal) {
        let caught = || {
            let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
            u64::from_str_radix(mask, 16).unwrap() >> (signal.as_raw() - 1) & 1 == 1
        };
        while !caught() {
            assert!(Instant::now() < self.end, "murder does not listen to {signal:?}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Done {
        while self.line().is_some() {}
        // It has closed its output, so that it ends within moments.
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > self.end => {
                    let _ = self.child.kill();
                    panic!("murder said all and does not end");
                }
                None => thread::sleep(Duration::from_millis(10)),
            }
        };
        let stderr = self.stderr.take().unwrap().join().unwrap();
        Done { code: status.code(), stdout: std::mem::take(&mut self.seen), stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `murder` that has ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// Its output, line by line.
    pub(crate) stdout: Vec<String>,
    /// Its complaints.
    pub(crate) stderr: String,
}

impl Done {
    /// Checks the exit code.
    ///
    /// # Panics
    /// With all that was said, if it is another.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n-- stderr --\n{}", self.stdout.join("\n"), self.stderr);
        self
    }

    /// Its output as JSON objects.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.stdout.iter().map(|line| parse(line)).collect()
    }

    /// Its events of one type.
    pub(crate) fn of_type(&self, kind: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["type"] == kind).collect()
    }

    /// Its last event.
    pub(crate) fn finished(&self) -> Value {
        let last = self.events().pop().unwrap();
        assert_eq!(last["type"], "run_finished");
        last
    }

    /// The states that a host passed, in order.
    pub(crate) fn states(&self, host: &str) -> Vec<String> {
        let states = self.of_type("host_state").into_iter().filter(|event| event["host"] == host);
        states.map(|event| event["state"].as_str().unwrap().to_owned()).collect()
    }

    /// The kind of failure by host, of those that failed in the end.
    pub(crate) fn failures(&self) -> Vec<(String, String)> {
        let mut failures = Vec::new();
        for group in self.finished()["failures"].as_array().unwrap() {
            assert!(!group["message"].as_str().unwrap().is_empty(), "a failure says why: {group}");
            for host in group["hosts"].as_array().unwrap() {
                failures
                    .push((host.as_str().unwrap().to_owned(), group["kind"].as_str().unwrap().to_owned()));
            }
        }
        failures.sort();
        failures
    }

    /// All that it said.
    pub(crate) fn text(&self) -> String {
        format!("{}\n{}", self.stdout.join("\n"), self.stderr)
    }
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?} is no JSON: {error}"))
}

/// Names in a folder; empty if there is none.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}
