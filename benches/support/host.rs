//! A host's engine with a file of its own.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use murder::control::{HostId, RunKey};
use murder::payload::Metainfo;
use murder::swarm::engine::{Engine, EngineConfig, FileStore};
use murder::swarm::{BitSet, Pieces};
use tokio::net::TcpListener;

use crate::payload::Outcome;

/// Starts the engine of a host; the seeder's file is there already. `plain`: without encryption.
pub(crate) fn start(
    id: HostId,
    file: &Path,
    listener: TcpListener,
    metainfo: &Metainfo,
    plain: bool,
    rate: Option<u64>,
) -> Outcome<Engine> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(file)?;
    file.set_len(metainfo.length)?;
    let pieces = Arc::new(Pieces::new(metainfo.length, metainfo.piece_length, metainfo.hashes.clone())?);
    Ok(Engine::start(EngineConfig {
        id,
        life: 1,
        key: (!plain).then_some(RunKey([1; 32])),
        info_hash: metainfo.info_hash,
        have: (id == HostId::SEEDER).then(|| BitSet::full(pieces.count())),
        pieces,
        store: Arc::new(FileStore(file)),
        listeners: vec![listener],
        rate,
        seed: u64::from(id.0),
    })?)
}
