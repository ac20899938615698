use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::SeederError;
use super::session::Session;
use crate::payload::Metainfo;
use crate::swarm::limiter::{Direction, Limiter};

/// Clients and announces at once; who comes on top waits for the kernel.
const CLIENTS: usize = 64;

/// Bytes that are passed on at once.
const PART: usize = 32 << 10;

/// The longest request line and headers that are read of an announce.
const LONGEST_REQUEST: usize = 8 << 10;

/// Time for a client to say what it wants.
const PATIENCE: Duration = Duration::from_secs(30);

/// Seconds after which clients are to ask again.
const INTERVAL: u32 = 60;

/// A BitTorrent handshake starts with the length of the protocol's name.
const BITTORRENT: u8 = 19;

/// And an announce with GET.
const HTTP: u8 = b'G';

/// A swarm for any BitTorrent client, plain and open: a second session, and on the one port that is named in the
/// torrent file both that session and a tracker that knows nobody else.
///
/// The port answers BitTorrent and HTTP alike, so that one rule in a firewall is enough.
pub struct OpenSwarm {
    door: Arc<Door>,
    address: SocketAddr,
    stop: CancellationToken,
}

struct Door {
    metainfo: Arc<Metainfo>,
    session: Session,
    limiter: Arc<Limiter>,
    sent: AtomicU64,
    clients: Arc<Semaphore>,
}

impl OpenSwarm {
    /// Opens it on `port` of all addresses, or any free port if that is 0. All clients together are held to `limiter`.
    /// Must be called within a tokio runtime, where its tasks run.
    pub async fn start(
        artifact: &Path,
        metainfo: Arc<Metainfo>,
        port: u16,
        limiter: Arc<Limiter>,
        scratch: &Path,
    ) -> Result<Self, SeederError> {
        let failed = |error: io::Error| SeederError::Port { port, reason: error.to_string() };
        let listener = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await.map_err(failed)?,
        };
        let address = listener.local_addr().map_err(failed)?;
        let door = Arc::new(Door {
            session: Session::start(artifact, &metainfo, scratch)?,
            metainfo,
            limiter,
            sent: AtomicU64::new(0),
            clients: Arc::new(Semaphore::new(CLIENTS)),
        });
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(answer_all(
            door.clone(),
            listener,
            stop.clone(),
        )));
        Ok(Self { door, address, stop })
    }

    /// The port that it answers on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The torrent file to hand out: its announce URL names this machine as `host`, a name or an address.
    pub fn torrent(&self, host: &str) -> Vec<u8> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        self.door.metainfo.to_torrent(Some(&format!("http://{host}:{}/announce", self.port())))
    }

    /// Bytes sent to clients.
    pub fn sent(&self) -> u64 {
        self.door.sent.load(Ordering::Relaxed)
    }

    /// Closes the port and all connections, and removes what the session kept on disk.
    pub async fn stop(self) {
        self.stop.cancel();
        self.door.session.cancel();
        let door = self.door.clone();
        let joined = tokio::task::spawn_blocking(move || door.session.join());
        let _ = tokio::time::timeout(PATIENCE, joined).await;
    }
}

impl Drop for OpenSwarm {
    fn drop(&mut self) {
        self.stop.cancel();
        self.door.session.cancel();
    }
}

/// The address of this machine from which others are reached, to name it in a torrent file. Nothing is sent for it.
pub fn own_address() -> Option<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849): they are routed like any other.
    let routes = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    routes.into_iter().find_map(|(from, to)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_unspecified())
    })
}

