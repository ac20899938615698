use super::*;

async fn ship_to_all(payload: &Payload, count: u32) -> (Host, Vec<Host>) {
    let seeder = payload.seeder().await;
    let hosts = payload.empties(count).await;
    mesh(&hosts);
    feed(&seeder, &hosts);
    for host in &hosts {
        payload.arrives_at(host).await;
    }
    (seeder, hosts)
}

#[tokio::test]
async fn every_host_of_a_swarm_gets_every_byte() {
    for count in [2, 4, 8] {
        let payload = Payload::new(5_000_000);
        let (_seeder, hosts) = ship_to_all(&payload, count).await;
        for host in &hosts {
            let counters = host.counters();
            assert_eq!(counters.peers, count - 1, "one connection to each neighbour");
            assert_eq!(counters.down - counters.duplicate, counters.done);
            assert!(counters.duplicate <= counters.total / 5, "{counters:?}");
        }
    }
}

#[tokio::test]
async fn payloads_of_every_size_arrive() {
    for (length, piece) in [
        (1, PIECE),
        (16384, PIECE),
        (PIECE as usize, PIECE),
        (PIECE as usize + 1, PIECE),
        (8 * PIECE as usize, PIECE),
        (100_001, 16384),
        (3_000_001, 1 << 20),
    ] {
        let payload = Payload::with_pieces(length, piece);
        ship_to_all(&payload, 2).await;
    }
}

#[tokio::test]
async fn what_is_here_already_is_not_fetched_again() {
    let payload = Payload::new(3_000_000);
    let count = payload.pieces.count();
    let seeder = payload.seeder().await;
    let mut half = BitSet::new(count);
    (0..count).step_by(2).for_each(|piece| {
        half.insert(piece);
    });
    let resumed = payload.host(HostId(0), half).await;
    let begun = resumed.counters();
    assert!(begun.done > 1_000_000);
    feed(&seeder, std::slice::from_ref(&resumed));
    payload.arrives_at(&resumed).await;
    let counters = resumed.counters();
    assert_eq!(counters.down - counters.duplicate, counters.total - begun.done);
    assert_eq!(counters.from_seeder, counters.down);
}

#[tokio::test]
async fn a_host_that_has_all_says_so_at_once_and_serves() {
    let payload = Payload::new(300_000);
    let full = payload.host(HostId(1), BitSet::full(payload.pieces.count())).await;
    payload.arrives_at(&full).await;
    let empty = payload.empty(0).await;
    empty.dials(&full);
    payload.arrives_at(&empty).await;
    assert_eq!(full.counters().up, 300_000);
    let links = empty.engine.links();
    assert_eq!((links.len(), links[0].id, links[0].down), (1, HostId(1), 300_000));
    assert_eq!(links[0].address, Some(full.address));
}

#[tokio::test]
async fn two_hosts_with_a_half_each_complete_each_other_without_a_seeder() {
    let payload = Payload::new(2_000_000);
    let count = payload.pieces.count();
    let (mut odd, mut even) = (BitSet::new(count), BitSet::new(count));
    (0..count).for_each(|piece| {
        if piece % 2 == 0 {
            even.insert(piece)
        } else {
            odd.insert(piece)
        };
    });
    let hosts = [payload.host(HostId(0), odd).await, payload.host(HostId(1), even).await];
    hosts[0].dials(&hosts[1]);
    for host in &hosts {
        payload.arrives_at(host).await;
    }
}

#[tokio::test]
async fn links_that_only_one_end_can_dial_are_enough() {
    let payload = Payload::new(2_000_000);
    let seeder = payload.seeder().await;
    let hosts = payload.empties(4).await;
    // Only the first is fed, and each is dialled by the one behind it alone: the lower number and the higher one.
    feed(&seeder, &hosts[..1]);
    hosts[1].dials(&hosts[0]);
    hosts[1].dials(&hosts[2]);
    hosts[3].dials(&hosts[2]);
    for host in &hosts {
        payload.arrives_at(host).await;
    }
    assert_eq!(hosts[3].counters().from_seeder, 0);
}

#[tokio::test]
async fn an_address_that_is_wrong_does_not_keep_a_host_from_the_right_one() {
    let payload = Payload::new(200_000);
    let full = payload.host(HostId(1), BitSet::full(payload.pieces.count())).await;
    let other = payload.empty(2).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let empty = payload.empty(0).await;
    let addresses = vec![nobody, other.address, full.address];
    empty.engine.set_neighbours(vec![Neighbour { id: HostId(1), life: 1, addresses }], &[]);
    payload.arrives_at(&empty).await;
    assert_eq!(other.counters().peers, 0, "it is not host 1 and does not answer");
}

#[tokio::test]
async fn a_host_that_cannot_be_dialled_is_fed_through_a_pipe() {
    let payload = Payload::new(1_000_000);
    let seeder = payload.seeder().await;
    let host = payload.empty(0).await;
    let (near, far) = tokio::io::duplex(8192);
    host.engine.accept(near);
    // The other end of the pipe copies to where the seeder dials.
    let entrance = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = entrance.local_addr().unwrap();
    let pipe = tokio::spawn(async move {
        let (mut stream, _) = entrance.accept().await.unwrap();
        let mut far = far;
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut far).await;
    });
    seeder.engine.set_neighbours(vec![Neighbour { id: HostId(0), life: 1, addresses: vec![address] }], &[]);
    payload.arrives_at(&host).await;
    assert!(host.engine.is_fed());
    assert_eq!(host.counters().peers, 0, "the seeder is no peer");
    pipe.abort();
}

