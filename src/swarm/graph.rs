use std::collections::{HashMap, HashSet};

use crate::control::HostId;

/// Links of a host in a fleet that is too large for a full mesh. Measured: 6 to 12 do alike, CPU grows with it.
pub const DEGREE: usize = 8;

/// Links from which on a host is spared when late hosts look for neighbours.
const CROWDED: usize = DEGREE * 3 / 2;

/// The largest fleet where everyone knows everyone.
pub const MESH: usize = 9;

/// Rings of the deal that keep to racks, of `DEGREE / 2` in all. Each ring gives a host two links.
const RACK_RINGS: usize = 3;

/// Tries to mend one doubled link before the deal starts anew.
const MENDS: usize = 400;

/// Deals before a regular lattice is taken instead; reached by no fleet that is known.
const DEALS: usize = 20;

/// Neighbours of `hosts` hosts by a seed: symmetric, connected, full mesh up to [`MESH`], else [`DEGREE`] links each.
/// `racks` may be shorter than the fleet; what is missing has no rack.
pub fn deal(hosts: usize, racks: &[Option<String>], seed: u64) -> Vec<Vec<HostId>> {
    Graph::deal(hosts, racks, seed).links
}

/// Who is dealt to whom. Deterministic: the same calls with the same seed give the same links.
#[derive(Debug, Clone)]
pub struct Graph {
    links: Vec<Vec<HostId>>,
    rack_numbers: HashMap<String, u32>,
    racks: Vec<Option<u32>>,
    alive: Vec<bool>,
    /// Pairs that could not reach each other, lower first; never dealt again.
    broken: HashSet<(HostId, HostId)>,
    rng: fastrand::Rng,
}

impl Graph {
    /// Deals links to hosts `0..hosts`, most of them within racks if there are several.
    pub fn deal(hosts: usize, racks: &[Option<String>], seed: u64) -> Self {
        let mut graph = Self {
            links: vec![Vec::with_capacity(DEGREE); hosts],
            rack_numbers: HashMap::new(),
            racks: Vec::with_capacity(hosts),
            alive: vec![true; hosts],
            broken: HashSet::new(),
            rng: fastrand::Rng::with_seed(seed),
        };
        for host in 0..hosts {
            let rack = graph.rack_number(racks.get(host).and_then(Option::as_deref));
            graph.racks.push(rack);
        }
        if hosts <= MESH {
            for a in 0..hosts as u32 {
                (0..a).for_each(|b| graph.link(HostId(a), HostId(b)));
            }
        } else if !(0..DEALS).any(|_| graph.rings()) {
            graph.lattice();
        }
        graph
    }

    /// Hosts that this one is linked to.
    pub fn neighbours(&self, host: HostId) -> &[HostId] {
        self.links.get(host.index()).map_or(&[], Vec::as_slice)
    }

    /// Takes a host out for good (until [`Graph::add`]) and gives its neighbours others instead. Returns the new links.
    pub fn replace(&mut self, lost: HostId) -> Vec<(HostId, HostId)> {
        let Some(alive) = self.alive.get_mut(lost.index()) else { return Vec::new() };
        *alive = false;
        let mut orphans = std::mem::take(&mut self.links[lost.index()]);
        for orphan in &orphans {
            self.links[orphan.index()].retain(|other| *other != lost);
        }
        // One that has enough without the lost one, because others came to it late, needs nobody.
        orphans.retain(|orphan| self.links[orphan.index()].len() < DEGREE);
        self.rng.shuffle(&mut orphans);
        let mut new = Vec::new();
        while let Some(a) = orphans.pop() {
            if let Some(at) = orphans.iter().position(|b| self.may_link(a, *b)) {
                let b = orphans.swap_remove(at);
                self.link(a, b);
                new.push((a, b));
            } else {
                new.extend(self.refill(a));
            }
        }
        new.extend(self.join_parts());
        new
    }

    /// Takes a link away that works in neither direction, and gives both ends another. Returns the new links.
    pub fn cut(&mut self, a: HostId, b: HostId) -> Vec<(HostId, HostId)> {
        if !self.neighbours(a).contains(&b) {
            return Vec::new();
        }
        self.links[a.index()].retain(|other| *other != b);
        self.links[b.index()].retain(|other| *other != a);
        self.broken.insert((a.min(b), a.max(b)));
        let mut new: Vec<_> = self.refill(a).into_iter().chain(self.refill(b)).collect();
        new.extend(self.join_parts());
        new
    }

