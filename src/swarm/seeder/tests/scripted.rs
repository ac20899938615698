use std::collections::{BTreeSet, VecDeque};
use std::os::unix::fs::FileExt as _;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::broadcast;

use super::*;
use crate::swarm::noise::{self, Channel, Party, SeenKeys};
use crate::swarm::wire::{self, BLOCK, HANDSHAKE, Message, Parsed, Request};

/// A host without an engine: takes what is revealed to it, checks every block, and tells what it has.
struct Leecher<S> {
    id: HostId,
    channel: Channel<S>,
    content: Vec<u8>,
    has: BTreeSet<u32>,
    asked: VecDeque<Request>,
    /// Bytes from the seeder.
    received: u64,
    /// Requests it keeps outstanding at most.
    depth: usize,
    revealed: VecDeque<u32>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Leecher<S> {
    async fn answer(stage: &Stage, id: HostId, stream: S, has: &[u32]) -> Self {
        let party = Party { key: KEY, me: id, life: 1, info_hash: stage.metainfo.info_hash };
        let (mut channel, them) = noise::answer(stream, &party, &SeenKeys::default()).await.unwrap();
        assert_eq!(them, HostId::SEEDER);
        channel.push(&wire::handshake(stage.metainfo.info_hash, id)).unwrap();
        let mut field = vec![0; stage.metainfo.pieces().div_ceil(8) as usize];
        has.iter().for_each(|piece| field[*piece as usize / 8] |= 0x80 >> (piece % 8));
        wire::push(&mut channel, &Message::Bitfield(field[..].into())).unwrap();
        let mut leecher = Self {
            id,
            channel,
            content: stage.content.clone(),
            has: has.iter().copied().collect(),
            asked: VecDeque::new(),
            received: 0,
            depth: 8,
            revealed: VecDeque::new(),
        };
        while leecher.channel.received().len() < HANDSHAKE {
            leecher.turn().await.unwrap();
        }
        let theirs = wire::read_handshake(leecher.channel.received(), stage.metainfo.info_hash).unwrap();
        assert_eq!(theirs, Some(wire::peer_id(HostId::SEEDER)));
        leecher.channel.consume(HANDSHAKE);
        leecher.channel.flush().await.unwrap();
        leecher
    }

    fn pieces(&self) -> usize {
        self.content.len().div_ceil(PIECE as usize)
    }

    async fn turn(&mut self) -> std::io::Result<()> {
        let sent = self.channel.flush().await;
        match std::future::poll_fn(|cx| self.channel.poll_receive(cx)).await? {
            // Whoever has hung up may have said something before, which is heard first.
            0 => Err(sent.err().unwrap_or(std::io::ErrorKind::UnexpectedEof.into())),
            _ => Ok(()),
        }
    }

    /// Handles all that came. Returns pieces completed.
    fn handle(&mut self) -> Vec<u32> {
        let mut done = Vec::new();
        loop {
            let length = match wire::parse(self.channel.received()).unwrap() {
                Parsed::Incomplete => return done,
                Parsed::Unknown { length } => length,
                Parsed::Message { message, length } => {
                    match message {
                        Message::Have(piece) => self.revealed.push_back(piece),
                        Message::Piece(block) => {
                            let request = self.asked.pop_front().unwrap();
                            assert_eq!((block.index, block.begin), (request.index, request.begin));
                            let at = request.index as usize * PIECE as usize + request.begin as usize;
                            let (first, second) = block.data();
                            let got = [first, second].concat();
                            assert_eq!(got, self.content[at..at + request.length as usize], "a wrong block");
                            self.received += u64::from(request.length);
                            if self.asked.iter().all(|other| other.index != request.index)
                                && self.revealed.front() != Some(&request.index)
                            {
                                done.push(request.index);
                            }
                        }
                        Message::Unchoke | Message::KeepAlive => {}
                        other => panic!("{other:?}"),
                    }
                    length
                }
            };
            self.channel.consume(length);
        }
    }

    fn ask(&mut self) {
        while self.asked.len() < self.depth
            && let Some(piece) = self.revealed.pop_front()
        {
            let size = PIECE.min((self.content.len() - piece as usize * PIECE as usize) as u32);
            for begin in (0..size).step_by(BLOCK as usize) {
                let request = Request::new(piece, begin, BLOCK.min(size - begin));
                wire::push(&mut self.channel, &Message::Request(request)).unwrap();
                self.asked.push_back(request);
            }
        }
    }

    fn has(&mut self, piece: u32) {
        if self.has.insert(piece) {
            wire::push(&mut self.channel, &Message::Have(piece)).unwrap();
        }
    }

    /// Lives until it has all, exchanging whole pieces with other hosts by a word. Returns bytes from the seeder.
    async fn fetch(&mut self, mut swarm: Option<broadcast::Sender<u32>>) -> std::io::Result<u64> {
        let mut news = swarm.as_ref().map(broadcast::Sender::subscribe);
        loop {
            for piece in self.handle() {
                self.has(piece);
                if let Some(swarm) = &mut swarm {
                    swarm.send(piece).unwrap();
                }
            }
            if self.has.len() == self.pieces() {
                break;
            }
            self.ask();
            tokio::select! {
                turn = self.turn() => turn?,
                piece = async { news.as_mut().unwrap().recv().await }, if news.is_some() => {
                    match piece {
                        Ok(piece) => self.has(piece),
                        Err(broadcast::error::RecvError::Lagged(_)) => {}
                        Err(broadcast::error::RecvError::Closed) => news = None,
                    }
                }
            }
        }
        self.channel.flush().await?;
        Ok(self.received)
    }
}

#[tokio::test]
async fn one_host_gets_every_byte_whatever_the_length() {
    for length in [1, 16_384, 65_536, 65_537, 10 * 65_536, 1_000_001] {
        let stage = Stage::new(length);
        let (seeder, _events) = stage.seeder();
        within(seeder.ready()).await.unwrap();
        let (feed, far) = wire_up(&seeder, 3, false);
        let mut leecher = within(Leecher::answer(&stage, HostId(3), far, &[])).await;
        assert_eq!(within(leecher.fetch(None)).await.unwrap(), length as u64, "each byte once");
        assert_eq!(feed.sent(), length as u64);
        let numbers = seeder.progress();
        assert_eq!(numbers.sent, length as u64);
        drop(leecher);
        assert_eq!(within(feed.ended()).await, FeedEnd::Closed);
        assert!(seeder.progress().may_leave);
        within(seeder.stop()).await;
        assert_eq!(stage.leftovers(), 0, "nothing stays on disk");
    }
}

#[tokio::test]
async fn eight_hosts_that_share_get_little_more_than_one_copy_from_the_seeder() {
    let stage = Arc::new(Stage::new(8 << 20));
    // Slower than the hosts exchange pieces, as it is where the seeder's link binds.
    let (seeder, _events) = stage.limited(Some(8 << 20));
    let (swarm, _) = broadcast::channel(4096);
    let mut hosts = Vec::new();
    for host in 0..8 {
        let (_, far) = wire_up(&seeder, host, true);
        let (stage, swarm) = (stage.clone(), swarm.clone());
        hosts.push(tokio::spawn(async move {
            let mut leecher = Leecher::answer(&stage, HostId(host), far, &[]).await;
            leecher.fetch(Some(swarm)).await.unwrap()
        }));
    }
    for host in hosts {
        within(host).await.unwrap();
    }
    let numbers = seeder.progress();
    let copies = numbers.sent as f64 / stage.content.len() as f64;
    assert!((1.0..1.2).contains(&copies), "{copies} copies");
    needed_no_longer(&seeder).await;
    within(seeder.stop()).await;
}

#[tokio::test]
async fn a_payload_that_changes_is_noticed_and_not_a_wrong_byte_leaves() {
    let stage = Stage::new(4 << 20);
    let (seeder, mut events) = stage.seeder();
    within(seeder.ready()).await.unwrap();
    let file = std::fs::File::options().write(true).open(stage.artifact()).unwrap();
    file.write_all_at(b"changed", 2_500_000).unwrap();
    let (feed, far) = wire_up(&seeder, 0, false);
    let mut leecher = within(Leecher::answer(&stage, HostId(0), far, &[])).await;
    within(leecher.fetch(None)).await.unwrap_err();
    assert_eq!(within(feed.ended()).await, FeedEnd::Source);
    let Some(SeederEvent::PayloadChanged(text)) = within(events.recv()).await else { panic!("no event") };
    assert!(text.contains("piece 38"), "{text}");
    assert_eq!(leecher.has.len(), 38, "all before it was sent");
}

#[tokio::test]
async fn a_payload_that_is_cut_off_is_noticed() {
    let stage = Stage::new(4 << 20);
    let (seeder, mut events) = stage.seeder();
    within(seeder.ready()).await.unwrap();
    std::fs::File::options().write(true).open(stage.artifact()).unwrap().set_len(1 << 20).unwrap();
    let (_, far) = wire_up(&seeder, 0, false);
    let mut leecher = within(Leecher::answer(&stage, HostId(0), far, &[])).await;
    within(leecher.fetch(None)).await.unwrap_err();
    let Some(SeederEvent::PayloadChanged(text)) = within(events.recv()).await else { panic!("no event") };
    assert!(text.contains("1048576 bytes instead of 4194304"), "{text}");
    drop(seeder);
    let options = SeederOptions { scratch: stage.folder.path().to_owned(), ..SeederOptions::default() };
    let again = Seeder::start(&stage.artifact(), stage.metainfo.clone(), KEY, &options);
    assert!(matches!(again, Err(SeederError::Changed { .. })), "nor is it taken up");
}

#[tokio::test]
async fn a_payload_that_changed_before_the_start_is_not_sent() {
    let stage = Stage::new(300_000);
    std::fs::write(stage.artifact(), vec![0; 300_000]).unwrap();
    let (seeder, mut events) = stage.seeder();
    let (feed, far) = wire_up(&seeder, 0, false);
    let mut leecher = within(Leecher::answer(&stage, HostId(0), far, &[])).await;
    within(leecher.fetch(None)).await.unwrap_err();
    assert_eq!(within(feed.ended()).await, FeedEnd::Source);
    assert!(matches!(within(events.recv()).await, Some(SeederEvent::PayloadChanged(_))));
    assert_eq!(seeder.progress().sent, 0);
}

#[tokio::test]
async fn a_host_that_comes_back_gets_only_what_it_lacks() {
    let stage = Stage::new(2 << 20);
    let (seeder, _events) = stage.seeder();
    let (first, far) = wire_up(&seeder, 0, true);
    let mut leecher = within(Leecher::answer(&stage, HostId(0), far, &[])).await;
    within(async {
        while leecher.has.len() < 10 {
            leecher.handle().into_iter().for_each(|piece| leecher.has(piece));
            leecher.ask();
            leecher.turn().await.unwrap();
        }
    })
    .await;
    let kept: Vec<u32> = leecher.has.iter().copied().collect();
    // The old stream hangs; the new feed takes its place.
    let (second, far) = wire_up(&seeder, 0, true);
    let mut back = within(Leecher::answer(&stage, HostId(0), far, &kept)).await;
    assert_eq!(within(first.ended()).await, FeedEnd::Stopped);
    let received = within(back.fetch(None)).await.unwrap();
    assert_eq!(received, stage.content.len() as u64 - kept.len() as u64 * u64::from(PIECE));
    assert_eq!(second.sent(), received);
}

#[tokio::test]
async fn what_a_dead_host_took_away_comes_to_another() {
    let stage = Stage::new(1 << 20);
    let (seeder, _events) = stage.seeder();
    let (_, far) = wire_up(&seeder, 0, true);
    let mut dying = within(Leecher::answer(&stage, HostId(0), far, &[])).await;
    within(async {
        while dying.has.len() < 8 {
            dying.handle().into_iter().for_each(|piece| dying.has(piece));
            dying.ask();
            dying.turn().await.unwrap();
        }
        dying.channel.flush().await.unwrap();
    })
    .await;
    drop(dying);
    seeder.forget(HostId(0));
    let (_, far) = wire_up(&seeder, 1, true);
    let mut leecher = within(Leecher::answer(&stage, HostId(1), far, &[])).await;
    assert_eq!(within(leecher.fetch(None)).await.unwrap(), 1 << 20);
    assert_eq!(seeder.progress().copies.iter().sum::<u32>(), 16);
}

#[tokio::test]
async fn the_rate_is_shared_and_can_be_changed_while_it_runs() {
    let stage = Arc::new(Stage::new(8 << 20));
    let (seeder, _events) = stage.limited(Some(1 << 20));
    within(seeder.ready()).await.unwrap();
    let begun = std::time::Instant::now();
    let hosts: Vec<_> = (0..2)
        .map(|host| {
            let (feed, far) = wire_up(&seeder, host, false);
            let stage = stage.clone();
            let task = tokio::spawn(async move {
                Leecher::answer(&stage, HostId(host), far, &[]).await.fetch(None).await.unwrap()
            });
            (feed, task)
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let sent = seeder.progress().sent as f64;
    let seconds = begun.elapsed().as_secs_f64();
    assert!(sent < (seconds + 0.5) * f64::from(1 << 20), "{sent} bytes in {seconds} s at 1 MiB a second");
    let (a, b) = (hosts[0].0.sent(), hosts[1].0.sent());
    assert!(a.abs_diff(b) <= 4 * u64::from(PIECE), "shares are even: {a} and {b}");
    seeder.set_rate(None);
    for (_, task) in hosts {
        within(task).await.unwrap();
    }
}

#[tokio::test]
async fn a_host_that_reads_nothing_holds_up_nobody_and_little_waits_for_it() {
    let stage = Stage::new(4 << 20);
    let (seeder, _events) = stage.seeder();
    let (stuck, far) = wire_up(&seeder, 0, false);
    let mut asleep = within(Leecher::answer(&stage, HostId(0), far, &[])).await;
    // It asks for a megabyte and reads none of it.
    for piece in 0..16 {
        for begin in (0..PIECE).step_by(BLOCK as usize) {
            wire::push(&mut asleep.channel, &Message::Request(Request::new(piece, begin, BLOCK))).unwrap();
        }
    }
    asleep.channel.flush().await.unwrap();
    let (_, far) = wire_up(&seeder, 1, false);
    let mut leecher = within(Leecher::answer(&stage, HostId(1), far, &[])).await;
    within(leecher.fetch(None)).await.unwrap();
    assert!(stuck.sent() < (256 + 128) << 10, "{} bytes queued at most", stuck.sent());
    assert_eq!(
        within(async {
            stuck.stop();
            stuck.ended().await
        })
        .await,
        FeedEnd::Stopped
    );
}

#[tokio::test]
async fn what_is_cancelled_in_time_does_not_leave() {
    let stage = Stage::new(4 << 20);
    let (seeder, _events) = stage.limited(Some(160 << 10));
    let (feed, far) = wire_up(&seeder, 0, false);
    let mut leecher = within(Leecher::answer(&stage, HostId(0), far, &[])).await;
    let requests: Vec<Request> = (0..8).map(|piece| Request::new(piece, 0, BLOCK)).collect();
    for request in &requests {
        wire::push(&mut leecher.channel, &Message::Request(*request)).unwrap();
    }
    for request in &requests[2..] {
        wire::push(&mut leecher.channel, &Message::Cancel(*request)).unwrap();
    }
    leecher.asked.extend(&requests[..2]);
    within(async {
        while !leecher.asked.is_empty() {
            leecher.handle();
            if !leecher.asked.is_empty() {
                leecher.turn().await.unwrap();
            }
        }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(feed.sent(), 2 * u64::from(BLOCK));
}

#[tokio::test]
async fn a_request_for_what_does_not_exist_ends_the_feed_and_so_does_a_stranger() {
    let stage = Stage::new(100_000);
    let (seeder, _events) = stage.seeder();
    for bad in [Request::new(2, 0, BLOCK), Request::new(1, 32_768, BLOCK), Request::new(0, u32::MAX, BLOCK)] {
        let (feed, far) = wire_up(&seeder, 0, false);
        let mut leecher = within(Leecher::answer(&stage, HostId(0), far, &[])).await;
        wire::push(&mut leecher.channel, &Message::Request(bad)).unwrap();
        leecher.channel.flush().await.unwrap();
        let end = within(feed.ended()).await;
        assert!(matches!(&end, FeedEnd::Broken(text) if text.contains("do not exist")), "{end:?}");
    }
    let (feed, mut far) = wire_up(&seeder, 0, false);
    far.write_all(&[0x55; 200]).await.unwrap();
    let end = within(feed.ended()).await;
    assert!(matches!(&end, FeedEnd::Broken(text) if text.contains("run's key")), "{end:?}");
    assert_eq!(seeder.progress().sent, 0);
}

#[tokio::test]
async fn after_the_end_nothing_is_fed() {
    let stage = Stage::new(100_000);
    let (seeder, mut events) = stage.seeder();
    let (feed, far) = wire_up(&seeder, 0, false);
    let _leecher = within(Leecher::answer(&stage, HostId(0), far, &[])).await;
    within(seeder.stop()).await;
    assert_eq!(within(feed.ended()).await, FeedEnd::Stopped);
    assert!(within(events.recv()).await.is_none(), "a wanted end is no event");
    assert_eq!(stage.leftovers(), 0);
}

#[tokio::test]
async fn copies_are_counted_from_what_hosts_say() {
    let stage = Stage::new(10 * PIECE as usize);
    let (seeder, _events) = stage.seeder();
    assert!(seeder.note_pieces(HostId(5), &[0xf0, 0]));
    assert!(!seeder.note_pieces(HostId(5), &[0xf0]), "a field of another length");
    assert_eq!(seeder.progress().copies, [6, 4]);
    let (_, far) = wire_up(&seeder, 0, true);
    let leecher = within(Leecher::answer(&stage, HostId(0), far, &[0, 9])).await;
    assert_eq!(leecher.id, HostId(0));
    within(async {
        while seeder.progress().copies != [5, 4, 1] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(seeder.progress().feeds, 1);
    seeder.forget(HostId(5));
    assert_eq!(seeder.progress().copies, [8, 2]);
}
