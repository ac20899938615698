//! A made-up deployment as a stream of events: hosts, times and bytes are invented, so that the screen can be looked at and
//! tested without a fleet.

use murder::control::{Failure, FailureKind, HostId, LinkCount, LogLevel, LogSource, Phase, RunId, Wait};
use murder::deploy::{
    BarrierState, Body, Command, Event, FailureGroup, HostInfo, HostProgress, HostState, LogLine, Mark, Plan,
    RunInfo, SeederProgress, StateName, Summary, SwarmSummary,
};

/// Bytes of the made-up artifact.
pub(crate) const PACKED: u64 = 412 << 20;
/// Bytes of a piece.
const PIECE: u64 = 1 << 20;
/// Milliseconds of a step.
pub(crate) const STEP_MS: u64 = 250;
/// Bytes a second of a made-up link.
const LINK: f64 = 11.0 * 1024.0 * 1024.0;
/// Dials at once.
const FANOUT: usize = 128;

/// What goes wrong with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Disk,
    Key,
    Hook,
    Lost,
    Slow,
    Stall,
    SshOnly,
    Quiet,
}

#[derive(Debug)]
struct Host {
    state: StateName,
    attempt: u32,
    left_ms: i64,
    done: f64,
    up: f64,
    seeder: f64,
    rate: f64,
    fault: Fault,
    stalled: bool,
    staged_once: bool,
}

/// A deployment that goes on as [`Sim::step`] is called.
#[derive(Debug)]
pub(crate) struct Sim {
    hosts: Vec<Host>,
    names: Vec<String>,
    link: f64,
    rng: fastrand::Rng,
    now: u64,
    begun: u64,
    seeder: f64,
    open: bool,
    resting: bool,
    out: Vec<Event>,
    stopping: bool,
}

impl Sim {
    /// So many hosts, of which some fail, from a time in milliseconds since the epoch.
    pub(crate) fn new(hosts: usize, fail: usize, start: u64) -> Self {
        Self::with_links(hosts, fail, start, LINK)
    }

    /// The same behind links of so many bytes a second.
    pub(crate) fn with_links(hosts: usize, fail: usize, start: u64, link: f64) -> Self {
        let mut rng = fastrand::Rng::with_seed(7);
        let faults = [Fault::Disk, Fault::Key, Fault::Hook];
        let mut list: Vec<Host> = (0..hosts)
            .map(|_| Host {
                state: StateName::Queued,
                attempt: 0,
                left_ms: rng.i64(0..900),
                done: 0.0,
                up: 0.0,
                seeder: 0.0,
                rate: 0.0,
                fault: Fault::None,
                stalled: false,
                staged_once: false,
            })
            .collect();
        for number in 0..fail.min(hosts) {
            let at = (number * 7 + 4) * hosts / (fail * 7 + 4).max(1);
            if let Some(host) = list.get_mut(at) {
                host.fault = if number % 40 > 4 { Fault::Disk } else { faults[number % faults.len()] };
            }
        }
        for (place, fault) in
            [(5, Fault::Slow), (9, Fault::Lost), (13, Fault::SshOnly), (15, Fault::Stall), (17, Fault::Quiet)]
        {
            if let Some(host) =
                list.get_mut(place * hosts / 24).filter(|host| hosts >= 24 && host.fault == Fault::None)
            {
                host.fault = fault;
            }
        }
        let mut sim = Self {
            hosts: list,
            names: Vec::new(),
            link,
            rng,
            now: start,
            begun: start,
            seeder: 0.0,
            open: false,
            resting: false,
            out: Vec::new(),
            stopping: false,
        };
        sim.begin();
        sim
    }

    /// The whole run, to the point where it rests.
    pub(crate) fn record(mut self) -> Vec<Event> {
        let mut events = self.step();
        while !self.resting {
            events.extend(self.step());
        }
        events
    }

