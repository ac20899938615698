use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{Arrival, Ask, Block, Limits, PeerKey, Picker};
use crate::swarm::bitset::BitSet;
use crate::swarm::pieces::Pieces;

const A: PeerKey = PeerKey(1);
const B: PeerKey = PeerKey(2);
const SEEDER: PeerKey = PeerKey(9);
const ROOMY: Limits = Limits { requests: 1000, begun: 1000 };
const START: Duration = Duration::ZERO;

impl Picker {
    /// Recounts everything that is kept incrementally.
    fn check(&self) {
        let free: u32 = self
            .begun
            .values()
            .map(|begun| {
                let count =
                    |wanted: fn(&Block) -> bool| begun.blocks.iter().filter(|b| wanted(b)).count() as u32;
                assert_eq!(count(|block| *block == Block::Free), begun.free);
                assert_eq!(count(|block| matches!(block, Block::Here(_))), begun.here);
                begun.free
            })
            .sum();
        assert_eq!(free, self.free, "free blocks");
        assert_eq!(
            self.peers.values().map(|peer| peer.asked.len() as u32).sum::<u32>(),
            self.asked,
            "requests out"
        );
        for piece in 0..self.pieces.count() {
            let states = [
                self.have.contains(piece),
                self.begun.contains_key(&piece),
                self.rarity.fresh().contains(piece),
            ];
            assert_eq!(states.iter().filter(|state| **state).count(), 1, "piece {piece} is {states:?}");
            let copies = self.peers.values().filter(|peer| peer.counted && peer.has.contains(piece)).count();
            assert_eq!(copies, usize::from(self.rarity.copies(piece)), "copies of {piece}");
        }
        for (key, peer) in &self.peers {
            assert_eq!(peer.interesting, self.rarity.fresh().common(&peer.has), "interesting of {key:?}");
            for (ask, _) in &peer.asked {
                let block = self.begun.get(&ask.piece).map(|begun| begun.blocks[ask.block as usize]);
                let Some(Block::Asked { by, also, .. }) = block else { panic!("{ask:?} out, but {block:?}") };
                assert!(
                    by == *key || also == Some(*key),
                    "{ask:?} is out to {key:?}, not to {by:?}, {also:?}"
                );
            }
        }
    }
}

/// A picker for pieces of four blocks, of which nothing is here.
fn picker(pieces: u32, seed: u64) -> Picker {
    let shape = Pieces::new(u64::from(pieces) * 65536, 65536, vec![[0; 20]; pieces as usize]).unwrap();
    Picker::new(Arc::new(shape), BitSet::new(pieces), ROOMY, seed)
}

fn peer(picker: &mut Picker, key: PeerKey, has: &[u32]) {
    picker.join(key, key != SEEDER);
    picker.unchoke(key);
    for piece in has {
        picker.has(key, *piece);
    }
}

fn asks(picker: &mut Picker, key: PeerKey) -> Vec<(u32, u32)> {
    asks_after(picker, key, 0)
}

fn asks_after(picker: &mut Picker, key: PeerKey, ms: u64) -> Vec<(u32, u32)> {
    let now = Duration::from_millis(ms);
    std::iter::from_fn(|| picker.next(key, now)).map(|ask| (ask.piece, ask.block)).collect()
}

/// What a peer was asked for and has not sent.
fn asks_of(picker: &Picker, key: PeerKey) -> Vec<(u32, u32)> {
    picker.peers[&key].asked.iter().map(|(ask, _)| (ask.piece, ask.block)).collect()
}

fn arrive(picker: &mut Picker, key: PeerKey, piece: u32, block: u32) -> Arrival {
    picker.arrived(key, Ask { piece, block }, Duration::from_millis(10))
}

