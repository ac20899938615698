use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use proptest::prelude::*;

use super::rarity::Rarity;
use super::*;
use crate::control::HostId;
use crate::swarm::BitSet;

const A: HostId = HostId(0);
const B: HostId = HostId(1);
const C: HostId = HostId(2);

/// For tests in which no time passes.
const T: Duration = Duration::from_secs(1);

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A queue with these hosts joined, none of them alone.
fn queue(pieces: u32, hosts: &[HostId]) -> Reveal {
    let mut reveal = Reveal::new(pieces, 1);
    hosts.iter().for_each(|host| reveal.join(*host, false));
    reveal
}

fn set(of: u32, pieces: impl IntoIterator<Item = u32>) -> BitSet {
    let mut set = BitSet::new(of);
    pieces.into_iter().for_each(|piece| assert!(set.insert(piece)));
    set
}

#[test]
fn a_host_gets_two_pieces_and_the_next_when_it_has_one() {
    let mut reveal = queue(10, &[A]);
    let first = reveal.fill(A, T);
    assert_eq!(first.len(), WINDOW);
    assert!(reveal.fill(A, T).is_empty(), "the window is full");
    reveal.have(A, first[0], T);
    let next = reveal.fill(A, T);
    assert_eq!(next.len(), 1);
    assert!(!first.contains(&next[0]));
}

#[test]
fn the_window_covers_rate_and_round_trip_and_is_never_below_two() {
    assert_eq!(window(0.0, 0.0, 65_536), 2);
    assert_eq!(window(1e6, 0.001, 65_536), 2);
    assert_eq!(window(12.5e6, 0.05, 65_536), 40);
    assert_eq!(window(1.25e9, 0.1, 65_536), 256);
    assert_eq!(window(f64::NAN, 1.0, 65_536), 2);
    assert_eq!(window(1e6, f64::INFINITY, 0), 2);
    let mut lonely = Reveal::new(100, 1);
    lonely.join(A, true);
    assert_eq!(lonely.fill(A, T).len(), 32, "2 MiB of the usual pieces");
    let mut reveal = queue(100, &[A]);
    reveal.set_window(A, 5);
    assert_eq!(reveal.fill(A, T).len(), 5);
    reveal.set_window(A, 0);
    assert!(reveal.fill(A, T).is_empty());
}

#[test]
fn a_slow_host_draws_few() {
    let mut reveal = queue(100, &[A, B]);
    reveal.fill(B, T);
    let mut drawn = reveal.fill(A, T);
    let mut done = 0;
    while let Some(piece) = drawn.get(done).copied() {
        reveal.have(A, piece, T);
        drawn.extend(reveal.fill(A, T));
        done += 1;
        if drawn.len() >= 98 {
            break;
        }
    }
    assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), 98, "all but the two that the slow one draws");
}

#[test]
fn what_a_dead_host_held_alone_is_shown_to_another() {
    let mut reveal = queue(4, &[A]);
    let held = reveal.fill(A, T);
    held.iter().for_each(|piece| reveal.have(A, *piece, T));
    let lent = reveal.fill(A, T);
    reveal.join(B, false);
    reveal.forget(A);
    reveal.set_window(B, 4);
    let again: BTreeSet<u32> = reveal.fill(B, T).into_iter().collect();
    assert_eq!(again, held.into_iter().chain(lent).collect());
}

#[test]
fn what_somebody_holds_is_not_shown_again_while_the_swarm_spreads_it() {
    let mut reveal = queue(40, &[A, B]);
    let mut shown = Vec::new();
    for step in 0..38 {
        let now = at(f64::from(step) * 0.1);
        let new = reveal.fill(A, now);
        new.iter().for_each(|piece| reveal.have(A, *piece, now + at(0.1)));
        shown.extend(new);
    }
    let first = reveal.fill(B, at(3.8));
    assert_eq!((shown.len(), first.len()), (40, 0), "all is out");
    assert!(reveal.fill(B, at(4.5)).is_empty());
    assert_eq!(reveal.fill(B, at(5.0)).len(), WINDOW, "the swarm is slow: help it");
    let new = reveal.fill(C, at(5.0));
    assert!(new.is_empty(), "a host that is not fed");
}

#[test]
fn what_a_slow_host_sits_on_is_shown_to_others_when_nothing_else_is_left() {
    let mut reveal = queue(42, &[A, B]);
    let stuck = reveal.fill(A, at(0.0));
    let mut got = Vec::new();
    for step in 0..20 {
        let now = at(f64::from(step) * 0.1);
        let new = reveal.fill(B, now);
        assert!(new.iter().all(|piece| !stuck.contains(piece)));
        new.iter().for_each(|piece| reveal.have(B, *piece, now + at(0.1)));
        got.extend(new);
    }
    assert_eq!(got.len(), 40);
    let again: BTreeSet<u32> = reveal.fill(B, at(2.1)).into_iter().collect();
    assert_eq!(again, stuck.iter().copied().collect(), "they are late");
    stuck.iter().for_each(|piece| reveal.have(A, *piece, at(2.2)));
    assert_eq!(reveal.copies(0), [0, 42], "late is not lost");
    reveal.leave(B);
    reveal.forget(A);
    reveal.join(C, false);
    reveal.set_window(C, 42);
    assert_eq!(reveal.fill(C, at(2.3)).len(), 2, "and what was late counts right");
}

