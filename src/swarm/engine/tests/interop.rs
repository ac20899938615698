use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;

/// The Python that may have libtorrent's binding.
const PYTHON: &str = "/usr/bin/python3";

/// Downloads or seeds with libtorrent: torrent, folder, address of a peer or `-`. Says its port, then `done`.
const LIBTORRENT: &str = r#"
import sys, time, libtorrent as lt
torrent, folder, peer = sys.argv[1:4]
session = lt.session({
    'listen_interfaces': '127.0.0.1:0', 'enable_dht': False, 'enable_lsd': False, 'enable_upnp': False,
    'enable_natpmp': False, 'in_enc_policy': 2, 'out_enc_policy': 2, 'allow_multiple_connections_per_ip': True,
})
handle = session.add_torrent({'ti': lt.torrent_info(torrent), 'save_path': folder})
while session.listen_port() == 0:
    time.sleep(0.05)
print(session.listen_port(), flush=True)
if peer != '-':
    host, port = peer.rsplit(':', 1)
    handle.connect_peer((host, int(port)))
end = time.time() + 120
while time.time() < end and not handle.status().is_seeding:
    time.sleep(0.05)
print('done' if handle.status().is_seeding else 'late', flush=True)
time.sleep(120)
"#;

/// A client that ends with the test.
struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn installed(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn bencoded(payload: &Payload) -> Vec<u8> {
    let mut info = format!("d6:lengthi{}e4:name4:file12:piece lengthi{PIECE}e6:pieces", payload.bytes.len());
    info.push_str(&format!("{}:", payload.pieces.count() * 20));
    let mut info = info.into_bytes();
    for piece in 0..payload.pieces.count() {
        info.extend(payload.pieces.hash(piece).unwrap());
    }
    info.push(b'e');
    info
}

/// A payload that is shipped in the open, with its torrent in a folder.
fn open_payload(folder: &Path, tracker: SocketAddr) -> Payload {
    let mut payload = Payload::new(2_500_000);
    let info = bencoded(&payload);
    payload.key = None;
    payload.info_hash = sha1(&info);
    let url = format!("http://{tracker}/announce");
    let mut torrent = format!("d8:announce{}:{url}4:info", url.len()).into_bytes();
    torrent.extend(info);
    torrent.push(b'e');
    std::fs::write(folder.join("t.torrent"), torrent).unwrap();
    payload
}

/// Answers every announce with one peer.
async fn tracker(peer: Arc<Mutex<Option<SocketAddr>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let mut body = b"d8:intervali2e5:peers".to_vec();
            match *peer.lock().unwrap() {
                Some(SocketAddr::V4(peer)) => {
                    body.extend(b"6:");
                    body.extend(peer.ip().octets());
                    body.extend(peer.port().to_be_bytes());
                }
                _ => body.extend(b"0:"),
            }
            body.push(b'e');
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(&[head.into_bytes(), body].concat()).await;
        }
    });
    address
}

async fn has_file(payload: &Payload, path: &Path) {
    let begun = std::time::Instant::now();
    while std::fs::read(path).ok().as_ref() != Some(&payload.bytes) {
        assert!(begun.elapsed() < PATIENCE, "{} did not become what it should", path.display());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn libtorrent(folder: &Path, save: &Path, peer: &str) -> (Client, std::io::Lines<impl io::BufRead + use<>>) {
    let mut child = Command::new(PYTHON)
        .args(["-c", LIBTORRENT])
        .arg(folder.join("t.torrent"))
        .arg(save)
        .arg(peer)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = io::BufRead::lines(io::BufReader::new(child.stdout.take().unwrap()));
    (Client(child), lines)
}

#[tokio::test]
async fn libtorrent_downloads_from_the_engine_and_the_engine_from_libtorrent() {
    if !installed(Command::new(PYTHON).args(["-c", "import libtorrent"])) {
        eprintln!("skipped: {PYTHON} has no libtorrent");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let payload = open_payload(folder.path(), "127.0.0.1:9".parse().unwrap());
    let full = payload.host(HostId(1), BitSet::full(payload.pieces.count())).await;
    let (client, lines) = libtorrent(folder.path(), folder.path(), &full.address.to_string());
    has_file(&payload, &folder.path().join("file")).await;
    drop((client, lines));
    assert_eq!(full.counters().up, payload.bytes.len() as u64);

    // The same folder again: now it has everything and seeds.
    let (_client, lines) = libtorrent(folder.path(), folder.path(), "-");
    let words = tokio::task::spawn_blocking(move || lines.take(2).map(Result::unwrap).collect::<Vec<_>>());
    let words = words.await.unwrap();
    assert_eq!(words[1], "done");
    let address = format!("127.0.0.1:{}", words[0]).parse().unwrap();
    let empty = payload.empty(0).await;
    empty.engine.set_neighbours(vec![Neighbour { id: HostId(5), life: 1, addresses: vec![address] }], &[]);
    payload.arrives_at(&empty).await;
}

#[tokio::test]
async fn aria2_downloads_from_the_engine_and_the_engine_from_aria2() {
    if !installed(Command::new("aria2c").arg("--version")) {
        eprintln!("skipped: aria2c is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let peer = Arc::new(Mutex::new(None));
    let payload = open_payload(folder.path(), tracker(peer.clone()).await);
    let full = payload.host(HostId(1), BitSet::full(payload.pieces.count())).await;
    *peer.lock().unwrap() = Some(full.address);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let aria2 = || {
        let mut command = Command::new("aria2c");
        command
            .args([
                "--no-conf",
                "--enable-dht=false",
                "--bt-enable-lpd=false",
                "--enable-peer-exchange=false",
            ])
            .args(["--seed-time=10", "--check-integrity=true", "--allow-overwrite=true", "--quiet"])
            .arg(format!("--listen-port={port}"))
            .arg(format!("--dir={}", folder.path().display()))
            .arg(folder.path().join("t.torrent"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Client(command.spawn().unwrap())
    };
    let downloading = aria2();
    has_file(&payload, &folder.path().join("file")).await;
    assert_eq!(full.counters().up, payload.bytes.len() as u64);
    drop(downloading);

    *peer.lock().unwrap() = None;
    let _seeding = aria2();
    let empty = payload.empty(0).await;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    empty.engine.set_neighbours(vec![Neighbour { id: HostId(5), life: 1, addresses: vec![address] }], &[]);
    payload.arrives_at(&empty).await;
}
