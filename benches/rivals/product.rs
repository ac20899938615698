use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::measured::Measured;
use crate::network::Network;
use crate::payload::{self, Outcome};
use crate::place::{Place, Where};
use crate::process::{cpu_seconds, named, peak_memory};
use crate::ssh::Ssh;
use crate::swarm::PIECE;

/// The agent's process on a host, and what it has used.
struct Agent {
    process: u32,
    begun: f64,
    fetched: Option<f64>,
    peak: u64,
}

/// Deploys fresh random bytes by the whole product: `murder deploy` on the operator, OpenSSH on every host.
pub(crate) async fn deploy(place: &Place, ssh: &Ssh, bytes: u64) -> Outcome<Measured> {
    let Where::Links(network) = &place.at else { return Err("that takes links".into()) };
    let folder = place.folder(0)?;
    let inventory = folder.join("hosts.yaml");
    let dest = |host| place.root().join(format!("h{host}/app"));
    std::fs::write(&inventory, ssh.inventory(place.hosts, dest))?;
    let warm = folder.join("warm");
    std::fs::write(&warm, "warm")?;
    run(network, ssh, &warm, &inventory).await?;
    let payload = folder.join("payload");
    payload::random_payload(&payload, bytes, PIECE)?;
    let sent = network.sent(0)?;
    let begun = Instant::now();
    let (agents, end) = run(network, ssh, &payload, &inventory).await?;
    let command = begun.elapsed().as_secs_f64();
    let sent = network.sent(0)? - sent;
    if agents.len() < place.hosts {
        return Err(format!("only {} agents were seen", agents.len()).into());
    }
    let swarm = &end["swarm"];
    let number = |field: &str| swarm[field].as_f64().ok_or_else(|| format!("no {field} in {end}"));
    let fetched = agents.values().map(|agent| agent.fetched.map(|fetched| fetched - agent.begun));
    Ok(Measured {
        hosts: place.hosts,
        bytes,
        seconds: number("seconds")?,
        command: Some(command),
        cpu: fetched.sum(),
        peak: agents.values().map(|agent| agent.peak).max(),
        sent: Some(sent),
        seeded: Some(number("seeder_bytes")? / number("bytes")?),
        duplicates: Some(number("duplicate_bytes")? / (number("bytes")? * place.hosts as f64)),
    })
}

/// Runs `murder deploy` to its end and looks at the agents meanwhile. Gives them and the last event.
async fn run(
    network: &Network,
    ssh: &Ssh,
    payload: &Path,
    inventory: &Path,
) -> Outcome<(BTreeMap<usize, Agent>, Value)> {
    let mut command = tokio::process::Command::from(network.command(0, env!("CARGO_BIN_EXE_murder")));
    command.arg("deploy").arg(payload).arg("--inventory").arg(inventory);
    command.args(["--output", "json", "--yes", "--tag"]).arg(payload.file_name().unwrap_or_default());
    for (name, folder) in [
        ("HOME", ""),
        ("XDG_STATE_HOME", "state"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_CONFIG_HOME", "config"),
    ] {
        command.env(name, ssh.operator().join(folder));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let output = child.stdout.take().ok_or("murder says nothing")?;
    let mut lines = BufReader::new(output).lines();
    let (mut agents, mut last) = (BTreeMap::new(), Value::Null);
    while let Some(line) = lines.next_line().await? {
        last = serde_json::from_str(&line)?;
        if last["type"] == "host_state" {
            look(network, &mut agents, &last)?;
        }
    }
    let status = child.wait().await?;
    if status.success() { Ok((agents, last)) } else { Err(format!("murder deploy: {status}: {last}").into()) }
}

/// Notes what a host's agent has used when its fetch begins, and at each step behind that.
fn look(network: &Network, agents: &mut BTreeMap<usize, Agent>, event: &Value) -> Outcome<()> {
    let host = event["host"].as_str().and_then(|name| name.strip_prefix('h')).ok_or("no host")?.parse()?;
    let state = event["state"].as_str().unwrap_or_default();
    if state == "fetching" {
        let found = named("agent", network.keeper(host))?;
        // A payload of a few bytes is through before it can be looked at.
        let Some(process) = found.first().copied() else { return Ok(()) };
        let agent = Agent { process, begun: cpu_seconds(process)?, fetched: None, peak: 0 };
        agents.insert(host, agent);
    } else if let Some(agent) = agents.get_mut(&host)
        && let Ok(peak) = peak_memory(agent.process)
    {
        // It leaves at the end, and then cannot be looked at.
        agent.peak = agent.peak.max(peak);
        agent.fetched = agent.fetched.or(cpu_seconds(agent.process).ok());
    }
    Ok(())
}
