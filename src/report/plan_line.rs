use serde::Serialize;

use crate::journal::rfc3339;

/// What a deployment would do, for `--dry-run` as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanLine {
    /// The release.
    pub tag: String,
    /// The payload as the user named it.
    pub payload: String,
    /// Its unpacked bytes.
    pub bytes: u64,
    /// Its files, folders and links.
    pub paths: u64,
    /// Paths that are left out.
    pub left_out: Vec<String>,
    /// Where the hosts come from.
    pub inventory: String,
    /// The selected hosts.
    pub hosts: Vec<String>,
    /// Folders on the hosts below which the release would lie.
    pub dests: Vec<String>,
    /// Name of the link to the active release.
    pub link: String,
    /// Whether the release would be activated.
    pub activate: bool,
    /// The least possible time for the unpacked bytes, if a rate is known.
    pub least_seconds: Option<f64>,
    /// What is doubtful about the plan.
    pub warnings: Vec<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    ts: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    plan: &'a PlanLine,
}

impl PlanLine {
    /// As a line of JSON; `now` is milliseconds since the epoch.
    pub fn json(&self, now: u64) -> String {
        // Numbers and strings alone: nothing in it can fail to become JSON.
        let line = Line { v: 1, ts: rfc3339(now), kind: "plan", plan: self };
        serde_json::to_string(&line).unwrap_or_default() + "\n"
    }
}
