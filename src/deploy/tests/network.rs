use super::*;
use crate::control::LogSource;
use crate::deploy::event::Mark;

/// Hosts that fetch and get nothing.
fn fetching(hosts: u32) -> World {
    let mut world = World::new(hosts as usize, BarrierRules { activate: true, ..BarrierRules::default() });
    world.starved.extend(0..hosts);
    world.deploy();
    assert_eq!(world.states(), vec![StateName::Fetching; hosts as usize]);
    world
}

impl World {
    fn hears(&mut self, host: u32, word: Word) {
        self.say(HostId(host), word);
        self.run_dry();
    }

    fn probed(&mut self, host: u32, open: &[u32], closed: &[u32]) {
        let open = open.iter().copied().map(HostId).collect();
        let closed = closed.iter().map(|other| (HostId(*other), "no answer".to_owned())).collect();
        self.hears(host, Word::Said(Report::Probed { open, closed }));
    }

    /// Whom a host was asked to dial.
    fn probes_of(&self, host: u32) -> Vec<u32> {
        let asked = self.orders.iter().filter_map(|order| match order {
            Order::Probe { host: at, peers } if at.0 == host => Some(peers.iter().map(|peer| peer.id.0)),
            _ => None,
        });
        asked.flatten().collect()
    }

    fn ssh_only(&self) -> Vec<u32> {
        let marked = |id: &HostId| self.run.hosts[id.index()].marks.contains(&Mark::SshOnly);
        self.run.ids().filter(marked).map(|id| id.0).collect()
    }

    fn warnings(&self) -> usize {
        let ours = |body: &&Body| matches!(body, Body::Log(line) if line.source == LogSource::Murder);
        self.events.iter().filter(ours).count()
    }
}

#[test]
fn a_host_that_no_probe_reaches_is_marked_before_it_stalls_and_told_to_the_seeder() {
    let mut world = fetching(3);
    let mut asked = [world.probes_of(0), world.probes_of(1), world.probes_of(2)];
    asked.iter_mut().for_each(|of| of.sort_unstable());
    assert_eq!(asked, [[1, 2], [0, 2], [0, 1]], "both ends of each link, once");
    world.probed(1, &[0], &[]);
    world.probed(2, &[], &[0, 1]);
    world.probed(0, &[], &[2]);
    world.pass(250);
    assert_eq!(world.ssh_only(), Vec::<u32>::new(), "one way back may still be open");
    world.probed(1, &[], &[2]);
    world.pass(250);
    assert_eq!(world.ssh_only(), [2]);
    assert_eq!(world.warnings(), 1);
    let alone = |order: &Order| matches!(order, Order::Alone { host: HostId(2), alone: true });
    assert_eq!(world.order_of(alone).len(), 1);
}

#[test]
fn one_open_direction_is_a_link() {
    let mut world = fetching(2);
    world.probed(1, &[], &[0]);
    world.probed(0, &[1], &[]);
    world.pass(250);
    assert_eq!((world.ssh_only(), world.warnings()), (vec![], 0));
}

#[test]
fn a_host_whose_connection_is_lost_does_not_stall_while_its_agent_is_looked_for() {
    let mut world = fetching(2);
    world.hears(0, Word::Cut("no sign of life for 20 s".into()));
    world.pass(70_000);
    assert_eq!(world.run.hosts[0].host.state().name(), StateName::Fetching);
    assert_eq!(world.run.hosts[0].host.attempt, 1);
    assert_ne!(world.run.hosts[1].host.attempt, 1, "the other one did");
    world.hears(0, Word::Back);
    world.starved.clear();
    world.feed(HostId(0));
    world.run_dry();
    assert_eq!(world.run.hosts[0].host.state().name(), StateName::Staged);
}

#[test]
fn dials_in_vain_use_up_no_attempt_while_all_connections_are_lost() {
    let mut world = fetching(3).fault(0, Phase::Connecting, FailureKind::Unreachable);
    for host in 0..3 {
        world.hears(host, Word::Cut("no route".into()));
    }
    let lost = || Word::Failed(Failure::new(Phase::Fetching, FailureKind::Lost, "gone"));
    world.hears(0, lost());
    world.pass(120_000);
    let attempt = world.run.hosts[0].host.attempt;
    assert!(attempt > 3, "{attempt}");
    assert!(!world.run.hosts[0].host.is_final());
    world.faults.clear();
    world.hears(1, Word::Back);
    world.hears(2, Word::Back);
    world.pass(60_000);
    assert_eq!(world.run.hosts[0].host.state().name(), StateName::Fetching);
}

#[test]
fn a_lost_neighbour_is_told_to_be_gone_and_another_takes_its_place() {
    let mut world = fetching(20);
    let lost = HostId(5);
    let before: Vec<HostId> = world.run.links.dealt(lost).to_vec();
    assert_eq!(before.len(), 8);
    world.orders.clear();
    world.run.command(Command::Cancel(vec![lost]));
    world.run_dry();
    for host in before {
        let told = |order: &Order| matches!(order, Order::Neighbours { host: at, remove, .. } if *at == host && remove.contains(&lost));
        assert_eq!(world.order_of(told).len(), 1, "{host} is told");
        let met = |order: &Order| matches!(order, Order::Neighbours { host: at, add, .. } if *at == host && !add.is_empty());
        assert!(!world.order_of(met).is_empty() || world.run.links.degree(host) >= 7, "{host} meets another");
        assert!(!world.run.links.dealt(host).contains(&lost));
    }
    let degrees: usize = world.run.ids().filter(|id| *id != lost).map(|id| world.run.links.degree(id)).sum();
    assert!(degrees >= 19 * 8 - 4, "{degrees}: links are as many as before, or nearly");
}

#[test]
fn hosts_that_come_one_after_the_other_are_all_waited_for_before_any_fetches() {
    let mut world = World::new(8, activating());
    world.mute.extend(1..8);
    world.deploy();
    let joins = |world: &World| world.order_of(|order| matches!(order, Order::Join { .. })).len();
    for host in 1..8 {
        world.pass(200);
        assert_eq!(joins(&world), 0, "host {host} and what comes after it are waited for");
        world.hears(host, Word::Launched { uploaded: 0 });
    }
    assert_eq!(joins(&world), 8);
}

#[test]
fn a_host_that_sent_wrong_bytes_is_named_with_who_got_them_and_both_get_other_neighbours() {
    let mut world = World::new(12, activating());
    world.starved = (0..12).collect();
    world.deploy();
    world.orders.clear();
    let (bad, victim) = (world.run.links.dealt(HostId(3))[0], HostId(3));
    world.say(victim, Word::Said(Report::BadPiece { from: bad, piece: 7 }));
    world.run_dry();
    let told = world.events.iter().find_map(|body| match body {
        Body::Log(line) if line.host == Some(victim) => Some(line.message.clone()),
        _ => None,
    });
    let told = told.unwrap();
    assert!(told.contains(&format!("h{}", bad.0)) && told.contains("piece 7"), "{told}");
    for (host, other) in [(victim, bad), (bad, victim)] {
        let (mut lost, mut gained) = (0, 0);
        for order in &world.orders {
            if let Order::Neighbours { host: to, add, remove } = order
                && *to == host
            {
                lost += remove.iter().filter(|id| **id == other).count();
                gained += add.iter().filter(|new| new.id != other).count();
            }
        }
        assert_eq!((lost, gained), (1, 1), "{host}");
    }
}
