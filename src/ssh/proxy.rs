use std::io;
use std::process::Stdio;

use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::pipes::Pipes;

/// A connection over the stdin and stdout of a ProxyCommand, which ends with it.
pub(super) type CommandStream = Pipes<ChildStdout, ChildStdin, Child>;

impl CommandStream {
    /// Starts the command as OpenSSH does: with `exec` in the user's shell.
    pub(super) fn start(command: &str) -> io::Result<Self> {
        let shell =
            std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".into());
        let mut child = Command::new(shell)
            .arg("-c")
            .arg(format!("exec {command}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Its words would be written over the screen.
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(stdin), Some(stdout)) => Ok(Self::new(stdout, stdin, child)),
            _ => Err(io::Error::other("it has no pipes")),
        }
    }
}
