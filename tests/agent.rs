//! The agent as a process: what only a real one can show.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use murder::control::{
    Begin, FailureKind, HookLine, HostId, LogSource, MARKER, Report, Request, RunId, RunKey, VERSION, decode,
    encode,
};
use murder::payload::{Sha256, hex};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_murder-agent"))
}

struct Agent {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Agent {
    fn launch(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        let input = child.stdin.take();
        let agent = Self { child, input, lines };
        assert_eq!(agent.line(), "");
        let hello = agent.line();
        let hello = decode::<Report>(hello.strip_prefix(MARKER).unwrap().trim_start()).unwrap();
        assert!(matches!(hello, Report::Hello(hello) if hello.v == VERSION && hello.pid == agent.child.id()));
        agent
    }

    fn run() -> Self {
        let mut command = binary();
        command.arg("run");
        Self::launch(command)
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the agent says something")
    }

    fn ask(&mut self, request: &Request) {
        self.input.as_mut().unwrap().write_all(&encode(request).unwrap()).unwrap();
    }

    fn answer(&mut self, request: &Request) -> Report {
        self.ask(request);
        loop {
            match decode(&self.line()).unwrap() {
                Report::Log { source: LogSource::Murder, .. } => {}
                report => return report,
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn wait(mut self) -> bool {
        self.child.wait().unwrap().success()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn dest(folder: &TempDir) -> PathBuf {
    folder.path().join("app")
}

fn begin(folder: &TempDir, run: &str) -> Request {
    Request::Begin(Box::new(Begin {
        v: VERSION,
        run: RunId(run.into()),
        id: HostId(0),
        host: "web1".into(),
        operator: "me@here".into(),
        operator_pid: 1,
        dest: dest(folder).to_str().unwrap().into(),
        link: "current".into(),
        tag: "1".into(),
        manifest: None,
        lock: true,
        read_only: false,
        unpacked_bytes: 0,
        packed_bytes: 0,
        least_room: 0,
        entries: 0,
        ports: None,
        swarm: None,
    }))
}

fn left(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(dest(folder).join(".murder")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|state| state.starts_with(" Z")))
}

#[test]
fn it_says_what_it_is() {
    let version = binary().arg("--version").output().unwrap();
    assert_eq!(version.stdout, format!("murder-agent {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
    let hash = binary().arg("--self-hash").output().unwrap();
    let expected = hex(&Sha256::of(&fs::read(env!("CARGO_BIN_EXE_murder-agent")).unwrap()));
    assert_eq!(String::from_utf8(hash.stdout).unwrap().trim_end(), expected);
    for wrong in [&[][..], &["dance"], &["pipe", "x"], &["run", "now"]] {
        let output = binary().args(wrong).output().unwrap();
        assert!(!output.status.success() && !output.stderr.is_empty(), "{wrong:?}");
    }
}

#[test]
fn it_ends_with_the_operator_and_frees_the_lock() {
    type End = fn(&mut Agent);
    let ends: [(&str, End); 5] = [
        ("end of stream", |agent| drop(agent.input.take())),
        ("SIGTERM", |agent| agent.signal(Signal::TERM)),
        ("SIGHUP", |agent| agent.signal(Signal::HUP)),
        ("no heartbeat", |agent| agent.ask(&Request::Lease { seconds: 1 })),
        ("a hook that still runs", |agent| {
            let hook = HookLine { command: "echo $$; sleep 300; sleep 300".into(), timeout_seconds: 600 };
            let Report::Log { message, .. } = agent.answer(&Request::Before { hook: Some(hook) }) else {
                panic!("the hook said nothing");
            };
            let pid: u32 = message.parse().unwrap();
            assert!(runs(pid));
            drop(agent.input.take());
            agent.child.wait().unwrap();
            assert!(!runs(pid), "the hook is gone too");
        }),
    ];
    for (name, end) in ends {
        let folder = scratch();
        let mut agent = Agent::run();
        assert!(matches!(agent.answer(&begin(&folder, "a")), Report::Checked(_)), "{name}");
        fs::create_dir(dest(&folder).join("releases/1")).unwrap();
        assert_eq!(left(&folder), ["lock"]);
        end(&mut agent);
        assert!(!agent.wait(), "{name}: this is not how it should end");
        assert_eq!(left(&folder), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_killed_agents_lock_is_taken_over_and_told() {
    let folder = scratch();
    let mut first = Agent::run();
    assert!(matches!(first.answer(&begin(&folder, "a")), Report::Checked(_)));
    first.signal(Signal::KILL);
    assert!(!first.wait());
    assert_eq!(left(&folder), ["lock"]);
    let mut second = Agent::run();
    let Report::Checked(checked) = second.answer(&begin(&folder, "b")) else { panic!("refused") };
    assert_eq!(checked.took_over.unwrap().run, RunId("a".into()));
    assert_eq!(second.answer(&Request::Bye { keep_partial: false }), Report::Bye { left: vec![] });
    assert!(second.wait());
    assert_eq!(left(&folder), Vec::<String>::new());
}

#[test]
fn an_agent_that_lost_its_operator_stays_for_it_and_gives_way_to_another_run() {
    let folder = scratch();
    let mut first = Agent::run();
    let door = Request::Resumable { id: HostId(0), key: RunKey([5; 32]) };
    assert!(matches!(first.answer(&door), Report::Resumable { .. }));
    assert!(matches!(first.answer(&begin(&folder, "a")), Report::Checked(_)));
    let mut second = Agent::run();
    let Report::Failed(failure) = second.answer(&begin(&folder, "b")) else { panic!("taken twice") };
    assert_eq!(failure.kind, FailureKind::Locked);
    drop(first.input.take());
    let lock = dest(&folder).join(".murder/lock");
    let begun = std::time::Instant::now();
    while !fs::read_to_string(&lock).unwrap().contains(r#""adrift":true"#) {
        assert!(begun.elapsed() < PATIENCE, "the end of its input is not heard");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(runs(first.child.id()), "it waits for its operator");
    let mut third = Agent::run();
    let Report::Checked(checked) = third.answer(&begin(&folder, "c")) else { panic!("refused") };
    assert_eq!(checked.took_over.unwrap().run, RunId("a".into()));
    assert!(!first.wait());
    assert_eq!(left(&folder), ["lock"]);
}

#[test]
fn an_agent_of_the_same_run_and_host_ends_the_older_one_even_if_it_hangs() {
    for stopped in [false, true] {
        let folder = scratch();
        let mut older = Agent::run();
        assert!(matches!(older.answer(&begin(&folder, "a")), Report::Checked(_)));
        if stopped {
            older.signal(Signal::STOP);
        }
        let mut newer = Agent::run();
        let Report::Checked(checked) = newer.answer(&begin(&folder, "a")) else { panic!("refused") };
        assert_eq!(checked.took_over, None, "that was nobody else");
        assert!(!older.wait());
        assert_eq!(left(&folder), ["lock"]);
    }
}

#[test]
fn of_runs_that_start_in_the_same_moment_one_gets_the_lock() {
    let folder = scratch();
    let mut agents: Vec<Agent> = (0..4).map(|_| Agent::run()).collect();
    for (number, agent) in agents.iter_mut().enumerate() {
        agent.ask(&begin(&folder, &number.to_string()));
    }
    let answers: Vec<Report> = agents.iter().map(|agent| decode(&agent.line()).unwrap()).collect();
    let taken = answers.iter().filter(|answer| matches!(answer, Report::Checked(_))).count();
    let refused = answers
        .iter()
        .filter(|answer| matches!(answer, Report::Failed(failure) if failure.kind == FailureKind::Locked));
    assert_eq!((taken, refused.count()), (1, 3), "{answers:?}");
}

#[test]
fn modes_do_not_depend_on_the_umask_and_hooks_have_the_users() {
    for (umask, shown) in [("000", "0000"), ("077", "0077")] {
        let folder = scratch();
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!("umask {umask}; exec \"$0\" run"))
            .arg(env!("CARGO_BIN_EXE_murder-agent"));
        let mut agent = Agent::launch(shell);
        assert!(matches!(agent.answer(&begin(&folder, "a")), Report::Checked(_)));
        let mode = |path: &str| fs::metadata(dest(&folder).join(path)).unwrap().mode() & 0o7777;
        assert_eq!([mode(""), mode("releases"), mode(".murder")], [0o755, 0o755, 0o700]);
        assert_eq!(mode(".murder/lock"), 0o600);
        fs::create_dir(dest(&folder).join("releases/1")).unwrap();
        let hook = HookLine { command: "umask".into(), timeout_seconds: 60 };
        let said = agent.answer(&Request::Before { hook: Some(hook) });
        assert!(matches!(said, Report::Log { message, .. } if message == shown));
    }
}

#[test]
fn a_pipe_copies_both_ways_until_the_port_closes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut pipe = binary();
    let mut child = pipe.args(["pipe", &port]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"to the port").unwrap();
    let mut heard = [0; 11];
    peer.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"to the port");
    peer.write_all(b"and back").unwrap();
    drop(child.stdin.take());
    assert_eq!(peer.read(&mut heard).unwrap(), 0, "it hears the end");
    drop(peer);
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "and back");
    assert!(child.wait().unwrap().success());
    drop(listener);
    assert!(
        !binary()
            .args(["pipe", &port])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn nothing_of_it_speaks_to_the_terminal() {
    let output = binary().arg("run").stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
