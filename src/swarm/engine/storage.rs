use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bytes::Bytes;
use tokio::sync::mpsc::Sender;

use super::cache::Slab;
use crate::swarm::pieces::Pieces;

/// Reads that wait for the disk: one a connection, and there are fewer connections.
const READ_QUEUE: usize = 1024;

/// Where verified pieces lie. Called from threads that may wait for the disk.
pub trait PieceStore: Send + Sync + 'static {
    /// Fills `buffer` from `at`, bytes from the start of the payload.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;

    /// Keeps a verified piece, which starts at `at`.
    fn write_piece(&self, piece: u32, at: u64, bytes: &[u8]) -> io::Result<()>;
}

/// A payload in a file, without a record of its pieces.
#[derive(Debug)]
pub struct FileStore(pub File);

impl PieceStore for FileStore {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, at)
    }

    fn write_piece(&self, _piece: u32, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }
}

/// SHA-1 by the CPU's instructions.
pub(super) fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut hash = [0; 20];
    hash.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref());
    hash
}

/// What the disk's threads say.
pub(super) enum Done {
    /// A piece has its hash and is written.
    Verified { piece: u32, bytes: Bytes },
    /// A piece has another hash.
    Wrong { piece: u32, bytes: Bytes },
    /// A part of a piece for sending.
    Read { slab: Slab, bytes: Bytes },
    /// The disk failed.
    Failed { what: &'static str, error: io::Error },
}

/// Threads that hash and write, and that read, so that the network never waits for either.
pub(super) struct Workers {
    verify: SyncSender<(u32, Vec<u8>)>,
    read: SyncSender<Slab>,
    writing: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// `begun`: how many pieces may be under way, all of which may wait to be verified.
    pub(super) fn start(
        store: Arc<dyn PieceStore>,
        pieces: Arc<Pieces>,
        begun: usize,
        done: &Sender<Done>,
    ) -> io::Result<Self> {
        let (verify, to_verify) = sync_channel(begun);
        let (read, to_read) = sync_channel(READ_QUEUE);
        let writing = Arc::new(AtomicBool::new(false));
        let verifier = {
            let (store, pieces, done) = (store.clone(), pieces.clone(), done.clone());
            let writing = writing.clone();
            move || verify_all(&*store, &pieces, &to_verify, &done, &writing)
        };
        let done = done.clone();
        let reader = move || read_all(&*store, &pieces, &to_read, &done);
        let threads = vec![
            std::thread::Builder::new().name("murder-verify".into()).spawn(verifier)?,
            std::thread::Builder::new().name("murder-read".into()).spawn(reader)?,
        ];
        Ok(Self { verify, read, writing, threads })
    }

    /// Hands over a complete piece.
    pub(super) fn verify(&self, piece: u32, bytes: Vec<u8>) -> Result<(), TrySendError<(u32, Vec<u8>)>> {
        self.verify.try_send((piece, bytes))
    }

    /// Asks for a part of a piece. Whether there was room.
    pub(super) fn read(&self, slab: Slab) -> bool {
        self.read.try_send(slab).is_ok()
    }

    /// A verified piece is being written now, and not hashed.
    pub(super) fn is_writing(&self) -> bool {
        self.writing.load(Ordering::Relaxed)
    }

    /// Lets the threads end; they finish what they were given.
    pub(super) fn stop(self) -> Vec<JoinHandle<()>> {
        self.threads
    }
}

fn verify_all(
    store: &dyn PieceStore,
    pieces: &Pieces,
    queue: &Receiver<(u32, Vec<u8>)>,
    done: &Sender<Done>,
    writing: &AtomicBool,
) {
    for (piece, bytes) in queue {
        let said = if Some(&sha1(&bytes)) != pieces.hash(piece) {
            Done::Wrong { piece, bytes: bytes.into() }
        } else {
            writing.store(true, Ordering::Relaxed);
            let written = store.write_piece(piece, pieces.offset(piece), &bytes);
            writing.store(false, Ordering::Relaxed);
            match written {
                Ok(()) => Done::Verified { piece, bytes: bytes.into() },
                Err(error) => Done::Failed { what: "write a piece", error },
            }
        };
        // Nobody hears it once the engine stops; what is left is written all the same.
        let _ = done.blocking_send(said);
    }
}

fn read_all(store: &dyn PieceStore, pieces: &Pieces, queue: &Receiver<Slab>, done: &Sender<Done>) {
    for slab in queue {
        let mut bytes = vec![0; slab.size(pieces) as usize];
        let said = match store.read_at(&mut bytes, pieces.offset(slab.piece) + u64::from(slab.begin())) {
            Ok(()) => Done::Read { slab, bytes: bytes.into() },
            Err(error) => Done::Failed { what: "read a piece", error },
        };
        if done.blocking_send(said).is_err() {
            return;
        }
    }
}
