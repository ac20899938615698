//! What an agent does when it is asked, one after the other.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::control::{
    Begin, Failure, FailureKind, Fetch, HostId, LogLevel, LogSource, Phase, Present, Release, Report, Request,
};
use crate::payload::{Artifact, Dest, io_kind};

use super::{Session, Unpacking};
use crate::agent::fetch::Fetching;
use crate::agent::work::{self, Activation, Begun, Opened, Opening, Place, blocking};

/// Releases that fit a line.
const MOST_RELEASES: usize = 200;

pub(super) type Job = Pin<Box<dyn Future<Output = Outcome>>>;

/// What is done when the job before it has ended.
pub(super) enum Todo {
    Answer(Request),
    Verify,
}

/// What came of a job.
pub(super) enum Outcome {
    Begun(Result<Begun, Failure>),
    Opened(Result<Opened, Failure>),
    Verified(Result<Arc<Artifact>, Failure>),
    Staged(Result<(), Failure>),
    /// Anything that changes nothing here: its answer.
    Told(Result<Report, Failure>),
}
impl Session {
    pub(super) fn next_job(&mut self) {
        while self.job.is_none()
            && let Some(todo) = self.waiting.pop_front()
        {
            let job = match todo {
                Todo::Answer(request) => self.start(request),
                Todo::Verify => Ok(self.start_verify()),
            };
            match job {
                Ok(job) => self.job = job,
                Err(failure) => self.fail(failure),
            }
        }
    }

    /// Starts what a request asks for; `None` if that is done already.
    fn start(&mut self, request: Request) -> Result<Option<Job>, Failure> {
        if let Request::Begin(begin) = request {
            if self.state.begin.is_some() {
                return Err(self.fault("begin came twice"));
            }
            let begin: Arc<Begin> = Arc::from(begin);
            self.state.begin = Some(Arc::clone(&begin));
            let work = work::begin(begin, self.surroundings.clone());
            return Ok(Some(Box::pin(async { Outcome::Begun(work.await) })));
        }
        let place = self.place()?;
        let tag = self.state.begin.as_ref().map(|begin| begin.tag.clone()).unwrap_or_default();
        let job: Job = match request {
            Request::Fetch(fetch) => return self.start_fetch(place.dest, tag, fetch).map(Some),
            Request::Stage => return self.start_stage(place, tag),
            Request::Before { hook } => Box::pin(async move {
                let passed = work::hook(&place, &tag, "before_activate", hook).await;
                Outcome::Told(passed.map(|()| Report::Ready))
            }),
            Request::Activate { tag, hook, rollback_on_failure, keep } => Box::pin(async move {
                let activation = Activation { tag, hook, rollback_on_failure, keep };
                Outcome::Told(work::activate(place, activation).await.map(|()| Report::Settled))
            }),
            Request::Releases => Box::pin(async move {
                let releases = blocking(Phase::Checking, move || place.dest.releases()).await;
                Outcome::Told(releases.map(|releases| Report::Releases { releases: newest(releases) }))
            }),
            Request::Clean { keep } => Box::pin(async move { Outcome::Told(work::clean(place, keep).await) }),
            _ => return Err(self.fault("a request came where it has no place")),
        };
        Ok(Some(job))
    }

    fn start_fetch(&mut self, dest: Dest, tag: String, fetch: Box<Fetch>) -> Result<Job, Failure> {
        if self.state.fetching.is_some() || self.state.listening.is_none() {
            return Err(self.fault("fetch came twice, or for a release that is there"));
        }
        self.state.manifest.clone_from(&fetch.manifest);
        let done = Arc::new(AtomicU64::new(0));
        let total = self.state.begin.as_ref().map_or(0, |begin| begin.packed_bytes);
        self.state.opening = Some((Arc::clone(&done), total));
        let info = self.state.info.take();
        let recipes = std::mem::take(&mut self.state.recipes);
        let work = work::open(Opening { dest, tag, info, recipes, fetch, done, cancel: self.cancel.clone() });
        Ok(Box::pin(async { Outcome::Opened(work.await) }))
    }

