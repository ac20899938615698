//! Runs that never happened, for tests of everything that reads events.

use crate::control::{Failure, FailureKind, HostId, LogLevel, LogSource, Phase, RunId};
use crate::deploy::{
    BarrierState, Body, Event, FailureGroup, HostInfo, HostProgress, HostState, LogLine, Mark, Plan, RunInfo,
    SeederProgress, Summary, SwarmSummary,
};

/// 2026-11-23 15:01:46 UTC.
pub(crate) const START: u64 = 1_795_446_106_000;
/// Bytes of the artifact.
pub(crate) const PACKED: u64 = 64 << 20;
const LEAST: f64 = 16.0;

/// Events in order, each some time after the one before.
pub(crate) struct Script {
    pub(crate) events: Vec<Event>,
    clock: u64,
}

impl Script {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut script = Self { events: Vec::new(), clock: START };
        script.push(Body::Planned(Box::new(plan)));
        script
    }

    pub(crate) fn after(&mut self, ms: u64) -> &mut Self {
        self.clock += ms;
        self
    }

    pub(crate) fn push(&mut self, body: Body) -> &mut Self {
        self.events.push(Event { at: self.clock, body });
        self
    }

    pub(crate) fn host(&mut self, id: u32, attempt: u32, state: HostState) -> &mut Self {
        self.push(Body::Host { host: HostId(id), attempt, state })
    }

    pub(crate) fn log(&mut self, host: Option<u32>, level: LogLevel, message: &str) -> &mut Self {
        let source = LogSource::Murder;
        let line = LogLine { host: host.map(HostId), level, source, message: message.to_owned() };
        self.push(Body::Log(line))
    }

    pub(crate) fn progress(&mut self, id: u32, done: u64, down_rate: u64) -> &mut Self {
        let progress = HostProgress {
            done,
            total: PACKED,
            down: done,
            up: done / 2,
            down_rate,
            up_rate: down_rate / 2,
            peers: 3,
            ..HostProgress::default()
        };
        self.push(Body::Progress { host: HostId(id), progress: Box::new(progress) })
    }

    pub(crate) fn started(&mut self) -> &mut Self {
        self.push(Body::Packing { done: 0, total: 80 << 20 });
        self.after(400).push(Body::Packing { done: 80 << 20, total: 80 << 20 });
        self.push(Body::Started(Box::new(RunInfo {
            bytes: 80 << 20,
            packed_bytes: PACKED,
            entries: 1204,
            pieces: 64,
            piece_length: 1 << 20,
            info_hash: "5a".repeat(20),
            manifest: "c3".repeat(32),
            least_seconds: Some(LEAST),
            ignored: 2,
        })))
    }

    /// The hosts' way up to `fetching`, then their progress at 4 MB/s each for `seconds`.
    pub(crate) fn fetch(&mut self, ids: &[u32], attempt: u32, seconds: u64) -> &mut Self {
        for state in [HostState::Connecting, HostState::Launching, HostState::Checking, HostState::Fetching] {
            for id in ids {
                self.after(10).host(*id, attempt, state.clone());
            }
        }
        for second in 1..=seconds {
            self.after(1000);
            for id in ids {
                let done = (second * (4 << 20)).min(PACKED);
                self.progress(*id, done, 4 << 20);
            }
            let sent = (second * (4 << 20)).min(PACKED + (2 << 20));
            self.push(Body::Seeder(Box::new(SeederProgress {
                sent,
                rate: 4 << 20,
                feeds: ids.len() as u32,
                copies: vec![3, 10, 51],
                may_leave: sent >= PACKED,
            })));
        }
        self
    }

    pub(crate) fn stage(&mut self, ids: &[u32], attempt: u32) -> &mut Self {
        for state in [HostState::Verifying, HostState::Unpacking, HostState::Staged { already: false }] {
            for id in ids {
                self.after(30).host(*id, attempt, state.clone());
            }
        }
        self
    }

    pub(crate) fn barrier(&mut self, staged: u32, failed: u32, waiting: u32, open: bool) -> &mut Self {
        self.push(Body::Barrier(BarrierState { staged, failed, waiting, open, held: false }))
    }

    pub(crate) fn activate(&mut self, ids: &[u32], attempt: u32) -> &mut Self {
        for id in ids {
            self.after(20).host(*id, attempt, HostState::Activating);
        }
        for id in ids {
            let at = self.clock + 25;
            self.after(30).push(Body::Activated { host: HostId(*id), at, previous: None });
            self.after(100).host(*id, attempt, HostState::Active);
        }
        self
    }

    pub(crate) fn finish(&mut self, summary: Summary) -> Vec<Event> {
        let seconds = (self.clock - START) as f64 / 1000.0;
        let summary = Box::new(Summary { seconds, ..summary });
        self.push(Body::Resting(summary.clone())).after(40).push(Body::Finished(summary));
        std::mem::take(&mut self.events)
    }
}

