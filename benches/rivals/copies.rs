use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures::future::try_join_all;

use crate::measured::Measured;
use crate::network::{Network, which};
use crate::payload::{self, Outcome};
use crate::place::{Place, Where};
use crate::process::{cpu_seconds_of_children, listens};
use crate::ssh::Ssh;
use crate::swarm::{PIECE, eventually};

/// A server for all hosts on loopback.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Copies fresh random bytes by `scp` to all hosts at once.
pub(crate) async fn copy(place: &Place, ssh: &Ssh, bytes: u64) -> Outcome<Measured> {
    let payload = place.folder(0)?.join("payload");
    payload::random_payload(&payload, bytes, PIECE)?;
    let (server, port) = match &place.at {
        Where::Links(_) => (None, 22),
        Where::Loopback => {
            let port = place.addresses()?[0].port();
            let server =
                Command::new("sh").args(["-c", &format!("exec {} -D", ssh.server(0, port)?)]).spawn()?;
            let server = Server(server);
            eventually(|| listens(server.0.id(), port)).await?;
            (Some(server), port)
        }
    };
    let (sent, begun) = (place.sent()?, Instant::now());
    let copies = (1..=place.hosts).map(|host| one(place, ssh, host, port, &payload));
    try_join_all(copies).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let sent = place.sent()?.zip(sent).map(|(after, before)| after - before);
    // Its sessions end a moment after the copies.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let cpu = server.map(|server| cpu_seconds_of_children(server.0.id())).transpose()?;
    Ok(Measured {
        hosts: place.hosts,
        bytes,
        seconds,
        command: Some(seconds),
        cpu,
        sent,
        ..Measured::default()
    })
}

async fn one(place: &Place, ssh: &Ssh, host: usize, port: u16, payload: &Path) -> Outcome<()> {
    let scp = which("scp").ok_or("scp is not installed")?;
    let to = place.folder(host)?.join("payload");
    let (user, address) = match &place.at {
        Where::Links(_) => ("root".to_owned(), Network::address(host)),
        Where::Loopback => (user()?, Ipv4Addr::LOCALHOST),
    };
    let mut command = tokio::process::Command::from(place.command(0, &scp.display().to_string()));
    command
        .args(["-q", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
        .args(["-o", &format!("UserKnownHostsFile={}", ssh.known_hosts().display())])
        .args(["-o", &format!("HostKeyAlias={}", Network::address(1))])
        .args(["-P", &port.to_string(), "-i"])
        .arg(ssh.identity())
        .arg(payload)
        .arg(format!("{user}@{address}:{}", to.display()))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let status = command.status().await?;
    if status.success() { Ok(()) } else { Err(format!("scp to host {host}: {status}").into()) }
}

fn user() -> Outcome<String> {
    let output = Command::new("id").arg("-un").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
