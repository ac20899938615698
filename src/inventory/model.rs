use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fields::Fields;
use super::values::{AfterFailure, Transport};
use super::{Options, build, fold};

/// How long a hook may take if the inventory does not say. SPEC's example.
pub const DEFAULT_HOOK_TIMEOUT: Duration = Duration::from_secs(120);

/// Who could take part, and what the inventory says about how.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Where it comes from, as the user would name it: a file, `--hosts`, `standard input`.
    pub source: String,
    /// Hosts in order, each once, names unique.
    pub hosts: Vec<Host>,
    /// What is run on each host around its activation.
    pub hooks: Hooks,
    /// Options of the commands.
    pub options: Options,
    /// What holds for hosts that are named elsewhere.
    pub(super) defaults: Fields,
    /// What its parts say differently of one host.
    pub(super) conflicts: Vec<Conflict>,
}

/// A field of a host that two parts of the inventory give different values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conflict {
    /// Name of the host.
    pub(super) host: String,
    pub(super) field: String,
    /// Its value that is used.
    pub(super) used: String,
    /// The values with who says so, and which is used.
    pub(super) words: String,
}

impl Conflict {
    /// Whether it is about this host as it is now: the command line may have settled it.
    fn is_open(&self, host: &Host) -> bool {
        let now = match self.field.as_str() {
            "user" => host.user.as_deref(),
            "dest" => host.dest.as_deref(),
            "address" => host.address.as_deref(),
            _ => return true,
        };
        now == Some(self.used.as_str())
    }
}

/// A host, with all that the inventory says of it. What is `None` or empty comes from the user's OpenSSH configuration,
/// or from the command's own options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Its name, unique in the inventory. What OpenSSH's configuration is asked for; where it is reached too, if there is
    /// no `address`.
    pub name: String,
    /// Name or address to dial.
    pub address: Option<String>,
    /// Port of its sshd.
    pub port: Option<u16>,
    /// Account.
    pub user: Option<String>,
    /// Key files, as written: `~/` is not expanded.
    pub identity: Vec<String>,
    /// Jump hosts, `[user@]host[:port]`, nearest first. `none` alone: no jump host, whatever OpenSSH's configuration says.
    pub jump: Vec<String>,
    /// Address, or net like `10.0.0.0/8`, at which the other hosts reach it.
    pub swarm: Option<String>,
    /// Hosts in one rack are near each other.
    pub rack: Option<String>,
    /// Limit in bytes a second, each direction.
    pub rate: Option<u64>,
    /// The agent runs under sudo.
    pub become_sudo: bool,
    /// Whether the user's OpenSSH configuration counts.
    pub ssh_config: bool,
    /// Who speaks SSH to it.
    pub transport: Transport,
    /// Folder of releases, absolute.
    pub dest: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Groups, in the order of the inventory.
    pub groups: Vec<String>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            name: String::new(),
            address: None,
            port: None,
            user: None,
            identity: Vec::new(),
            jump: Vec::new(),
            swarm: None,
            rack: None,
            rate: None,
            become_sudo: false,
            ssh_config: true,
            transport: Transport::Russh,
            dest: None,
            labels: BTreeMap::new(),
            groups: Vec::new(),
        }
    }
}

impl Host {
    /// A host of which nothing is known but its name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The value of a label; `rack` is one too.
    pub fn label(&self, label: &str) -> Option<&str> {
        let own = self.labels.get(label).map(String::as_str);
        own.or_else(|| if label == "rack" { self.rack.as_deref() } else { None })
    }
}

/// Lines for the hosts' shell, run in the release's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// Run before the switch; a failure leaves the link alone.
    pub before_activate: Option<String>,
    /// Run after the switch.
    pub after_activate: Option<String>,
    /// What a host does when the hook after the switch fails.
    pub on_after_failure: AfterFailure,
    /// How long each may take.
    pub timeout: Duration,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            before_activate: None,
            after_activate: None,
            on_after_failure: AfterFailure::Keep,
            timeout: DEFAULT_HOOK_TIMEOUT,
        }
    }
}

impl Inventory {
    /// An inventory of hosts that were made elsewhere.
    pub fn new(source: impl Into<String>, hosts: Vec<Host>) -> Self {
        Self { source: source.into(), hosts, ..Self::default() }
    }

    /// What of the inventory is doubtful for these hosts, and how it is taken; a line each.
    pub fn warnings(&self, hosts: &[Host]) -> Vec<String> {
        if self.conflicts.is_empty() {
            return Vec::new();
        }
        let selected: HashMap<&str, &Host> = hosts.iter().map(|host| (host.name.as_str(), host)).collect();
        let mut alike: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for conflict in &self.conflicts {
            let host = selected.get(conflict.host.as_str());
            if host.is_some_and(|host| conflict.is_open(host)) {
                alike.entry((&conflict.field, &conflict.words)).or_default().push(&conflict.host);
            }
        }
        let line = |((field, words), hosts): ((&str, &str), Vec<&str>)| {
            format!("the inventory contradicts itself about `{field}` of {}: {words}", fold(&hosts))
        };
        alike.into_iter().map(line).collect()
    }

    /// Narrows the inventory to the hosts of another list. A host that is not in the inventory is added with the
    /// inventory's defaults.
    #[must_use]
    pub fn narrowed_to(self, names: Self) -> Self {
        let source = format!("{}, {}", names.source, self.source);
        let known: BTreeMap<&str, &Host> = self.hosts.iter().map(|host| (host.name.as_str(), host)).collect();
        let pick = |named: &Host| match known.get(named.name.as_str()) {
            Some(host) => build::overlay(named, host),
            None => build::with_defaults(named, &self.defaults),
        };
        let hosts = names.hosts.iter().map(pick).collect();
        Self { source, hosts, ..self }
    }
}