    /// The sim's clock, milliseconds since the epoch.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// Lets a quarter of a second pass.
    pub(crate) fn step(&mut self) -> Vec<Event> {
        self.now += STEP_MS;
        let dialling = self.count(|state| matches!(state, StateName::Connecting | StateName::Launching));
        let mut places = FANOUT.saturating_sub(dialling);
        for index in 0..self.hosts.len() {
            self.advance(index, &mut places);
        }
        if self.now.is_multiple_of(1000) {
            self.second();
        }
        self.barrier();
        std::mem::take(&mut self.out)
    }

    /// Does what a face asked for.
    pub(crate) fn command(&mut self, command: Command) {
        match command {
            Command::Retry(ids) => ids.into_iter().for_each(|id| self.retry(id.index())),
            Command::RetryFailed => (0..self.hosts.len()).for_each(|index| self.retry(index)),
            Command::Cancel(ids) | Command::TakeBack(ids) => {
                for id in ids {
                    self.enter(id.index(), StateName::Cancelled);
                }
            }
            Command::Stop | Command::Abort => {
                self.push(Body::Stopping { reason: "asked by the user".to_owned() });
                for index in 0..self.hosts.len() {
                    if !is_final(self.hosts[index].state) {
                        self.enter(index, StateName::Cancelled);
                    }
                }
                self.stopping = true;
            }
            Command::Activate => self.open = true,
            _ => {}
        }
    }

    fn begin(&mut self) {
        let hosts = self.hosts.len();
        let infos: Vec<HostInfo> = (0..hosts).map(|index| info(index, hosts, self.link)).collect();
        self.names = infos.iter().map(|info| info.name.clone()).collect();
        self.push(Body::Planned(Box::new(Plan {
            run: RunId("20261123-150146-7f3a".to_owned()),
            command: "deploy".to_owned(),
            tag: "2026.11.23-3".to_owned(),
            payload: "./build/app".to_owned(),
            inventory: "hosts.yaml".to_owned(),
            hosts: infos,
            attempts: 3,
            activate: true,
            hold: false,
            folder: "~/.local/state/murder/runs/20261123-150146-7f3a".to_owned(),
        })));
        self.push(Body::Started(Box::new(RunInfo {
            bytes: PACKED * 5 / 2,
            packed_bytes: PACKED,
            entries: 2311,
            pieces: (PACKED / PIECE) as u32,
            piece_length: PIECE as u32,
            info_hash: "c12fe1c06bba254a9dc9f519b335aa7c1367a88a".to_owned(),
            manifest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
            least_seconds: Some(PACKED as f64 / self.link),
            ignored: 12,
        })));
    }

    fn push(&mut self, body: Body) {
        self.out.push(Event { at: self.now, body });
    }

    fn count(&self, wanted: impl Fn(StateName) -> bool) -> usize {
        self.hosts.iter().filter(|host| wanted(host.state)).count()
    }

    fn enter(&mut self, index: usize, state: StateName) {
        self.hosts[index].state = state;
        self.hosts[index].stalled = false;
        let state = match state {
            StateName::Queued => HostState::Queued { reason: String::new() },
            StateName::Connecting => HostState::Connecting,
            StateName::Launching => HostState::Launching,
            StateName::Checking => HostState::Checking,
            StateName::Fetching => HostState::Fetching,
            StateName::Verifying => HostState::Verifying,
            StateName::Unpacking => HostState::Unpacking,
            StateName::Staged => HostState::Staged { already: false },
            StateName::Activating => HostState::Activating,
            StateName::Active => HostState::Active,
            StateName::Done => HostState::Done,
            StateName::Cancelled => HostState::Cancelled,
            StateName::Failed | StateName::Skipped => HostState::Skipped { reason: String::new() },
        };
        self.send(index, state);
    }

    fn send(&mut self, index: usize, state: HostState) {
        let host = &mut self.hosts[index];
        host.state = state.name();
        host.left_ms = match host.state {
            StateName::Connecting => 200 + self.rng.i64(0..500),
            StateName::Launching => 250 + self.rng.i64(0..400),
            StateName::Checking => 100,
            StateName::Verifying => 500,
            StateName::Unpacking => 2500 + self.rng.i64(0..1500),
            StateName::Activating => 700 + self.rng.i64(0..900),
            _ => 0,
        };
        let attempt = host.attempt;
        self.push(Body::Host { host: HostId(index as u32), attempt, state });
    }

