use std::path::PathBuf;
use std::time::Duration;

use crate::control::{HookLine, RunId};
use crate::inventory::Host;
use crate::payload::PackOptions;
use crate::ssh::ClientOptions;

use super::barrier::BarrierRules;
use super::errand::Errand;
use super::event::{HostInfo, Plan};
use super::limit::{LinkRate, least_seconds};
use super::open::OpenPlan;

/// A deployment, all of it decided: nothing below asks the environment for anything.
pub struct DeployPlan {
    /// Name of the run.
    pub run: RunId,
    /// Word of the command, for faces and journal.
    pub command: String,
    /// Where the hosts came from, as the user would name it.
    pub inventory: String,
    /// What is doubtful about the plan, a line each: warned of when the run begins.
    pub warnings: Vec<String>,
    /// Whom to deploy to, each with its `dest`; a [`crate::control::HostId`] is an index into it.
    pub hosts: Vec<Host>,
    /// Name of the link in DEST.
    pub link: String,
    /// Name of the release.
    pub tag: String,
    /// File or folder to ship; empty when the release must be on the hosts already.
    pub payload: PathBuf,
    /// What is asked of each host instead of shipping and switching something.
    pub errand: Option<Errand>,
    /// SHA-256 of the manifest that the payload must have, hex; then no host is dialled before it is packed.
    pub same_release: Option<String>,
    /// How to pack it.
    pub pack: PackOptions,
    /// When staged hosts are activated.
    pub barrier: BarrierRules,
    /// Run on each host before the switch.
    pub before: Option<HookLine>,
    /// Run on each host after the switch.
    pub after: Option<HookLine>,
    /// Switch back where the hook after fails.
    pub rollback_on_failure: bool,
    /// Releases to keep besides current and the one before; `None` removes none.
    pub keep: Option<u32>,
    /// Attempts that a host gets by itself, the first included.
    pub attempts: u32,
    /// Dials and launches at once.
    pub fanout: u32,
    /// Limit of each host, each direction, bytes a second; a host's own is never exceeded by it.
    pub rate: Option<u64>,
    /// Limit of the seeder, bytes a second.
    pub seed_rate: Option<u64>,
    /// A swarm for other clients beside that of the hosts.
    pub open: Option<OpenPlan>,
    /// Swarm ports on the hosts, first and last.
    pub ports: Option<(u16, u16)>,
    /// A host without a new verified byte for so long is given up.
    pub stall_timeout: Duration,
    /// How hosts are reached.
    pub ssh: ClientOptions,
    /// `user@machine` of the operator.
    pub operator: String,
    /// Folder where the run is recorded.
    pub folder: PathBuf,
    /// Stay for retries when every host is final.
    pub linger: bool,
}

/// Name of the file with the release's manifest in the folder of a run, as [`crate::payload::Manifest::save`] leaves it.
pub const MANIFEST: &str = "manifest.zst";

impl DeployPlan {
    /// Whether anything is shipped.
    pub fn ships(&self) -> bool {
        !self.payload.as_os_str().is_empty()
    }

    /// The plan as faces and journal see it.
    pub fn shown(&self) -> Plan {
        Plan {
            run: self.run.clone(),
            command: self.command.clone(),
            tag: self.tag.clone(),
            payload: self.payload.display().to_string(),
            inventory: self.inventory.clone(),
            hosts: self.hosts.iter().map(|host| self.shown_host(host)).collect(),
            attempts: self.attempts,
            activate: self.barrier.activate,
            hold: self.barrier.hold,
            folder: self.folder.display().to_string(),
        }
    }

    fn shown_host(&self, host: &Host) -> HostInfo {
        let user = host.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let port = host.port.map(|port| format!(":{port}")).unwrap_or_default();
        HostInfo {
            name: host.name.clone(),
            address: format!("{user}{}{port}", host.address.as_deref().unwrap_or(&host.name)),
            dest: host.dest.clone().unwrap_or_default(),
            groups: host.groups.clone(),
            rack: host.rack.clone().unwrap_or_default(),
            labels: host.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            rate: self.rate_of(host),
        }
    }

    /// The least possible time to ship so many bytes, if rates are known; seconds.
    pub(super) fn least_seconds(&self, bytes: u64) -> Option<f64> {
        let rates: Vec<LinkRate> = self.hosts.iter().map(|host| LinkRate::both(self.rate_of(host))).collect();
        least_seconds(bytes, self.seed_rate, &rates).map(|(seconds, _)| seconds)
    }

    /// How long a hook may run at most.
    pub(super) fn longest_hook(&self) -> Duration {
        let hooks = self.before.iter().chain(&self.after);
        Duration::from_secs(hooks.map(|hook| hook.timeout_seconds).max().unwrap_or(0))
    }

    /// Limit of a host, bytes a second: what its link carries by the inventory, or less if the run is to be slower.
    pub fn rate_of(&self, host: &Host) -> Option<u64> {
        host.rate.into_iter().chain(self.rate).min()
    }
}