#[test]
fn the_rarest_piece_is_asked_for_first_and_the_seeder_does_not_count() {
    let mut picker = picker(3, 1);
    peer(&mut picker, SEEDER, &[0, 1, 2]);
    peer(&mut picker, A, &[0, 2]);
    peer(&mut picker, B, &[0]);
    assert_eq!(asks(&mut picker, A), [(2, 0), (2, 1), (2, 2), (2, 3)], "one copy against two");
    assert_eq!(asks(&mut picker, SEEDER)[0], (1, 0), "none has it yet");
}

#[test]
fn ties_are_broken_at_random_and_the_same_seed_chooses_the_same() {
    let first = |seed| {
        let mut picker = picker(8, seed);
        peer(&mut picker, A, &[0, 1, 2, 3, 4, 5, 6, 7]);
        asks(&mut picker, A)[0].0
    };
    let mut times = [0; 8];
    for seed in 0..800 {
        assert_eq!(first(seed), first(seed));
        times[first(seed) as usize] += 1;
    }
    assert!(times.iter().all(|times| (60..140).contains(times)), "{times:?}");
}

#[test]
fn a_piece_is_finished_at_the_peer_where_it_was_begun_and_others_help_only_when_they_have_nothing_new() {
    let mut picker = picker(2, 1);
    peer(&mut picker, A, &[0]);
    peer(&mut picker, B, &[0, 1]);
    picker.limits.requests = 2;
    assert_eq!(asks(&mut picker, A), [(0, 0), (0, 1)]);
    picker.limits.requests = 1000;
    assert_eq!(asks(&mut picker, B), [(1, 0), (1, 1), (1, 2), (1, 3)], "B begins its own");
    (0..4).for_each(|block| {
        arrive(&mut picker, B, 1, block);
    });
    picker.verified(1);
    assert_eq!(asks_after(&mut picker, B, 15)[..2], [(0, 2), (0, 3)], "then helps with A's");
    let late = asks_after(&mut picker, A, 1000);
    assert_eq!(late, [(0, 2), (0, 3)], "and only at the end a block is asked for twice");
    picker.check();
}

#[test]
fn at_the_end_a_block_is_asked_of_one_more_peer_and_cancelled_when_it_came() {
    let mut picker = picker(1, 1);
    peer(&mut picker, A, &[0]);
    peer(&mut picker, B, &[0]);
    let c = PeerKey(3);
    peer(&mut picker, c, &[0]);
    assert_eq!(asks(&mut picker, A).len(), 4);
    assert_eq!(asks(&mut picker, B), [], "A is about to send them");
    assert_eq!(asks_after(&mut picker, B, 100), [(0, 0), (0, 1), (0, 2), (0, 3)]);
    assert_eq!(asks_after(&mut picker, c, 500), [], "two at most");
    assert_eq!(arrive(&mut picker, B, 0, 0), Arrival::First { complete: false, cancel: Some(A) });
    assert_eq!(arrive(&mut picker, A, 0, 0), Arrival::Unneeded, "the cancel came too late");
    assert_eq!(arrive(&mut picker, A, 0, 1), Arrival::First { complete: false, cancel: Some(B) });
    picker.leave(A);
    assert_eq!(asks_after(&mut picker, c, 1000), [(0, 2), (0, 3)], "a peer that left makes room for another");
    arrive(&mut picker, B, 0, 2);
    assert_eq!(arrive(&mut picker, c, 0, 3), Arrival::First { complete: true, cancel: Some(B) });
    picker.check();
}

#[test]
fn a_late_block_is_asked_of_an_idle_peer_even_before_the_end() {
    let mut picker = picker(3, 1);
    peer(&mut picker, A, &[0]);
    peer(&mut picker, B, &[0]);
    assert_eq!(asks(&mut picker, A).len(), 4);
    let next = |picker: &mut Picker, ms| picker.next(B, Duration::from_millis(ms));
    assert_eq!(next(&mut picker, 3000), None, "pieces 1 and 2 are nowhere yet: not the end");
    arrive(&mut picker, A, 0, 0);
    assert_eq!(next(&mut picker, 1400), None);
    assert!(next(&mut picker, 3600).is_some(), "but A took 10 ms a moment ago");
}