    fn fail(&mut self, index: usize, phase: Phase, kind: FailureKind, message: &str, detail: &[&str]) {
        let mut failure = Failure::new(phase, kind, message);
        failure.detail = detail.iter().map(|line| (*line).to_owned()).collect();
        // It heals, so that a retry gets through.
        self.hosts[index].fault = Fault::None;
        self.send(index, HostState::Failed(failure));
    }

    fn retry(&mut self, index: usize) {
        let tried = matches!(self.hosts[index].state, StateName::Failed | StateName::Cancelled);
        if tried {
            self.resting = false;
            self.stopping = false;
            self.enter(index, StateName::Queued);
        }
    }

    fn advance(&mut self, index: usize, places: &mut usize) {
        let host = &mut self.hosts[index];
        host.left_ms -= STEP_MS as i64;
        if host.left_ms > 0 {
            return;
        }
        let fault = host.fault;
        match host.state {
            StateName::Queued if *places > 0 => {
                *places -= 1;
                self.hosts[index].attempt += 1;
                self.enter(index, StateName::Connecting);
            }
            StateName::Connecting if fault == Fault::Key => self.fail(
                index,
                Phase::Connecting,
                FailureKind::HostKey,
                "the host key differs from the one in known_hosts (line 88)",
                &[
                    "ssh-ed25519 SHA256:hcWQh2vtGQ7rYpGX0eVzY0Ww7cJm0lq8",
                    "expected SHA256:0yJm1xq4dYc9t1mQ5vFbZ8b2h3k4l5m6",
                ],
            ),
            StateName::Connecting => self.enter(index, StateName::Launching),
            StateName::Launching => self.enter(index, StateName::Checking),
            StateName::Checking if fault == Fault::Disk => {
                let free = 12 + index as u64 % 7;
                self.fail(
                    index,
                    Phase::Checking,
                    FailureKind::DiskFull,
                    &format!("/srv has {free} MB free, the release needs 1.0 GB"),
                    &[],
                );
            }
            StateName::Checking => {
                self.enter(index, StateName::Fetching);
                if fault == Fault::SshOnly {
                    let message = "no other host reaches it; it is fed over SSH".to_owned();
                    self.push(Body::Mark {
                        host: HostId(index as u32),
                        mark: Mark::SshOnly,
                        on: true,
                        message,
                    });
                }
            }
            StateName::Fetching => self.fetch(index),
            StateName::Verifying => self.enter(index, StateName::Unpacking),
            StateName::Unpacking => {
                self.hosts[index].staged_once = true;
                self.enter(index, StateName::Staged);
            }
            StateName::Staged if self.open => self.enter(index, StateName::Activating),
            StateName::Activating if fault == Fault::Hook => {
                let lines = ["checking configuration …", "error: DATABASE_URL is not set", "exit status 3"];
                for line in lines {
                    self.say(Some(index), LogLevel::Info, LogSource::Hook, line);
                }
                self.fail(
                    index,
                    Phase::Activating,
                    FailureKind::Hook,
                    "before_activate `./bin/check` exited with 3: DATABASE_URL is not set",
                    &[],
                );
            }
            StateName::Activating => {
                let at = self.now;
                let previous = Some("2026.11.22-1".to_owned());
                self.push(Body::Activated { host: HostId(index as u32), at, previous });
                self.enter(index, StateName::Active);
            }
            _ => {}
        }
    }

