use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::control::{
    Begin, Checked, Failure, FailureKind, Fetch, HookLine, HostId, LockOwner, LogLevel, LogSource, Neighbour,
    Phase, Present, Report, VERSION,
};
use crate::payload::{
    Artifact, Dest, DestError, LockGuard, Metainfo, Need, PartialStore, Recipe, check_tag, from_hex,
};

use super::hook::{HookEnd, HookPlace, run_hook};
use super::leftover::remove_agents;
use super::listen::{Listening, listen, own_addresses, reach};
use super::session::Surroundings;

/// A probed port that does not answer for so long is closed.
const PROBE_PATIENCE: Duration = Duration::from_secs(3);

/// Probes at once.
const PROBES: usize = 64;

/// Lines of a hook on their way to the outbox, which takes them at once.
const HOOK_LINES: usize = 64;

/// What the preflight found and took.
pub(super) struct Begun {
    pub(super) dest: Dest,
    pub(super) guard: Option<LockGuard>,
    pub(super) listening: Option<Listening>,
    pub(super) checked: Box<Checked>,
    pub(super) warnings: Vec<String>,
}

/// What a hook or a switch needs to know.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) dest: Dest,
    pub(super) host: String,
    pub(super) umask: u32,
    pub(super) news: mpsc::Sender<Report>,
    pub(super) cancel: CancellationToken,
}

/// Runs what waits for the disk where that holds nobody up.
pub(super) async fn blocking<T: Send + 'static>(
    phase: Phase,
    work: impl FnOnce() -> Result<T, DestError> + Send + 'static,
) -> Result<T, Failure> {
    match spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| error.failure(phase)),
        Err(error) => Err(Failure::new(phase, FailureKind::Internal, error.to_string())),
    }
}

/// The preflight.
pub(super) async fn begin(begin: Arc<Begin>, surroundings: Surroundings) -> Result<Begun, Failure> {
    if begin.v != VERSION {
        let message = format!("the operator speaks version {}, this agent {VERSION}", begin.v);
        return Err(Failure::new(Phase::Checking, FailureKind::Internal, message));
    }
    let asked = Arc::clone(&begin);
    let mut begun = blocking(Phase::Checking, move || check(&asked, surroundings.durable)).await?;
    let takes_part = begin.manifest.is_some() && begun.checked.present == Present::Absent;
    if !takes_part && !begin.read_only {
        return Ok(begun);
    }
    let reach = reach(begin.swarm.as_deref(), surroundings.ssh_connection.as_deref(), &own_addresses())
        .unwrap_or_else(|warning| {
            begun.warnings.push(format!("{warning}; this host lives from its SSH connection"));
            super::listen::Reach::default()
        });
    let listening = listen(&reach, begin.ports).await.map_err(|error| {
        let ports = begin.ports.map_or_else(|| "any port".to_owned(), |(a, b)| format!("a port of {a}-{b}"));
        let message = format!("cannot listen on {ports} of loopback: {error}");
        Failure::new(Phase::Checking, FailureKind::PortBlocked, message)
    })?;
    begun.checked.port = listening.port;
    begun.checked.addresses.clone_from(&listening.addresses);
    begun.listening = Some(listening);
    Ok(begun)
}

fn check(begin: &Begin, durable: bool) -> Result<Begun, DestError> {
    let mut dest = Dest::new(Path::new(&begin.dest), &begin.link)?;
    if !durable {
        dest = dest.without_sync();
    }
    if begin.read_only {
        dest.look()?
    } else {
        dest.prepare()?
    }
    let (mut guard, mut took_over) = (None, None);
    if begin.lock {
        let owner = LockOwner {
            run: begin.run.clone(),
            host: begin.host.clone(),
            operator: begin.operator.clone(),
            operator_pid: begin.operator_pid,
            since: clock::now() / 1000,
        };
        let (taken, before) = dest.lock(&owner)?;
        dest.sweep()?;
        guard = Some(taken);
        // Our own older agent is nobody to speak of.
        took_over = before.filter(|before| before.run != owner.run || before.host != owner.host);
    }
    let (mut current, mut present) = (None, Present::Absent);
    let mut space = dest.space()?;
    if begin.tag.is_empty() {
        // A link that is none matters only to who wants to switch it.
        current = dest.current().unwrap_or_default().or(current);
    } else {
        check_tag(&begin.tag)?;
        current = dest.current()?.or(current);
        present = match begin.manifest.as_deref().and_then(from_hex) {
            Some(manifest) => dest.present(&begin.tag, &manifest, guard.is_none())?,
            // There is nothing that it could differ from.
            None if dest.release(&begin.tag).is_dir() => Present::Same,
            None => Present::Absent,
        };
    }
    if present == Present::Absent {
        let need = Need {
            unpacked: begin.unpacked_bytes,
            packed: begin.packed_bytes,
            least: begin.least_room,
            entries: begin.entries,
        };
        space = dest.preflight(&begin.tag, &need)?;
    }
    let checked = Checked {
        present,
        current,
        free_bytes: space.bytes,
        free_inodes: space.inodes,
        partial_bytes: if begin.tag.is_empty() { 0 } else { dest.partial_bytes(&begin.tag) },
        place: dest.place(),
        addresses: Vec::new(),
        port: 0,
        took_over,
        holdings: if present == Present::Absent { dest.holdings() } else { Vec::new() },
    };
    Ok(Begun { dest, guard, listening: None, checked: Box::new(checked), warnings: Vec::new() })
}