    /// Adds a host that comes late or comes back, linked to those with the fewest links, its own rack first.
    /// Nobody loses a link by it. Returns its neighbours.
    pub fn add(&mut self, host: HostId, rack: Option<&str>) -> Vec<HostId> {
        let index = host.index();
        if index >= self.links.len() {
            self.links.resize(index + 1, Vec::new());
            self.racks.resize(index + 1, None);
            self.alive.resize(index + 1, false);
        }
        self.racks[index] = self.rack_number(rack);
        self.alive[index] = true;
        let small = self.alive.iter().filter(|alive| **alive).count() <= MESH;
        let want = if small { MESH } else { DEGREE };
        let mut others: Vec<HostId> =
            (0..self.links.len() as u32).map(HostId).filter(|other| self.may_link(host, *other)).collect();
        self.rng.shuffle(&mut others);
        others.sort_by_key(|other| self.links[other.index()].len());
        let near = others.iter().filter(|other| self.same_rack(host, **other)).take(2 * RACK_RINGS);
        let mut chosen: Vec<HostId> = near.copied().collect();
        chosen.extend(others.iter().filter(|other| !self.same_rack(host, **other)));
        chosen.extend(others.iter().filter(|other| self.same_rack(host, **other)).skip(2 * RACK_RINGS));
        chosen.truncate(want.saturating_sub(self.links[index].len()));
        for (at, other) in chosen.into_iter().enumerate() {
            if at < DEGREE / 2 || self.links[other.index()].len() < CROWDED {
                self.link(host, other);
            }
        }
        self.links[index].clone()
    }

    fn rack_number(&mut self, rack: Option<&str>) -> Option<u32> {
        let next = self.rack_numbers.len() as u32;
        rack.map(|rack| *self.rack_numbers.entry(rack.to_owned()).or_insert(next))
    }

    /// One deal as a union of random rings, which is a random regular graph and connected by the first of them.
    /// False if some link was doubled and could not be mended.
    fn rings(&mut self) -> bool {
        self.links.iter_mut().for_each(Vec::clear);
        let hosts = self.links.len();
        let several_racks = self.racks.iter().flatten().collect::<HashSet<_>>().len() > 1;
        let mut edges: Vec<(HostId, HostId)> = Vec::with_capacity(hosts * DEGREE / 2);
        let mut doubled = Vec::new();
        for ring in 0..DEGREE / 2 {
            let order = self.order(several_racks && ring < RACK_RINGS);
            for (at, a) in order.iter().enumerate() {
                let b = order[(at + 1) % hosts];
                if self.linked(*a, b) {
                    doubled.push((*a, b));
                } else {
                    self.link(*a, b);
                    edges.push((*a, b));
                }
            }
        }
        doubled.into_iter().all(|pair| self.mend(&mut edges, pair))
    }

    /// All hosts in random order, those of a rack side by side if asked for.
    fn order(&mut self, by_rack: bool) -> Vec<HostId> {
        let mut order: Vec<HostId> = (0..self.links.len() as u32).map(HostId).collect();
        self.rng.shuffle(&mut order);
        if by_rack {
            let mut keys: HashMap<u32, u64> = HashMap::new();
            let mut keyed = Vec::with_capacity(order.len());
            for host in order {
                let key = match self.racks[host.index()] {
                    Some(rack) => *keys.entry(rack).or_insert_with(|| self.rng.u64(..)),
                    None => self.rng.u64(..),
                };
                keyed.push((key, host));
            }
            keyed.sort_by_key(|(key, _)| *key);
            order = keyed.into_iter().map(|(_, host)| host).collect();
        }
        order
    }