async fn answer_all(door: Arc<Door>, listener: TcpListener, stop: CancellationToken) {
    loop {
        let Ok(place) = door.clients.clone().acquire_owned().await else { return };
        let Ok((client, _)) = listener.accept().await else {
            // Out of file descriptors, as a rule: some will be closed.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (door, stop) = (door.clone(), stop.clone());
        tokio::spawn(async move {
            if let Some(Err(error)) = stop.run_until_cancelled(door.answer(client)).await {
                tracing::debug!(%error, "a client of the open swarm left");
            }
            drop(place);
        });
    }
}

impl Door {
    async fn answer(&self, client: TcpStream) -> io::Result<()> {
        let mut first = [0];
        let peeked = tokio::time::timeout(PATIENCE, client.peek(&mut first)).await??;
        match (peeked, first[0]) {
            (1, BITTORRENT) => self.pass_on(client).await,
            (1, HTTP) => tokio::time::timeout(PATIENCE, self.announce(client)).await?,
            // An encrypted handshake of BitTorrent, as a rule: closed at once, the client tries a plain one.
            _ => Ok(()),
        }
    }

    /// Joins a client to the session; what goes out is limited.
    async fn pass_on(&self, client: TcpStream) -> io::Result<()> {
        let address = self.session.live().await.map_err(io::Error::other)?;
        let session = TcpStream::connect(address).await?;
        client.set_nodelay(true)?;
        session.set_nodelay(true)?;
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_session, mut to_session) = session.into_split();
        let inward = async {
            tokio::io::copy(&mut from_client, &mut to_session).await?;
            to_session.shutdown().await
        };
        let outward = async {
            let mut part = vec![0; PART];
            loop {
                let length = from_session.read(&mut part).await?;
                if length == 0 {
                    return to_client.shutdown().await;
                }
                self.limiter.pass(Direction::Up, length).await;
                to_client.write_all(&part[..length]).await?;
                self.sent.fetch_add(length as u64, Ordering::Relaxed);
            }
        };
        tokio::try_join!(inward, outward).map(drop)
    }

    /// Answers an announce of our torrent with the address by which the client reached us, and no other peer.
    async fn announce(&self, mut client: TcpStream) -> io::Result<()> {
        let mut request = Vec::new();
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            if request.len() > LONGEST_REQUEST || client.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let us = client.local_addr()?;
        let (status, body) = match asked_for(&request) {
            Some(hash) if hash == self.metainfo.info_hash => ("200 OK", peers(us)),
            Some(_) => ("200 OK", b"d14:failure reason33:this tracker knows one other run.e".to_vec()),
            None => ("404 Not Found", Vec::new()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        client.write_all(&[head.as_bytes(), &body].concat()).await?;
        client.shutdown().await
    }
}

/// The info-hash of an announce; `None` if it is none.
fn asked_for(request: &[u8]) -> Option<[u8; 20]> {
    let line = request.split(|byte| *byte == b'\r').next()?;
    let target = line.strip_prefix(b"GET ")?.split(|byte| *byte == b' ').next()?;
    let query = target.strip_prefix(b"/announce?")?;
    let hash = query.split(|byte| *byte == b'&').find_map(|pair| pair.strip_prefix(b"info_hash="))?;
    unescape(hash)?.try_into().ok()
}

/// Undoes percent-encoding; bytes that are not encoded stand for themselves.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(20);
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => *other,
        });
    }
    Some(bytes)
}

/// The answer of a tracker that knows one peer (BEP 23 and BEP 7).
fn peers(peer: SocketAddr) -> Vec<u8> {
    let port = peer.port().to_be_bytes();
    let (four, six) = match peer.ip().to_canonical() {
        IpAddr::V4(address) => ([&address.octets()[..], &port].concat(), Vec::new()),
        IpAddr::V6(address) => (Vec::new(), [&address.octets()[..], &port].concat()),
    };
    let mut body = format!("d8:intervali{INTERVAL}e5:peers{}:", four.len()).into_bytes();
    body.extend(four);
    body.extend(format!("6:peers6{}:", six.len()).bytes());
    body.extend(six);
    body.push(b'e');
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announce_is_understood_whatever_is_encoded() {
        let hash: Vec<u8> = (0..20).map(|byte| byte * 13).collect();
        let escaped: String = hash.iter().map(|byte| format!("%{byte:02X}")).collect();
        let request =
            format!("GET /announce?peer_id=x&info_hash={escaped}&port=1 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(asked_for(request.as_bytes()).map(Vec::from), Some(hash));
        let plain = b"GET /announce?info_hash=aaaaaaaaaaaaaaaaaaa~ HTTP/1.0\r\n\r\n";
        assert_eq!(asked_for(plain), Some(*b"aaaaaaaaaaaaaaaaaaa~"));
        for bad in
            ["GET / HTTP/1.1\r\n\r\n", "POST /announce?info_hash=a\r\n", "GET /announce?info_hash=%4\r\n", ""]
        {
            assert_eq!(asked_for(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn the_tracker_names_one_peer_in_the_form_of_its_address() {
        let four = peers("10.1.2.3:258".parse().unwrap());
        assert_eq!(four, b"d8:intervali60e5:peers6:\x0a\x01\x02\x03\x01\x026:peers60:e");
        let mapped = peers("[::ffff:10.1.2.3]:258".parse().unwrap());
        assert_eq!(mapped, four);
        let six = peers("[2001:db8::1]:258".parse().unwrap());
        assert_eq!(six.len(), "d8:intervali60e5:peers0:6:peers618:e".len() + 18);
    }
}
