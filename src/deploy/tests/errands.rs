use super::*;
use crate::control::Release;
use crate::deploy::errand::{Errand, Found};

/// Agents that answer errands; those of `walled` are reached by nobody.
fn world(hosts: usize, errand: Errand) -> World {
    let mut world = World::with(hosts, BarrierRules::default(), 1, false);
    world.run.book.errand = Some(errand);
    world.run.book.ships = false;
    world
}

fn carry_out(world: &mut World, walled: &[u32]) {
    world.run.tick(world.now);
    world.run.packed(RunInfo::default());
    loop {
        let orders = world.run.take_orders();
        if orders.is_empty() {
            return;
        }
        for order in orders {
            world.orders.push(order.clone());
            match order {
                Order::Ask { host, peers } => {
                    let report = answer(world.run.book.errand.unwrap(), walled, peers);
                    world.say(host, Word::Said(report));
                }
                order => world.obey(order),
            }
        }
    }
}

fn answer(errand: Errand, walled: &[u32], peers: Vec<crate::control::Neighbour>) -> Report {
    match errand {
        Errand::Check { .. } => {
            let (closed, open) = peers.into_iter().map(|peer| peer.id).partition(|id| walled.contains(&id.0));
            let closed: Vec<HostId> = closed;
            Report::Probed { open, closed: closed.into_iter().map(|id| (id, "refused".into())).collect() }
        }
        Errand::Releases => Report::Releases { releases: Vec::<Release>::new() },
        Errand::Clean { .. } => Report::Cleaned { bytes: 1, tags: vec![], agents: 1, ended: 0 },
    }
}

fn found(world: &World) -> Vec<&Found> {
    let found = |body: &'_ Body| matches!(body, Body::Found { .. });
    let bodies = world.events.iter().filter(|body| found(body));
    bodies
        .filter_map(|body| if let Body::Found { result, .. } = body { Some(&**result) } else { None })
        .collect()
}

#[test]
fn a_check_dials_every_neighbour_when_all_are_ready_and_names_who_is_not_reached() {
    let mut world = world(5, Errand::Check { bytes: 0 }).fault(0, Phase::Connecting, FailureKind::Auth);
    carry_out(&mut world, &[3]);
    use StateName::{Done, Failed};
    assert_eq!(world.states(), [Failed, Done, Done, Failed, Done]);
    let summary = world.summary();
    assert_eq!((summary.exit, summary.done), (6, 3));
    let kinds: HashSet<_> = summary.failures.iter().map(|group| group.kind).collect();
    assert_eq!(kinds, HashSet::from([FailureKind::Auth, FailureKind::PortBlocked]));
    let last_begin = world.order_of(|order| matches!(order, Order::Begin(_))).into_iter().max();
    let first_ask = world.order_of(|order| matches!(order, Order::Ask { .. })).into_iter().min();
    assert!(last_begin < first_ask, "whoever is dialled must listen");
    assert_eq!(found(&world).len(), 4, "what is known of the blocked host is told, too");
    assert!(world.run.finished);
}

#[test]
fn a_lone_host_is_checked_without_anybody_to_dial() {
    let mut world = world(1, Errand::Check { bytes: 0 });
    carry_out(&mut world, &[]);
    assert_eq!(world.states(), [StateName::Done]);
    assert_eq!(world.summary().exit, 0);
}

#[test]
fn what_is_asked_of_each_host_alone_ends_host_by_host_and_takes_no_step_of_a_deployment() {
    for errand in [Errand::Releases, Errand::Clean { keep: 2 }] {
        let mut world = world(3, errand).fault(1, Phase::Connecting, FailureKind::Resolve);
        carry_out(&mut world, &[]);
        assert_eq!(world.states(), [StateName::Done, StateName::Failed, StateName::Done]);
        assert_eq!(found(&world).len(), 2);
        assert_eq!(world.summary().exit, 6);
        let moved = |order: &Order| {
            matches!(order, Order::Join { .. } | Order::Stage(_) | Order::Before(_) | Order::Switch(_))
        };
        assert_eq!(world.order_of(moved), [] as [usize; 0]);
    }
}
