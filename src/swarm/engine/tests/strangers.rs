use tokio::task::JoinHandle;

use super::*;
use crate::swarm::wire;

/// Bytes of the message that a dial begins with.
const FIRST: usize = 82;

/// What a stranger that knows a host's address and port gets for these bytes.
async fn gets(host: &Host, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut got = Vec::new();
    // A connection that is reset says as little.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut got)).await.unwrap();
    got
}

/// Passes one connection on and keeps what both ends said.
async fn tap(to: SocketAddr) -> (SocketAddr, JoinHandle<(Vec<u8>, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tape = tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(to).await.unwrap();
        let ((mut from_near, mut to_near), (mut from_far, mut to_far)) =
            (near.into_split(), far.into_split());
        let outward = async {
            let (mut said, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
            while let Ok(length @ 1..) = from_near.read(&mut buffer).await {
                said.extend_from_slice(&buffer[..length]);
                to_far.write_all(&buffer[..length]).await.unwrap();
            }
            drop(to_far);
            said
        };
        let inward = async {
            let (mut said, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
            while let Ok(length @ 1..) = from_far.read(&mut buffer).await {
                said.extend_from_slice(&buffer[..length]);
                if to_near.write_all(&buffer[..length]).await.is_err() {
                    break;
                }
            }
            said
        };
        tokio::join!(outward, inward)
    });
    (address, tape)
}

/// The first message of a dial of `from` that was meant for `to` and never reached it.
async fn caught_dial(from: &Host, to: &Host) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = vec![listener.local_addr().unwrap()];
    from.engine.set_neighbours(vec![Neighbour { addresses, ..to.neighbour() }], &[]);
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut first = vec![0; FIRST];
    stream.read_exact(&mut first).await.unwrap();
    from.engine.set_neighbours(vec![], &[to.id]);
    first
}

#[tokio::test]
async fn who_knows_address_port_and_info_hash_gets_not_one_byte() {
    let payload = Payload::new(300_000);
    let host = payload.host(HostId(1), BitSet::full(payload.pieces.count())).await;
    let client = wire::handshake(INFO_HASH, HostId(2));
    assert!(gets(&host, &client).await.is_empty(), "a BitTorrent client");
    assert!(gets(&host, &[&client[..], &client[..]].concat()).await.is_empty(), "one that says more");
    assert!(gets(&host, b"GET / HTTP/1.1\r\n\r\n").await.is_empty(), "a browser");

    let other_run = Payload { key: Some(RunKey([4; 32])), ..Payload::new(300_000) };
    let stranger = other_run.empty(2).await;
    let dial = caught_dial(&stranger, &host).await;
    assert!(gets(&host, &dial).await.is_empty(), "a host of another run");
    assert_eq!(host.counters().peers, 0);
}

#[tokio::test]
async fn an_altered_dial_gets_not_one_byte_and_the_true_one_an_answer() {
    let payload = Payload::new(300_000);
    let host = payload.host(HostId(1), BitSet::full(payload.pieces.count())).await;
    let friend = payload.empty(2).await;
    let dial = caught_dial(&friend, &host).await;
    for at in [0, 1, 20, 33, 40, 65, FIRST - 1] {
        let mut altered = dial.clone();
        altered[at] ^= 1;
        assert!(gets(&host, &altered).await.is_empty(), "byte {at}");
    }
    assert!(!gets(&host, &dial).await.is_empty());
    assert!(gets(&host, &dial).await.is_empty(), "and a second time none");
}

#[tokio::test]
async fn who_listens_learns_nothing_and_what_was_heard_is_not_answered_again() {
    let payload = Payload::new(300_000);
    let host = payload.host(HostId(1), BitSet::full(payload.pieces.count())).await;
    let friend = payload.empty(2).await;
    let (address, tape) = tap(host.address).await;
    friend.engine.set_neighbours(vec![Neighbour { addresses: vec![address], ..host.neighbour() }], &[]);
    payload.arrives_at(&friend).await;
    friend.engine.stop().await;
    let (asked, answered) = tape.await.unwrap();
    assert!(answered.len() > payload.bytes.len(), "all of it went by");
    for secret in [&INFO_HASH[..], &payload.bytes[..32], b"BitTorrent protocol"] {
        for said in [&asked, &answered] {
            assert!(!said.windows(secret.len()).any(|window| window == secret));
        }
    }
    assert!(gets(&host, &asked).await.is_empty(), "the whole tape");
    assert!(gets(&host, &asked[..FIRST]).await.is_empty(), "its beginning");
}
