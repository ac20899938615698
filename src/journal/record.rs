use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::control::RunId;
use crate::deploy::{Plan, RunInfo, Summary, SwarmSummary};

/// Version of the files of a run. A reader takes older ones and refuses newer ones.
pub(super) const VERSION: u32 = 1;

/// What the caller tells about a run beside its plan. Nothing secret may be in it: it is written as it is.
#[derive(Debug, Clone, Default)]
pub struct Meta {
    /// A made-up fleet: never `last`.
    pub demo: bool,
    /// Milliseconds since the epoch when the run began.
    pub started_at: u64,
    /// Absolute path of the payload, if there is one.
    pub payload: Option<PathBuf>,
    /// The selected hosts with all fields of the inventory, in the order of the plan.
    pub hosts: Value,
    /// The options that were in force, wherever they came from, hooks included.
    pub options: Value,
}

/// What was asked for: all that is needed to do it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this format.
    pub v: u32,
    /// Version of murder that wrote it.
    pub murder: String,
    /// Name of the run.
    pub run: RunId,
    /// Word of the command.
    pub command: String,
    /// The release, empty if none is meant.
    pub tag: String,
    /// A made-up fleet.
    pub demo: bool,
    /// Milliseconds since the epoch.
    pub started_at: u64,
    /// The inventory that was used, as the user would name it.
    pub inventory: String,
    /// The payload, absolute; `null` if the command ships nothing.
    pub payload: Option<PathBuf>,
    /// SHA-256 of the manifest, hex; `null` until the payload is packed.
    pub manifest: Option<String>,
    /// Whether what is staged was to be activated.
    pub activate: bool,
    /// The options in force.
    pub options: Value,
    /// The hosts with all fields of the inventory.
    pub hosts: Value,
}

impl Record {
    /// Names of the hosts.
    pub(super) fn host_names(&self) -> BTreeSet<&str> {
        let hosts = self.hosts.as_array().into_iter().flatten();
        hosts.filter_map(|host| host.get("name")?.as_str()).collect()
    }

    pub(super) fn new(plan: &Plan, meta: Meta) -> Self {
        Self {
            v: VERSION,
            murder: env!("CARGO_PKG_VERSION").to_owned(),
            run: plan.run.clone(),
            command: plan.command.clone(),
            tag: plan.tag.clone(),
            demo: meta.demo,
            started_at: meta.started_at,
            inventory: plan.inventory.clone(),
            payload: meta.payload,
            manifest: None,
            activate: plan.activate,
            options: meta.options,
            hosts: meta.hosts,
        }
    }
}

/// A run in short, for listings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of this format.
    pub v: u32,
    /// Name of the run.
    pub run: RunId,
    /// Word of the command.
    pub command: String,
    /// The release, empty if none is meant.
    pub tag: String,
    /// The payload as the user named it.
    pub payload: String,
    /// The inventory as the user would name it.
    pub inventory: String,
    /// A made-up fleet.
    pub demo: bool,
    /// Milliseconds since the epoch.
    pub started_at: u64,
    /// Hosts that took part.
    pub hosts: u32,
    /// Unpacked bytes of the release; `null` until the payload is packed.
    pub bytes: Option<u64>,
    /// How it ended; `null` while it goes on, and for good if it was killed.
    pub outcome: Option<Outcome>,
}

impl Status {
    pub(super) fn new(plan: &Plan, meta: &Meta) -> Self {
        Self {
            v: VERSION,
            run: plan.run.clone(),
            command: plan.command.clone(),
            tag: plan.tag.clone(),
            payload: plan.payload.clone(),
            inventory: plan.inventory.clone(),
            demo: meta.demo,
            started_at: meta.started_at,
            hosts: plan.hosts.len() as u32,
            bytes: None,
            outcome: None,
        }
    }

    pub(super) fn started(&mut self, info: &RunInfo) {
        self.bytes = Some(info.bytes);
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Milliseconds since the epoch.
    pub ended_at: u64,
    /// Exit code of the command.
    pub exit: u8,
    /// Since the start of the run.
    pub seconds: f64,
    /// Hosts on which an errand was done.
    #[serde(default)]
    pub done: u32,
    /// Hosts active.
    pub active: u32,
    /// Hosts staged and not active.
    pub staged: u32,
    /// Hosts failed.
    pub failed: u32,
    /// Hosts cancelled or skipped.
    pub cancelled: u32,
    /// The transfer.
    pub swarm: SwarmSummary,
}

impl Outcome {
    pub(super) fn new(at: u64, summary: &Summary) -> Self {
        Self {
            ended_at: at,
            exit: summary.exit,
            seconds: summary.seconds,
            active: summary.active,
            done: summary.done,
            staged: summary.staged,
            failed: summary.failed,
            cancelled: summary.cancelled,
            swarm: summary.swarm.clone(),
        }
    }
}
