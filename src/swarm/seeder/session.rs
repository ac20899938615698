use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use librqbit::{
    AddTorrent, AddTorrentOptions, ConnectionOptions, ListenerMode, ListenerOptions, PeerConnectionOptions,
    SessionOptions, SessionPersistenceConfig,
};
use rustix::process::Pid;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::SeederError;
use crate::payload::Metainfo;

/// Connections that the session takes; the gate needs a few, and the session drops what is beyond without a word.
const PEERS: usize = 256;

/// How long the session waits for a word of the gate. Its own 10 s would end every connection that rests.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Start of the name of a [`Workshop`], before the process that it belongs to.
const WORKSHOP: &str = "murder-seeder-";

/// How the session stands.
#[derive(Debug, Clone)]
pub(super) enum Stand {
    /// It opens the artifact.
    Starting,
    /// It answers here.
    Live(SocketAddr),
    /// It will not.
    Failed(SeederError),
}

/// A librqbit session that holds one finished torrent and listens on loopback alone. It has a current_thread runtime on
/// a thread of its own: on a runtime of many threads it takes twice the CPU.
pub(super) struct Session {
    stand: watch::Receiver<Stand>,
    thread: Mutex<Option<JoinHandle<()>>>,
    stop: CancellationToken,
}

impl Session {
    /// Starts it for an artifact that was hashed a moment ago. Returns at once; [`Session::live`] waits.
    pub(super) fn start(artifact: &Path, metainfo: &Metainfo, scratch: &Path) -> Result<Self, SeederError> {
        let workshop = Workshop::set_up(artifact, metainfo, scratch)?;
        let torrent = metainfo.to_torrent(None);
        let pieces = metainfo.length;
        let stop = CancellationToken::new();
        let (said, stand) = watch::channel(Stand::Starting);
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("murder-seeder".to_owned())
            .spawn(move || {
                let outcome = run(&workshop, torrent, pieces, &said, &stopped);
                said.send_replace(Stand::Failed(outcome.err().unwrap_or(SeederError::Stopped)));
                drop(workshop);
            })
            .map_err(|error| SeederError::Thread(error.to_string()))?;
        Ok(Self { stand, thread: Mutex::new(Some(thread)), stop })
    }

    /// Waits until it answers, and says where.
    pub(super) async fn live(&self) -> Result<SocketAddr, SeederError> {
        let mut stand = self.stand.clone();
        let settled = stand.wait_for(|stand| !matches!(stand, Stand::Starting)).await;
        match settled.as_deref() {
            Ok(Stand::Live(address)) => Ok(*address),
            Ok(Stand::Failed(error)) => Err(error.clone()),
            Ok(Stand::Starting) | Err(_) => Err(SeederError::Stopped),
        }
    }

    /// Ends it.
    pub(super) fn cancel(&self) {
        self.stop.cancel();
    }

    /// Blocks until it has ended and what it kept on disk is removed.
    pub(super) fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.map(JoinHandle::join);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn run(
    workshop: &Workshop,
    torrent: Vec<u8>,
    length: u64,
    said: &watch::Sender<Stand>,
    stop: &CancellationToken,
) -> Result<(), SeederError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| SeederError::Thread(error.to_string()))?;
    let outcome = runtime.block_on(async {
        let session =
            librqbit::Session::new_with_opts(workshop.data(), options(workshop, stop.child_token()))
                .await
                .map_err(broken)?;
        let address =
            session.listen_addr().ok_or_else(|| SeederError::Session("it does not listen".into()))?;
        let add = AddTorrentOptions {
            overwrite: true,
            output_folder: Some(workshop.data().to_string_lossy().into_owned()),
            disable_trackers: true,
            ..Default::default()
        };
        let added = session.add_torrent(AddTorrent::from_bytes(torrent), Some(add)).await.map_err(broken)?;
        let handle = added.into_handle().ok_or_else(|| SeederError::Session("it only lists".into()))?;
        tokio::select! {
            initialized = handle.wait_until_initialized() => initialized.map_err(broken)?,
            () = stop.cancelled() => return Err(SeederError::Stopped),
        }
        let stats = handle.stats();
        if !stats.finished || stats.total_bytes != length {
            let what = format!("{} of {length} bytes match", stats.progress_bytes);
            return Err(SeederError::Changed { path: workshop.artifact.clone(), what });
        }
        said.send_replace(Stand::Live(address));
        stop.cancelled().await;
        Err(SeederError::Stopped)
    });
    // What still runs in it serves nobody.
    runtime.shutdown_background();
    outcome
}

fn options(workshop: &Workshop, stop: CancellationToken) -> SessionOptions {
    let patient = PeerConnectionOptions { read_write_timeout: Some(PATIENCE), ..Default::default() };
    SessionOptions {
        dht: None,
        disable_trackers: true,
        disable_local_service_discovery: true,
        fastresume: true,
        persistence: Some(SessionPersistenceConfig::Json { folder: Some(workshop.memory()) }),
        listen: Some(ListenerOptions {
            mode: ListenerMode::TcpOnly,
            listen_addr: (Ipv4Addr::LOCALHOST, 0).into(),
            enable_upnp_port_forwarding: false,
            ipv4_only: true,
            ..Default::default()
        }),
        connect: Some(ConnectionOptions { peer_opts: Some(patient), ..Default::default() }),
        cancellation_token: Some(stop),
        peer_limit: Some(PEERS),
        ipv4_only: true,
        client_name_and_version: Some(concat!("murder ", env!("CARGO_PKG_VERSION")).to_owned()),
        ..Default::default()
    }
}

