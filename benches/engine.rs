//! Bytes that the hosts' engines move per second of CPU, over loopback: a whole swarm in this process, each host with a
//! runtime and a file of its own.
//!
//! `cargo bench --bench engine -- [--hosts 8] [--mib 256] [--piece-kib 64] [--plain] [--rate BYTES]`

#[path = "support/host.rs"]
mod host;
#[path = "support/payload.rs"]
mod payload;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use murder::control::{HostId, Neighbour, Progress};
use murder::payload::Metainfo;
use murder::swarm::engine::Event;
use payload::Outcome;
use rustix::time::{ClockId, clock_gettime};

struct Options {
    hosts: u32,
    mib: u64,
    piece_kib: u32,
    plain: bool,
    rate: Option<u64>,
}

impl Options {
    fn read() -> Outcome<Self> {
        let mut options = Self { hosts: 8, mib: 256, piece_kib: 64, plain: false, rate: None };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--hosts" => options.hosts = value()?.parse()?,
                "--mib" => options.mib = value()?.parse()?,
                "--piece-kib" => options.piece_kib = value()?.parse()?,
                "--rate" => options.rate = Some(value()?.parse()?),
                "--plain" => options.plain = true,
                // What cargo adds.
                "--bench" | "--test" => {}
                other => return Err(format!("unknown option {other}").into()),
            }
        }
        Ok(options)
    }
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// What a host's thread says and hears: its address, the addresses of all, its counters when it is complete.
struct Talk {
    addresses: Sender<(HostId, SocketAddr)>,
    neighbours: Receiver<Vec<Neighbour>>,
    done: Sender<Progress>,
}

/// A host in its own thread. It goes on serving until it hears nothing more.
fn serve(id: HostId, folder: &Path, metainfo: &Metainfo, options: &Options, talk: &Talk) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let path = folder.join(if id == HostId::SEEDER { metainfo.name.clone() } else { id.to_string() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        talk.addresses.send((id, listener.local_addr()?))?;
        let engine = host::start(id, &path, listener, metainfo, options.plain, options.rate)?;
        engine.set_neighbours(talk.neighbours.recv()?, &[]);
        match engine.event().await {
            Event::Completed => talk.done.send(engine.counters())?,
            other => return Err(format!("{id}: {other:?}").into()),
        }
        while talk.neighbours.try_recv() != Err(TryRecvError::Disconnected) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        engine.stop().await;
        Ok(())
    })
}

fn main() -> Outcome<()> {
    let options = Options::read()?;
    let folder = tempfile::tempdir()?;
    let metainfo =
        payload::random_payload(&folder.path().join("payload"), options.mib << 20, options.piece_kib << 10)?;
    let (tell_address, hear_address) = channel();
    let (tell_done, hear_done) = channel();
    let ids: Vec<HostId> = (0..options.hosts).map(HostId).chain([HostId::SEEDER]).collect();
    std::thread::scope(|scope| {
        let mut introduce = Vec::new();
        for id in &ids {
            let (tell, hear) = channel();
            introduce.push(tell);
            let talk = Talk { addresses: tell_address.clone(), neighbours: hear, done: tell_done.clone() };
            let (options, metainfo, path) = (&options, &metainfo, folder.path());
            scope.spawn(move || {
                if let Err(error) = serve(*id, path, metainfo, options, &talk) {
                    eprintln!("{id}: {error}");
                    std::process::exit(1);
                }
            });
        }
        let all: Vec<Neighbour> = hear_address
            .iter()
            .take(ids.len())
            .map(|(id, address)| Neighbour { id, life: 1, addresses: vec![address] })
            .collect();
        let hosts: Vec<Neighbour> =
            all.into_iter().filter(|neighbour| neighbour.id != HostId::SEEDER).collect();
        let (begun, cpu) = (Instant::now(), cpu_seconds());
        for tell in &introduce {
            tell.send(hosts.clone())?;
        }
        let ended: Vec<Progress> = hear_done.iter().take(ids.len()).collect();
        let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        let received: u64 = ended.iter().map(|progress| progress.down).sum();
        let duplicate: u64 = ended.iter().map(|progress| progress.duplicate).sum();
        let seeded: u64 = ended.iter().map(|progress| progress.from_seeder).sum();
        let mb = received as f64 / 1e6;
        println!(
            "{} hosts, {} MiB, pieces of {} KiB, {}: {seconds:.2} s, {:.0} MB/s each, {:.0} MB per CPU-second \
             ({:.2} CPU-s/GiB), seeder {:.2} copies, duplicates {:.2} %",
            options.hosts,
            options.mib,
            options.piece_kib,
            if options.plain { "plain" } else { "encrypted" },
            mb / seconds / f64::from(options.hosts),
            mb / cpu,
            cpu / (received as f64 / f64::from(1 << 30)),
            seeded as f64 / (options.mib << 20) as f64,
            100.0 * duplicate as f64 / received as f64,
        );
        Outcome::Ok(())
    })
}
