use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::feed::{Feed, FeedEnd, FeedState};
use super::source::Source;
use crate::control::HostId;
use crate::payload::Metainfo;
use crate::swarm::BitSet;
use crate::swarm::limiter::Limiter;
use crate::swarm::noise::Party;
use crate::swarm::reveal::Reveal;

/// What stands between the session and the hosts.
pub(super) struct Gate {
    pub(super) metainfo: Arc<Metainfo>,
    pub(super) party: Party,
    pub(super) source: Source,
    pub(super) limiter: Arc<Limiter>,
    /// Payload bytes sent to hosts, repeats included.
    pub(super) sent: AtomicU64,
    pub(super) stop: CancellationToken,
    pub(super) running: TaskTracker,
    started: Instant,
    reveal: Mutex<Reveal>,
    feeds: Mutex<HashMap<HostId, Arc<FeedState>>>,
}

impl Gate {
    pub(super) fn new(
        party: Party,
        source: Source,
        metainfo: Arc<Metainfo>,
        limiter: Arc<Limiter>,
        seed: u64,
    ) -> Self {
        let reveal = Mutex::new(Reveal::new(metainfo.pieces(), seed));
        Self {
            metainfo,
            party,
            source,
            limiter,
            sent: AtomicU64::new(0),
            stop: CancellationToken::new(),
            running: TaskTracker::new(),
            started: Instant::now(),
            reveal,
            feeds: Mutex::default(),
        }
    }

    /// The state of a new feed; an older one of the same host is stopped.
    pub(super) fn register(&self, host: HostId, life: u32) -> Arc<FeedState> {
        let state = Arc::new(FeedState::new(host, life, self.stop.child_token()));
        if let Some(older) = self.feeds().insert(host, state.clone()) {
            older.stop.cancel();
        }
        state
    }

    /// Feeds a host through a stream until one of both ends.
    pub(super) async fn feed<S>(self: Arc<Self>, state: Arc<FeedState>, stream: S, alone: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let work = async {
            match Feed::dial(self.clone(), state.clone(), stream).await {
                Ok(feed) => {
                    self.reveal().join(state.host, alone);
                    feed.run().await
                }
                Err(end) => end,
            }
        };
        let end = tokio::select! {
            biased;
            () = state.stop.cancelled() => FeedEnd::Stopped,
            end = work => end,
        };
        self.unregister(&state);
        state.end.send_replace(Some(end));
    }

    fn unregister(&self, state: &Arc<FeedState>) {
        let mut feeds = self.feeds();
        if feeds.get(&state.host).is_some_and(|current| Arc::ptr_eq(current, state)) {
            feeds.remove(&state.host);
            drop(feeds);
            self.reveal().leave(state.host);
            self.wake_fed();
        }
    }

    pub(super) fn have(&self, host: HostId, piece: u32) {
        let freed = {
            let mut reveal = self.reveal();
            let fed = reveal.is_fed(host);
            reveal.have(host, piece, self.now());
            fed && !reveal.is_fed(host)
        };
        if freed {
            self.wake_fed();
        }
    }

    pub(super) fn has_exactly(&self, host: HostId, has: &BitSet) {
        self.reveal().note_exactly(host, has, self.now());
        self.wake_fed();
    }

    pub(super) fn note(&self, host: HostId, has: &BitSet) {
        self.reveal().note(host, has, self.now());
    }

    pub(super) fn set_alone(&self, host: HostId, alone: bool) {
        self.reveal().set_alone(host, alone);
        self.wake_fed();
    }

    pub(super) fn forget(&self, host: HostId) {
        if let Some(state) = self.feeds().remove(&host) {
            state.stop.cancel();
        }
        self.reveal().forget(host);
        self.wake_fed();
    }

    /// Pieces to reveal to a host now. Who waits for its turn is woken, if it has come.
    pub(super) fn fill(&self, host: HostId) -> Vec<u32> {
        let (new, next) = {
            let mut reveal = self.reveal();
            let new = reveal.fill(host, self.now());
            (new, reveal.next_in_turn())
        };
        if let Some(state) = next.and_then(|next| self.feeds().get(&next).cloned()) {
            state.wake.notify_one();
        }
        new
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Pieces may have become rare, or places free: everyone who is fed looks at its window.
    fn wake_fed(&self) {
        let reveal = self.reveal();
        let feeds = self.feeds();
        reveal.fed().iter().filter_map(|host| feeds.get(host)).for_each(|state| state.wake.notify_one());
    }

    pub(super) fn reveal(&self) -> MutexGuard<'_, Reveal> {
        self.reveal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn feeds(&self) -> MutexGuard<'_, HashMap<HostId, Arc<FeedState>>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
