use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

/// Bytes that are copied at once: what a pipe holds.
const CHUNK: usize = 64 << 10;

/// Copies input to a port on loopback and what it answers to output: for an sshd that forbids forwarding.
///
/// Ends when the port closes, or when nobody reads what it says.
pub(super) fn pipe(port: u16, input: impl AsFd, output: impl AsFd) -> io::Result<()> {
    let mut from_port = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    from_port.set_nodelay(true)?;
    let mut to_port = from_port.try_clone()?;
    let (mut input, mut output) = (unbuffered(input)?, unbuffered(output)?);
    thread::spawn(move || {
        // Whatever ends it, the port hears that nothing more comes.
        let _ = copy(&mut input, &mut to_port);
        let _ = to_port.shutdown(Shutdown::Write);
    });
    copy(&mut from_port, &mut output)
}

/// The standard library's output keeps what does not end a line, and the other end waits for it.
fn unbuffered(stream: impl AsFd) -> io::Result<File> {
    let own: OwnedFd = stream.as_fd().try_clone_to_owned()?;
    Ok(own.into())
}

/// Not `io::copy`, which splices: while Linux waits for a socket to say something, it keeps the pipe that this would go
/// to locked, and whoever looks into that pipe, as sshd does, stands still with it.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => to.write_all(&buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// Talks through a pipe to a port that echoes, as sshd does: it looks at the output now and then.
    fn talk(mut to_agent: impl Write, input: OwnedFd, mut from_agent: impl Read, output: OwnedFd) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let echo = thread::spawn(move || {
            let (mut reader, _) = listener.accept().unwrap();
            let mut writer = reader.try_clone().unwrap();
            copy(&mut reader, &mut writer).unwrap();
        });
        let copying = thread::spawn(move || pipe(port, input, output));
        // No newline ends any of it, and who hears nothing says nothing more.
        for said in [b"short".to_vec(), vec![0; 3], (0..=255).collect(), vec![b'x'; CHUNK + 1]] {
            to_agent.write_all(&said).unwrap();
            thread::sleep(Duration::from_millis(20));
            let mut heard = vec![1; said.len()];
            from_agent.read_exact(&mut heard).unwrap();
            assert_eq!(heard, said);
        }
        drop(to_agent);
        assert_eq!(from_agent.read(&mut [0]).unwrap(), 0, "the port closed when it heard the end");
        copying.join().unwrap().unwrap();
        echo.join().unwrap();
    }

    /// Fails where it would hang.
    fn in_time(work: impl FnOnce() + Send + 'static) {
        let (done, wait) = mpsc::channel();
        thread::spawn(move || {
            work();
            done.send(()).unwrap();
        });
        wait.recv_timeout(Duration::from_secs(60)).unwrap();
    }

    #[test]
    fn what_one_end_says_reaches_the_other_at_once_and_so_does_its_end() {
        // Some builds of sshd give a command pipes, others sockets.
        in_time(|| {
            let (input, to_agent) = io::pipe().unwrap();
            let (from_agent, output) = io::pipe().unwrap();
            talk(to_agent, input.into(), from_agent, output.into());
        });
        in_time(|| {
            let (input, to_agent) = UnixStream::pair().unwrap();
            let (from_agent, output) = UnixStream::pair().unwrap();
            talk(to_agent, input.into(), from_agent, output.into());
        });
    }
}
