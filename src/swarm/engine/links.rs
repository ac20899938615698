use std::collections::VecDeque;
use std::net::SocketAddr;
use std::task::Waker;
use std::time::Duration;

use super::cache::Slab;
use crate::control::HostId;
use crate::swarm::picker::{Ask, PeerKey};
use crate::swarm::pieces::Pieces;
use crate::swarm::wire::{BLOCK, Request};

/// Requests of a peer that wait to be served. Ours has at most 512 out to one peer; other clients have some hundreds.
const MOST_UPLOADS: usize = 2048;

/// A HAVE waits at most so long for a block or a request to go with. A packet of its own to each neighbour for each
/// piece would cost more than the piece; that it comes later by this much was not to be measured.
const HAVE_DELAY: Duration = Duration::from_millis(15);

/// The same to the seeder, if the piece came from elsewhere. What it revealed it is told of at once, for then it reveals
/// the next; but all HAVEs of 32 hosts one by one took 3 % of its uplink for acknowledgements.
const SEEDER_HAVE_DELAY: Duration = Duration::from_millis(500);

/// Which end dialled a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialled {
    ByUs,
    ByThem,
}

/// Who is at the other end of a new connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who {
    /// The host; `None` for other clients.
    pub(super) host: Option<HostId>,
    pub(super) address: Option<SocketAddr>,
    pub(super) dialled: Dialled,
}

/// A message that waits to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outgoing {
    Unchoke,
    Interested,
    KeepAlive,
    Request(Ask),
    Cancel(Ask),
}

/// A block that a peer asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Upload {
    pub(super) slab: Slab,
    pub(super) begin: u32,
    pub(super) length: u32,
}

/// A connection to a peer, as the engine sees it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) who: Who,
    pub(super) outgoing: VecDeque<Outgoing>,
    /// Pieces to tell of, and until when that may wait for something that goes out anyway.
    haves: Vec<u32>,
    haves_due: Duration,
    pub(super) uploads: VecDeque<Upload>,
    waker: Option<Waker>,
    pub(super) heard: Duration,
    pub(super) last_block: Duration,
    pub(super) spoke: Duration,
    /// It waits for the limit of our rate, each direction by itself.
    pub(super) limited_down: bool,
}

impl Link {
    pub(super) fn new(who: Who, now: Duration) -> Self {
        Self {
            who,
            outgoing: VecDeque::from([Outgoing::Unchoke, Outgoing::Interested]),
            haves: Vec::new(),
            haves_due: now,
            uploads: VecDeque::new(),
            waker: None,
            heard: now,
            last_block: now,
            spoke: now,
            limited_down: false,
        }
    }

    pub(super) fn is_seeder(&self) -> bool {
        self.who.host == Some(HostId::SEEDER)
    }

