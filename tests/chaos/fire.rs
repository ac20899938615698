//! Strikes hosts while a run goes on.

use murder::demo::Fault;
use serde_json::Value;

use crate::support::operator::{Done, Running};

/// When a fault strikes.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum When {
    /// It is there before the run; made-up hosts bring some with them.
    Before(Option<Fault>),
    /// When an eighth of the transfer is there: on a busy machine it is heard of late.
    Fetching,
    /// When the host is told to be in this state.
    State(&'static str),
    /// When the link was switched.
    Activated,
}

/// Follows the run and strikes its hosts, by name, when it is time; each once.
pub(crate) fn under_fire(mut run: Running, plan: &[(&str, When)], strike: impl Fn(usize)) -> Done {
    let mut struck = vec![false; plan.len()];
    while let Some(event) = run.event() {
        let Some(index) = plan.iter().position(|(name, _)| event["host"] == *name) else { continue };
        if !struck[index] && is_due(plan[index].1, &event) {
            struck[index] = true;
            strike(index);
        }
    }
    run.end()
}

fn is_due(when: When, event: &Value) -> bool {
    let kind = event["type"].as_str().unwrap_or_default();
    match when {
        When::Before(_) => false,
        When::Fetching => {
            kind == "progress" && event["done"].as_f64().unwrap() > event["total"].as_f64().unwrap() / 8.0
        }
        When::State(state) => kind == "host_state" && event["state"] == state,
        When::Activated => kind == "activated",
    }
}

/// The last state of a host, with kind and phase of a failure.
pub(crate) fn end_of(done: &Done, host: &str) -> String {
    let states = done.of_type("host_state");
    let Some(last) = states.iter().rfind(|event| event["host"] == host) else { return "nothing".to_owned() };
    let word = |name: &str| last[name].as_str().unwrap_or_default().to_owned();
    match last["state"] == "failed" {
        true => format!("{} in {}: {}", word("kind"), word("phase"), word("message")),
        false => word("state"),
    }
}
