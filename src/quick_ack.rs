use std::os::fd::AsFd;

/// Has the kernel acknowledge at once what comes over a TCP connection. It forgets the wish after some packets: to be repeated with
/// each read. Where it cannot be had, the way is slow and right.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn quick_ack(stream: impl AsFd) {
    let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
}

/// Elsewhere there is no such wish.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn quick_ack(_stream: impl AsFd) {}
