use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use super::*;
use crate::control::{HostId, RunKey};
use crate::payload::{Metainfo, sha1};
use crate::swarm::limiter::Limiter;

mod open;
mod scripted;
mod swarms;

const PIECE: u32 = 64 << 10;
const KEY: RunKey = RunKey([7; 32]);
/// The machine may be busy; no test waits so long when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

struct Stage {
    folder: tempfile::TempDir,
    content: Vec<u8>,
    metainfo: Arc<Metainfo>,
}

impl Stage {
    fn new(length: usize) -> Self {
        let mut content = vec![0; length];
        fastrand::Rng::with_seed(length as u64).fill(&mut content);
        let hashes = content.chunks(PIECE as usize).map(sha1).collect();
        let metainfo = Metainfo::new("päyload.murder", length as u64, PIECE, hashes, &[1; 16]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("artifact"), &content).unwrap();
        Self { folder, content, metainfo: Arc::new(metainfo) }
    }

    fn artifact(&self) -> PathBuf {
        self.folder.path().join("artifact")
    }

    fn seeder(&self) -> (Seeder, mpsc::Receiver<SeederEvent>) {
        self.limited(None)
    }

    fn limited(&self, rate: Option<u64>) -> (Seeder, mpsc::Receiver<SeederEvent>) {
        let options = SeederOptions {
            limiter: Arc::new(Limiter::new(rate)),
            scratch: self.folder.path().to_owned(),
            seed: 1,
        };
        Seeder::start(&self.artifact(), self.metainfo.clone(), KEY, &options).unwrap()
    }

    fn leftovers(&self) -> usize {
        std::fs::read_dir(self.folder.path()).unwrap().count() - 1
    }
}

fn wire_up(seeder: &Seeder, host: u32, neighbours: bool) -> (FeedHandle, DuplexStream) {
    let (near, far) = tokio::io::duplex(256 << 10);
    (seeder.feed(HostId(host), 1, near, neighbours), far)
}

/// What the hosts said last is heard a little after they have all.
async fn needed_no_longer(seeder: &Seeder) {
    within(async {
        while !seeder.progress().may_leave {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it takes far too long")
}