#[test]
fn a_host_known_to_be_slow_keeps_nobody_waiting() {
    let mut reveal = queue(60, &[A, B]);
    let first = reveal.fill(A, at(0.0));
    let mut now = 0.0;
    let mut fast = 0;
    while fast < 54 {
        let new = reveal.fill(B, at(now));
        now += 0.1;
        new.iter().for_each(|piece| reveal.have(B, *piece, at(now)));
        fast += new.len();
    }
    first.iter().for_each(|piece| reveal.have(A, *piece, at(now)));
    assert!(reveal.fill(A, at(now)).is_empty(), "it would sit on what nobody else has");
    let last = reveal.fill(B, at(now));
    assert_eq!(last.len(), 2);
    last.iter().for_each(|piece| reveal.have(B, *piece, at(now + 0.1)));
    assert!(reveal.fill(A, at(now + 0.1)).is_empty());
    reveal.forget(B);
    assert_eq!(reveal.fill(A, at(now + 0.2)).len(), WINDOW, "but when nobody is faster it is fed");
}

#[test]
fn a_host_without_neighbours_gets_everything_and_counts_for_nothing() {
    let mut reveal = queue(6, &[A]);
    reveal.join(B, true);
    let mut got = Vec::new();
    loop {
        let new = reveal.fill(B, T);
        if new.is_empty() {
            break;
        }
        new.iter().for_each(|piece| reveal.have(B, *piece, T));
        got.extend(new);
    }
    assert_eq!(got, [0, 1, 2, 3, 4, 5]);
    assert!(!reveal.may_leave(), "the other host has nothing");
    reveal.set_window(A, 6);
    assert_eq!(reveal.fill(A, T).len(), 6, "nothing that the lonely one holds helps the other");
    (0..6).for_each(|piece| reveal.have(A, piece, T));
    assert!(reveal.may_leave());
}

#[test]
fn a_host_that_loses_its_neighbours_no_longer_holds_pieces_for_others() {
    let mut reveal = queue(4, &[A]);
    let held = reveal.fill(A, T);
    held.iter().for_each(|piece| reveal.have(A, *piece, T));
    reveal.fill(A, T);
    reveal.set_alone(A, true);
    reveal.join(B, false);
    reveal.set_window(B, 4);
    assert_eq!(reveal.fill(B, T).len(), 4);
    reveal.set_alone(A, false);
    assert_eq!(reveal.copies(0), [2, 2]);
}

#[test]
fn places_go_round_and_the_lonely_need_none() {
    let hosts: Vec<HostId> = (0..MAX_FEEDS as u32 + 2).map(HostId).collect();
    let pieces = 8;
    let mut reveal = queue(pieces, &hosts);
    let (waits, later) = (hosts[MAX_FEEDS], hosts[MAX_FEEDS + 1]);
    assert_eq!(reveal.fed().len(), MAX_FEEDS);
    assert!(!reveal.has_room() && reveal.fill(waits, T).is_empty());
    let lonely = HostId(9000);
    reveal.join(lonely, true);
    assert_eq!(reveal.fill(lonely, T).len(), pieces as usize, "what it is shown is kept from nobody");
    (0..pieces).for_each(|piece| reveal.have(hosts[5], piece, T));
    assert!(reveal.is_fed(waits), "in the place of the one that has all");
    assert!(!reveal.is_fed(later));
    reveal.leave(hosts[7]);
    assert!(reveal.is_fed(later));
    assert!(reveal.has_room() || reveal.fed().len() == MAX_FEEDS + 1);
    reveal.leave(lonely);
    assert_eq!(reveal.fed().len(), MAX_FEEDS);
}

#[test]
fn nothing_that_a_host_brings_along_is_sent_to_anyone_first() {
    let mut reveal = queue(20, &[A, B]);
    reveal.note_exactly(A, &set(20, 0..10), T);
    reveal.set_window(B, 10);
    assert!(reveal.fill(B, T).iter().all(|piece| *piece >= 10));
    assert_eq!(reveal.copies(0), [10, 10]);
    reveal.note_exactly(A, &set(20, [3]), T);
    assert_eq!(reveal.copies(0), [19, 1], "it came back with less");
    reveal.note(A, &set(20, [4]), T);
    assert_eq!(reveal.copies(0), [18, 2], "an old report takes nothing away");
    reveal.have(A, 99, T);
    assert_eq!(reveal.copies(0), [18, 2], "a piece that does not exist is not counted");
}

