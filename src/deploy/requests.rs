use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::control::{Begin, Fetch, HostId, Neighbour, Request, RunKey, VERSION};
use crate::inventory::Host;
use crate::payload::{Packed, hex};
use crate::ssh::Target;

use super::coordinator::Order;
use super::errand::Errand;
use super::plan::DeployPlan;
use super::worker::Do;

/// Bytes of a part in one line: 60,000 in base64, below [`crate::control::MAX_LINE`].
const CHUNK: usize = 45_000;

/// Bytes that a check wants free whatever is to be shipped: on a full disk not even the lock can be written.
const LEAST_ROOM: u64 = 1 << 20;

/// What agents are asked, made from the plan and the packed payload.
pub(super) struct Requests {
    metainfo: Arc<Vec<Request>>,
    /// By the manifest of the release that a host must hold, hex.
    recipes: Vec<(String, Arc<Vec<Request>>)>,
    info_hash: String,
    manifest: Option<String>,
    bytes: u64,
    packed_bytes: u64,
    entries: u64,
    key: RunKey,
}

impl Requests {
    pub(super) fn new(packed: &Packed, key: RunKey) -> Self {
        let metainfo = parts(&packed.metainfo.info_bytes, |total, data| Request::Metainfo { total, data });
        let recipes = packed.recipes.iter().filter_map(|recipe| {
            // Without one the host is sent all, as any other.
            let bytes = recipe.to_bytes().ok()??;
            Some((recipe.base_hex(), parts(&bytes, |total, data| Request::Recipe { total, data })))
        });
        Self {
            metainfo,
            recipes: recipes.collect(),
            info_hash: hex(&packed.metainfo.info_hash),
            manifest: Some(hex(&packed.manifest_hash)),
            bytes: packed.bytes,
            packed_bytes: packed.packed_bytes,
            entries: packed.entries,
            key,
        }
    }

    /// For a release that is on the hosts already.
    pub(super) fn of_no_payload() -> Self {
        Self {
            metainfo: Arc::default(),
            recipes: Vec::new(),
            info_hash: String::new(),
            manifest: None,
            bytes: 0,
            packed_bytes: 0,
            entries: 0,
            key: RunKey([0; 32]),
        }
    }

    /// What an order means for the workers; `None` if it means nothing to agents.
    pub(super) fn of(
        &self,
        plan: &DeployPlan,
        order: Order,
        running: &[HostId],
    ) -> Option<Vec<(HostId, Do)>> {
        let one = |host: HostId, request: Request| vec![(host, Do::Send(request))];
        let all = |request: &dyn Fn(HostId) -> Request| {
            running.iter().map(|host| (*host, Do::Send(request(*host)))).collect()
        };
        let rate_of = |host: HostId| plan.hosts.get(host.index()).and_then(|named| plan.rate_of(named));
        Some(match order {
            Order::Begin(host) => one(host, Request::Begin(Box::new(self.begin(plan, host)))),
            Order::Join { host, life, neighbours, holdings, port, addresses, alone } => {
                let fetch = Fetch {
                    info_hash: self.info_hash.clone(),
                    manifest: self.manifest.clone().unwrap_or_default(),
                    key: self.key.clone(),
                    life,
                    rate: rate_of(host),
                    neighbours,
                };
                let held = self.recipes.iter().filter(|(base, _)| holdings.contains(base));
                let lines =
                    [&self.metainfo].into_iter().chain(held.map(|(_, lines)| lines)).cloned().collect();
                vec![(host, Do::Join { lines, fetch: Box::new(fetch), port, addresses, alone })]
            }
            Order::Probe { host, peers } => one(host, Request::Probe { peers }),
            Order::Neighbours { host, add, remove } => one(host, Request::Neighbours { add, remove }),
            Order::Stage(host) => one(host, Request::Stage),
            Order::Before(host) => one(host, Request::Before { hook: plan.before.clone() }),
            Order::Switch(host) => {
                let request = Request::Activate {
                    tag: plan.tag.clone(),
                    hook: plan.after.clone(),
                    rollback_on_failure: plan.rollback_on_failure,
                    keep: plan.keep,
                };
                one(host, request)
            }
            Order::Ask { host, peers } => one(host, asked(plan.errand?, peers)),
            Order::Leave { host, keep_partial } => vec![(host, Do::Leave { keep_partial })],
            Order::Throttle(_) => all(&|host| Request::Rate { bytes_per_second: rate_of(host) }),
            Order::Lease(seconds) => all(&|_| Request::Lease { seconds }),
            Order::Connect { .. }
            | Order::Alone { .. }
            | Order::Sweep { .. }
            | Order::ThrottleSeeder(_)
            | Order::Emit(_)
            | Order::Finish => return None,
        })
    }

    /// The same for a host that is switched back to another release, which is there.
    pub(super) fn back(plan: &DeployPlan, order: &Order, host: HostId, tag: &str) -> Do {
        let tag = tag.to_owned();
        Do::Send(if matches!(order, Order::Begin(_)) {
            Request::Begin(Box::new(Begin { tag, ..Self::of_no_payload().begin(plan, host) }))
        } else {
            let hook = plan.after.clone();
            Request::Activate { tag, hook, rollback_on_failure: false, keep: None }
        })
    }

    /// What makes an agent end an older one of this run, and remove what that left.
    pub(super) fn sweep(plan: &DeployPlan, id: HostId) -> Request {
        Request::Begin(Box::new(Self::of_no_payload().begin(plan, id)))
    }

    fn begin(&self, plan: &DeployPlan, id: HostId) -> Begin {
        let host = plan.hosts.get(id.index());
        let read_only = plan.errand.is_some_and(Errand::is_read_only);
        let (checked, least_room) = match plan.errand {
            Some(Errand::Check { bytes }) => (bytes, LEAST_ROOM),
            _ => (0, 0),
        };
        Begin {
            v: VERSION,
            run: plan.run.clone(),
            id,
            host: host.map_or_else(String::new, |host| host.name.clone()),
            operator: plan.operator.clone(),
            operator_pid: std::process::id(),
            dest: host.and_then(|host| host.dest.clone()).unwrap_or_default(),
            link: plan.link.clone(),
            tag: plan.tag.clone(),
            manifest: self.manifest.clone(),
            lock: !read_only,
            read_only,
            unpacked_bytes: self.bytes + checked,
            packed_bytes: self.packed_bytes + checked,
            least_room,
            entries: self.entries,
            ports: plan.ports,
            swarm: host.and_then(|host| host.swarm.clone()),
        }
    }
}

/// Something too long for a line, in parts.
fn parts(bytes: &[u8], request: impl Fn(u64, String) -> Request) -> Arc<Vec<Request>> {
    let total = bytes.len() as u64;
    Arc::new(bytes.chunks(CHUNK).map(|chunk| request(total, STANDARD.encode(chunk))).collect())
}

/// What an errand asks of an agent.
fn asked(errand: Errand, peers: Vec<Neighbour>) -> Request {
    match errand {
        Errand::Check { .. } => Request::Probe { peers },
        Errand::Releases => Request::Releases,
        Errand::Clean { keep } => Request::Clean { keep },
    }
}

/// How SSH reaches a host of the inventory.
pub(super) fn target(host: &Host) -> Target {
    Target {
        name: host.name.clone(),
        address: host.address.clone(),
        port: host.port,
        user: host.user.clone(),
        identity: host.identity.iter().map(PathBuf::from).collect(),
        jump: host.jump.clone(),
        use_config: host.ssh_config,
        transport: host.transport,
        become_sudo: host.become_sudo,
    }
}
