use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::thread;

/// Copies standard input to a port on loopback and what it answers to standard output: for an sshd that forbids forwarding.
///
/// Ends when the port closes, or when nobody reads what it says.
pub(super) fn pipe(port: u16) -> io::Result<()> {
    let mut from_port = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    from_port.set_nodelay(true)?;
    let mut to_port = from_port.try_clone()?;
    thread::spawn(move || {
        // Whatever ends it, the port hears that nothing more comes.
        let _ = io::copy(&mut io::stdin().lock(), &mut to_port);
        let _ = to_port.shutdown(Shutdown::Write);
    });
    let mut output = io::stdout().lock();
    io::copy(&mut from_port, &mut output)?;
    output.flush()
}
