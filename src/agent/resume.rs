use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::control::{HostId, Request, RunKey, decode};
use crate::swarm::noise::{HANDSHAKE_TIMEOUT, Party, SeenKeys, answer};

use super::lines::Lines;

/// Dials that are answered at once. Another user of the host can make the operator wait no longer than a handshake may take.
const MOST_KNOCKING: usize = 16;

/// An operator that comes back says one thing at once; a second one replaces the first.
const RETURNS: usize = 1;

/// Before listening goes on after a failure: out of file descriptors, as a rule.
const PAUSE: Duration = Duration::from_millis(200);

/// What an operator's words come from.
pub(super) type Input = Box<dyn AsyncRead + Send + Unpin>;

/// What reports go to.
pub(super) type Output = Box<dyn AsyncWrite + Send + Unpin>;

/// Where the operator comes back to when its connection was lost: a port of loopback, which it reaches through SSH like that
/// of the swarm. What is said there is encrypted and authenticated with a key that it alone holds.
pub(super) struct Door {
    pub(super) port: u16,
    returns: mpsc::Receiver<Return>,
    _listening: AbortOnDropHandle<()>,
}

/// The operator, over a new connection.
pub(super) struct Return {
    pub(super) lines: Lines<Input>,
    pub(super) output: Output,
    /// Numbered reports that it has heard.
    pub(super) heard: u64,
}

impl Door {
    pub(super) fn open(me: HostId, key: RunKey) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let port = listener.local_addr()?.port();
        let (tell, returns) = mpsc::channel(RETURNS);
        // The torrent is not known yet, and there is no other that could be meant.
        let party = Party { key, me, life: 0, info_hash: [0; 20] };
        let listening = AbortOnDropHandle::new(tokio::spawn(listen(listener, Arc::new(party), tell)));
        Ok(Self { port, returns, _listening: listening })
    }
}

/// The next time that the operator comes back; never without a door.
pub(super) async fn next_return(door: Option<&mut Door>) -> Return {
    match door {
        Some(door) => match door.returns.recv().await {
            Some(back) => back,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

async fn listen(listener: TcpListener, party: Arc<Party>, tell: mpsc::Sender<Return>) {
    let seen = Arc::new(SeenKeys::default());
    let mut knocking = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if knocking.len() < MOST_KNOCKING => match accepted {
                Ok((stream, _)) => {
                    knocking.spawn(let_in(stream, Arc::clone(&party), Arc::clone(&seen)));
                }
                Err(_) => sleep(PAUSE).await,
            },
            Some(known) = knocking.join_next() => {
                if let Ok(Some(back)) = known
                    && tell.send(back).await.is_err()
                {
                    return;
                }
            }
        }
    }
}

/// `None` for everybody but the operator.
async fn let_in(stream: TcpStream, party: Arc<Party>, seen: Arc<SeenKeys>) -> Option<Return> {
    stream.set_nodelay(true).ok()?;
    let (channel, who) = answer(stream, &party, &seen).await.ok()?;
    if who != HostId::SEEDER {
        return None;
    }
    let (input, output) = tokio::io::split(channel);
    let mut lines: Lines<Input> = Lines::new(Box::new(input));
    let first = timeout(HANDSHAKE_TIMEOUT, lines.next_line()).await.ok()?.ok()??;
    match decode(&first) {
        Ok(Request::Resume { heard }) => Some(Return { lines, output: Box::new(output), heard }),
        _ => None,
    }
}
