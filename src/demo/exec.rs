use std::ffi::OsStr;
use std::mem::discriminant;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::{env, io};

use bytes::BytesMut;
use russh::server::{Handle, Msg};
use russh::{Channel, ChannelWriteHalf, Sig};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::input::feed;
use super::processes::Group;

/// Bytes read from a child at once; what fits a packet.
const CHUNK: usize = 32 << 10;

/// SSH's number of the stderr stream.
const STDERR: u32 = 1;

/// Used if this process has no PATH itself.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// Signals that have a name in SSH, with their numbers here.
const SIGNALS: [(Sig, Signal); 10] = [
    (Sig::ABRT, Signal::ABORT),
    (Sig::ALRM, Signal::ALARM),
    (Sig::HUP, Signal::HUP),
    (Sig::INT, Signal::INT),
    (Sig::KILL, Signal::KILL),
    (Sig::PIPE, Signal::PIPE),
    (Sig::QUIT, Signal::QUIT),
    (Sig::SEGV, Signal::SEGV),
    (Sig::TERM, Signal::TERM),
    (Sig::USR1, Signal::USR1),
];

/// A child that runs for a channel. Its whole process group is killed when this is dropped.
pub(super) struct Exec {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
    group: Group,
}

impl Exec {
    /// Starts `sh -c command` as the account would run it after a login, without a terminal.
    pub(super) fn start(
        account: &Account,
        command: &[u8],
        client: SocketAddr,
        server: SocketAddr,
    ) -> io::Result<Self> {
        let mut child = Command::new("/bin/sh")
            .arg("-c")
            .arg(OsStr::from_bytes(command))
            .env_clear()
            .env("HOME", account.home())
            .env("USER", account.user())
            .env("LOGNAME", account.user())
            .env("SHELL", "/bin/sh")
            .env("PATH", env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into()))
            .env("TMPDIR", account.tmp())
            .env("SSH_CLIENT", format!("{} {} {}", client.ip(), client.port(), server.port()))
            .env(
                "SSH_CONNECTION",
                format!("{} {} {} {}", client.ip(), client.port(), server.ip(), server.port()),
            )
            .current_dir(account.home())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let leader = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        match (leader, pipes) {
            (Some(leader), (Some(stdin), Some(stdout), Some(stderr))) => {
                Ok(Self { child, stdin, stdout, stderr, group: account.processes().enroll(leader) })
            }
            _ => Err(io::Error::other("the child has no pipes")),
        }
    }

    /// Joins child and channel until one of them ends, or the connection is `closed`. A child whose channel is gone loses its
    /// pipes alone, as OpenSSH's server has it, and may go on until `stop`. No process of it is left in the end.
    pub(super) async fn converse(
        self,
        channel: Channel<Msg>,
        handle: Handle,
        closed: CancellationToken,
        stop: CancellationToken,
    ) {
        let Self { mut child, stdin, stdout, stderr, group } = self;
        let (reader, writer) = channel.split();
        let end = {
            let output = async {
                tokio::join!(pass(stdout, &writer, None), pass(stderr, &writer, Some(STDERR)));
                child.wait().await
            };
            // Dropped before the last words are said: whoever waits to hand us input would never take them.
            let input = feed(reader, stdin, |signal| {
                if let Some((_, signal)) =
                    SIGNALS.iter().find(|(name, _)| discriminant(name) == discriminant(signal))
                {
                    group.signal(*signal);
                }
            });
            tokio::select! {
                end = output => end.ok(),
                () = input => None,
                () = closed.cancelled() => None,
            }
        };
        if let Some(end) = end {
            drop(group);
            return say_the_end(&writer, &handle, end).await;
        }
        let _ = writer.close().await;
        tokio::select! {
            _ = child.wait() => {}
            () = stop.cancelled() => {}
        }
        drop(group);
        let _ = child.wait().await;
    }
}

async fn say_the_end(writer: &ChannelWriteHalf<Msg>, handle: &Handle, end: ExitStatus) {
    // Whoever is no longer there cannot be told.
    if let Some(code) = end.code() {
        let _ = handle.exit_status_request(writer.id(), code.cast_unsigned()).await;
    } else {
        let known = SIGNALS.iter().find(|(_, signal)| Some(signal.as_raw()) == end.signal());
        let name = known.map_or_else(|| Sig::Custom("UNKNOWN".into()), |(name, _)| name.clone());
        let (message, language) = (String::new(), String::new());
        let _ = handle.exit_signal_request(writer.id(), name, end.core_dumped(), message, language).await;
    }
    let _ = writer.eof().await;
    let _ = writer.close().await;
}

/// Copies until the source ends; waits for the client's window.
pub(super) async fn pass(
    mut source: impl AsyncRead + Unpin,
    writer: &ChannelWriteHalf<Msg>,
    stream: Option<u32>,
) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        match source.read_buf(&mut buffer).await {
            Ok(count) if count > 0 => {}
            _ => return,
        }
        let data = buffer.split().freeze();
        let sent = match stream {
            None => writer.data_bytes(data).await,
            Some(stream) => writer.extended_data_bytes(stream, data).await,
        };
        if sent.is_err() {
            return;
        }
    }
}
