//! russh's four traps (a blocked writer, an unread channel, known_hosts, the order of algorithms), and what shares a
//! connection.

use std::time::Duration;

use russh::keys::EcdsaCurve;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::server::{Behaviour, Server};
use super::*;

/// Far more than anything here takes on a busy machine: a hang, and nothing else, is longer.
const HANG: Duration = Duration::from_secs(60);

async fn reached(behaviour: Behaviour) -> (Server, Session) {
    let user = User::new();
    let behaviour = Behaviour { keys: vec![user.key.public_key().clone()], ..behaviour };
    let server = Server::start(behaviour).await;
    let session = user.client().connect(&user.target(server.port)).await.unwrap();
    (server, session)
}

#[tokio::test]
async fn a_writer_that_waits_for_the_window_wakes_when_the_command_ends() {
    let (_server, session) = reached(Behaviour::default()).await;
    let mut process = session.exec("sleep 0.5; exit 4").await.unwrap();
    let write = async {
        let data = vec![0; 64 * 1024];
        // More than window and pipe take.
        for _ in 0..1000 {
            if process.stdin.write_all(&data).await.is_err() {
                return true;
            }
        }
        false
    };
    assert!(tokio::time::timeout(HANG, write).await.unwrap());
    assert_eq!(process.wait().await, Exit::Code(4));
}

#[tokio::test]
async fn a_writer_that_waits_for_the_window_wakes_when_the_connection_dies() {
    let (server, session) = reached(Behaviour { slow: Some(1 << 40), ..Behaviour::default() }).await;
    let mut process = session.exec("sleep 1000").await.unwrap();
    let write = async {
        let data = vec![0; 64 * 1024];
        while process.stdin.write_all(&data).await.is_ok() {}
    };
    let cut = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.cut();
    };
    tokio::time::timeout(HANG, async { tokio::join!(write, cut) }).await.unwrap();
    assert_eq!(process.wait().await, Exit::Unknown);
    assert!(session.is_closed());
}

#[tokio::test]
async fn a_channel_that_nobody_reads_stalls_nobody_else() {
    let (_server, session) = reached(Behaviour::default()).await;
    let mut unread = session.exec("head -c 4000000 /dev/zero").await.unwrap();
    let mut flooded = session.exec("head -c 40000000 /dev/zero").await.unwrap();
    for _ in 0..20 {
        let (text, _) =
            tokio::time::timeout(HANG, async { output(session.exec("echo prompt").await.unwrap()).await })
                .await
                .unwrap();
        assert_eq!(text, "prompt\n");
    }
    let mut all = Vec::new();
    tokio::time::timeout(HANG, unread.stdout.read_to_end(&mut all)).await.unwrap().unwrap();
    assert_eq!(all.len(), 4_000_000, "what fits behind the reader is all there");
    let failed = tokio::time::timeout(HANG, flooded.stdout.read_to_end(&mut Vec::new())).await.unwrap();
    assert!(failed.is_err(), "what does not is an error and not a gap");
}

#[tokio::test]
async fn a_known_key_is_asked_for_before_an_unknown_one() {
    let user = User::new();
    let ecdsa = Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 };
    let behaviour = Behaviour {
        host_keys: vec![new_key(Algorithm::Ed25519), new_key(ecdsa)],
        keys: vec![user.key.public_key().clone()],
        ..Behaviour::default()
    };
    let second = behaviour.host_keys[1].public_key().to_openssh().unwrap();
    let server = Server::start(behaviour).await;
    std::fs::write(user.known_hosts(), format!("[127.0.0.1]:{} {second}\n", server.port)).unwrap();
    let strict = ClientOptions { host_keys: Some(HostKeyPolicy::Strict), ..user.options() };
    Client::new(strict).unwrap().connect(&user.target(server.port)).await.unwrap();
}

#[tokio::test]
async fn a_second_key_of_the_same_kind_is_a_rotation_and_no_change() {
    let user = User::new();
    let behaviour = Behaviour { keys: vec![user.key.public_key().clone()], ..Behaviour::default() };
    let server = Server::start(behaviour).await;
    let name = format!("[127.0.0.1]:{}", server.port);
    let (old, new) = (new_key(Algorithm::Ed25519), server.host_key.to_openssh().unwrap());
    let old = old.public_key().to_openssh().unwrap();
    std::fs::write(user.known_hosts(), format!("{name} {old}\n{name}\t{new} with a comment\n")).unwrap();
    user.client().connect(&user.target(server.port)).await.unwrap();
}

#[tokio::test]
async fn control_lines_do_not_wait_behind_bulk() {
    // A slow link: what is queued before a line takes the longer the more it is.
    let (_server, session) = reached(Behaviour { slow: Some(2 << 20), ..Behaviour::default() }).await;
    let sink = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut bulk = session.open_loopback(sink.local_addr().unwrap().port()).await.unwrap();
    let (mut arrived, _) = sink.accept().await.unwrap();
    let received = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&received);
    tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = arrived.read(&mut buffer).await {
            count.fetch_add(n, std::sync::atomic::Ordering::SeqCst);
        }
    });
    let feeding = tokio::spawn(async move {
        let data = vec![0; 256 * 1024];
        while bulk.write_all(&data).await.is_ok() {}
    });
    let mut control = session.exec("cat").await.unwrap();
    let so_far = || received.load(std::sync::atomic::Ordering::SeqCst);
    let flows = async {
        while so_far() < 1 << 20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(HANG, flows).await.expect("bulk flows");
    for _ in 0..3 {
        let before = so_far();
        control.stdin.write_all(b"heartbeat\n").await.unwrap();
        let mut line = [0; 10];
        tokio::time::timeout(HANG, control.stdout.read_exact(&mut line)).await.unwrap().unwrap();
        // Bytes, not time: the link may be as slow as it likes. A full window would be 2 MiB.
        let between = so_far() - before;
        assert!(between < 1 << 20, "{between} bytes of bulk went before a line");
    }
    feeding.abort();
}
