use super::*;

/// Pieces that a host claims to have, but holds zeros for.
fn poison(host: &Host, pieces: &Pieces, bad: impl Iterator<Item = u32>) {
    let mut bytes = host.store.bytes.lock().unwrap();
    for piece in bad {
        let start = pieces.offset(piece) as usize;
        bytes[start..start + pieces.size(piece) as usize].fill(0);
    }
}

#[tokio::test]
async fn hosts_that_die_in_the_middle_do_not_keep_the_others_from_finishing() {
    let payload = Payload::new(6_000_000);
    let seeder = payload.seeder().await;
    seeder.engine.set_rate(Some(4_000_000));
    let mut hosts = payload.empties(6).await;
    mesh(&hosts);
    feed(&seeder, &hosts);
    hosts[5].until("in the middle", |counters| counters.done > 1_000_000).await;
    let dead = hosts.split_off(4);
    drop(dead);
    for host in &hosts {
        payload.arrives_at(host).await;
        host.until("rid of the dead", |counters| counters.peers == 3).await;
    }
}

#[tokio::test]
async fn a_host_that_sends_wrong_data_is_named_and_dropped_and_all_arrives() {
    let payload = Payload::new(2_000_000);
    let count = payload.pieces.count();
    let liar = payload.host(HostId(7), BitSet::full(count)).await;
    poison(&liar, &payload.pieces, 0..count);
    let host = payload.empty(0).await;
    host.dials(&liar);
    match host.next_event().await {
        Event::BadPiece { from, .. } => assert_eq!(from, HostId(7)),
        other => panic!("{other:?}"),
    }
    assert_eq!(host.counters().peers, 0, "dropped");
    assert_eq!(host.counters().done, 0);
    let seeder = payload.seeder().await;
    feed(&seeder, std::slice::from_ref(&host));
    payload.arrives_at(&host).await;
    assert_eq!(host.counters().peers, 0, "and not spoken with again");
}

#[tokio::test]
async fn a_liar_among_honest_hosts_is_the_only_one_that_is_named() {
    // One piece of many blocks, so that it comes from all three at once.
    let payload = Payload::with_pieces(1 << 20, 1 << 20);
    let mut hosts = Vec::new();
    for id in 1..4 {
        hosts.push(payload.host(HostId(id), BitSet::full(1)).await);
    }
    poison(&hosts[1], &payload.pieces, 0..1);
    let host = payload.empty(0).await;
    host.engine.set_rate(Some(4_000_000));
    feed(&host, &hosts);
    let mut named = Vec::new();
    loop {
        match host.next_event().await {
            Event::BadPiece { from, piece: 0 } => named.push(from),
            Event::Completed => break,
            other => panic!("{other:?}"),
        }
    }
    payload.is_whole_at(&host);
    assert!(named.iter().all(|from| *from == HostId(2)), "{named:?}");
    assert!(named.len() <= 1);
}