    /// The connection's task wants to be woken when there is something to send.
    pub(super) fn listen(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    pub(super) fn send(&mut self, message: Outgoing) {
        self.outgoing.push_back(message);
    }

    /// Tells of a piece, soon. `peer_has`: the peer has it too, or, if it is the seeder, has revealed it.
    pub(super) fn tell_of(&mut self, piece: u32, peer_has: bool, now: Duration) {
        let delay = match (self.is_seeder(), peer_has) {
            (true, true) => Duration::ZERO,
            (true, false) => SEEDER_HAVE_DELAY,
            (false, true) => return,
            (false, false) => HAVE_DELAY,
        };
        let due = now + delay;
        self.haves_due = if self.haves.is_empty() { due } else { due.min(self.haves_due) };
        self.haves.push(piece);
    }

    /// When the pieces to tell of must go out; `None` if there are none.
    pub(super) fn haves_due(&self) -> Option<Duration> {
        (!self.haves.is_empty()).then_some(self.haves_due)
    }

    /// The pieces to tell of now: all, if something else goes out or they waited long enough.
    pub(super) fn take_haves(&mut self, now: Duration) -> Vec<u32> {
        let others = !self.outgoing.is_empty() || !self.uploads.is_empty();
        if others || self.haves_due().is_some_and(|due| due <= now) {
            std::mem::take(&mut self.haves)
        } else {
            Vec::new()
        }
    }

    /// Takes back a request: it is forgotten if it was not sent yet, else cancelled.
    pub(super) fn cancel(&mut self, ask: Ask) {
        let before = self.outgoing.len();
        self.outgoing.retain(|message| *message != Outgoing::Request(ask));
        if self.outgoing.len() == before {
            self.send(Outgoing::Cancel(ask));
        }
        self.wake();
    }

    /// The peer asks for a block. `false` if no client would ask so.
    pub(super) fn asked(&mut self, request: &Request, pieces: &Pieces) -> bool {
        let Some(upload) = upload(request, pieces) else { return false };
        self.uploads.push_back(upload);
        self.uploads.len() <= MOST_UPLOADS
    }

    /// The peer no longer wants a block.
    pub(super) fn unasked(&mut self, request: &Request, pieces: &Pieces) {
        if let Some(upload) = upload(request, pieces)
            && let Some(place) = self.uploads.iter().position(|other| *other == upload)
        {
            self.uploads.remove(place);
        }
    }
}

fn upload(request: &Request, pieces: &Pieces) -> Option<Upload> {
    let Request { index, begin, length } = *request;
    let fits = length <= BLOCK && begin.checked_add(length)? <= pieces.size(index);
    let slab = Slab::of(index, begin, length)?;
    fits.then_some(Upload { slab, begin, length })
}

/// A request as it is on the wire.
pub(super) fn request(ask: Ask, pieces: &Pieces) -> Request {
    Request::new(ask.piece, ask.block * BLOCK, pieces.block_size(ask.piece, ask.block))
}

/// Which of two connections to one host stays: that which the lower number dialled, so that both ends decide alike.
/// An old one that was silent for long gives way in any case.
pub(super) fn gives_way(old: &Link, new: &Who, me: HostId, now: Duration) -> bool {
    let Some(them) = new.host else { return false };
    let preferred = if me < them { Dialled::ByUs } else { Dialled::ByThem };
    them == HostId::SEEDER
        || new.dialled == preferred
        || old.who.dialled != preferred
        || now.saturating_sub(old.heard) > SILENT
}

/// Hosts that have nothing to say send a keep-alive; one that does not for so long may be gone.
const SILENT: Duration = Duration::from_secs(20);

/// The key under which a connection is known.
pub(super) type Key = PeerKey;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_connections_both_ends_keep_the_same() {
        let now = Duration::from_secs(1);
        // Connection 1 was dialled by host 3, connection 2 by host 5; each end may learn of them in either order.
        for (me, them, mine) in [(HostId(3), HostId(5), 1), (HostId(5), HostId(3), 2)] {
            for (old, new) in [(1, 2), (2, 1)] {
                let who = |connection| Who {
                    host: Some(them),
                    address: None,
                    dialled: if connection == mine { Dialled::ByUs } else { Dialled::ByThem },
                };
                let kept = if gives_way(&Link::new(who(old), now), &who(new), me, now) { new } else { old };
                assert_eq!(kept, 1, "seen by {me}, {old} before {new}");
            }
        }
    }

    #[test]
    fn the_seeder_hears_at_once_of_what_it_revealed_and_later_of_the_rest() {
        let link = |host| {
            Link::new(Who { host: Some(host), address: None, dialled: Dialled::ByThem }, Duration::ZERO)
        };
        let ms = Duration::from_millis;
        let cases = [
            (HostId::SEEDER, true, Some(ms(0))),
            (HostId::SEEDER, false, Some(SEEDER_HAVE_DELAY)),
            (HostId(1), false, Some(HAVE_DELAY)),
            (HostId(1), true, None),
        ];
        for (host, peer_has, due) in cases {
            let mut link = link(host);
            link.outgoing.clear();
            link.tell_of(7, peer_has, ms(0));
            assert_eq!(link.haves_due(), due, "{host}, {peer_has}");
            if let Some(due) = due {
                assert_eq!(link.take_haves(due), [7]);
            }
        }
        let mut link = link(HostId::SEEDER);
        link.outgoing.clear();
        link.tell_of(1, false, ms(0));
        assert!(link.take_haves(ms(10)).is_empty());
        link.tell_of(2, true, ms(20));
        assert_eq!(link.take_haves(ms(20)), [1, 2], "what is due takes the rest with it");
    }

    #[test]
    fn a_request_that_no_client_makes_ends_the_connection() {
        let pieces = Pieces::new(100_000, 65536, vec![[0; 20]; 2]).unwrap();
        let who = Who { host: None, address: None, dialled: Dialled::ByThem };
        let mut link = Link::new(who, Duration::ZERO);
        for (request, fine) in [
            (Request::new(0, 0, BLOCK), true),
            (Request::new(1, 32768, 100_000 - 65536 - 32768), true),
            (Request::new(1, 32768, BLOCK), false),
            (Request::new(2, 0, 1), false),
            (Request::new(0, 0, 0), false),
            (Request::new(0, 0, 65536), false),
            (Request::new(0, u32::MAX, BLOCK), false),
        ] {
            assert_eq!(link.asked(&request, &pieces), fine, "{request:?}");
        }
        link.unasked(&Request::new(0, 0, BLOCK), &pieces);
        assert_eq!(link.uploads.len(), 1);
        assert!((0..3000).any(|_| !link.asked(&Request::new(0, 0, BLOCK), &pieces)), "one that only asks");
    }
}