fn broken(error: impl std::fmt::Display) -> SeederError {
    SeederError::Session(format!("{error:#}"))
}

/// A private folder for what the session wants on disk: the artifact under the name that the torrent gives it, and a bit
/// field that says that all of it was checked. With that the session looks at some pieces only; else it would hash the
/// whole artifact again. The gate checks every piece before it leaves anyway. Removed when dropped.
struct Workshop {
    root: PathBuf,
    artifact: PathBuf,
}

impl Workshop {
    fn set_up(artifact: &Path, metainfo: &Metainfo, scratch: &Path) -> Result<Self, SeederError> {
        check_length(artifact, metainfo)?;
        let artifact = artifact.canonicalize().map_err(|error| failed("find", artifact, error))?;
        sweep(scratch);
        let root = scratch.join(format!("{WORKSHOP}{}-{:016x}", std::process::id(), random()?));
        make_folder(&root)?;
        let workshop = Self { root, artifact };
        make_folder(&workshop.data())?;
        make_folder(&workshop.memory())?;
        let link = workshop.data().join(file_name(metainfo)?);
        std::os::unix::fs::symlink(&workshop.artifact, &link)
            .map_err(|error| failed("link", &link, error))?;
        let hash = metainfo.info_hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let bits = workshop.memory().join(format!("{hash}.bitv"));
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&bits)
            .and_then(|mut file| file.write_all(&all_bits(metainfo.pieces())))
            .map_err(|error| failed("write", &bits, error))?;
        Ok(workshop)
    }

    fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    fn memory(&self) -> PathBuf {
        self.root.join("session")
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// The session sets a file of another length right, and that would hide the change. So it is looked at before.
pub(super) fn check_length(artifact: &Path, metainfo: &Metainfo) -> Result<(), SeederError> {
    let found = std::fs::metadata(artifact).map_err(|error| failed("read", artifact, error))?.len();
    if found == metainfo.length {
        return Ok(());
    }
    let what = format!("{found} bytes instead of {}", metainfo.length);
    Err(SeederError::Changed { path: artifact.to_owned(), what })
}

/// The name under which the session looks for the artifact: it guesses at the encoding, so it is asked itself.
fn file_name(metainfo: &Metainfo) -> Result<PathBuf, SeederError> {
    let torrent = metainfo.to_torrent(None);
    let torrent = librqbit::torrent_from_bytes(&torrent).map_err(broken)?;
    let info = torrent.info.data.validate().map_err(broken)?;
    let mut files = info.iter_file_details();
    files
        .next()
        .map(|file| file.filename.to_pathbuf())
        .ok_or_else(|| SeederError::Session("the torrent names no file".into()))
}

/// Removes what runs left that were killed.
fn sweep(scratch: &Path) {
    let Ok(entries) = std::fs::read_dir(scratch) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix(WORKSHOP)?.split('-').next()?.parse().ok());
        let gone = owner
            .and_then(Pid::from_raw)
            .is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH));
        if gone {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn all_bits(pieces: u32) -> Vec<u8> {
    let mut bits = vec![0xff; pieces.div_ceil(8) as usize];
    if let (Some(last), rest @ 1..) = (bits.last_mut(), pieces % 8) {
        *last <<= 8 - rest;
    }
    bits
}

fn random() -> Result<u64, SeederError> {
    getrandom::u64().map_err(|error| SeederError::Thread(error.to_string()))
}

fn make_folder(path: &Path) -> Result<(), SeederError> {
    DirBuilder::new().mode(0o700).create(path).map_err(|error| failed("make", path, error))
}

fn failed(what: &'static str, path: &Path, error: io::Error) -> SeederError {
    SeederError::File { what, path: path.to_owned(), source: Arc::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_is_removed_and_that_of_a_living_one_is_not() {
        let scratch = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let dead = scratch.path().join(format!("{WORKSHOP}{}-00ff", child.id()));
        let living = scratch.path().join(format!("{WORKSHOP}{}-00ff", std::process::id()));
        let other = scratch.path().join(format!("{WORKSHOP}notes"));
        for folder in [&dead, &living, &other] {
            std::fs::create_dir_all(folder.join("data")).unwrap();
        }
        sweep(scratch.path());
        assert!(!dead.exists() && living.exists() && other.exists());
    }

    #[test]
    fn the_bit_field_says_that_every_piece_is_there_and_no_more() {
        assert!(all_bits(0).is_empty());
        assert_eq!(all_bits(1), [0x80]);
        assert_eq!(all_bits(8), [0xff]);
        assert_eq!(all_bits(11), [0xff, 0xe0]);
    }
}
