use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::control::Request;

use super::worker::Do;

/// Requests that are kept for an agent that has not heard them: many more than it can be behind.
const MOST_KEPT: usize = 4096;

/// What was asked of an agent, so that it can be asked again over another connection.
#[derive(Debug, Default)]
pub(super) struct Sent {
    kept: VecDeque<Kept>,
    /// Number of the first of them.
    from: u64,
    /// Once it was asked to join the swarm.
    pub(super) joined: Option<Joined>,
    /// Cancelled when it says that it has.
    pub(super) in_swarm: CancellationToken,
}

/// How the seeder finds an agent in the swarm.
#[derive(Debug, Clone)]
pub(super) struct Joined {
    /// Which life of the host's agent this is.
    pub(super) life: u32,
    /// Port of its engine on loopback.
    pub(super) port: u16,
    /// Where other hosts dial it.
    pub(super) addresses: Vec<SocketAddr>,
    /// No other host will ever reach it.
    pub(super) alone: bool,
}

#[derive(Debug, Clone)]
enum Kept {
    One(Arc<Request>),
    /// Of lines that all agents are sent alike.
    Shared(Arc<Vec<Request>>, usize),
}

impl Kept {
    fn request(&self) -> &Request {
        match self {
            Self::One(request) => request,
            Self::Shared(lines, at) => &lines[*at],
        }
    }
}

impl Sent {
    /// Keeps what an order asks of the agent.
    pub(super) fn take(&mut self, order: Do) {
        match order {
            Do::Send(request) => self.push(request),
            Do::Join { lines, fetch, port, addresses, alone } => {
                lines.iter().for_each(|lines| self.push_all(lines));
                self.joined = Some(Joined { life: fetch.life, port, addresses, alone });
                self.push(Request::Fetch(fetch));
            }
            // It has a word and a way of its own.
            Do::Leave { .. } => {}
        }
    }

    fn push(&mut self, request: Request) {
        self.keep(Kept::One(Arc::new(request)));
    }

    fn push_all(&mut self, lines: &Arc<Vec<Request>>) {
        (0..lines.len()).for_each(|at| self.keep(Kept::Shared(Arc::clone(lines), at)));
    }

    fn keep(&mut self, kept: Kept) {
        self.kept.push_back(kept);
        if self.kept.len() > MOST_KEPT {
            self.kept.pop_front();
            self.from += 1;
        }
    }

    /// How many there were in all.
    pub(super) fn count(&self) -> u64 {
        self.from + self.kept.len() as u64
    }

    /// The request of that number, from 0; `None` if there is none yet, or it is not kept any more.
    pub(super) fn get(&self, number: u64) -> Option<&Request> {
        let at = usize::try_from(number.checked_sub(self.from)?).ok()?;
        self.kept.get(at).map(Kept::request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_keep_their_numbers_and_the_oldest_go() {
        let mut sent = Sent::default();
        sent.push(Request::Stage);
        sent.push_all(&Arc::new(vec![Request::Releases, Request::Clean { keep: 3 }]));
        assert_eq!((sent.count(), sent.get(0)), (3, Some(&Request::Stage)));
        assert_eq!((sent.get(2), sent.get(3)), (Some(&Request::Clean { keep: 3 }), None));
        (0..MOST_KEPT).for_each(|_| sent.push(Request::Releases));
        assert_eq!(sent.count(), 3 + MOST_KEPT as u64);
        assert_eq!((sent.get(2), sent.get(3)), (None, Some(&Request::Releases)));
    }
}