#[test]
fn what_a_peer_was_asked_for_is_free_again_when_it_chokes_leaves_or_stops() {
    type Loss = fn(&mut Picker);
    let losses: [(&str, Loss); 3] = [
        ("choke", |picker| picker.choke(A)),
        ("leave", |picker| picker.leave(A)),
        ("stop", |picker| picker.stopped(A)),
    ];
    for (what, lose) in losses {
        let mut picker = picker(2, 1);
        peer(&mut picker, A, &[0]);
        peer(&mut picker, B, &[]);
        asks(&mut picker, A);
        arrive(&mut picker, A, 0, 0);
        lose(&mut picker);
        picker.check();
        assert_eq!(picker.next(A, START), None, "{what}");
        picker.has(B, 0);
        assert_eq!(asks(&mut picker, B), [(0, 1), (0, 2), (0, 3)], "{what}: the block that came stays");
        arrive(&mut picker, A, 0, 1);
        picker.check();
    }
}

#[test]
fn how_long_a_peer_may_take_depends_on_how_long_it_takes_as_a_rule() {
    for (latency, fine, too_long) in [(50, 4900, 5100), (2000, 11_900, 12_500)] {
        let mut picker = picker(2, 1);
        peer(&mut picker, A, &[0, 1]);
        let (piece, block) = asks(&mut picker, A)[0];
        let came = Duration::from_millis(latency);
        picker.arrived(A, Ask { piece, block }, came);
        let stopped = |ms| picker.has_stopped(A, came, came + Duration::from_millis(ms));
        assert!(!stopped(fine) && stopped(too_long), "{latency} ms");
    }
    let mut picker = picker(1, 1);
    peer(&mut picker, A, &[0]);
    assert!(!picker.has_stopped(A, START, Duration::from_secs(100)), "it was not asked");
    asks(&mut picker, A);
    assert!(!picker.has_stopped(A, START, Duration::from_secs(14)), "nothing is known of it yet");
    assert!(picker.has_stopped(A, START, Duration::from_secs(16)));
}

#[test]
fn a_peer_that_stopped_is_asked_again_once_it_sends() {
    let mut picker = picker(2, 1);
    peer(&mut picker, A, &[0, 1]);
    let first = asks(&mut picker, A)[0].0;
    picker.stopped(A);
    assert_eq!(asks(&mut picker, A), []);
    assert!(matches!(arrive(&mut picker, A, first, 0), Arrival::Unneeded), "nobody is asked for it now");
    assert_eq!(asks(&mut picker, A).len(), 2, "carefully");
}

#[test]
fn a_piece_that_failed_with_several_senders_comes_again_from_one_alone() {
    let mut picker = picker(1, 1);
    peer(&mut picker, A, &[0]);
    peer(&mut picker, B, &[0]);
    asks(&mut picker, A);
    asks_after(&mut picker, B, 100);
    for (key, block) in [(A, 0), (B, 1), (A, 2)] {
        arrive(&mut picker, key, 0, block);
    }
    assert!(matches!(arrive(&mut picker, B, 0, 3), Arrival::First { complete: true, .. }));
    assert_eq!(picker.failed(0), [A, B, A, B]);
    assert_eq!(asks(&mut picker, B).len(), 4);
    assert_eq!(asks_after(&mut picker, A, 9000), [], "not even at the end");
    arrive(&mut picker, B, 0, 0);
    picker.leave(B);
    picker.check();
    assert_eq!(asks(&mut picker, A).len(), 4, "B is gone: from the start, from A alone");
    (0..4).for_each(|block| {
        arrive(&mut picker, A, 0, block);
    });
    assert_eq!(picker.failed(0), [A; 4], "so it was A");
    picker.check();
}

