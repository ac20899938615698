//! What pieces cost: hashing them on all cores against one core, and picking them at 8 and 40 neighbours.
//!
//! `cargo bench --bench pieces -- [--mib 256] [--pieces 4096]`

#[path = "support/payload.rs"]
mod payload;

use std::fs::File;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use murder::payload::{PackOptions, Unpack, pack};
use murder::swarm::picker::{Arrival, Limits, PeerKey, Picker};
use murder::swarm::wire::BLOCK;
use murder::swarm::{BitSet, Pieces};
use payload::Outcome;
use rustix::time::{ClockId, clock_gettime};

const PIECE: u32 = 64 << 10;

const REPEATS: usize = 5;

/// What an engine lets be under way with pieces of that length.
const LIMITS: Limits = Limits { requests: 384, begun: 192 };

fn main() -> Outcome<()> {
    let (mut mib, mut pieces) = (256, 4096);
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--mib" => mib = value.parse()?,
            "--pieces" => pieces = value.parse()?,
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    hashing(mib)?;
    picking(pieces)
}

/// 10^6 bytes a second, the best of some runs: what else the machine does only makes it slower.
fn best<T>(bytes: u64, mut work: impl FnMut() -> Outcome<T>) -> Outcome<(T, f64)> {
    let mut best = f64::MAX;
    let mut run = || {
        let begun = Instant::now();
        let outcome = work()?;
        best = best.min(begun.elapsed().as_secs_f64());
        Outcome::Ok(outcome)
    };
    let mut outcome = run()?;
    for _ in 1..REPEATS {
        outcome = run()?;
    }
    Ok((outcome, bytes as f64 / 1e6 / best))
}

/// Hashes of a file's pieces by one core.
fn one_core(file: &Path, sha1: fn(&[u8]) -> [u8; 20]) -> Outcome<Vec<[u8; 20]>> {
    let mut file = File::open(file)?;
    let mut piece = vec![0; PIECE as usize];
    let mut hashes = Vec::new();
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hashes),
            length => hashes.push(sha1(&piece[..length])),
        }
    }
}

/// Hashes a payload of `mib` MiB, which is in the page cache.
fn hashing(mib: u64) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("payload");
    let bytes = mib << 20;
    payload::random_payload(&file, bytes, PIECE)?;
    let (expected, portable) = best(bytes, || one_core(&file, portable_sha1))?;
    let (hashes, single) = best(bytes, || one_core(&file, murder::payload::sha1))?;
    let (all_hashes, all) = best(bytes, || Ok(murder::payload::hash_pieces(&file, bytes, PIECE)?))?;
    assert!(hashes == expected && all_hashes == expected, "the hashes differ");
    let cores = std::thread::available_parallelism()?;
    println!("pieces read and hashed, {mib} MiB, best of {REPEATS}: {all:.0} MB/s on all {cores} cores");
    println!("all cores / one core with the same SHA-1 ({single:.0} MB/s): {:.2}", all / single);
    println!(
        "all cores / one core with the SHA-1 of the sha1 crate ({portable:.0} MB/s): {:.2}",
        all / portable
    );

    let options = PackOptions {
        unpack: Unpack::Never,
        ignore: Vec::new(),
        salt: [0; 16],
        cache_dir: folder.path().join("cache"),
        piece_length: Some(PIECE),
        hosts: 16,
        bases: Vec::new(),
    };
    let pack = || Ok(pack(&file, &options, &|_, _| ControlFlow::Continue(()))?.remove()?);
    let ((), packed) = best(bytes, pack)?;
    println!("packed, hashed and written as the operator does: {packed:.0} MB/s\n");
    Ok(())
}

fn portable_sha1(bytes: &[u8]) -> [u8; 20] {
    use sha1::Digest as _;
    sha1::Sha1::digest(bytes).into()
}

/// Fetches `count` pieces by a picker whose neighbours get them one after the other, and tells what a piece cost.
fn picking(count: u32) -> Outcome<()> {
    let costs = [8, 40].map(|degree| {
        let cost = (0..REPEATS).map(|_| pick(count, degree)).fold(f64::MAX, f64::min);
        println!(
            "picking with {degree} neighbours: {:.2} us a piece of {} blocks",
            cost * 1e6,
            PIECE / BLOCK
        );
        cost
    });
    println!("40 neighbours / 8: {:.2} the cost", costs[1] / costs[0]);
    Ok(())
}

/// Seconds of this thread's CPU so far: what else the machine does costs no more here.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Seconds of CPU a piece.
fn pick(count: u32, degree: u32) -> f64 {
    let length = u64::from(count) * u64::from(PIECE);
    let Ok(pieces) = Pieces::new(length, PIECE, vec![[0; 20]; count as usize]) else { return f64::NAN };
    let mut picker = Picker::new(Arc::new(pieces), BitSet::new(count), LIMITS, 7);
    let mut random = fastrand::Rng::with_seed(7);
    let peers: Vec<PeerKey> = (0..degree).map(PeerKey).collect();
    for peer in &peers {
        picker.join(*peer, true);
        picker.unchoke(*peer);
    }
    let mut order: Vec<u32> = (0..count).collect();
    random.shuffle(&mut order);
    let mut told = order.iter().flat_map(|piece| peers.iter().map(|peer| (*peer, *piece)));
    let mut out = std::collections::VecDeque::new();
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    while !picker.have().is_full() {
        let now = begun.elapsed();
        // As much is told as is fetched: in the middle of a deployment.
        for (peer, piece) in told.by_ref().take(degree as usize) {
            picker.has(peer, piece);
        }
        for peer in &peers {
            out.extend(std::iter::from_fn(|| picker.next(*peer, now)).map(|ask| (*peer, ask)));
        }
        for (peer, ask) in out.drain(..out.len().min(4)) {
            if let Arrival::First { complete: true, .. } = picker.arrived(peer, ask, now) {
                picker.verified(ask.piece);
            }
        }
    }
    (cpu_seconds() - cpu) / f64::from(count)
}
