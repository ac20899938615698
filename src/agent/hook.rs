use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::control::HookLine;

/// Last lines of a hook that are told when it fails.
const LAST_LINES: usize = 20;

/// The longest line of a hook, bytes; a longer one is cut.
const MOST_LINE: usize = 4096;

/// Between asking a hook's processes to end and ending them.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked whether a hook has ended: there is no way to wait for it on all kernels without a thread or `unsafe`.
const POLL: Duration = Duration::from_millis(20);

/// How long the output of a hook that has ended is read: what it left running may hold it open for ever.
const DRAIN: Duration = Duration::from_millis(300);

/// How a hook ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HookEnd {
    /// With code 0.
    Passed,
    /// Otherwise: in words, with its last lines.
    Failed(String, Vec<String>),
    /// It was ended because the agent leaves.
    Cancelled,
}

/// Where and for what a hook runs.
pub(super) struct HookPlace<'a> {
    pub(super) folder: &'a Path,
    pub(super) tag: &'a str,
    pub(super) dest: &'a Path,
    pub(super) host: &'a str,
    /// The user's own, not the agent's.
    pub(super) umask: u32,
}

/// Runs a hook; each line of its output goes to `output`.
pub(super) async fn run_hook(
    hook: &HookLine,
    place: &HookPlace<'_>,
    output: &mpsc::Sender<String>,
    cancel: &CancellationToken,
) -> HookEnd {
    let (mut child, pipe) = match start(hook, place) {
        Ok(started) => started,
        Err(error) => return HookEnd::Failed(format!("cannot start it: {error}"), Vec::new()),
    };
    let mut reader = Reader { pipe, pending: Vec::new(), last: VecDeque::new() };
    let deadline = Instant::now() + Duration::from_secs(hook.timeout_seconds);
    let end = tokio::select! {
        status = wait(&mut child) => End::Exited(status),
        () = sleep_until(deadline) => End::TimedOut,
        () = cancel.cancelled() => End::Cancelled,
        // It reads until all writers are gone, which may be never.
        () = reader.read_all(output) => End::Exited(tokio::select! {
            status = wait(&mut child) => status,
            () = sleep_until(deadline) => Ok(None),
            () = cancel.cancelled() => Ok(None),
        }),
    };
    let end = match end {
        End::Exited(Ok(None)) if cancel.is_cancelled() => End::Cancelled,
        End::Exited(Ok(None)) => End::TimedOut,
        end => end,
    };
    if !matches!(end, End::Exited(_)) {
        end_group(&mut child).await;
    }
    let _ = timeout(DRAIN, reader.read_all(output)).await;
    let last = reader.finish(output).await;
    match end {
        End::Cancelled => HookEnd::Cancelled,
        End::TimedOut => HookEnd::Failed(format!("it did not end within {} s", hook.timeout_seconds), last),
        End::Exited(Ok(Some(status))) if status.success() => HookEnd::Passed,
        End::Exited(Ok(Some(status))) => HookEnd::Failed(in_words(status), last),
        End::Exited(Ok(None)) => HookEnd::Failed("it was lost".to_owned(), last),
        End::Exited(Err(error)) => HookEnd::Failed(format!("cannot wait for it: {error}"), last),
    }
}

enum End {
    Exited(io::Result<Option<ExitStatus>>),
    TimedOut,
    Cancelled,
}

/// Runs `$2` and ends with it. A killed agent cannot end its hook, which would go on beside that of the next attempt: so a watcher
/// reads what only the agent holds open, and ends the group when it is closed. The user's commands do not see the watcher,
/// for they may wait for all that they started.
const WATCHED: &str = "umask $1; exec 3<&0 </dev/null; \
    { read _ <&3; trap '' TERM; kill -TERM 0; sleep 2; kill -KILL 0; } >/dev/null 2>&1 & \
    sh -c \"$2\" 3<&-; s=$?; exec 2>/dev/null; kill $!; exit $s";

fn start(hook: &HookLine, place: &HookPlace<'_>) -> io::Result<(Child, pipe::Receiver)> {
    let (reader, writer) = io::pipe()?;
    let child = Command::new("sh")
        .args(["-c", WATCHED, "sh"])
        // The agent writes for itself alone; what a hook writes is as if the user had run it.
        .arg(format!("{:04o}", place.umask))
        .arg(&hook.command)
        .current_dir(place.folder)
        .env("MURDER_TAG", place.tag)
        .env("MURDER_DEST", place.dest)
        .env("MURDER_HOST", place.host)
        .stdin(Stdio::piped())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()?;
    let reader = pipe::Receiver::from_file(File::from(OwnedFd::from(reader)))?;
    Ok((child, reader))
}

async fn wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    loop {
        let status = child.try_wait()?;
        if status.is_some() {
            return Ok(status);
        }
        sleep(POLL).await;
    }
}

/// Ends the hook and all that it started in its group.
async fn end_group(child: &mut Child) {
    signal(child, Signal::TERM);
    let _ = timeout(PATIENCE, wait(child)).await;
    signal(child, Signal::KILL);
    let _ = timeout(PATIENCE, wait(child)).await;
}

fn signal(child: &Child, signal: Signal) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

fn in_words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exited with code {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it did not exit".to_owned(),
    }
}

/// Output of a hook.
struct Reader {
    pipe: pipe::Receiver,
    pending: Vec<u8>,
    last: VecDeque<String>,
}

