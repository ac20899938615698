//! What is shipped: packed, offered by a seeder, told to the coordinator; or why there is nothing to ship.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::control::{LogLevel, LogSource, RunKey};
use crate::deploy::errand::Errand;
use crate::deploy::event::RunInfo;
use crate::deploy::plan::MANIFEST;
use crate::deploy::requests::Requests;
use crate::exit;
use crate::payload::{PackError, Packed, hex, pack};
use crate::swarm::seeder::{Seeder, SeederOptions};

use super::{PackingEnd, Run};

impl Run {
    pub(super) fn pack(&self) -> (mpsc::Receiver<(u64, u64)>, PackingEnd) {
        let (progress, packing) = mpsc::channel(1);
        let (done, packed) = oneshot::channel();
        if !self.plan.ships() {
            return (packing, packed);
        }
        let (payload, options) = (self.plan.payload.clone(), self.plan.pack.clone());
        let manifest = self.plan.folder.join(MANIFEST);
        tokio::task::spawn_blocking(move || {
            let outcome = pack(&payload, &options, &|done, total| match progress.try_send((done, total)) {
                // Latest wins: a face that is behind misses a step, and nothing else.
                Ok(()) | Err(TrySendError::Full(_)) => ControlFlow::Continue(()),
                Err(TrySendError::Closed(_)) => ControlFlow::Break(()),
            });
            if let Ok(packed) = &outcome
                && let Err(error) = packed.manifest.save(&manifest)
            {
                // Only later releases miss it, and are sent whole.
                tracing::debug!("cannot write {}: {error}", manifest.display());
            }
            let _ = done.send(outcome);
        });
        (packing, packed)
    }

    pub(super) async fn packed(&mut self, outcome: Result<Packed, PackError>) {
        let packed = match outcome {
            Ok(packed) => packed,
            Err(error) => {
                return self.refuse(format!("cannot pack {}: {error}", self.plan.payload.display()));
            }
        };
        let manifest = hex(&packed.manifest_hash);
        if self.plan.same_release.as_ref().is_some_and(|wanted| *wanted != manifest) {
            let payload = self.plan.payload.display();
            return self.refuse(format!(
                "{payload} is not what was shipped then: deploy it under a tag of its own, or name the old payload with --payload"
            ));
        }
        let mut key = [0; 32];
        if let Err(error) = getrandom::fill(&mut key) {
            return self.give_up(format!("cannot make the run's key: {error}"));
        }
        let key = RunKey(key);
        let options = SeederOptions {
            limiter: Arc::clone(&self.uplink),
            scratch: self.plan.pack.cache_dir.clone(),
            ..SeederOptions::default()
        };
        match Seeder::start(&packed.artifact, Arc::new(packed.metainfo.clone()), key.clone(), &options) {
            Ok((seeder, events)) => {
                let _ = self.shared.seeder.set(Arc::new(seeder));
                self.seeder_events = Some(events);
            }
            Err(error) => return self.give_up(format!("cannot start the seeder: {error}")),
        }
        if let Some(plan) = &self.plan.open {
            match plan.open(&packed, Arc::clone(&self.uplink)).await {
                Ok((open, warning)) => {
                    self.open = Some(open);
                    self.coordinator.log(None, LogLevel::Warn, LogSource::Murder, warning);
                }
                Err(reason) => return self.refuse(reason),
            }
        }
        let info = self.info(&packed);
        tracing::info!(
            bytes = info.bytes,
            packed = info.packed_bytes,
            pieces = info.pieces,
            piece_length = info.piece_length,
            info_hash = info.info_hash,
            "packed"
        );
        self.requests = Some(Requests::new(&packed, key));
        self.artifact = Some(packed);
        self.coordinator.now = self.now();
        self.coordinator.packed(info);
    }

    /// Ends the run by a fault on this side.
    pub(super) fn give_up(&mut self, reason: String) {
        self.end_early(reason, exit::INTERNAL);
    }

    /// Ends the run because of what the user gave.
    fn refuse(&mut self, reason: String) {
        self.end_early(reason, exit::CONFIG);
    }

    fn end_early(&mut self, reason: String, exit: u8) {
        self.coordinator.log(None, LogLevel::Error, LogSource::Murder, reason.clone());
        self.coordinator.broken(&reason, exit);
    }

    /// Nothing is shipped; a check says how long so many bytes would take.
    pub(super) fn info_of_nothing(&self) -> RunInfo {
        let Some(Errand::Check { bytes }) = self.plan.errand else { return RunInfo::default() };
        let least = if bytes > 0 { self.plan.least_seconds(bytes) } else { None };
        RunInfo { bytes, least_seconds: least, ..RunInfo::default() }
    }

    fn info(&self, packed: &Packed) -> RunInfo {
        RunInfo {
            bytes: packed.bytes,
            packed_bytes: packed.packed_bytes,
            entries: packed.entries,
            pieces: packed.metainfo.pieces(),
            piece_length: packed.metainfo.piece_length,
            info_hash: hex(&packed.metainfo.info_hash),
            manifest: hex(&packed.manifest_hash),
            least_seconds: self.plan.least_seconds(packed.packed_bytes),
            ignored: packed.ignored.len() as u64,
        }
    }
}