    fn start_verify(&self) -> Option<Job> {
        let store = Arc::clone(&self.state.fetching.as_ref()?.store);
        let work = work::verify(store, self.state.manifest.clone());
        Some(Box::pin(async { Outcome::Verified(work.await) }))
    }

    fn start_stage(&mut self, place: Place, tag: String) -> Result<Option<Job>, Failure> {
        if self.state.present == Some(Present::Same) {
            self.outbox.push(Report::Staged { already: true });
            return Ok(None);
        }
        let Some(artifact) = self.state.artifact.clone() else {
            return Err(self.fault("stage came before the artifact was verified"));
        };
        let done = Arc::new(AtomicU64::new(0));
        self.state.unpacking = Some(Unpacking { done: Arc::clone(&done), told: 0, total: artifact.bytes() });
        let work = work::stage(place, tag, artifact, done);
        Ok(Some(Box::pin(async { Outcome::Staged(work.await) })))
    }

    pub(super) fn conclude(&mut self, outcome: Outcome) {
        self.state.opening = None;
        let failed = match outcome {
            Outcome::Begun(Ok(begun)) => return self.begun(begun),
            Outcome::Opened(Ok(opened)) => self.join_swarm(opened).err(),
            Outcome::Verified(Ok(artifact)) => {
                self.state.artifact = Some(artifact);
                self.outbox.push(Report::Verified);
                None
            }
            Outcome::Staged(Ok(())) => {
                self.state.unpacking = None;
                self.state.artifact = None;
                self.state.present = Some(Present::Same);
                self.outbox.push(Report::Staged { already: false });
                None
            }
            Outcome::Told(Ok(report)) => {
                // What the job told on its way comes first.
                while let Ok(report) = self.news.try_recv() {
                    self.outbox.push(report);
                }
                self.outbox.push(report);
                None
            }
            Outcome::Begun(Err(failure))
            | Outcome::Opened(Err(failure))
            | Outcome::Verified(Err(failure))
            | Outcome::Staged(Err(failure))
            | Outcome::Told(Err(failure)) => Some(failure),
        };
        if let Some(failure) = failed {
            self.state.unpacking = None;
            self.fail(failure);
        }
    }

    fn begun(&mut self, begun: Begun) {
        for message in begun.warnings {
            self.outbox.push(Report::Log { level: LogLevel::Warn, source: LogSource::Murder, message });
        }
        self.state.dest = Some(begun.dest);
        self.state.guard = begun.guard;
        self.set_adrift(self.lines.is_none());
        self.state.listening = begun.listening;
        self.state.present = Some(begun.checked.present);
        self.outbox.push(Report::Checked(begun.checked));
    }

    fn join_swarm(&mut self, opened: Opened) -> Result<(), Failure> {
        let Opened { store, mut fetch, reused } = opened;
        let done = store.kept_bytes();
        let me = self.state.begin.as_ref().map_or(HostId(0), |begin| begin.id);
        fetch.rate = self.state.rate.unwrap_or(fetch.rate);
        let Some(listening) = &mut self.state.listening else {
            return Err(self.fault("fetch came for a release that is there"));
        };
        let fetching = Fetching::start(me, &fetch, store, listening).map_err(|error| {
            let kind = io_kind(&error).unwrap_or(FailureKind::Internal);
            Failure::new(Phase::Fetching, kind, format!("cannot join the swarm: {error}"))
        })?;
        fetching.engine.set_neighbours(std::mem::take(&mut self.state.neighbours), &[]);
        self.state.fetching = Some(fetching);
        self.outbox.push(Report::Joined { done, reused });
        Ok(())
    }
}

pub(super) async fn finished(job: &mut Option<Job>) -> Outcome {
    let Some(running) = job else { return std::future::pending().await };
    let outcome = running.await;
    *job = None;
    outcome
}

/// So many as fit a line; who has more will not miss the oldest.
fn newest(mut releases: Vec<Release>) -> Vec<Release> {
    if releases.len() > MOST_RELEASES {
        releases.sort_by_key(|release| (!release.current, std::cmp::Reverse(release.staged_at)));
        releases.truncate(MOST_RELEASES);
        releases.sort_by(|a, b| a.tag.cmp(&b.tag));
    }
    releases
}
