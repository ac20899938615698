use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{self, DisconnectReason};
use russh::keys::PublicKeyOrCertificate;
use russh::{ChannelId, ChannelOpenFailure, Disconnect, cipher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::host_key::{HostKeyCheck, HostKeyError};
use super::jump::Lease;
use super::pace::{Pace, PacedStream};

/// A silent host is asked for a sign of life this often …
pub(super) const KEEPALIVE: Duration = Duration::from_secs(5);

/// … and given up after so many questions without an answer: early enough to come back to its agent before its lease ends.
pub(super) const KEEPALIVES: usize = 3;

/// Messages of one channel on their way to its reader task. The task does nothing else, so that this fills only while it
/// waits for a processor; a full window of small packets fits in.
const MESSAGES_WAITING: usize = 1024;

/// Failed opens whose reason is kept until somebody asks; more than a jump host's dials at once.
const FAILURES_KEPT: usize = 64;

/// How long the reason of a failed open may come after the failure itself: both are handled in the same task.
const REASON_LATE: Duration = Duration::from_secs(1);

/// How long a goodbye may take to leave.
const GOODBYE: Duration = Duration::from_secs(2);

/// A login's connection, shared by its channels. Dropping it cuts them all.
pub(super) struct Connection {
    pub(super) handle: client::Handle<Handler>,
    pub(super) words: Arc<Words>,
    pub(super) pace: Arc<Pace>,
    /// The place on a jump host that this connection goes through.
    pub(super) lease: Option<Lease>,
    ended: CancellationToken,
    _cut: DropGuard,
}

/// What a key exchange came to.
pub(super) async fn handshake<S>(
    stream: S,
    mut config: client::Config,
    check: Arc<HostKeyCheck>,
) -> Result<Connection, HandlerError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    check.order(&mut config.preferred);
    let (words, pace, cut) = (Arc::new(Words::default()), Pace::new(), CancellationToken::new());
    let stream = PacedStream::new(stream, Arc::clone(&pace), cut.clone());
    let cut = cut.drop_guard();
    let ended = CancellationToken::new();
    let handler = Handler { check, words: Arc::clone(&words), _ended: ended.clone().drop_guard() };
    match client::connect_stream(Arc::new(config), stream, handler).await {
        Ok(handle) => Ok(Connection { handle, words, pace, lease: None, ended, _cut: cut }),
        Err(error @ HandlerError::Russh(russh::Error::Disconnect)) => match words.goodbye() {
            Some(words) => Err(HandlerError::Goodbye(words)),
            None => Err(error),
        },
        Err(error) => Err(error),
    }
}

impl Connection {
    /// Says goodbye and waits a little for it to leave.
    pub(super) async fn disconnect(&self) {
        let leave = async {
            // An error is one of a connection that has ended already.
            let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
            self.ended.cancelled().await;
        };
        let _ = tokio::time::timeout(GOODBYE, leave).await;
    }

    /// Why it ended, as far as that is known; a jump host that is gone says more than the silence behind it.
    pub(super) fn goodbye(&self) -> Option<String> {
        self.lease.as_ref().and_then(Lease::gone).or_else(|| self.words.goodbye())
    }

    /// The connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }
}

/// russh's settings for a host. The host-key algorithms are still to be ordered.
pub(super) fn config() -> client::Config {
    // DH, which takes 60 ms of a processor, is last by default.
    let mut preferred = russh::Preferred::DEFAULT;
    if processor_has_aes() {
        // A third of ChaCha20's time.
        preferred.cipher = Cow::Borrowed(&[
            cipher::AES_256_GCM,
            cipher::AES_128_GCM,
            cipher::CHACHA20_POLY1305,
            cipher::AES_256_CTR,
            cipher::AES_192_CTR,
            cipher::AES_128_CTR,
        ]);
    }
    client::Config {
        client_id: russh::SshId::Standard(Cow::Borrowed(concat!(
            "SSH-2.0-murder_",
            env!("CARGO_PKG_VERSION")
        ))),
        preferred,
        channel_buffer_size: MESSAGES_WAITING,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES,
        nodelay: true,
        ..client::Config::default()
    }
}

