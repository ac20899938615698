use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::Setup;
use crate::deploy::{DeployPlan, LinkRate, least_seconds};
use crate::inventory::fold;
use crate::payload::survey;
use crate::units::{format_bytes, format_duration, format_rate, plural};

use super::AppError;

/// Paths that were left out and are named; the rest is counted.
const NAMED: usize = 5;

/// The plan of a deployment in words. Nothing is packed, nothing is contacted.
pub(super) fn dry_run(plan: &DeployPlan, setup: &Setup) -> Result<String, AppError> {
    let survey = survey(&plan.payload, &plan.pack)
        .map_err(|error| AppError::Payload { path: plan.payload.clone(), reason: error.to_string() })?;
    let names: Vec<&str> = plan.hosts.iter().map(|host| host.name.as_str()).collect();
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "  {label:<12}{value}");
    };
    line(
        "payload",
        format!(
            "{}: {} in {}",
            plan.payload.display(),
            format_bytes(survey.bytes),
            plural(survey.entries as usize, "path")
        ),
    );
    if !survey.ignored.is_empty() {
        let named = survey.ignored.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = survey.ignored.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        line("left out", format!("{named}{more}"));
    }
    line("inventory", setup.inventory.source.clone());
    line("hosts", format!("{}: {}", plural(names.len(), "host"), fold(&names)));
    line("release", format!("{} below {}", plan.tag, dests(plan)));
    line("then", activation(plan));
    if let Some(open) = &plan.open {
        let port = open.port.map_or_else(|| "a free port".to_owned(), |port| format!("port {port}"));
        line("open swarm", format!("{}, on {port}: any client may fetch it, plain", open.torrent.display()));
    }
    line("least time", least(plan, survey.bytes));
    Ok(format!("dry run: nothing is contacted\n{text}"))
}

fn dests(plan: &DeployPlan) -> String {
    let mut dests: Vec<&str> = plan.hosts.iter().filter_map(|host| host.dest.as_deref()).collect();
    dests.sort_unstable();
    dests.dedup();
    match dests.as_slice() {
        [one] => (*one).to_owned(),
        many => format!("{} folders, the first {}", many.len(), many.first().unwrap_or(&"")),
    }
}

fn activation(plan: &DeployPlan) -> String {
    let barrier = &plan.barrier;
    if !barrier.activate {
        return "nothing is activated".to_owned();
    }
    let mut words = vec![format!("`{}` is switched when all hosts have it", plan.link)];
    if !barrier.canary.is_empty() {
        words.push(format!("{} first", plural(barrier.canary.len(), "canary host")));
    }
    if let Some(batch) = barrier.batch {
        words.push(format!("{batch} at a time"));
    }
    if barrier.hold {
        words.push("held until you say so".to_owned());
    }
    words.join(", ")
}

fn least(plan: &DeployPlan, bytes: u64) -> String {
    let rates: Vec<LinkRate> = plan.hosts.iter().map(|host| LinkRate::both(plan.rate_of(host))).collect();
    match least_seconds(bytes, plan.seed_rate, &rates) {
        Some((seconds, _)) => {
            let rate = plan
                .seed_rate
                .map(|rate| format!(", sent from here at {}", format_rate(rate)))
                .unwrap_or_default();
            format!("{} before packing{rate}", format_duration(Duration::from_secs_f64(seconds)))
        }
        None => "not known: no rates are given".to_owned(),
    }
}