/// What is needed to open the partial data of a release.
pub(super) struct Opening {
    pub(super) dest: Dest,
    pub(super) tag: String,
    /// The metainfo that came over SSH.
    pub(super) info: Vec<u8>,
    /// How to make pieces from releases that are here.
    pub(super) recipes: Vec<Vec<u8>>,
    pub(super) fetch: Box<Fetch>,
    /// Bytes of verified pieces so far, kept up to date.
    pub(super) done: Arc<AtomicU64>,
    pub(super) cancel: CancellationToken,
}

/// Partial data with all that is on this host already.
pub(super) struct Opened {
    pub(super) store: Arc<PartialStore>,
    pub(super) fetch: Box<Fetch>,
    /// Bytes made from releases that are here.
    pub(super) reused: u64,
}

/// Opens the partial data for a metainfo, and makes what can be made of it from releases that are here.
pub(super) async fn open(opening: Opening) -> Result<Opened, Failure> {
    let Opening { dest, tag, info, recipes, fetch, done, cancel } = opening;
    let wrong = |message: String| Failure::new(Phase::Fetching, FailureKind::Internal, message);
    let metainfo = Metainfo::parse(&info).map_err(|error| wrong(error.to_string()))?;
    if from_hex(&fetch.info_hash) != Some(metainfo.info_hash) {
        return Err(wrong("the metainfo is not that of the named info-hash".to_owned()));
    }
    let recipes = recipes.iter().map(|recipe| Recipe::from_bytes(recipe)).collect::<Result<Vec<_>, _>>();
    let recipes = recipes.map_err(|error| wrong(error.to_string()))?;
    blocking(Phase::Fetching, move || {
        let mut told = |bytes| done.store(bytes, Ordering::Relaxed);
        let mut store = dest.partial(&tag, Arc::new(metainfo), &mut told)?;
        let kept = store.kept_bytes();
        let mut reused = 0;
        for recipe in &recipes {
            let before = kept + reused;
            reused += dest.restore(&mut store, recipe, &mut |bytes| {
                told(before + bytes);
                if cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        Ok(Opened { store: Arc::new(store), fetch, reused })
    })
    .await
}

/// Whether the artifact that came is the one that was named over SSH.
pub(super) async fn verify(store: Arc<PartialStore>, manifest: String) -> Result<Arc<Artifact>, Failure> {
    blocking(Phase::Verifying, move || {
        let path = store.data_path();
        let hash = from_hex(&manifest).unwrap_or_default();
        Artifact::open(&path, &hash).map(Arc::new)
    })
    .await
}

/// Unpacks and puts in place; `done` is kept up to date.
pub(super) async fn stage(
    place: Place,
    tag: String,
    artifact: Arc<Artifact>,
    done: Arc<AtomicU64>,
) -> Result<(), Failure> {
    let Place { dest, cancel, .. } = place;
    blocking(Phase::Unpacking, move || {
        dest.unpack(&artifact, &tag, &mut |bytes, _| {
            done.store(bytes, Ordering::Relaxed);
            if cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    })
    .await
}

/// Runs a hook in a release's folder and tells what it says.
pub(super) async fn hook(
    place: &Place,
    tag: &str,
    name: &str,
    hook: Option<HookLine>,
) -> Result<(), Failure> {
    let Some(hook) = hook else { return Ok(()) };
    let (sender, mut lines) = mpsc::channel::<String>(HOOK_LINES);
    let folder = place.dest.release(tag);
    let hook_place =
        HookPlace { folder: &folder, tag, dest: place.dest.root(), host: &place.host, umask: place.umask };
    let tell = async {
        while let Some(message) = lines.recv().await {
            place.tell(LogLevel::Info, LogSource::Hook, message).await;
        }
    };
    let run = async move { run_hook(&hook, &hook_place, &sender, &place.cancel).await };
    match tokio::join!(run, tell).0 {
        HookEnd::Passed => Ok(()),
        HookEnd::Cancelled => Err(DestError::Cancelled.failure(Phase::Activating)),
        HookEnd::Failed(words, detail) => Err(Failure {
            phase: Phase::Activating,
            kind: FailureKind::Hook,
            message: format!("{name} failed: {words}"),
            detail,
        }),
    }
}

/// What is asked with an activation.
pub(super) struct Activation {
    pub(super) tag: String,
    pub(super) hook: Option<HookLine>,
    pub(super) rollback_on_failure: bool,
    pub(super) keep: Option<u32>,
}

/// Switches the link, runs the hook after it, and removes old releases.
pub(super) async fn activate(place: Place, activation: Activation) -> Result<(), Failure> {
    let Activation { tag, hook: line, rollback_on_failure, keep } = activation;
    let previous = place.switch(&tag).await?;
    let told = Report::Activated { at_ms: clock::now(), previous: previous.clone() };
    let _ = place.news.send(told).await;
    if let Err(mut failure) = hook(&place, &tag, "after_activate", line).await {
        if let Some(before) = previous.filter(|before| rollback_on_failure && *before != tag) {
            failure.message += &match place.switch(&before).await {
                Ok(_) => {
                    let _ = place.news.send(Report::SwitchedBack { tag: before.clone() }).await;
                    format!("; switched back to {before}")
                }
                Err(error) => format!("; cannot switch back to {before}: {}", error.message),
            };
        }
        return Err(failure);
    }
    if let Some(keep) = keep {
        let dest = place.dest.clone();
        let pruned = blocking(Phase::Activating, move || dest.prune(keep as usize)).await;
        // The release is active all the same.
        if let Err(failure) = pruned {
            let message = format!("cannot remove old releases: {}", failure.message);
            place.tell(LogLevel::Warn, LogSource::Murder, message).await;
        }
    }
    Ok(())
}

impl Place {
    async fn switch(&self, tag: &str) -> Result<Option<String>, Failure> {
        let (dest, tag) = (self.dest.clone(), tag.to_owned());
        blocking(Phase::Activating, move || dest.switch(&tag)).await
    }

    async fn tell(&self, level: LogLevel, source: LogSource, message: String) {
        let _ = self.news.send(Report::Log { level, source, message }).await;
    }
}

/// Removes partial data, old releases, and the files of agents.
pub(super) async fn clean(place: Place, keep: u32) -> Result<Report, Failure> {
    blocking(Phase::Checking, move || {
        let removed = place.dest.clean(keep as usize)?;
        let agents = remove_agents();
        Ok(Report::Cleaned {
            bytes: removed.bytes,
            tags: removed.tags,
            agents: agents.files,
            ended: agents.ended,
        })
    })
    .await
}

/// Which of these answer a dial.
pub(super) async fn probe(peers: Vec<Neighbour>) -> Report {
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    let mut dials = JoinSet::new();
    let mut peers = peers.into_iter();
    loop {
        while dials.len() < PROBES
            && let Some(peer) = peers.next()
        {
            dials.spawn(async move { (peer.id, dial(&peer.addresses).await) });
        }
        match dials.join_next().await {
            Some(Ok((id, Ok(())))) => open.push(id),
            Some(Ok((id, Err(reason)))) => closed.push((id, reason)),
            Some(Err(_)) => {}
            None => break,
        }
    }
    open.sort_unstable();
    closed.sort_unstable_by_key(|(id, _): &(HostId, String)| *id);
    Report::Probed { open, closed }
}

async fn dial(addresses: &[SocketAddr]) -> Result<(), String> {
    let mut reason = "it has no address".to_owned();
    for address in addresses {
        reason = match timeout(PROBE_PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => format!("{address}: {error}"),
            Err(_) => format!("{address}: no answer within {} s", PROBE_PATIENCE.as_secs()),
        };
    }
    Err(reason)
}
