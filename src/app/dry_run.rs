use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::Setup;
use crate::deploy::{DeployPlan, LinkRate, least_seconds};
use crate::inventory::{Output, fold};
use crate::journal::now;
use crate::payload::{Survey, survey};
use crate::report::PlanLine;
use crate::units::{format_bytes, format_duration, format_rate, plural};

use super::AppError;

/// Paths that were left out and are named; the rest is counted.
const NAMED: usize = 5;

/// The plan of a deployment, as words or as an object of type `plan`. Nothing is packed, nothing is contacted.
pub(super) fn dry_run(plan: &DeployPlan, setup: &Setup) -> Result<String, AppError> {
    let survey = survey(&plan.payload, &plan.pack)
        .map_err(|error| AppError::Payload { path: plan.payload.clone(), reason: error.to_string() })?;
    Ok(match setup.face.output {
        Output::Json => json(plan, setup, &survey),
        _ => words(plan, setup, &survey),
    })
}

fn words(plan: &DeployPlan, setup: &Setup, survey: &Survey) -> String {
    let names = names(plan);
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
    let dests = dests(plan);
    let below = match dests.as_slice() {
        [one] => (*one).to_owned(),
        many => format!("{} folders, the first {}", many.len(), many.first().unwrap_or(&"")),
    };
    line("release", format!("{} below {below}", plan.tag));
    if !plan.pack.bases.is_empty() {
        line(
            "reuse",
            "hosts take what did not change since the last release from their own disks".to_owned(),
        );
    }
    line("then", activation(plan));
    if let Some(open) = &plan.open {
        let port = open.port.map_or_else(|| "a free port".to_owned(), |port| format!("port {port}"));
        line("open swarm", format!("{}, on {port}: any client may fetch it, plain", open.torrent.display()));
    }
    line("least time", least_words(plan, survey.bytes));
    for warning in &plan.warnings {
        line("warning", warning.clone());
    }
    format!("dry run: nothing is contacted\n{text}")
}

fn json(plan: &DeployPlan, setup: &Setup, survey: &Survey) -> String {
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    let line = PlanLine {
        tag: plan.tag.clone(),
        payload: plan.payload.display().to_string(),
        bytes: survey.bytes,
        paths: survey.entries,
        left_out: survey.ignored.clone(),
        inventory: setup.inventory.source.clone(),
        hosts: owned(names(plan)),
        dests: owned(dests(plan)),
        link: plan.link.clone(),
        activate: plan.barrier.activate,
        least_seconds: least(plan, survey.bytes),
        warnings: plan.warnings.clone(),
    };
    line.json(now())
}

fn names(plan: &DeployPlan) -> Vec<&str> {
    plan.hosts.iter().map(|host| host.name.as_str()).collect()
}

fn dests(plan: &DeployPlan) -> Vec<&str> {
    let mut dests: Vec<&str> = plan.hosts.iter().filter_map(|host| host.dest.as_deref()).collect();
    dests.sort_unstable();
    dests.dedup();
    dests
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

fn least(plan: &DeployPlan, bytes: u64) -> Option<f64> {
    let rates: Vec<LinkRate> = plan.hosts.iter().map(|host| LinkRate::both(plan.rate_of(host))).collect();
    least_seconds(bytes, plan.seed_rate, &rates).map(|(seconds, _)| seconds)
}

fn least_words(plan: &DeployPlan, bytes: u64) -> String {
    match least(plan, bytes) {
        Some(seconds) => {
            let rate = plan
                .seed_rate
                .map(|rate| format!(", sent from here at {}", format_rate(rate)))
                .unwrap_or_default();
            let time = format_duration(Duration::try_from_secs_f64(seconds).unwrap_or_default());
            format!("{time} if packing saves nothing{rate}")
        }
        None => "not known: give --seed-rate and --rate, or `rate` in the inventory".to_owned(),
    }
}