#[tokio::test]
async fn a_disk_that_is_full_is_an_event_and_ends_the_fetch() {
    let payload = Payload::new(500_000);
    let seeder = payload.seeder().await;
    let none = BitSet::new(payload.pieces.count());
    let store = Arc::new(Memory { bytes: Mutex::default(), fails: true });
    let host = payload.host_with(HostId(0), none, |config| config.store = store).await;
    feed(&seeder, std::slice::from_ref(&host));
    match host.next_event().await {
        Event::Failed(EngineError::Storage { error, .. }) => {
            assert_eq!(error.kind(), io::ErrorKind::StorageFull)
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(host.counters().done, 0);
}

#[tokio::test]
async fn strangers_at_the_port_get_not_one_byte_and_do_not_disturb() {
    let payload = Payload::new(1_000_000);
    let full = payload.host(HostId(1), BitSet::full(payload.pieces.count())).await;
    let mut strangers = Vec::new();
    for _ in 0..20 {
        let mut stranger = TcpStream::connect(full.address).await.unwrap();
        stranger.write_all(&crate::swarm::wire::handshake(INFO_HASH, HostId(0))).await.unwrap();
        stranger.write_all(&[0; 64]).await.unwrap();
        strangers.push(stranger);
    }
    let empty = payload.empty(0).await;
    empty.dials(&full);
    payload.arrives_at(&empty).await;
    for mut stranger in strangers {
        let mut got = Vec::new();
        // The end may be a reset: what they sent was not read to its end.
        let _ = stranger.read_to_end(&mut got).await;
        assert!(got.is_empty());
    }
    let other_run = payload
        .host_with(HostId(2), BitSet::new(payload.pieces.count()), |config| {
            config.key = Some(RunKey([4; 32]))
        })
        .await;
    other_run.dials(&full);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((other_run.counters().peers, other_run.counters().down), (0, 0));
}

#[tokio::test]
async fn a_peer_that_asks_for_what_it_cannot_have_is_dropped() {
    let mut payload = Payload::new(300_000);
    payload.key = None;
    let host = payload.empty(0).await;
    let mut peer = TcpStream::connect(host.address).await.unwrap();
    peer.write_all(&crate::swarm::wire::handshake(INFO_HASH, HostId(9))).await.unwrap();
    peer.write_all(&[0, 0, 0, 13, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0]).await.unwrap();
    let mut got = Vec::new();
    let _ = peer.read_to_end(&mut got).await;
    assert!(got.len() < 200, "no block is there to be had");
    host.until("rid of it", |counters| counters.peers == 0).await;
}

#[tokio::test]
async fn a_peer_that_stops_sending_does_not_hold_up_what_others_have() {
    let mut payload = Payload::new(500_000);
    payload.key = None;
    let count = payload.pieces.count();
    let host = payload.empty(0).await;
    // It says that it has all and serves, takes requests, and never answers.
    let mut dead = TcpStream::connect(host.address).await.unwrap();
    dead.write_all(&crate::swarm::wire::handshake(INFO_HASH, HostId(9))).await.unwrap();
    let bits = BitSet::full(count).to_bytes();
    dead.write_all(&(bits.len() as u32 + 1).to_be_bytes()).await.unwrap();
    dead.write_all(&[5]).await.unwrap();
    dead.write_all(&bits).await.unwrap();
    dead.write_all(&[0, 0, 0, 1, 1]).await.unwrap();
    host.until("connected", |counters| counters.peers == 1).await;
    let seeder = payload.seeder().await;
    feed(&seeder, std::slice::from_ref(&host));
    payload.arrives_at(&host).await;
}

#[tokio::test]
async fn a_host_that_comes_back_goes_on_where_it_was() {
    let payload = Payload::new(3_000_000);
    let seeder = payload.seeder().await;
    seeder.engine.set_rate(Some(3_000_000));
    let first = payload.empty(0).await;
    feed(&seeder, std::slice::from_ref(&first));
    first.until("in the middle", |counters| counters.done > 1_000_000).await;
    let Host { engine, store, .. } = first;
    let have = engine.pieces();
    engine.stop().await;
    let held = store.bytes.lock().unwrap().clone();
    let done = (0..).zip(held.chunks(PIECE as usize)).filter(|(piece, _)| have.contains(*piece));
    assert!(done.clone().all(|(piece, bytes)| Some(&sha1(bytes)) == payload.pieces.hash(piece)));
    let second = payload.host(HostId(0), have).await;
    seeder.engine.set_rate(None);
    feed(&seeder, std::slice::from_ref(&second));
    payload.arrives_at(&second).await;
    assert!(second.counters().down < 2_000_000 + u64::from(PIECE));
}

/// A disk that needs a while for each piece.
struct SlowDisk(Memory, Duration);

impl PieceStore for SlowDisk {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.0.read_at(buffer, at)
    }

    fn write_piece(&self, piece: u32, at: u64, bytes: &[u8]) -> io::Result<()> {
        std::thread::sleep(self.1);
        self.0.write_piece(piece, at, bytes)
    }
}

#[tokio::test]
async fn a_fetch_that_waits_says_whether_for_its_disk_or_for_neighbours_that_do_not_serve() {
    let payload = Payload::new(1_000_000);
    let none = BitSet::new(payload.pieces.count());
    let memory = Memory { bytes: Mutex::new(vec![0; payload.bytes.len()]), fails: false };
    let store = Arc::new(SlowDisk(memory, Duration::from_millis(400)));
    let host = payload.host_with(HostId(0), none.clone(), |config| config.store = store).await;
    let seeder = payload.seeder().await;
    feed(&seeder, std::slice::from_ref(&host));
    host.until("waiting for its disk", |counters| counters.wait.is_some_and(|wait| wait.disk > 50)).await;

    let mut payload = Payload::new(1_000_000);
    payload.key = None;
    let host = payload.host(HostId(0), none).await;
    let mut chokes = TcpStream::connect(host.address).await.unwrap();
    chokes.write_all(&crate::swarm::wire::handshake(INFO_HASH, HostId(9))).await.unwrap();
    let bits = BitSet::full(payload.pieces.count()).to_bytes();
    chokes.write_all(&(bits.len() as u32 + 1).to_be_bytes()).await.unwrap();
    chokes.write_all(&[5]).await.unwrap();
    chokes.write_all(&bits).await.unwrap();
    host.until("choked", |counters| counters.wait.is_some_and(|wait| wait.choked > 50)).await;
}
