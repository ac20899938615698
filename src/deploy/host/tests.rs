use super::*;

const RULES: Rules =
    Rules { packed: true, ships: true, errand: None, back: false, gate_open: true, attempts: 3, now: 1_000 };

fn failure(kind: FailureKind) -> Input {
    Input::Failed(Failure::new(Phase::Fetching, kind, "x"))
}

fn walk(host: &mut Host, inputs: &[Input]) -> Vec<Effect> {
    inputs.iter().flat_map(|input| host.step(input.clone(), RULES)).collect()
}

fn fetching() -> Host {
    let mut host = Host::new(3);
    walk(&mut host, &[Input::Start, Input::LoggedIn, Input::Launched, Input::Checked(Present::Absent)]);
    host
}

#[test]
fn a_host_passes_all_states_in_order() {
    let mut host = Host::new(3);
    let way = [
        (Input::Start, "connecting"),
        (Input::LoggedIn, "launching"),
        (Input::Launched, "checking"),
        (Input::Checked(Present::Absent), "fetching"),
        (Input::Fetched, "verifying"),
        (Input::Verified, "unpacking"),
        (Input::Staged { already: false }, "staged"),
        (Input::Prepare, "activating"),
        (Input::Ready, "activating"),
        (Input::Switch, "activating"),
        (Input::Activated, "activating"),
        (Input::Settled, "active"),
    ];
    for (input, state) in way {
        host.step(input, RULES);
        assert_eq!(host.state().name().as_str(), state);
    }
}

#[test]
fn a_release_that_is_there_is_staged_at_once_and_another_fails() {
    let mut same = Host::new(3);
    walk(&mut same, &[Input::Start, Input::LoggedIn, Input::Launched, Input::Checked(Present::Same)]);
    assert_eq!(same.way, Way::Staged { already: true });
    let mut other = Host::new(3);
    walk(&mut other, &[Input::Start, Input::LoggedIn, Input::Launched, Input::Checked(Present::Other)]);
    assert!(matches!(other.way, Way::Failed(Failure { kind: FailureKind::DestExists, .. })));
}

#[test]
fn a_release_that_is_to_be_activated_must_be_there() {
    let mut host = Host::new(3);
    let rules = Rules { ships: false, ..RULES };
    for input in [Input::Start, Input::LoggedIn, Input::Launched, Input::Checked(Present::Absent)] {
        host.step(input, rules);
    }
    assert!(matches!(host.way, Way::Failed(Failure { kind: FailureKind::Activate, .. })));
}

#[test]
fn nothing_is_checked_before_the_payload_is_known() {
    let mut host = Host::new(3);
    let rules = Rules { packed: false, ..RULES };
    for input in [Input::Start, Input::LoggedIn, Input::Launched] {
        host.step(input, rules);
    }
    assert_eq!(host.way, Way::Checking { begun: false });
    assert_eq!(host.step(Input::Packed, RULES), [Effect::Begin]);
    assert_eq!(host.step(Input::Packed, RULES), [], "only once");
}

#[test]
fn nothing_is_unpacked_before_the_gate_opens() {
    let mut host = fetching();
    let closed = Rules { gate_open: false, ..RULES };
    host.step(Input::Fetched, closed);
    assert_eq!(host.step(Input::Verified, closed), []);
    assert_eq!(host.way, Way::Verifying { verified: true });
    assert_eq!(host.step(Input::GateOpened, RULES), [Effect::Stage]);
}

#[test]
fn what_may_pass_is_tried_again_so_often_and_the_rest_at_once_given_up() {
    let mut host = Host::new(3);
    for attempt in 1..=3 {
        assert!(matches!(host.way, Way::Queued { .. }));
        host.step(Input::Start, RULES);
        assert_eq!(host.attempt, attempt);
        host.step(failure(FailureKind::Refused), RULES);
    }
    assert!(matches!(host.way, Way::Failed(_)));
    let mut denied = Host::new(3);
    denied.step(Input::Start, RULES);
    denied.step(failure(FailureKind::Auth), RULES);
    assert!(matches!(denied.way, Way::Failed(_)), "never a second try after a definite refusal");
}

#[test]
fn a_retry_by_hand_gets_attempts_of_its_own() {
    let mut host = Host::new(1);
    host.step(Input::Start, RULES);
    host.step(failure(FailureKind::Auth), RULES);
    host.step(Input::Retry, Rules { attempts: 2, ..RULES });
    host.step(Input::Start, RULES);
    assert_eq!((host.attempt, host.last_attempt), (2, 3));
}

#[test]
fn a_retry_that_is_taken_back_leaves_the_host_as_it_was() {
    for way in [Way::Failed(Failure::new(Phase::Fetching, FailureKind::Auth, "no")), Way::Cancelled] {
        let mut host = Host { way: way.clone(), ..Host::new(1) };
        host.step(Input::Retry, RULES);
        assert_eq!(host.step(Input::TakeBack, RULES), []);
        assert_eq!(host.way, way);
        walk(&mut host, &[Input::Retry, Input::Start]);
        assert_eq!(host.step(Input::TakeBack, RULES), [Effect::Leave], "it was dialled already");
        assert_eq!(host.way, way);
    }
    let mut first = fetching();
    assert_eq!(first.step(Input::TakeBack, RULES), [], "nobody tried it again");
    assert_eq!(first.way, Way::Fetching);
}

#[test]
fn a_backoff_grows() {
    let mut host = fetching();
    host.step(failure(FailureKind::Lost), RULES);
    let Way::Queued { not_before: first, .. } = host.way else { panic!("{host:?}") };
    walk(&mut host, &[Input::Start]);
    host.step(failure(FailureKind::Lost), RULES);
    let Way::Queued { not_before: second, .. } = host.way else { panic!("{host:?}") };
    assert!(first > RULES.now && second > first, "{first} {second}");
}

#[test]
fn final_states_hear_nothing_but_a_retry() {
    let words = [
        Input::Start,
        Input::LoggedIn,
        Input::Launched,
        Input::Packed,
        Input::Checked(Present::Absent),
        Input::Checked(Present::Other),
        Input::Fetched,
        Input::Verified,
        Input::GateOpened,
        Input::Staged { already: false },
        Input::Prepare,
        Input::Ready,
        Input::Switch,
        Input::Activated,
        Input::Settled,
        Input::Answered,
        Input::Judged,
        failure(FailureKind::Lost),
        Input::Cancel,
        Input::TakeBack,
        Input::Skip { reason: String::new() },
    ];
    for way in [Way::Active, Way::Done, Way::Cancelled, Way::Skipped { reason: "x".into() }] {
        for word in &words {
            let mut host = Host { way: way.clone(), attempt: 1, last_attempt: 3, before: None };
            assert_eq!(host.step(word.clone(), RULES), [], "{way:?} {word:?}");
            assert_eq!(host.way, way, "{word:?}");
        }
    }
}

#[test]
fn a_cancelled_host_leaves_its_agent() {
    assert_eq!(fetching().step(Input::Cancel, RULES), [Effect::Leave]);
    assert_eq!(Host::new(1).step(Input::Cancel, RULES), [], "there is none yet");
}