/// A plan for hosts `web01`, `web02`, … of rack r1 and, from the fourth on, `db1`, `db2`, … of rack r2.
pub(crate) fn plan(hosts: usize) -> Plan {
    let host = |index: usize| {
        let (name, group, rack) = if !(3..=50).contains(&index) {
            (format!("web{:02}.example.com", index + 1), "web", "r1")
        } else {
            (format!("db{}.example.com", index - 2), "db", "r2")
        };
        HostInfo {
            address: format!("deploy@{name}:22"),
            name,
            dest: "/srv/app".into(),
            groups: vec![group.into()],
            rack: rack.into(),
            labels: Vec::new(),
            rate: Some(4 << 20),
        }
    };
    Plan {
        run: RunId("20261123-150146-7f3a".into()),
        command: "deploy".into(),
        tag: "app-1.4".into(),
        payload: "./dist".into(),
        inventory: "hosts.yaml".into(),
        hosts: (0..hosts).map(host).collect(),
        attempts: 3,
        activate: true,
        hold: false,
        folder: "/home/op/.local/state/murder/runs/20261123-150146-7f3a".into(),
    }
}

/// Numbers of a transfer to `hosts` hosts.
pub(crate) fn summary(exit: u8, active: u32, staged: u32, failed: u32, cancelled: u32) -> Summary {
    Summary {
        run: plan(0).run,
        exit,
        seconds: 0.0,
        active,
        done: 0,
        staged,
        failed,
        cancelled,
        swarm: SwarmSummary {
            bytes: PACKED,
            hosts: active + staged + failed,
            seconds: 17.1,
            least_seconds: Some(LEAST),
            seeder_bytes: PACKED + (2 << 20),
            duplicate_bytes: 300_000,
            ssh_only_bytes: 0,
            reused_bytes: 0,
            agent_bytes: 3 * 650_000,
        },
        failures: Vec::new(),
        activation: None,
        left_behind: Vec::new(),
        unchecked: Vec::new(),
        shut: None,
    }
}

/// Five hosts, all active.
pub(crate) fn success() -> Vec<Event> {
    let all = [0, 1, 2, 3, 4];
    let mut script = Script::new(plan(5));
    script.log(None, LogLevel::Info, "2 files left out by .murderignore").started();
    script.fetch(&all, 1, 17).stage(&all, 1).barrier(5, 0, 0, true).activate(&all, 1);
    script.finish(summary(0, 5, 0, 0, 0))
}

/// Six hosts: one refuses its first attempt and comes through, one has a full disk, one a changed key, one a failing hook
/// after its switch.
pub(crate) fn some_failed() -> Vec<Event> {
    let mut script = Script::new(plan(6));
    script.started().after(5).host(2, 1, HostState::Connecting).host(4, 1, HostState::Connecting);
    let refused =
        Failure::new(Phase::Connecting, FailureKind::Refused, "connection refused by 192.0.2.3 port 22");
    let key = Failure {
        detail: vec!["offered SHA256:abc, known SHA256:def (~/.ssh/known_hosts:88)".into()],
        ..Failure::new(Phase::Connecting, FailureKind::HostKey, "the host key changed")
    };
    script.after(30).host(2, 1, HostState::Failed(refused.clone()));
    script.after(30).host(4, 1, HostState::Failed(key.clone()));
    script.after(1).host(2, 2, HostState::Queued { reason: "waits 2 s for its next attempt".into() });
    script.fetch(&[0, 1, 3, 5], 1, 3);
    let full = Failure::new(
        Phase::Fetching,
        FailureKind::DiskFull,
        "cannot write /srv/app/.murder: no space left on device",
    );
    script.after(20).host(3, 1, HostState::Failed(full.clone()));
    script.push(Body::Mark {
        host: HostId(1),
        mark: Mark::Stalled,
        on: true,
        message: "no piece for 22 s: its link is slow".into(),
    });
    script.fetch(&[2], 2, 17).push(Body::Mark {
        host: HostId(1),
        mark: Mark::Stalled,
        on: false,
        message: String::new(),
    });
    script.log(Some(5), LogLevel::Warn, "reaches no other host: fed over SSH");
    script.stage(&[0, 1, 5], 1).stage(&[2], 2).barrier(4, 2, 0, true).activate(&[0, 1], 1).activate(&[2], 2);
    let hook = Failure {
        detail: vec!["systemctl reload app".into(), "Job for app.service failed.\u{1b}[31m".into()],
        ..Failure::new(Phase::Activating, FailureKind::Hook, "after_activate exited with 1")
    };
    let at = script.clock;
    script.host(5, 1, HostState::Activating).push(Body::Activated { host: HostId(5), at, previous: None });
    script.after(300).host(5, 1, HostState::Failed(hook.clone()));
    let group = |failure: &Failure, host: u32| FailureGroup {
        kind: failure.kind,
        message: failure.message.clone(),
        hosts: vec![HostId(host)],
    };
    script.finish(Summary {
        failures: vec![group(&full, 3), group(&key, 4), group(&hook, 5)],
        left_behind: vec![(HostId(5), "cannot remove the lock: Read-only file system (os error 30)".into())],
        unchecked: vec![(HostId(3), "cannot reach the host: no route to host".into())],
        ..summary(6, 3, 0, 3, 0)
    })
}