impl Reader {
    async fn read_all(&mut self, output: &mpsc::Sender<String>) {
        loop {
            self.take_lines(output).await;
            self.pending.reserve(MOST_LINE);
            if !matches!(self.pipe.read_buf(&mut self.pending).await, Ok(1..)) {
                return;
            }
        }
    }

    async fn take_lines(&mut self, output: &mpsc::Sender<String>) {
        loop {
            let end = self.pending.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
            let Some(end) = end.or((self.pending.len() >= MOST_LINE).then_some(self.pending.len())) else {
                return;
            };
            // The place is taken first: who is dropped while it waits for one has lost no line.
            let place = output.reserve().await;
            let line: Vec<u8> = self.pending.drain(..end).collect();
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if self.last.len() == LAST_LINES {
                self.last.pop_front();
            }
            self.last.push_back(line.clone());
            if let Ok(place) = place {
                place.send(line);
            }
        }
    }

    async fn finish(mut self, output: &mpsc::Sender<String>) -> Vec<String> {
        if !self.pending.is_empty() {
            self.pending.push(b'\n');
            self.take_lines(output).await;
        }
        self.last.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn hook(command: &str, timeout_seconds: u64, cancel: &CancellationToken) -> (HookEnd, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let (sender, mut receiver) = mpsc::channel(1000);
        let place = HookPlace {
            folder: folder.path(),
            tag: "v1",
            dest: Path::new("/srv/app"),
            host: "web1",
            umask: 0o027,
        };
        let hook = HookLine { command: command.to_owned(), timeout_seconds };
        let end = run_hook(&hook, &place, &sender, cancel).await;
        drop(sender);
        let mut lines = Vec::new();
        while let Some(line) = receiver.recv().await {
            lines.push(line);
        }
        (end, lines)
    }

    fn never() -> CancellationToken {
        CancellationToken::new()
    }

    #[tokio::test]
    async fn a_hook_knows_where_and_for_whom_it_runs() {
        let (end, lines) =
            hook("echo $MURDER_TAG $MURDER_DEST $MURDER_HOST; umask; touch here; ls", 60, &never()).await;
        assert_eq!(end, HookEnd::Passed);
        assert_eq!(lines, ["v1 /srv/app web1", "0027", "here"]);
    }

    #[tokio::test]
    async fn a_failing_hook_tells_its_code_and_last_lines() {
        let (end, lines) = hook("seq 1 30; echo oops >&2; printf unfinished; exit 3", 60, &never()).await;
        assert_eq!(lines.len(), 32);
        let HookEnd::Failed(words, last) = end else { panic!("{end:?}") };
        assert_eq!(words, "it exited with code 3");
        assert_eq!(last.len(), LAST_LINES);
        assert_eq!(&last[LAST_LINES - 3..], ["30", "oops", "unfinished"]);
    }

    #[tokio::test]
    async fn a_hook_that_hangs_is_ended_with_all_that_it_started() {
        let start = Instant::now();
        let (end, lines) = hook("sleep 300 & echo $!; trap '' TERM; sleep 300; sleep 300", 1, &never()).await;
        assert!(matches!(end, HookEnd::Failed(words, _) if words.contains("within 1 s")));
        assert!(start.elapsed() < Duration::from_secs(100));
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", lines[0]));
        assert!(stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z ")), "its child is gone");
    }

    #[test]
    fn a_hook_ends_with_an_agent_that_was_killed() {
        let folder = tempfile::tempdir().unwrap();
        let place = HookPlace {
            folder: folder.path(),
            tag: "v1",
            dest: Path::new("/srv/app"),
            host: "web1",
            umask: 0o022,
        };
        let command = "sleep 300 & echo $! > child; trap '' TERM; sleep 300; sleep 300".to_owned();
        let hook = HookLine { command, timeout_seconds: 600 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (mut child, _output) = runtime.block_on(async { start(&hook, &place).unwrap() });
        let file = folder.path().join("child");
        while std::fs::read_to_string(&file).unwrap_or_default().is_empty() {
            std::thread::sleep(POLL);
        }
        let pid = std::fs::read_to_string(&file).unwrap();
        // All that is left of a killed agent: its end of the hook's input is closed.
        drop(child.stdin.take());
        assert!(!child.wait().unwrap().success());
        let stat = format!("/proc/{}/stat", pid.trim());
        let gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        for _ in 0..1000 {
            if gone() {
                return;
            }
            std::thread::sleep(POLL);
        }
        panic!("what the hook started lives on");
    }

    #[tokio::test]
    async fn what_a_hook_leaves_running_is_not_waited_for() {
        let start = Instant::now();
        let (end, lines) = hook("sleep 100 & echo $!", 60, &never()).await;
        assert_eq!(end, HookEnd::Passed);
        assert!(start.elapsed() < Duration::from_secs(50));
        let pid: i32 = lines[0].parse().unwrap();
        rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn an_agent_that_leaves_ends_its_hook() {
        let cancel = never();
        let soon = cancel.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(100)).await;
            soon.cancel();
        });
        assert_eq!(hook("exec sleep 300", 300, &cancel).await.0, HookEnd::Cancelled);
        assert_eq!(hook("exec >/dev/null 2>&1; exec sleep 300", 300, &cancel).await.0, HookEnd::Cancelled);
    }
}
