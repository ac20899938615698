use std::net::SocketAddr;

use crate::control::{HostId, Neighbour};

/// Who is in the swarm now, and which of the dealt links can be used.
#[derive(Debug, Clone)]
pub(super) struct Links {
    graph: Vec<Vec<HostId>>,
    members: Vec<Option<Vec<SocketAddr>>>,
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
    pub(super) fn new(racks: &[Option<String>], _seed: u64) -> Self {
        let hosts = racks.len() as u32;
        let graph =
            (0..hosts).map(|id| (0..hosts).filter(|other| *other != id).map(HostId).collect()).collect();
        Self { graph, members: vec![None; racks.len()] }
    }

    /// A host can be dialled from now on. Returns what its neighbours must be told.
    pub(super) fn join(&mut self, id: HostId, addresses: Vec<SocketAddr>) -> Vec<LinkChange> {
        self.members[id.index()] = Some(addresses.clone());
        let add = Neighbour { id, addresses };
        self.live(id).map(|host| LinkChange { host, add: vec![add.clone()], remove: vec![] }).collect()
    }

    /// A host is gone. Returns what its neighbours must be told.
    pub(super) fn leave(&mut self, id: HostId) -> Vec<LinkChange> {
        if self.members[id.index()].take().is_none() {
            return Vec::new();
        }
        self.live(id).map(|host| LinkChange { host, add: vec![], remove: vec![id] }).collect()
    }

    /// The neighbours of a host that are in the swarm now.
    pub(super) fn known(&self, id: HostId) -> Vec<Neighbour> {
        self.live(id)
            .map(|id| Neighbour { id, addresses: self.members[id.index()].clone().unwrap_or_default() })
            .collect()
    }

    /// How many links a host has that both ends could use.
    pub(super) fn degree(&self, id: HostId) -> usize {
        self.live(id).count()
    }

    fn live(&self, id: HostId) -> impl Iterator<Item = HostId> {
        self.graph[id.index()].iter().copied().filter(|other| self.members[other.index()].is_some())
    }
}