/// Three hosts, one of which fails, which is more than may: the barrier shuts.
pub(crate) fn shut() -> Vec<Event> {
    let mut script = Script::new(plan(3));
    script.started().fetch(&[0, 1, 2], 1, 3);
    let full = Failure::new(Phase::Fetching, FailureKind::DiskFull, "no space left on device");
    script.host(2, 1, HostState::Failed(full.clone())).stage(&[0, 1], 1);
    let reason = "1 failed, more than --max-fail 0".to_owned();
    script.log(None, LogLevel::Warn, &format!("nothing more is activated: {reason}"));
    let failures = vec![FailureGroup { kind: full.kind, message: full.message, hosts: vec![HostId(2)] }];
    script.finish(Summary { failures, shut: Some(reason), ..summary(6, 0, 2, 1, 0) })
}

/// Four hosts; Ctrl-C while two fetch and two are still connecting.
pub(crate) fn stopped() -> Vec<Event> {
    let mut script = Script::new(plan(4));
    script.started().fetch(&[0, 1], 1, 4).host(2, 1, HostState::Connecting).host(3, 1, HostState::Connecting);
    script.after(200).push(Body::Stopping { reason: "interrupted (Ctrl-C)".into() });
    for id in 0..3 {
        script.after(50).host(id, 1, HostState::Cancelled);
    }
    script.host(3, 0, HostState::Skipped { reason: "the run was stopped".into() });
    script.finish(summary(7, 0, 0, 0, 4))
}

/// Four hosts, staged and held; the second half is told with `--no-activate`.
pub(crate) fn held() -> Vec<Event> {
    let all = [0, 1, 2, 3];
    let mut script = Script::new(Plan { hold: true, ..plan(4) });
    script.started().fetch(&all, 1, 17).stage(&all, 1);
    script.push(Body::Barrier(BarrierState { staged: 4, failed: 0, waiting: 0, open: false, held: true }));
    script.after(60_000).push(Body::Stopping { reason: "interrupted (Ctrl-C)".into() });
    script.finish(summary(7, 0, 4, 0, 0))
}

/// Three hosts of a demo, one of them down for its first attempt.
pub(crate) fn demo() -> Vec<Event> {
    let folder = "/home/op/.local/state/murder/runs/20261123-150146-7f3a".into();
    let plan = Plan {
        command: "demo".into(),
        payload: "64 MB made up".into(),
        inventory: "3 made-up hosts".into(),
        folder,
        ..plan(3)
    };
    let mut script = Script::new(plan);
    script.started().fetch(&[0, 1, 2], 1, 17).stage(&[0, 1, 2], 1);
    script.barrier(3, 0, 0, true).activate(&[0, 1, 2], 1);
    script.finish(summary(0, 3, 0, 0, 0))
}

/// Two hosts that were activated and then taken back.
pub(crate) fn rolled_back() -> Vec<Event> {
    let mut script = Script::new(plan(2));
    script.started().fetch(&[0, 1], 1, 17).stage(&[0, 1], 1).barrier(2, 0, 0, true).activate(&[0, 1], 1);
    script.push(Body::Resting(Box::new(summary(0, 2, 0, 0, 0))));
    for id in 0..2 {
        let host = HostId(id);
        script.after(2_000).host(id, 2, HostState::Connecting).host(id, 2, HostState::Activating);
        script.push(Body::RolledBack { host, tag: "app-1.3".into() });
        script.after(100).host(id, 2, HostState::Staged { already: true });
    }
    script.finish(summary(7, 0, 2, 0, 0))
}