    /// Gives the ends of a doubled link a place by splitting another link in two. The first ring stays whole, and of
    /// the others those across racks are split first, which costs no link within one.
    fn mend(&mut self, edges: &mut Vec<(HostId, HostId)>, (a, b): (HostId, HostId)) -> bool {
        let hosts = self.links.len();
        for attempt in 0..MENDS {
            let from = if attempt < MENDS / 2 { edges.len() - hosts / 2 } else { hosts };
            let at = self.rng.usize(from..edges.len());
            let (c, d) = if self.rng.bool() { edges[at] } else { (edges[at].1, edges[at].0) };
            let distinct = a != c && a != d && b != c && b != d;
            if distinct && !self.linked(a, c) && !self.linked(b, d) {
                self.links[c.index()].retain(|other| *other != d);
                self.links[d.index()].retain(|other| *other != c);
                self.link(a, c);
                self.link(b, d);
                edges[at] = (a, c);
                edges.push((b, d));
                return true;
            }
        }
        false
    }

    /// Each host linked to the four before and after it in a random order: always possible above [`MESH`] hosts.
    fn lattice(&mut self) {
        self.links.iter_mut().for_each(Vec::clear);
        let order = self.order(true);
        for (at, a) in order.iter().enumerate() {
            (1..=DEGREE / 2).for_each(|step| self.link(*a, order[(at + step) % order.len()]));
        }
    }

    /// One more link for a host that has too few, to the host with the fewest.
    fn refill(&mut self, host: HostId) -> Option<(HostId, HostId)> {
        if !self.alive[host.index()] || self.links[host.index()].len() >= DEGREE {
            return None;
        }
        let hosts = self.links.len();
        let start = self.rng.usize(..hosts);
        let other = (0..hosts)
            .map(|step| HostId(((start + step) % hosts) as u32))
            .filter(|other| self.may_link(host, *other))
            .min_by_key(|other| (self.links[other.index()].len(), !self.same_rack(host, *other)))?;
        self.link(host, other);
        Some((host, other))
    }

    /// Links parts of the fleet that fell asunder, as far as no broken pair forbids it.
    fn join_parts(&mut self) -> Vec<(HostId, HostId)> {
        let mut part = vec![usize::MAX; self.links.len()];
        let mut parts: Vec<Vec<HostId>> = Vec::new();
        for first in (0..self.links.len()).filter(|host| self.alive[*host]) {
            if part[first] != usize::MAX {
                continue;
            }
            part[first] = parts.len();
            let mut members = vec![HostId(first as u32)];
            let mut next = 0;
            while let Some(host) = members.get(next).copied() {
                next += 1;
                for other in &self.links[host.index()] {
                    if part[other.index()] == usize::MAX {
                        part[other.index()] = parts.len();
                        members.push(*other);
                    }
                }
            }
            parts.push(members);
        }
        let mut new = Vec::new();
        for pair in 1..parts.len() {
            let (main, other) = (&parts[0], &parts[pair]);
            let found = other.iter().find_map(|b| Some((*main.iter().find(|a| self.may_link(**a, *b))?, *b)));
            if let Some((a, b)) = found {
                self.link(a, b);
                new.push((a, b));
            }
        }
        new
    }

    fn link(&mut self, a: HostId, b: HostId) {
        self.links[a.index()].push(b);
        self.links[b.index()].push(a);
    }

    fn linked(&self, a: HostId, b: HostId) -> bool {
        a == b || self.links[a.index()].contains(&b)
    }

    fn may_link(&self, a: HostId, b: HostId) -> bool {
        self.alive[a.index()]
            && self.alive[b.index()]
            && !self.linked(a, b)
            && !self.broken.contains(&(a.min(b), a.max(b)))
    }

