use std::collections::BTreeSet;

use crate::control::{HostId, LogLevel, LogSource};

use super::coordinator::{Coordinator, Order};

/// What a host's agent found when it dialled its neighbours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// Whose port does not answer it.
    blocked: BTreeSet<HostId>,
    /// That it reaches nobody was said.
    told: bool,
}

impl Coordinator {
    /// Asks a host that came into the swarm which of its neighbours it reaches, and those whether they reach it: one
    /// direction is enough for a link.
    pub(super) fn probe(&mut self, id: HostId) {
        let peers = self.links.known(id);
        for peer in &peers {
            // What was found of its agent before this one is of no use.
            self.hosts[peer.id.index()].reach.blocked.remove(&id);
            self.probe_back(peer.id, id);
        }
        if !peers.is_empty() {
            self.orders.push(Order::Probe { host: id, peers });
        }
    }

    fn probe_back(&mut self, from: HostId, to: HostId) {
        let Some(peer) = self.links.member(to).cloned() else { return };
        if self.hosts[from.index()].agent {
            self.orders.push(Order::Probe { host: from, peers: vec![peer] });
        }
    }

    /// An agent dialled neighbours.
    pub(super) fn probed(&mut self, id: HostId, open: &[HostId], closed: &[(HostId, String)]) {
        let reach = &mut self.hosts[id.index()].reach;
        for other in open {
            reach.blocked.remove(other);
        }
        reach.blocked.extend(closed.iter().map(|(other, _)| *other));
        let Some((_, reason)) = closed.first() else { return };
        for host in closed.iter().map(|(other, _)| *other).chain([id]) {
            self.tell_cut_off(host, reason);
        }
    }

    /// A host that is not reached by any neighbour and reaches none is told of once, with what one of them got to hear.
    fn tell_cut_off(&mut self, id: HostId, reason: &str) {
        if self.is_cut_off(id) && !std::mem::replace(&mut self.hosts[id.index()].reach.told, true) {
            let message = format!(
                "port_blocked: no neighbour can be reached, nor reaches it ({reason}): it is fed through SSH alone; open the \
                 swarm ports between the hosts (--ports) to spare this machine's uplink"
            );
            self.log(Some(id), LogLevel::Warn, LogSource::Murder, message);
        }
    }

    /// Whether probes found no link of a host that works in either direction.
    pub(super) fn is_cut_off(&self, id: HostId) -> bool {
        let blocked = |from: HostId, to: HostId| self.hosts[from.index()].reach.blocked.contains(&to);
        let peers = self.links.known(id);
        !peers.is_empty() && peers.iter().all(|peer| blocked(id, peer.id) && blocked(peer.id, id))
    }
}
