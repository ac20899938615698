use super::*;
use crate::control::Wait;
use crate::deploy::event::Mark;

#[test]
fn a_host_without_a_byte_is_given_up_with_a_diagnosis() {
    let mut world = World::with(2, activating(), 1, false);
    world.starved.insert(1);
    world.deploy();
    world.pass(61_000);
    assert_eq!(world.states(), [StateName::Active, StateName::Failed]);
    let failure = &world.summary().failures[0];
    assert_eq!(failure.kind, FailureKind::Stalled);
    assert!(failure.message.contains("no verified byte for"), "{}", failure.message);
    assert!(
        world.events.iter().any(|body| matches!(body, Body::Mark { on: true, .. })),
        "it was marked before"
    );
}

#[test]
fn a_diagnosis_names_the_cause_that_took_most_of_the_time() {
    let wait = |wait: Wait| Progress { wait: Some(wait), peers: 8, down_rate: 10, ..Progress::default() };
    let none = Wait::default();
    for (progress, neighbours_send, words) in [
        (wait(Wait { no_piece: 90, peers: 5, ..none }), 0, "no neighbour has a piece it needs"),
        (Progress { peers: 0, ..wait(Wait { no_piece: 90, ..none }) }, 0, "no other host reaches it"),
        (wait(Wait { choked: 60, disk: 20, ..none }), 0, "its neighbours do not serve it"),
        (wait(Wait { peers: 80, ..none }), 1_000, "its link is slow: its neighbours send faster to others"),
        (wait(Wait { peers: 80, ..none }), 20, "its neighbours send slowly"),
        (wait(Wait { disk: 70, cpu: 20, ..none }), 0, "its disk is slow"),
        (wait(Wait { cpu: 70, disk: 20, ..none }), 0, "its CPU is busy"),
        (wait(Wait { limit: 100, ..none }), 0, "its own rate limit binds"),
        (wait(none), 0, "its link is slow"),
        (Progress::default(), 0, "it has not said why"),
    ] {
        let mut world = World::with(3, activating(), 1, false);
        world.starved = (0..3).collect();
        world.deploy();
        let sends = Progress { up_rate: neighbours_send, ..Progress::default() };
        for second in 0..70 {
            world.pass(1_000);
            // The others go on, and only the host in question stands still.
            for other in [1, 2] {
                let sends = Progress { done: second, ..sends.clone() };
                world.say(HostId(other), Word::Said(Report::Progress(Box::new(sends))));
            }
            if world.states()[0] == StateName::Fetching {
                world.say(HostId(0), Word::Said(Report::Progress(Box::new(progress.clone()))));
            }
        }
        let failure = &world.summary().failures[0];
        assert_eq!(failure.kind, FailureKind::Stalled);
        assert!(failure.message.ends_with(words), "{} is not {words}", failure.message);
        let marked = |body: &Body| matches!(body, Body::Mark { mark: Mark::Stalled, on: true, message, .. } if message.contains(words));
        assert!(world.events.iter().any(marked), "it was marked before, with the same words");
    }
}
