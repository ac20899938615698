use crate::control::{HostId, Neighbour};
use crate::swarm::Graph;

/// Who is in the swarm now, and which of the dealt links can be used.
#[derive(Debug, Clone)]
pub(super) struct Links {
    graph: Graph,
    racks: Vec<Option<String>>,
    members: Vec<Option<Neighbour>>,
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
    pub(super) fn join(&mut self, new: Neighbour) -> Vec<LinkChange> {
        let id = new.id;
        if std::mem::take(&mut self.lost[id.index()]) {
            self.graph.add(id, self.racks[id.index()].as_deref());
        }
        self.members[id.index()] = Some(new.clone());
        self.live(id)
            .map(|other| LinkChange { host: other.id, add: vec![new.clone()], remove: vec![] })
            .collect()
    }

    /// A host will not take part, or does so no longer: its neighbours get others. Returns who must be told what.
    pub(super) fn leave(&mut self, id: HostId) -> Vec<LinkChange> {
        if std::mem::replace(&mut self.lost[id.index()], true) {
            return Vec::new();
        }
        let mut changes = Vec::new();
        if self.members[id.index()].take().is_some() {
            let gone = |other: &Neighbour| LinkChange { host: other.id, add: vec![], remove: vec![id] };
            changes.extend(self.live(id).map(gone));
        }
        let new = self.graph.replace(id);
        changes.extend(self.introduce(new));
        changes
    }

    /// Two hosts will not speak with each other any more: each gets another neighbour. Returns who must be told what.
    pub(super) fn cut(&mut self, a: HostId, b: HostId) -> Vec<LinkChange> {
        if !self.dealt(a).contains(&b) {
            return Vec::new();
        }
        let parted = |host, other| LinkChange { host, add: vec![], remove: vec![other] };
        let mut changes = vec![parted(a, b), parted(b, a)];
        let new = self.graph.cut(a, b);
        changes.extend(self.introduce(new));
        changes
    }

    /// What the ends of new links must be told, where both are in the swarm.
    fn introduce(&self, links: Vec<(HostId, HostId)>) -> Vec<LinkChange> {
        let mut changes = Vec::new();
        for (a, b) in links {
            if let (Some(a), Some(b)) = (&self.members[a.index()], &self.members[b.index()]) {
                let meet = |host: &Neighbour, other: &Neighbour| LinkChange {
                    host: host.id,
                    add: vec![other.clone()],
                    remove: vec![],
                };
                changes.extend([meet(a, b), meet(b, a)]);
            }
        }
        changes
    }

    /// The neighbours of a host that are in the swarm now.
    pub(super) fn known(&self, id: HostId) -> Vec<Neighbour> {
        self.live(id).cloned().collect()
    }

    /// A host of the swarm and where it is dialled.
    pub(super) fn member(&self, id: HostId) -> Option<&Neighbour> {
        self.members.get(id.index())?.as_ref()
    }

    /// The neighbours of a host, whether they are in the swarm or not.
    pub(super) fn dealt(&self, id: HostId) -> &[HostId] {
        self.graph.neighbours(id)
    }

    /// How many links a host has that both ends could use.
    pub(super) fn degree(&self, id: HostId) -> usize {
        self.live(id).count()
    }

    fn live(&self, id: HostId) -> impl Iterator<Item = &Neighbour> {
        self.graph.neighbours(id).iter().filter_map(|other| self.members[other.index()].as_ref())
    }
}