#[tokio::test]
async fn pieces_are_revealed_one_by_one_and_the_seeder_hears_of_each() {
    // A seeder like the gate: no bit field, two pieces revealed, the next when one has arrived.
    let payload = Payload::new(700_000);
    let host = payload.empty(0).await;
    let stream = TcpStream::connect(host.address).await.unwrap();
    let party = crate::swarm::noise::Party {
        key: RunKey([3; 32]),
        me: HostId::SEEDER,
        life: 0,
        info_hash: INFO_HASH,
    };
    let mut channel = crate::swarm::noise::dial(stream, &party, HostId(0), 1).await.unwrap();
    let count = payload.pieces.count();
    let mut wire = Vec::new();
    wire.extend(crate::swarm::wire::handshake(INFO_HASH, HostId::SEEDER));
    wire.extend([0, 0, 0, 1, 1]);
    let mut revealed = 0;
    let mut reveal = |wire: &mut Vec<u8>| {
        if revealed < count {
            wire.extend([0, 0, 0, 5, 4]);
            wire.extend(revealed.to_be_bytes());
            revealed += 1;
        }
    };
    reveal(&mut wire);
    reveal(&mut wire);
    channel.write_all(&wire).await.unwrap();
    channel.flush().await.unwrap();
    let mut theirs = [0; 68];
    channel.read_exact(&mut theirs).await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < count as usize {
        let length = channel.read_u32().await.unwrap() as usize;
        let mut body = vec![0; length];
        channel.read_exact(&mut body).await.unwrap();
        let number = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap());
        let mut answer = Vec::new();
        match body.first() {
            Some(4) => {
                heard.push(number(1));
                reveal(&mut answer);
            }
            Some(6) => {
                let at = (number(1) * PIECE + number(5)) as usize;
                answer.extend(crate::swarm::wire::piece_header(number(1), number(5), number(9)));
                answer.extend(&payload.bytes[at..at + number(9) as usize]);
            }
            _ => {}
        }
        channel.write_all(&answer).await.unwrap();
        channel.flush().await.unwrap();
    }
    heard.sort_unstable();
    assert_eq!(heard, (0..count).collect::<Vec<_>>());
    payload.arrives_at(&host).await;
}

#[tokio::test]
async fn a_limit_is_kept_and_can_be_lifted_while_it_runs() {
    let payload = Payload::new(3_000_000);
    let rate = 1_000_000;
    let seeder = payload.seeder().await;
    let none = BitSet::new(payload.pieces.count());
    let host = payload.host_with(HostId(0), none, |config| config.rate = Some(rate)).await;
    feed(&seeder, std::slice::from_ref(&host));
    host.until("begun", |counters| counters.down > 0).await;
    let begun = std::time::Instant::now();
    host.until("at a third", |counters| counters.down >= 1_000_000).await;
    let seconds = begun.elapsed().as_secs_f64();
    // A busy machine may be slower, never faster: 1,000,000 bytes of payload are 1,046,000 on the wire.
    assert!(seconds > 0.90, "{seconds} s for a second's worth");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let wait = host.counters().wait;
    assert!(wait.is_some_and(|wait| wait.limit > 50), "it says that it waits for the limit: {wait:?}");
    host.engine.set_rate(None);
    payload.arrives_at(&host).await;
}

#[tokio::test]
async fn a_slow_host_does_not_slow_the_others() {
    let payload = Payload::new(6_000_000);
    let seeder = payload.seeder().await;
    let mut hosts = payload.empties(3).await;
    let none = BitSet::new(payload.pieces.count());
    hosts.push(payload.host_with(HostId(3), none, |config| config.rate = Some(200_000)).await);
    mesh(&hosts);
    feed(&seeder, &hosts);
    for host in &hosts[..3] {
        payload.arrives_at(host).await;
    }
    let slow = hosts[3].counters();
    assert!(slow.done < slow.total, "it needs half a minute");
}

#[tokio::test]
async fn neighbours_that_are_taken_away_are_left_and_new_ones_dialled() {
    let payload = Payload::new(400_000);
    let full = payload.host(HostId(1), BitSet::full(payload.pieces.count())).await;
    let hosts = payload.empties(1).await;
    hosts[0].dials(&full);
    payload.arrives_at(&hosts[0]).await;
    hosts[0].until("connected", |counters| counters.peers == 1).await;
    let other = payload.empty(2).await;
    hosts[0].engine.set_neighbours(vec![other.neighbour()], &[HostId(1)]);
    payload.arrives_at(&other).await;
    hosts[0].until("left", |counters| counters.peers == 1).await;
    full.until("left too", |counters| counters.peers == 0).await;
    let addresses: BTreeMap<_, _> =
        hosts[0].engine.links().into_iter().map(|link| (link.id, link.address.is_some())).collect();
    assert_eq!(addresses, BTreeMap::from([(HostId(1), false), (HostId(2), true)]));
}