    fn fetch(&mut self, index: usize) {
        let speed = 0.75 + 0.35 * self.rng.f64();
        let host = &mut self.hosts[index];
        let share = host.done / PACKED as f64;
        host.rate = self.link
            * speed
            * match host.fault {
                Fault::Slow => 0.22,
                Fault::SshOnly => 0.8,
                Fault::Stall if share > 0.55 && self.now - self.begun < 44_000 => 0.0,
                _ => 1.0,
            };
        let grown = host.rate * STEP_MS as f64 / 1000.0;
        host.done = (host.done + grown).min(PACKED as f64);
        host.up += grown * (0.6 + speed * 0.4);
        let fed = if host.fault == Fault::SshOnly { grown } else { grown / 23.0 };
        host.seeder += fed;
        self.seeder += fed;
        let id = HostId(index as u32);
        if host.fault == Fault::Lost && share > 0.3 && host.attempt == 1 {
            self.say(
                Some(index),
                LogLevel::Warn,
                LogSource::Stderr,
                "client_loop: send disconnect: Broken pipe",
            );
            let reason = "lost: the connection was reset; again in 2 s".to_owned();
            self.hosts[index].left_ms = 2000;
            self.push(Body::Host { host: id, attempt: 1, state: HostState::Queued { reason } });
            self.hosts[index].state = StateName::Queued;
            return;
        }
        let host = &mut self.hosts[index];
        let stalls = host.rate == 0.0;
        if stalls != host.stalled {
            host.stalled = stalls;
            let message = if stalls { "no piece for 12 s: neighbours' links are slow" } else { "" };
            self.push(Body::Mark { host: id, mark: Mark::Stalled, on: stalls, message: message.to_owned() });
        }
        if self.hosts[index].done >= PACKED as f64 {
            self.enter(index, StateName::Verifying);
        }
    }

    /// What comes once a second.
    fn second(&mut self) {
        for index in 0..self.hosts.len() {
            let past = self.now - self.begun;
            let quiet = self.hosts[index].fault == Fault::Quiet && (24_000..33_000).contains(&past);
            if matches!(self.hosts[index].state, StateName::Fetching | StateName::Unpacking) && !quiet {
                let progress = Box::new(self.progress(index));
                self.push(Body::Progress { host: HostId(index as u32), progress });
            }
        }
        let fetching = self.count(|state| state == StateName::Fetching);
        if fetching > 0 {
            let share = self.hosts.iter().map(|host| host.done).sum::<f64>()
                / self.hosts.len() as f64
                / PACKED as f64;
            let pieces = (PACKED / PIECE) as f64;
            let peak = share * 9.0;
            let weight = |copies: usize| (-(copies as f64 - peak).powi(2) / 4.0).exp();
            let all: f64 = (0..12).map(weight).sum();
            let copies = (0..12).map(|copies| (weight(copies) / all * pieces) as u32).collect();
            let progress = SeederProgress {
                sent: self.seeder as u64,
                rate: (self.link * 0.95) as u64,
                feeds: fetching.min(24) as u32,
                copies,
                may_leave: share > 0.4,
            };
            self.push(Body::Seeder(Box::new(progress)));
        }
    }

    fn progress(&mut self, index: usize) -> HostProgress {
        let count = self.hosts.len();
        let host = &self.hosts[index];
        let unpacking = host.state == StateName::Unpacking;
        let left = host.left_ms.max(0) as f64 / 4000.0;
        let share = |neighbour: usize| 1.0 + ((index * 7 + neighbour * 13) % 10) as f64;
        let mut neighbours: Vec<usize> = (1..=8)
            .map(|step| (index + step * step + step) % count)
            .filter(|other| *other != index)
            .collect();
        neighbours.sort_unstable();
        neighbours.dedup();
        let all: f64 = neighbours.iter().map(|other| share(*other)).sum::<f64>().max(1.0);
        let from_others = (host.done - host.seeder).max(0.0);
        let mut links: Vec<LinkCount> = neighbours
            .iter()
            .map(|other| LinkCount {
                id: HostId(*other as u32),
                address: None,
                down: (from_others * share(*other) / all) as u64,
                up: (host.up * share(*other) / all) as u64,
            })
            .collect();
        links.push(LinkCount { id: HostId::SEEDER, address: None, down: host.seeder as u64, up: 0 });
        let wait = if host.fault == Fault::Slow {
            Wait { no_piece: 2, peers: 9, choked: 0, limit: 71, disk: 1, cpu: 1 }
        } else {
            Wait { no_piece: 6, peers: 14, choked: 0, limit: 0, disk: 3, cpu: 1 }
        };
        let ssh_only = host.fault == Fault::SshOnly;
        HostProgress {
            done: if unpacking { ((1.0 - left) * PACKED as f64 * 2.5) as u64 } else { host.done as u64 },
            total: if unpacking { PACKED * 5 / 2 } else { PACKED },
            down: host.done as u64,
            up: host.up as u64,
            down_rate: if unpacking { 0 } else { host.rate as u64 },
            up_rate: (host.rate * 0.8) as u64,
            peers: if ssh_only { 0 } else { 8.min(count.saturating_sub(1)) as u32 },
            reused: 0,
            from_seeder: host.seeder as u64,
            duplicate: 0,
            wait: (!unpacking).then_some(wait),
            links: if self.now.is_multiple_of(5000) { links } else { Vec::new() },
        }
    }

