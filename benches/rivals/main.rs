//! Ours against what else carries a file to many hosts, in turns in one run, fresh random bytes each.
//!
//! `cargo bench --bench rivals -- [links] [loopback] [OPTION…]`: `links` puts every host behind a shaped link of its own
//! (network namespaces, takes root) and measures the whole product; `loopback` measures what a byte costs in CPU.

mod clients;
mod copies;
#[path = "../support/host.rs"]
mod host;
mod measured;
mod network;
mod options;
#[path = "../support/payload.rs"]
mod payload;
mod peer;
mod place;
mod process;
mod product;
mod ssh;
mod swarm;
mod table;

use std::net::Ipv4Addr;

use clients::Contender;
use measured::Measured;
use network::Network;
use options::Options;
use payload::Outcome;
use place::{Place, Where};
use ssh::Ssh;
use table::Runs;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

/// A file system in memory.
const MEMORY: &str = "/dev/shm";

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let Some(("peer", words)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return peer::main(words);
    }
    let options = Options::read(words)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            outcome = compare(&options) => outcome,
            _ = terminated.recv() => Err("terminated".into()),
            interrupted = tokio::signal::ctrl_c() => Err(interrupted.map_or("no signals", |()| "interrupted").into()),
        }
    })
}

async fn compare(options: &Options) -> Outcome<()> {
    if options.links {
        match Network::obstacle(options.hosts) {
            Some(why) => println!("on links: skipped, {why}\n"),
            None => on_links(options).await?,
        }
    }
    if options.loopback {
        on_loopback(options).await?;
    }
    Ok(())
}

async fn on_links(options: &Options) -> Outcome<()> {
    let contenders = options.contenders(&Contender::ON_LINKS);
    let (hosts, bytes) = (options.hosts, options.mib << 20);
    // Every host needs every byte, and all links are alike: no schedule is faster than one link.
    let least = bytes as f64 * 8.0 / (f64::from(options.mbit) * 1e6);
    println!(
        "{hosts} hosts and a sender, each on a link of {} Mbit/s both ways; {} MiB to each; fluid limit {least:.2} s; {} round(s)\n",
        options.mbit, options.mib, options.rounds
    );
    let folder = folder(hosts, bytes)?;
    let addresses: Vec<Ipv4Addr> = (1..=hosts).map(Network::address).collect();
    let ssh = Ssh::new(folder.path(), &addresses)?;
    let servers = (0..=hosts).map(|host| ssh.server(host, 22)).collect::<Outcome<Vec<_>>>()?;
    let script = |host: usize| if host == 0 { String::new() } else { servers[host].clone() };
    let network = Network::up(hosts, options.mbit, script)?;
    let place = Place::new(hosts, Where::Links(network), folder.path());
    let runs = take_turns(&contenders, options.rounds, &place, &ssh, bytes).await?;
    table::links(&runs, least);
    println!();
    Ok(())
}

async fn on_loopback(options: &Options) -> Outcome<()> {
    let contenders = options.contenders(&Contender::ON_LOOPBACK);
    println!("{} hosts on loopback, {} MiB to each\n", options.local, options.local_mib);
    let folder = folder(options.local, options.local_mib << 20)?;
    let place = Place::new(options.local, Where::Loopback, folder.path());
    let ssh = Ssh::new(folder.path(), &[Network::address(1)])?;
    let runs = take_turns(&contenders, 1, &place, &ssh, options.local_mib << 20).await?;
    table::loopback(&runs);
    Ok(())
}

/// A folder for what all hosts hold: in memory if there is room, for in a fleet every host has a disk of its own.
fn folder(hosts: usize, bytes: u64) -> Outcome<TempDir> {
    // A host holds the payload while it comes, and once more when it is unpacked.
    let need = bytes * (hosts as u64 + 1) * 2;
    let room = rustix::fs::statvfs(MEMORY).map_or(0, |space| space.f_bavail * space.f_frsize);
    if room > need {
        return Ok(tempfile::tempdir_in(MEMORY)?);
    }
    println!("all hosts share the disk of {}: {MEMORY} has no room\n", std::env::temp_dir().display());
    Ok(tempfile::tempdir()?)
}

async fn take_turns(
    contenders: &[Contender],
    rounds: usize,
    place: &Place,
    ssh: &Ssh,
    bytes: u64,
) -> Outcome<Runs> {
    let mut runs: Runs = contenders.iter().map(|contender| (*contender, Vec::new())).collect();
    for _ in 0..rounds {
        for (contender, measured) in &mut runs {
            let run = one(*contender, place, ssh, bytes).await;
            let run = run.map_err(|error| format!("{}: {error}", contender.name()))?;
            eprintln!("{}: {run}", contender.name());
            measured.push(run);
            place.clear()?;
        }
    }
    Ok(runs)
}

async fn one(contender: Contender, place: &Place, ssh: &Ssh, bytes: u64) -> Outcome<Measured> {
    match contender {
        Contender::Murder => product::deploy(place, ssh, bytes).await,
        Contender::Scp => copies::copy(place, ssh, bytes).await,
        client => swarm::ship(client, place, bytes).await,
    }
}
