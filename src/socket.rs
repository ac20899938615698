//! What is asked of TCP.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// Data that is not acknowledged for so long ends a connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

/// Small messages leave at once, no more than `unsent` bytes wait to be sent, and an end that vanished is noticed.
pub(crate) fn tune(stream: &impl AsFd, unsent: u32) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(UNACKNOWLEDGED))?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_notsent_lowat(unsent)?;
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = unsent;
    Ok(())
}

/// Has the kernel acknowledge at once what comes over a TCP connection. It forgets the wish after some packets: to be repeated with
/// each read. Where it cannot be had, the way is slow and right.
#[cfg(all(feature = "operator", any(target_os = "linux", target_os = "android")))]
pub(crate) fn quick_ack(stream: impl AsFd) {
    let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
}

/// Elsewhere there is no such wish.
#[cfg(all(feature = "operator", not(any(target_os = "linux", target_os = "android"))))]
pub(crate) fn quick_ack(_stream: impl AsFd) {}
