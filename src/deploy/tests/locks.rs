use super::*;

#[test]
fn a_foreign_lock_ends_the_run_before_anything_is_staged() {
    let mut world = World::new(6, activating()).fault(4, Phase::Checking, FailureKind::Locked);
    world.deploy();
    assert_eq!(world.states()[4], StateName::Failed);
    assert!(world.states().iter().enumerate().all(|(i, state)| i == 4 || *state == StateName::Skipped));
    assert_eq!(world.order_of(|order| matches!(order, Order::Stage(_))), [] as [usize; 0]);
    assert_eq!(world.summary().exit, 6);
    assert!(world.run.finished, "the locks taken are released");
}

#[test]
fn two_names_of_one_place_are_found() {
    let mut world = World::new(2, activating());
    world.run.tick(1_000);
    world.run_dry();
    world.pack();
    let orders = world.run.take_orders();
    for order in orders {
        if let Order::Begin(host) = order {
            let checked = Checked {
                present: Present::Absent,
                current: None,
                free_bytes: 0,
                free_inodes: 0,
                partial_bytes: 0,
                place: "one".into(),
                addresses: vec![],
                port: 1,
                took_over: None,
                holdings: vec![],
            };
            world.say(host, Word::Said(Report::Checked(Box::new(checked))));
        }
    }
    world.run_dry();
    assert_eq!(world.states(), [StateName::Active, StateName::Failed]);
    assert_eq!(world.summary().failures[0].message, "same DEST as h0");
}