#[test]
fn no_more_is_under_way_than_memory_allows() {
    let mut picker = picker(10, 1);
    picker.limits = Limits { requests: 5, begun: 2 };
    peer(&mut picker, A, &[0, 1, 2, 3, 4]);
    peer(&mut picker, B, &[5, 6, 7, 8, 9]);
    assert_eq!(asks(&mut picker, A).len(), 4);
    assert_eq!(asks(&mut picker, B).len(), 2, "each may have two");
    let c = PeerKey(3);
    peer(&mut picker, c, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(picker.begun(), 2);
    assert!(asks(&mut picker, c).iter().all(|(piece, _)| picker.begun.contains_key(piece)));
}

#[test]
fn pieces_that_nobody_here_can_finish_do_not_keep_a_host_from_beginning_others() {
    let mut picker = picker(4, 1);
    picker.limits.begun = 2;
    peer(&mut picker, A, &[0, 1]);
    assert_eq!(asks(&mut picker, A).len(), 4, "new peers are asked for four blocks at first");
    for (piece, block) in asks_of(&picker, A) {
        arrive(&mut picker, A, piece, block);
    }
    let first = (0..4).find(|piece| picker.begun.contains_key(piece)).unwrap();
    picker.verified(first);
    assert_eq!(asks(&mut picker, A).len(), 4, "the other one");
    let other = 1 - first;
    arrive(&mut picker, A, other, 0);
    picker.leave(A);
    picker.check();
    assert!(picker.is_begun(other), "a part of it is here: somebody may still come who has it");
    // One more that is half here, and the limit is reached.
    peer(&mut picker, B, &[2]);
    assert_eq!(asks(&mut picker, B).len(), 4);
    (0..2).for_each(|block| {
        arrive(&mut picker, B, 2, block);
    });
    picker.leave(B);
    assert!(picker.is_full());
    peer(&mut picker, SEEDER, &[3]);
    assert_eq!(asks(&mut picker, SEEDER), [(3, 0), (3, 1), (3, 2), (3, 3)]);
    picker.check();
    assert!(!picker.is_begun(other) && picker.is_begun(2), "the one of which less was here was given up");
}

#[test]
fn a_piece_that_somebody_here_can_finish_is_never_given_up() {
    let mut picker = picker(3, 1);
    picker.limits.begun = 1;
    peer(&mut picker, A, &[0]);
    assert_eq!(asks(&mut picker, A).len(), 4);
    arrive(&mut picker, A, 0, 0);
    picker.stopped(A);
    peer(&mut picker, B, &[0, 1]);
    assert_eq!(asks(&mut picker, B), [(0, 1), (0, 2), (0, 3)], "B goes on with what A began");
    picker.check();
}

#[derive(Debug, Clone)]
enum Step {
    Join(u32, bool),
    Leave(u32),
    Has(u32, u32),
    Choke(u32),
    Unchoke(u32),
    Stopped(u32),
    Ask(u32),
    Deliver(u32),
    Stray(u32, u32, u32),
    Check(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (peer, piece) = (0u32..5, 0u32..12);
    let step = prop_oneof![
        2 => (peer.clone(), any::<bool>()).prop_map(|(p, counted)| Step::Join(p, counted)),
        1 => peer.clone().prop_map(Step::Leave),
        12 => (peer.clone(), piece.clone()).prop_map(|(p, i)| Step::Has(p, i)),
        1 => peer.clone().prop_map(Step::Choke),
        4 => peer.clone().prop_map(Step::Unchoke),
        1 => peer.clone().prop_map(Step::Stopped),
        12 => peer.clone().prop_map(Step::Ask),
        16 => peer.clone().prop_map(Step::Deliver),
        1 => (peer, piece, 0u32..5).prop_map(|(p, i, b)| Step::Stray(p, i, b)),
        4 => prop::bool::weighted(0.8).prop_map(Step::Check),
    ];
    prop::collection::vec(step, 0..400)
}

/// A picker with the requests that are out as the wire would see them.
struct World {
    picker: Picker,
    out: BTreeMap<PeerKey, Vec<Ask>>,
    complete: Vec<u32>,
    now: Duration,
}

impl World {
    fn ask(&mut self, key: PeerKey) {
        while let Some(ask) = self.picker.next(key, self.now) {
            assert!(self.picker.peer_has(key, ask.piece), "asked for what it does not have");
            assert!(!self.picker.have().contains(ask.piece), "asked for what is here");
            let others = self.out.iter().filter(|(other, out)| **other != key && out.contains(&ask)).count();
            assert!(others <= 1, "{ask:?} was out {others} times already");
            let fresh = self.picker.rarity.fresh().is_empty() && self.picker.free == 0;
            assert!(others == 0 || fresh || self.now >= Duration::from_millis(1500), "twice before the end");
            let out = self.out.entry(key).or_default();
            assert!(!out.contains(&ask), "{ask:?} asked twice of one");
            out.push(ask);
        }
    }

    fn deliver(&mut self, key: PeerKey, ask: Ask) {
        self.out.entry(key).or_default().retain(|out| *out != ask);
        if let Arrival::First { complete, cancel } = self.picker.arrived(key, ask, self.now) {
            if let Some(out) = cancel.and_then(|other| self.out.get_mut(&other)) {
                out.retain(|other| *other != ask);
            }
            self.complete.extend(complete.then_some(ask.piece));
        }
    }

    fn lose(&mut self, key: PeerKey) {
        self.out.remove(&key);
    }

    fn step(&mut self, step: Step) {
        self.now += Duration::from_millis(37);
        match step {
            Step::Join(p, counted) => {
                self.lose(PeerKey(p));
                self.picker.join(PeerKey(p), counted);
            }
            Step::Leave(p) => {
                self.lose(PeerKey(p));
                self.picker.leave(PeerKey(p));
            }
            Step::Has(p, piece) => {
                self.picker.has(PeerKey(p), piece);
            }
            Step::Choke(p) => {
                self.lose(PeerKey(p));
                self.picker.choke(PeerKey(p));
            }
            Step::Unchoke(p) => self.picker.unchoke(PeerKey(p)),
            Step::Stopped(p) => {
                self.lose(PeerKey(p));
                self.picker.stopped(PeerKey(p));
            }
            Step::Ask(p) => self.ask(PeerKey(p)),
            Step::Deliver(p) => {
                if let Some(ask) = self.out.get(&PeerKey(p)).and_then(|out| out.first().copied()) {
                    self.deliver(PeerKey(p), ask);
                }
            }
            Step::Stray(p, piece, block) => self.deliver(PeerKey(p), Ask { piece, block }),
            Step::Check(good) => {
                if let Some(piece) = self.complete.pop() {
                    if good {
                        self.picker.verified(piece);
                    } else {
                        assert_eq!(self.picker.failed(piece).len(), 4);
                    }
                }
            }
        }
        self.picker.check();
        assert_eq!(self.out.values().map(Vec::len).sum::<usize>() as u32, self.picker.requests_out());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_counts_are_right_and_at_last_all_is_fetched(steps in steps(), seed: u64) {
        let mut world =
            World { picker: picker(12, seed), out: BTreeMap::new(), complete: Vec::new(), now: START };
        for step in steps {
            world.step(step);
        }
        // From here on one peer has everything and serves.
        (0..5).for_each(|p| world.step(Step::Leave(p)));
        world.step(Step::Join(7, true));
        (0..12).for_each(|piece| world.step(Step::Has(7, piece)));
        world.step(Step::Unchoke(7));
        for _ in 0..2000 {
            world.step(Step::Ask(7));
            world.step(Step::Deliver(7));
            world.step(Step::Check(true));
        }
        prop_assert!(world.picker.have().is_full(), "{:?}", world.picker);
        prop_assert_eq!(world.picker.requests_out(), 0);
        prop_assert_eq!(world.picker.begun(), 0);
    }
}
