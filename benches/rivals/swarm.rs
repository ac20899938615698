use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use murder::control::HostId;
use murder::swarm::deal;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::clients::{Contender, Task, client, tracker};
use crate::measured::Measured;
use crate::payload::{self, Outcome};
use crate::place::Place;
use crate::process::{cpu_seconds, listens, peak_memory};

/// Longer than any client may take for anything.
const PATIENCE: Duration = Duration::from_secs(600);

/// Length of the pieces, the product's choice for such payloads.
pub(crate) const PIECE: u32 = 64 << 10;

/// A client that runs, and is ended with this value.
struct Running {
    child: Child,
    process: u32,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts a client and waits until it is ready.
    async fn start(command: Command) -> Outcome<Self> {
        let mut command = tokio::process::Command::from(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let process = child.id().ok_or("a client ended at once")?;
        let output = child.stdout.take().ok_or("a client says nothing")?;
        let mut running = Self { child, process, lines: BufReader::new(output).lines() };
        running.says("ready").await?;
        Ok(running)
    }

    async fn says(&mut self, word: &str) -> Outcome<()> {
        let said = async {
            while let Some(line) = self.lines.next_line().await? {
                if line == word {
                    return Ok(());
                }
            }
            Err(format!("a client ended before it said {word}").into())
        };
        tokio::time::timeout(PATIENCE, said).await?
    }

    async fn go(&mut self) -> Outcome<()> {
        let input = self.child.stdin.as_mut().ok_or("a client hears nothing")?;
        Ok(input.write_all(b"go\n").await?)
    }

    /// Waits until it has everything. CPU since `begun`, and how long it took.
    async fn fetch(&mut self, start: Instant, begun: f64) -> Outcome<(f64, f64, u64)> {
        self.says("done").await?;
        let seconds = start.elapsed().as_secs_f64();
        Ok((seconds, cpu_seconds(self.process)? - begun, peak_memory(self.process)?))
    }
}

/// Waits until something holds.
pub(crate) async fn eventually(holds: impl Fn() -> bool) -> Outcome<()> {
    let holding = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    Ok(tokio::time::timeout(PATIENCE, holding).await?)
}

/// Ships `bytes` of fresh random bytes by one contender's clients and measures it.
pub(crate) async fn ship(contender: Contender, place: &Place, bytes: u64) -> Outcome<Measured> {
    let seed = place.folder(0)?;
    let metainfo = payload::random_payload(&seed.join("payload"), bytes, PIECE)?;
    let addresses = place.addresses()?;
    let (announce, addresses) = addresses.split_last().ok_or("there are no addresses")?;
    let torrent = place.root().join("payload.torrent");
    let url = format!("http://{announce}/announce");
    let asks = contender == Contender::Aria2;
    std::fs::write(&torrent, metainfo.to_torrent(asks.then_some(&url)))?;
    let _tracker = if asks {
        let peers = addresses.iter().copied().enumerate().collect();
        let task = Task { torrent: &torrent, folder: &seed, host: 0, at: *announce, peers };
        Some(Running::start(tracker(place, &task)?).await?)
    } else {
        None
    };

    let links = neighbours(contender, place.hosts);
    let mut seeder = start(contender, place, &torrent, 0, addresses, &links).await?;
    seeder.go().await?;
    eventually(|| listens(seeder.process, addresses[0].port())).await?;
    let hosts = (1..=place.hosts).map(|host| start(contender, place, &torrent, host, addresses, &links));
    let mut hosts = try_join_all(hosts).await?;
    let cpu = hosts.iter().map(|host| cpu_seconds(host.process)).collect::<Outcome<Vec<_>>>()?;
    let (sent, begun) = (place.sent()?, Instant::now());
    for host in &mut hosts {
        host.go().await?;
    }
    let fetching = hosts.iter_mut().zip(cpu).map(|(host, cpu)| host.fetch(begun, cpu));
    let fetched = try_join_all(fetching).await?;
    let sent = place.sent()?.zip(sent).map(|(after, before)| after - before);
    check(&seed.join("payload"), place)?;
    Ok(Measured {
        seconds: fetched.iter().map(|fetched| fetched.0).fold(0.0, f64::max),
        cpu: Some(fetched.iter().map(|fetched| fetched.1).sum()),
        peak: fetched.iter().map(|fetched| fetched.2).max(),
        bytes,
        hosts: place.hosts,
        sent,
        command: None,
        seeded: None,
        duplicates: None,
    })
}

async fn start(
    contender: Contender,
    place: &Place,
    torrent: &Path,
    host: usize,
    addresses: &[SocketAddr],
    links: &[Vec<usize>],
) -> Outcome<Running> {
    let folder = place.folder(host)?;
    let peers = links[host].iter().map(|peer| (*peer, addresses[*peer])).collect();
    let task = Task { torrent, folder: &folder, host, at: addresses[host], peers };
    Running::start(client(contender, place, &task)?).await
}

/// Whom each dials. Other clients know everybody, as from a tracker; ours are dealt to each other, and the seeder dials
/// all of them, as in the product.
fn neighbours(contender: Contender, hosts: usize) -> Vec<Vec<usize>> {
    let others = |host| (0..=hosts).filter(|other| *other != host).collect();
    if !contender.is_ours() {
        return (0..=hosts).map(others).collect();
    }
    let dealt = deal(hosts, &[], 1).into_iter();
    let dealt = dealt.map(|links| links.into_iter().map(|HostId(host)| host as usize + 1).collect());
    std::iter::once(others(0)).chain(dealt).collect()
}

/// Whether everybody has what was sent.
fn check(payload: &Path, place: &Place) -> Outcome<()> {
    let sent = std::fs::read(payload)?;
    for host in 1..=place.hosts {
        if std::fs::read(place.folder(host)?.join("payload"))? != sent {
            return Err(format!("host {host} has something else than was sent").into());
        }
    }
    Ok(())
}
