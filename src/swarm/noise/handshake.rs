use std::collections::HashSet;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use snow::{Builder, HandshakeState};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::cipher::TAG;
use super::resolver::AwsLc;
use super::{Channel, Opener, Sealer, Suite};
use crate::control::{HostId, RunKey};

/// Time for a whole handshake; an end that needs longer is given up.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Dials that a host answers in a run. Each is remembered with 32 bytes; a run makes some thousands at most, and only
/// holders of the key can make one, so that a full set is refused rather than forgotten.
const MAX_SEEN: usize = 1 << 16;

const VERSION: u8 = 2;
const KEY: usize = 32;
/// Version, dialler, dialled, its life, info-hash.
const PAYLOAD: usize = 1 + 4 + 4 + 4 + 20;
/// Suite, ephemeral key, encrypted payload.
const FIRST: usize = 1 + KEY + PAYLOAD + TAG;
/// Ephemeral key, empty encrypted payload.
const SECOND: usize = KEY + TAG;

/// Why no channel came to be, or why it ended.
#[derive(Debug, thiserror::Error)]
pub enum NoiseError {
    /// The stream broke.
    #[error("connection broke: {0}")]
    Io(#[source] io::Error),
    /// The other end does not hold the run's key, or somebody changed what it sent.
    #[error("what came was not made with the run's key, or was altered on its way")]
    Altered,
    /// The suite's byte is none of ours.
    #[error("unknown cipher suite {0}, expected 1 or 2")]
    Suite(u8),
    /// It holds the key, but means another version, host or torrent.
    #[error("the dial was meant for {what}, not for this end")]
    NotMeant {
        /// What differs.
        what: &'static str,
    },
    /// The first message was answered before.
    #[error("the dial was answered before: a replay")]
    Replay,
    /// As many dials were answered as a run may have.
    #[error("too many dials in this run, no more are answered")]
    TooMany,
    /// No answer in time.
    #[error("no handshake within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
    /// The cipher refused its work.
    #[error("the cipher failed")]
    Crypto,
}

impl From<io::Error> for NoiseError {
    fn from(error: io::Error) -> Self {
        error.downcast().unwrap_or_else(Self::Io)
    }
}

impl From<NoiseError> for io::Error {
    fn from(error: NoiseError) -> Self {
        match error {
            NoiseError::Io(error) => error,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// Who an end is.
#[derive(Debug, Clone)]
pub struct Party {
    /// The run's secret.
    pub key: RunKey,
    /// This end.
    pub me: HostId,
    /// Which life of its agent in this run this is. What was dialled at an earlier one is not answered: that one's
    /// [`SeenKeys`] are forgotten.
    pub life: u32,
    /// SHA-1 of the info dictionary of the torrent in question.
    pub info_hash: [u8; 20],
}

/// The ephemeral keys that were answered, so that none is twice. One for all listeners of a host.
#[derive(Debug, Default)]
pub struct SeenKeys(Mutex<HashSet<[u8; KEY]>>);

impl SeenKeys {
    fn insert(&self, key: [u8; KEY]) -> Result<(), NoiseError> {
        let mut seen = self.0.lock().map_err(|_| NoiseError::Crypto)?;
        if seen.contains(&key) {
            Err(NoiseError::Replay)
        } else if seen.len() >= MAX_SEEN {
            Err(NoiseError::TooMany)
        } else {
            seen.insert(key);
            Ok(())
        }
    }
}

/// Makes a channel to host `them`, whose agent is in its life `life`, at the other end of `stream`.
pub async fn dial<S>(stream: S, party: &Party, them: HostId, life: u32) -> Result<Channel<S>, NoiseError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    dial_with(stream, party, (them, life), Suite::best()).await
}

pub(super) async fn dial_with<S>(
    mut stream: S,
    party: &Party,
    them: (HostId, u32),
    suite: Suite,
) -> Result<Channel<S>, NoiseError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let exchange = async {
        let mut state = start(suite, party, true)?;
        let mut first = [0; FIRST];
        first[0] = suite.byte();
        let length = state.write_message(&introduction(party, them), &mut first[1..]).map_err(refused)?;
        if length != FIRST - 1 {
            return Err(NoiseError::Crypto);
        }
        stream.write_all(&first).await?;
        stream.flush().await?;
        let mut second = [0; SECOND];
        stream.read_exact(&mut second).await?;
        state.read_message(&second, &mut []).map_err(refused)?;
        let (to_responder, to_initiator) = state.dangerously_get_raw_split();
        let mut channel =
            Channel::sealed(stream, Sealer::new(suite, &to_responder)?, Opener::new(suite, &to_initiator)?);
        // An empty frame: only who holds the ephemeral key's other half can make it, so the dial is no replay.
        channel.seal_empty()?;
        channel.flush().await?;
        Ok(channel)
    };
    within_time(exchange).await
}

/// Waits for the other end of `stream` to dial, checks that it holds the key and means us, and says who it is.
/// Nothing is sent to whom it does not.
pub async fn answer<S>(
    mut stream: S,
    party: &Party,
    seen: &SeenKeys,
) -> Result<(Channel<S>, HostId), NoiseError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let exchange = async {
        let mut first = [0; FIRST];
        stream.read_exact(&mut first).await?;
        let suite = Suite::from_byte(first[0]).ok_or(NoiseError::Suite(first[0]))?;
        let mut state = start(suite, party, false)?;
        let mut payload = [0; PAYLOAD];
        state.read_message(&first[1..], &mut payload).map_err(refused)?;
        let them = check(&payload, party)?;
        let mut key = [0; KEY];
        key.copy_from_slice(&first[1..=KEY]);
        seen.insert(key)?;

        let mut second = [0; SECOND];
        let length = state.write_message(&[], &mut second).map_err(refused)?;
        if length != SECOND {
            return Err(NoiseError::Crypto);
        }
        stream.write_all(&second).await?;
        stream.flush().await?;
        let (to_responder, to_initiator) = state.dangerously_get_raw_split();
        let mut channel =
            Channel::sealed(stream, Sealer::new(suite, &to_initiator)?, Opener::new(suite, &to_responder)?);
        channel.await_frame().await?;
        Ok((channel, them))
    };
    within_time(exchange).await
}

async fn within_time<T>(exchange: impl Future<Output = Result<T, NoiseError>>) -> Result<T, NoiseError> {
    tokio::time::timeout(HANDSHAKE_TIMEOUT, exchange).await.unwrap_or(Err(NoiseError::Timeout))
}

fn start(suite: Suite, party: &Party, initiator: bool) -> Result<HandshakeState, NoiseError> {
    let params = suite.pattern().parse().map_err(refused)?;
    let prologue = [b'm', b'u', b'r', b'd', b'e', b'r', VERSION, suite.byte()];
    let builder = Builder::with_resolver(params, Box::new(AwsLc))
        .psk(0, &party.key.0)
        .and_then(|builder| builder.prologue(&prologue))
        .map_err(refused)?;
    if initiator { builder.build_initiator() } else { builder.build_responder() }.map_err(refused)
}

fn introduction(party: &Party, (them, life): (HostId, u32)) -> [u8; PAYLOAD] {
    let mut payload = [0; PAYLOAD];
    payload[0] = VERSION;
    payload[1..5].copy_from_slice(&party.me.0.to_be_bytes());
    payload[5..9].copy_from_slice(&them.0.to_be_bytes());
    payload[9..13].copy_from_slice(&life.to_be_bytes());
    payload[13..].copy_from_slice(&party.info_hash);
    payload
}

fn check(payload: &[u8; PAYLOAD], party: &Party) -> Result<HostId, NoiseError> {
    let number =
        |at: usize| u32::from_be_bytes([payload[at], payload[at + 1], payload[at + 2], payload[at + 3]]);
    let (from, to, life) = (HostId(number(1)), HostId(number(5)), number(9));
    let differs = if payload[0] != VERSION {
        Some("another version")
    } else if to != party.me {
        Some("another host")
    } else if life != party.life {
        Some("another life of this host's agent")
    } else if from == party.me {
        Some("itself")
    } else if payload[13..] != party.info_hash {
        Some("another torrent")
    } else {
        None
    };
    differs.map_or(Ok(from), |what| Err(NoiseError::NotMeant { what }))
}

fn refused(error: snow::Error) -> NoiseError {
    match error {
        snow::Error::Decrypt | snow::Error::Dh | snow::Error::Input => NoiseError::Altered,
        _ => NoiseError::Crypto,
    }
}
