use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::socket::tune;
use crate::ssh::{Loopback, Session, SshError};

use super::sent::Joined;

/// A channel of SSH carries at most a window of 2 MiB in a round trip: 200 MB/s at this one. Below it the window is wider than
/// what a processor encrypts, and SSH is as good as any way.
const WINDOW_BINDS: Duration = Duration::from_millis(10);

/// A direct dial may take this many times what a channel took to open …
const PATIENCE_FACTOR: u32 = 3;

/// … and never longer than this: behind a firewall it is in vain.
const PATIENCE: Duration = Duration::from_secs(1);

/// The unsent part of the socket is kept this small, so that what is decided now is sent now.
const UNSENT: u32 = 128 << 10;

/// A way from the seeder to a host's engine. Either is encrypted and authenticated alike inside.
pub(super) enum Way {
    /// Through the host's SSH connection.
    Ssh(Loopback),
    /// Past it, to the port where other hosts dial.
    Direct(TcpStream, Duration),
}

/// Opens the way through SSH; where that shows a long path, on which its window binds, the port that other hosts use is tried
/// too, and taken if it answers.
pub(super) async fn open(session: &Session, joined: &Joined, direct: bool) -> Result<Way, SshError> {
    let begun = Instant::now();
    let loopback = session.open_loopback(joined.port).await?;
    let took = begun.elapsed();
    if direct && took >= WINDOW_BINDS {
        let patience = (took * PATIENCE_FACTOR).min(PATIENCE);
        if let Some((stream, round_trip)) = dial(&joined.addresses, patience).await {
            return Ok(Way::Direct(stream, round_trip));
        }
    }
    Ok(Way::Ssh(loopback))
}

/// The first address that answers, and how long that took; `None` if it is so near that SSH will do.
async fn dial(addresses: &[SocketAddr], patience: Duration) -> Option<(TcpStream, Duration)> {
    let begun = Instant::now();
    let mut answer = None;
    for address in addresses {
        let since = Instant::now();
        let left = patience.saturating_sub(begun.elapsed());
        if let Ok(Ok(stream)) = timeout(left, TcpStream::connect(address)).await {
            answer = Some((stream, since.elapsed()));
            break;
        }
    }
    let (stream, round_trip) = answer.filter(|(_, round_trip)| *round_trip >= WINDOW_BINDS)?;
    tune(&stream, UNSENT).ok()?;
    Some((stream, round_trip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_near_or_closed_is_left_to_ssh() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        assert!(dial(&[open], PATIENCE).await.is_none(), "loopback is near");
        drop(listener);
        assert!(dial(&[open], PATIENCE).await.is_none());
        assert!(dial(&[], PATIENCE).await.is_none());
    }
}
