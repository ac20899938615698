use std::net::SocketAddr;

use crate::control::{HostId, Neighbour};
use crate::swarm::Graph;

/// Who is in the swarm now, and which of the dealt links can be used.
#[derive(Debug, Clone)]
pub(super) struct Links {
    graph: Graph,
    racks: Vec<Option<String>>,
    members: Vec<Option<Vec<SocketAddr>>>,
    /// Taken out of the graph because they left; dealt anew when they come back.
    lost: Vec<bool>,
}

/// What a host in the swarm must be told.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LinkChange {
    pub(super) host: HostId,
    pub(super) add: Vec<Neighbour>,
    pub(super) remove: Vec<HostId>,
}

impl Links {
    /// Deals the links of all hosts; none is in the swarm yet.
    pub(super) fn new(racks: &[Option<String>], seed: u64) -> Self {
        Self {
            graph: Graph::deal(racks.len(), racks, seed),
            racks: racks.to_vec(),
            members: vec![None; racks.len()],
            lost: vec![false; racks.len()],
        }
    }

    /// A host can be dialled from now on. Returns what its neighbours must be told.
    pub(super) fn join(&mut self, id: HostId, addresses: Vec<SocketAddr>) -> Vec<LinkChange> {
        if std::mem::take(&mut self.lost[id.index()]) {
            self.graph.add(id, self.racks[id.index()].as_deref());
        }
        self.members[id.index()] = Some(addresses.clone());
        let add = Neighbour { id, addresses };
        self.live(id).map(|host| LinkChange { host, add: vec![add.clone()], remove: vec![] }).collect()
    }

    /// A host will not take part, or does so no longer: its neighbours get others. Returns who must be told what.
    pub(super) fn leave(&mut self, id: HostId) -> Vec<LinkChange> {
        if std::mem::replace(&mut self.lost[id.index()], true) {
            return Vec::new();
        }
        let mut changes = Vec::new();
        if self.members[id.index()].take().is_some() {
            let gone = |host| LinkChange { host, add: vec![], remove: vec![id] };
            changes.extend(self.live(id).map(gone));
        }
        for (a, b) in self.graph.replace(id) {
            if let (Some(to_a), Some(to_b)) = (&self.members[a.index()], &self.members[b.index()]) {
                let meet = |host, id, addresses: &[SocketAddr]| LinkChange {
                    host,
                    add: vec![Neighbour { id, addresses: addresses.to_vec() }],
                    remove: vec![],
                };
                changes.extend([meet(a, b, to_b), meet(b, a, to_a)]);
            }
        }
        changes
    }

    /// The neighbours of a host that are in the swarm now.
    pub(super) fn known(&self, id: HostId) -> Vec<Neighbour> {
        self.live(id)
            .map(|id| Neighbour { id, addresses: self.members[id.index()].clone().unwrap_or_default() })
            .collect()
    }

    /// The neighbours of a host, whether they are in the swarm or not.
    pub(super) fn dealt(&self, id: HostId) -> &[HostId] {
        self.graph.neighbours(id)
    }

    /// How many links a host has that both ends could use.
    pub(super) fn degree(&self, id: HostId) -> usize {
        self.live(id).count()
    }

    fn live(&self, id: HostId) -> impl Iterator<Item = HostId> {
        self.graph.neighbours(id).iter().copied().filter(|other| self.members[other.index()].is_some())
    }
}