    fn say(&mut self, host: Option<usize>, level: LogLevel, source: LogSource, message: &str) {
        let host = host.map(|index| HostId(index as u32));
        self.push(Body::Log(LogLine { host, level, source, message: message.to_owned() }));
    }

    fn barrier(&mut self) {
        let (staged, failed) =
            (self.count(|s| s == StateName::Staged), self.count(|s| s == StateName::Failed));
        let waiting = self.count(|state| state == StateName::Queued || state.phase().is_some());
        if self.now.is_multiple_of(1000) && !self.open {
            let state = BarrierState {
                staged: staged as u32,
                failed: failed as u32,
                waiting: waiting as u32,
                open: false,
                held: false,
            };
            self.push(Body::Barrier(state));
        }
        if !self.open && waiting == 0 && staged > 0 {
            self.open = true;
            self.say(None, LogLevel::Info, LogSource::Murder, "the barrier is open: activating");
            let state = BarrierState {
                staged: staged as u32,
                failed: failed as u32,
                waiting: 0,
                open: true,
                held: false,
            };
            self.push(Body::Barrier(state));
        }
        if !self.resting && self.hosts.iter().all(|host| is_final(host.state)) {
            self.resting = true;
            let summary = Box::new(self.summary());
            self.push(if self.stopping { Body::Finished(summary) } else { Body::Resting(summary) });
        }
    }

    fn summary(&self) -> Summary {
        let count = |state: StateName| self.count(|s| s == state) as u32;
        Summary {
            run: RunId("20261123-150146-7f3a".to_owned()),
            exit: if count(StateName::Failed) > 0 { 6 } else { 0 },
            seconds: (self.now - self.begun) as f64 / 1000.0,
            active: count(StateName::Active),
            done: count(StateName::Done),
            staged: count(StateName::Staged),
            failed: count(StateName::Failed),
            cancelled: count(StateName::Cancelled),
            swarm: SwarmSummary {
                bytes: PACKED,
                hosts: self.hosts.len() as u32,
                seeder_bytes: self.seeder as u64,
                ..SwarmSummary::default()
            },
            failures: Vec::<FailureGroup>::new(),
            activation: None,
            left_behind: Vec::new(),
            unchecked: Vec::new(),
            shut: None,
        }
    }
}

fn is_final(state: StateName) -> bool {
    matches!(state, StateName::Active | StateName::Failed | StateName::Cancelled | StateName::Skipped)
}

fn info(index: usize, hosts: usize, link: f64) -> HostInfo {
    let rack = index * 4.max(hosts / 40) / hosts.max(1) + 1;
    let db = index * 6 / hosts.max(1) == 5;
    let width = if hosts > 999 { 5 } else { 2 };
    let (group, number) = if db { ("db", index + 1 - hosts * 5 / 6) } else { ("web", index + 1) };
    HostInfo {
        name: format!("{group}-{number:0width$}"),
        address: format!("deploy@198.51.100.{}:22", index % 250 + 1),
        dest: "/srv/app".to_owned(),
        groups: vec![group.to_owned()],
        rack: format!("r{rack}"),
        labels: if index == 0 { vec![("ring".to_owned(), "canary".to_owned())] } else { Vec::new() },
        rate: Some(link as u64),
    }
}