#[test]
fn copies_are_counted_up_to_a_bound() {
    let mut reveal = queue(3, &[A, B, C]);
    [A, B, C].iter().for_each(|host| reveal.have(*host, 0, T));
    reveal.have(A, 1, T);
    assert_eq!(reveal.copies(0), [1, 1, 0, 1]);
    assert_eq!(reveal.copies(2), [1, 2]);
    assert_eq!(queue(0, &[A]).copies(4), [0]);
}

/// Plays a run in which every host takes what it is shown and gives all it has to all others at random times.
/// Returns how often each piece was shown to hosts with neighbours before the last piece was out.
fn play(hosts: u32, pieces: u32, seed: u64, deaths: &[u32]) -> Result<BTreeMap<u32, u32>, TestCaseError> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut reveal = Reveal::new(pieces, seed);
    let mut lent: BTreeMap<HostId, Vec<u32>> = BTreeMap::new();
    let mut has: BTreeMap<HostId, HashSet<u32>> = BTreeMap::new();
    let mut shown = BTreeMap::new();
    for host in (0..hosts).map(HostId) {
        reveal.join(host, false);
        lent.insert(host, Vec::new());
        has.insert(host, HashSet::new());
    }
    for step in 0_u32.. {
        prop_assert!(step < 100 * (hosts + 1) * (pieces + 10), "no progress");
        let now = at(f64::from(step) * 0.01);
        if deaths.contains(&step) && has.len() > 1 {
            let dead =
                *has.keys().nth(rng.usize(..has.len())).ok_or_else(|| TestCaseError::fail("nobody"))?;
            has.remove(&dead);
            lent.remove(&dead);
            reveal.forget(dead);
        }
        let alive: Vec<HostId> = has.keys().copied().collect();
        let (mut wanting, mut fed) = (0, 0);
        for host in &alive {
            for piece in reveal.fill(*host, now) {
                prop_assert!(!has[host].contains(&piece), "shown what it has");
                if shown.len() < pieces as usize {
                    *shown.entry(piece).or_insert(0) += 1;
                }
                lent.entry(*host).or_default().push(piece);
            }
            let lacks = pieces as usize - has[host].len();
            wanting += usize::from(lacks > 0);
            fed += usize::from(lacks > 0 && lent[host].len() >= WINDOW.min(lacks));
        }
        let out = |piece| {
            has.values().any(|has| has.contains(&piece)) || lent.values().flatten().any(|lent| *lent == piece)
        };
        // One that is slow is shown nothing new, while another is fed.
        prop_assert!(fed > 0 || wanting == 0 || (0..pieces).all(out), "starved while pieces wait");
        let host = alive[rng.usize(..alive.len())];
        let queue = lent.get_mut(&host).map(|lent| (!lent.is_empty()).then(|| lent.swap_remove(0)));
        let got = queue.flatten().or_else(|| {
            let other = alive[rng.usize(..alive.len())];
            has[&other].iter().min().copied()
        });
        if let Some(piece) = got {
            has.entry(host).or_default().insert(piece);
            lent.entry(host).or_default().retain(|other| *other != piece);
            reveal.have(host, piece, now);
        }
        if has.values().all(|has| has.len() == pieces as usize) {
            break;
        }
    }
    prop_assert!(reveal.may_leave());
    Ok(shown)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn each_piece_leaves_once_when_all_goes_well(hosts in 1_u32..8, pieces in 1_u32..60, seed: u64) {
        let shown = play(hosts, pieces, seed, &[])?;
        prop_assert!(shown.values().all(|times| *times == 1), "{:?}", shown);
    }

    #[test]
    fn every_host_that_lives_gets_every_piece_whatever_dies(
        hosts in 2_u32..8, pieces in 1_u32..40, seed: u64, deaths in prop::collection::vec(0_u32..400, 0..8),
    ) {
        play(hosts, pieces, seed, &deaths)?;
    }

    #[test]
    fn the_rarest_piece_is_found_whatever_was_counted(
        pieces in 1_u32..30, steps in prop::collection::vec((0_u32..30, any::<bool>()), 0..200),
    ) {
        let mut rng = fastrand::Rng::with_seed(5);
        let mut rarity = Rarity::new(pieces, &mut rng);
        let mut counts = vec![0_u32; pieces as usize];
        for (piece, up) in steps {
            let piece = piece % pieces;
            if up {
                rarity.raise(piece);
                counts[piece as usize] += 1;
            } else if counts[piece as usize] > 0 {
                rarity.lower(piece);
                counts[piece as usize] -= 1;
            }
            let least = counts.iter().min().copied();
            let rarest = rarity.rarest(&mut rng, |_| false);
            prop_assert_eq!(rarest.map(|piece| counts[piece as usize]), least);
            let odd = (0..pieces).filter(|piece| piece % 2 == 1).map(|piece| counts[piece as usize]).min();
            let rarest = rarity.rarest(&mut rng, |piece| piece % 2 == 0);
            prop_assert_eq!(rarest.map(|piece| counts[piece as usize]), odd);
            for (count, many) in rarity.histogram().enumerate() {
                prop_assert_eq!(many as usize, counts.iter().filter(|other| **other as usize == count).count());
            }
        }
    }
}