fn processor_has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// What the server said beside its answers.
#[derive(Default)]
pub(super) struct Words {
    goodbye: Mutex<Option<String>>,
    failed_opens: Mutex<VecDeque<(ChannelOpenFailure, String)>>,
    failed_open: Notify,
}

impl Words {
    /// Why the connection ended, if the server said it or russh knows it.
    pub(super) fn goodbye(&self) -> Option<String> {
        self.goodbye.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the server said about a channel that it did not open. It does not say which one: with several failing at
    /// once in different ways, all their reasons are given.
    pub(super) async fn why_not_open(&self, failure: &ChannelOpenFailure) -> String {
        let take = || {
            let mut failed = self.failed_opens.lock().unwrap_or_else(PoisonError::into_inner);
            let index = failed.iter().position(|(kind, _)| kind == failure)?;
            let mut reasons: Vec<String> =
                failed.iter().filter(|(kind, _)| kind == failure).map(|(_, reason)| reason.clone()).collect();
            failed.remove(index);
            reasons.sort();
            reasons.dedup();
            Some(reasons.join(", or: "))
        };
        let reason = async {
            loop {
                let notified = self.failed_open.notified();
                if let Some(reason) = take() {
                    return reason;
                }
                notified.await;
            }
        };
        match tokio::time::timeout(REASON_LATE, reason).await {
            Ok(reason) if !reason.is_empty() => reason,
            _ => format!("{failure:?}"),
        }
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandlerError {
    #[error(transparent)]
    HostKey(#[from] HostKeyError),
    #[error(transparent)]
    Russh(#[from] russh::Error),
    /// The host said goodbye during the key exchange.
    #[error("{0}")]
    Goodbye(String),
}

/// What russh asks of us.
pub(super) struct Handler {
    check: Arc<HostKeyCheck>,
    words: Arc<Words>,
    /// russh drops its handler when the connection has ended.
    _ended: DropGuard,
}

impl client::Handler for Handler {
    type Error = HandlerError;

    async fn check_server_key(&mut self, offered: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        self.check.check(offered).await?;
        Ok(true)
    }

    async fn channel_open_failure(
        &mut self,
        _channel: ChannelId,
        reason: ChannelOpenFailure,
        description: &str,
        _language: &str,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        let mut failed = self.words.failed_opens.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() == FAILURES_KEPT {
            failed.pop_front();
        }
        failed.push_back((reason, description.to_owned()));
        drop(failed);
        self.words.failed_open.notify_waiters();
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Self::Error>) -> Result<(), Self::Error> {
        let words = match &reason {
            DisconnectReason::ReceivedDisconnect(info) => format!("the host said: {}", info.message.trim()),
            DisconnectReason::Error(HandlerError::Russh(russh::Error::KeepaliveTimeout)) => {
                format!("no sign of life for {} s", KEEPALIVE.as_secs() * (KEEPALIVES as u64 + 1))
            }
            DisconnectReason::Error(error) => plain(error),
        };
        *self.words.goodbye.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
        match reason {
            DisconnectReason::ReceivedDisconnect(_) => Ok(()),
            DisconnectReason::Error(error) => Err(error),
        }
    }
}

/// An error of russh as a lowercase fragment.
pub(super) fn plain(error: &HandlerError) -> String {
    match error {
        HandlerError::HostKey(error) => error.to_string(),
        HandlerError::Goodbye(words) => words.clone(),
        HandlerError::Russh(russh::Error::IO(error)) => io_words(error),
        HandlerError::Russh(russh::Error::Disconnect | russh::Error::HUP) => {
            "the host closed the connection".to_owned()
        }
        HandlerError::Russh(russh::Error::NoCommonAlgo { kind, ours, theirs }) => format!(
            "no common {} algorithm: it has {}, we have {}",
            format!("{kind:?}").to_lowercase(),
            theirs.join(","),
            ours.join(",")
        ),
        HandlerError::Russh(error) => {
            let mut text = error.to_string();
            if let Some(first) = text.get_mut(..1) {
                first.make_ascii_lowercase();
            }
            text
        }
    }
}

/// An error of the system without its number.
pub(super) fn io_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}
