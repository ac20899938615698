//! What pieces cost: hashing them on all cores against one core, and picking them at 8 and 40 neighbours.
//!
//! `cargo bench --bench pieces -- [--mib 512] [--pieces 4096]`

#[path = "support/payload.rs"]
mod payload;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use murder::payload::{PackOptions, Unpack, pack};
use murder::swarm::picker::{Arrival, Limits, PeerKey, Picker};
use murder::swarm::wire::BLOCK;
use murder::swarm::{BitSet, Pieces};
use payload::Outcome;

const PIECE: u32 = 64 << 10;

/// What an engine lets be under way with pieces of that length.
const LIMITS: Limits = Limits { requests: 384, begun: 192 };

fn main() -> Outcome<()> {
    let (mut mib, mut pieces) = (512, 4096);
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

fn mb_per_second(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64()
}

/// Hashes a payload of `mib` MiB, which is in memory.
fn hashing(mib: u64) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("payload");
    payload::random_payload(&file, mib << 20, PIECE)?;
    let mut hashed = Vec::new();
    let mut one_core = |name: &str, sha1: fn(&[u8]) -> [u8; 20]| -> Outcome<f64> {
        let begun = Instant::now();
        let bytes = std::fs::read(&file)?;
        let read = begun.elapsed();
        let begun = Instant::now();
        let hashes: Vec<[u8; 20]> = bytes.chunks(PIECE as usize).map(sha1).collect();
        let rate = mb_per_second(mib << 20, begun.elapsed());
        println!(
            "pieces hashed on one core, {name}: {rate:.0} MB/s (read at {:.0})",
            mb_per_second(mib << 20, read)
        );
        hashed.push(hashes);
        Ok(rate)
    };
    let portable = one_core("SHA-1 in Rust", portable_sha1)?;
    let single = one_core("SHA-1 of the product", murder::payload::sha1)?;
    let begun = Instant::now();
    let hashes = murder::payload::hash_pieces(&file, mib << 20, PIECE)?;
    let all = mb_per_second(mib << 20, begun.elapsed());
    let cores = std::thread::available_parallelism()?;
    println!("pieces hashed on all {cores} cores, reading included: {all:.0} MB/s");
    println!("all cores / one core: {:.2}; / in Rust: {:.2}", all / single, all / portable);
    assert!(hashed.iter().all(|other| *other == hashes), "the hashes differ");

    let options = PackOptions {
        unpack: Unpack::Never,
        ignore: Vec::new(),
        salt: [0; 16],
        cache_dir: folder.path().join("cache"),
        piece_length: Some(PIECE),
        hosts: 16,
    };
    let begun = Instant::now();
    pack(&file, &options, &|_, _| ControlFlow::Continue(()))?;
    println!(
        "packed, hashed and written as the operator does: {:.0} MB/s\n",
        mb_per_second(mib << 20, begun.elapsed())
    );
    Ok(())
}

fn portable_sha1(bytes: &[u8]) -> [u8; 20] {
    use sha1::Digest as _;
    sha1::Sha1::digest(bytes).into()
}

/// Fetches `count` pieces by a picker whose neighbours get them one after the other, and tells what a piece cost.
fn picking(count: u32) -> Outcome<()> {
    let costs = [8, 40].map(|degree| {
        let cost = pick(count, degree);
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

/// Seconds a piece.
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
    let begun = Instant::now();
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
    begun.elapsed().as_secs_f64() / f64::from(count)
}
