use std::process::{Command, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::swarms::Host;
use super::*;
use crate::control::Neighbour;

async fn get(port: u16, target: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

async fn open(stage: &Stage) -> OpenSwarm {
    let limiter = Arc::new(Limiter::new(None));
    OpenSwarm::start(&stage.artifact(), stage.metainfo.clone(), 0, limiter, stage.folder.path())
        .await
        .unwrap()
}

#[tokio::test]
async fn any_client_that_has_the_torrent_file_is_told_of_us_alone_and_served() {
    let stage = Stage::new(2_000_000);
    let swarm = open(&stage).await;
    let hash: String = stage.metainfo.info_hash.iter().map(|byte| format!("%{byte:02x}")).collect();
    let answer = within(get(swarm.port(), &format!("/announce?info_hash={hash}&port=1"))).await;
    let mut peer = b"5:peers6:\x7f\0\0\x01".to_vec();
    peer.extend(swarm.port().to_be_bytes());
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(answer.windows(peer.len()).any(|part| part == peer), "{}", String::from_utf8_lossy(&answer));
    let other = within(get(swarm.port(), "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa")).await;
    assert!(String::from_utf8_lossy(&other).contains("failure reason"));
    assert!(within(get(swarm.port(), "/")).await.starts_with(b"HTTP/1.1 404"));

    let host = Host::plain(&stage, 0).await;
    let addresses = vec![([127, 0, 0, 1], swarm.port()).into()];
    host.engine.set_neighbours(vec![Neighbour { id: HostId(9), life: 1, addresses }], &[]);
    host.completes(&stage).await;
    assert!(swarm.sent() >= 2_000_000);
    let port = swarm.port();
    within(swarm.stop()).await;
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "the port is closed");
    assert_eq!(stage.leftovers(), 0);
}

#[tokio::test]
async fn aria2_downloads_with_the_torrent_file_alone() {
    let installed = Command::new("aria2c").arg("--version").stdout(Stdio::null()).status();
    if !installed.is_ok_and(|status| status.success()) {
        return;
    }
    let stage = Stage::new(2_000_000);
    let swarm = open(&stage).await;
    let torrent = stage.folder.path().join("open.torrent");
    std::fs::write(&torrent, swarm.torrent("127.0.0.1")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut aria = Command::new("aria2c");
    aria.args(["--seed-time=0", "--enable-dht=false", "--bt-enable-lpd=false", "--no-conf", "-q", "-d"])
        .args([folder.path(), &torrent])
        .stdout(Stdio::null());
    let status = within(tokio::task::spawn_blocking(move || aria.status())).await.unwrap().unwrap();
    assert!(status.success());
    let name = &stage.metainfo.name;
    assert!(std::fs::read(folder.path().join(name)).unwrap() == stage.content);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let stage = Stage::new(100_000);
    let swarm = open(&stage).await;
    let (artifact, port) = (stage.artifact(), swarm.port());
    let limiter = Arc::new(Limiter::new(None));
    let again = OpenSwarm::start(&artifact, stage.metainfo.clone(), port, limiter, stage.folder.path()).await;
    let error = again.err().unwrap().to_string();
    assert!(error.contains(&port.to_string()) && error.contains("--open-port"), "{error}");
}