    fn same_rack(&self, a: HostId, b: HostId) -> bool {
        let rack = self.racks[a.index()];
        rack.is_some() && rack == self.racks[b.index()]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn racks(hosts: usize, each: usize) -> Vec<Option<String>> {
        (0..hosts).map(|host| Some(format!("r{}", host / each.max(1)))).collect()
    }

    fn check(links: &[Vec<HostId>]) {
        for (a, others) in links.iter().enumerate() {
            let mut seen = HashSet::new();
            for b in others {
                assert_ne!(b.index(), a, "a host is not its own neighbour");
                assert!(seen.insert(*b), "{a} is linked to {b} twice");
                assert!(
                    links[b.index()].contains(&HostId(a as u32)),
                    "{a} knows {b}, not the other way round"
                );
            }
        }
    }

    fn reached(graph: &Graph) -> usize {
        let Some(first) = graph.alive.iter().position(|alive| *alive) else { return 0 };
        let mut seen = HashSet::from([HostId(first as u32)]);
        let mut queue = vec![HostId(first as u32)];
        while let Some(host) = queue.pop() {
            queue.extend(graph.neighbours(host).iter().filter(|other| seen.insert(**other)));
        }
        seen.len()
    }

    #[test]
    fn ten_thousand_hosts_are_dealt_in_well_under_a_second() {
        let start = std::time::Instant::now();
        let graph = Graph::deal(10_000, &racks(10_000, 40), 7);
        let took = start.elapsed();
        check(&graph.links);
        assert_eq!(reached(&graph), 10_000);
        assert!(took.as_secs() < 5, "{took:?} even without optimisation");
    }

    #[test]
    fn most_links_stay_in_the_rack_and_enough_leave_it() {
        for each in [10, 20, 40] {
            let hosts = each * 10;
            let racks = racks(hosts, each);
            let links = deal(hosts, &racks, 3);
            let within =
                links.iter().enumerate().flat_map(|(a, others)| others.iter().map(move |b| (a, b.index())));
            let same = within.filter(|(a, b)| racks[*a] == racks[*b]).count();
            let share = same as f64 / (hosts * DEGREE) as f64;
            assert!((0.45..0.85).contains(&share), "{share} with racks of {each}");
            for rack in 0..10 {
                let members = rack * each..(rack + 1) * each;
                let out =
                    links[members.clone()].iter().flatten().filter(|b| !members.contains(&b.index())).count();
                assert!(out >= each, "rack {rack} of {each} has {out} links out");
            }
        }
    }

    #[test]
    fn a_broken_pair_is_not_dealt_again() {
        let mut graph = Graph::deal(12, &[], 1);
        let (a, b) = (HostId(0), graph.neighbours(HostId(0))[0]);
        let new = graph.cut(a, b);
        assert!(!new.contains(&(a, b)) && !new.contains(&(b, a)));
        graph.replace(HostId(5));
        graph.add(HostId(5), None);
        assert!(!graph.neighbours(a).contains(&b));
        assert!(graph.cut(a, b).is_empty(), "there is nothing left to cut");
    }

    #[test]
    fn the_last_two_of_a_mesh_and_an_unknown_host_do_no_harm() {
        let mut graph = Graph::deal(2, &[], 1);
        assert_eq!(graph.neighbours(HostId(0)), [HostId(1)]);
        assert_eq!(graph.replace(HostId(1)), []);
        assert_eq!(graph.replace(HostId(77)), []);
        assert!(graph.neighbours(HostId(0)).is_empty());
        assert_eq!(graph.add(HostId(3), None), [HostId(0)]);
        assert_eq!(deal(0, &[], 1).len(), 0);
        assert_eq!(deal(1, &[], 1), [vec![]]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_deal_is_symmetric_connected_and_regular(hosts in 1_usize..200, each in 1_usize..60, seed: u64) {
            let graph = Graph::deal(hosts, &racks(hosts, each), seed);
            check(&graph.links);
            let degree = if hosts <= MESH { hosts - 1 } else { DEGREE };
            prop_assert!(graph.links.iter().all(|links| links.len() == degree));
            prop_assert_eq!(reached(&graph), hosts);
            prop_assert_eq!(deal(hosts, &racks(hosts, each), seed), graph.links);
        }

        #[test]
        fn whoever_leaves_or_comes_the_rest_stays_connected(
            hosts in 2_usize..60, each in 1_usize..20, seed: u64,
            steps in prop::collection::vec((0_u32..70, any::<bool>()), 0..80),
        ) {
            let mut graph = Graph::deal(hosts, &racks(hosts, each), seed);
            for (host, leaves) in steps {
                let known = graph.alive.get(host as usize).copied().unwrap_or(false);
                if leaves {
                    for (a, b) in graph.replace(HostId(host)) {
                        prop_assert!(graph.neighbours(a).contains(&b));
                    }
                    prop_assert!(graph.neighbours(HostId(host)).is_empty());
                } else if !known {
                    graph.add(HostId(host), Some("r0"));
                }
                check(&graph.links);
                let alive = graph.alive.iter().filter(|alive| **alive).count();
                prop_assert_eq!(reached(&graph), alive);
                let most = graph.links.iter().map(Vec::len).max().unwrap_or(0);
                prop_assert!(most <= 2 * DEGREE, "{} links at one host", most);
            }
        }
    }
}
