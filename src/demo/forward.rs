use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use russh::server::{ChannelOpenHandle, Msg};
use russh::{Channel, ChannelOpenFailure};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::exec::pass;
use super::input::feed;

/// Where a forwarding leads, if it is allowed: to the host's own loopback and nowhere else.
pub(super) fn target(host: &str, port: u32) -> Option<SocketAddr> {
    let port = u16::try_from(port).ok().filter(|port| *port > 0)?;
    matches!(host, "127.0.0.1" | "localhost").then(|| (IpAddr::V4(Ipv4Addr::LOCALHOST), port).into())
}

/// Dials the target, then carries bytes until the target or the client ends it, or the connection is `closed`.
pub(super) async fn carry(
    target: SocketAddr,
    channel: Channel<Msg>,
    reply: ChannelOpenHandle,
    closed: CancellationToken,
) {
    let stream = tokio::select! {
        stream = TcpStream::connect(target) => stream,
        () = closed.cancelled() => return,
    };
    let Ok(stream) = stream else {
        reply.reject(ChannelOpenFailure::ConnectFailed).await;
        return;
    };
    // Without it the small messages of the swarm wait for each other; if it fails it is only slower.
    let _ = stream.set_nodelay(true);
    reply.accept().await;
    let (source, sink) = stream.into_split();
    let (reader, writer) = channel.split();
    tokio::select! {
        () = feed(reader, sink, |_| ()) => {}
        () = pass(source, &writer, None) => {}
        () = closed.cancelled() => {}
    }
    // Whoever is no longer there cannot be told.
    let _ = writer.eof().await;
    let _ = writer.close().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hosts_own_loopback_is_forwarded_to() {
        assert_eq!(target("127.0.0.1", 80), Some(SocketAddr::from(([127, 0, 0, 1], 80))));
        for (host, port) in
            [("127.0.0.1", 0), ("127.0.0.1", 65_536), ("10.0.0.1", 80), ("example.com", 80), ("", 80)]
        {
            assert_eq!(target(host, port), None, "{host}:{port}");
        }
    }
}
