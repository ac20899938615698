use std::sync::Arc;

use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};

use super::handshake::dial_with;
use super::*;
use crate::control::{HostId, RunKey};

const ROOM: usize = 4096;
/// Bytes of the first message.
const FIRST: usize = 82;

fn party(me: u32) -> Party {
    Party { key: RunKey([7; 32]), me: HostId(me), life: 1, info_hash: [9; 20] }
}

/// What a responder sends to one that writes `bytes` and then listens, and how that ended.
async fn sent_to(bytes: &[u8], seen: &SeenKeys) -> (Vec<u8>, Result<HostId, NoiseError>) {
    sent_by(&party(1), bytes, seen).await
}

async fn sent_by(party: &Party, bytes: &[u8], seen: &SeenKeys) -> (Vec<u8>, Result<HostId, NoiseError>) {
    let (mut stranger, host) = duplex(ROOM);
    stranger.write_all(bytes).await.unwrap();
    stranger.shutdown().await.unwrap();
    let outcome = answer(host, party, seen).await.map(|(_, them)| them);
    let mut got = Vec::new();
    stranger.read_to_end(&mut got).await.unwrap();
    (got, outcome)
}

/// The first message of a dial to host `to`.
async fn first_message(from: Party, to: u32) -> Vec<u8> {
    let (near, mut far) = duplex(ROOM);
    let dialling = tokio::spawn(async move { dial(near, &from, HostId(to), 1).await.map(|_| ()) });
    let mut first = vec![0; FIRST];
    far.read_exact(&mut first).await.unwrap();
    drop(far);
    assert!(dialling.await.unwrap().is_err());
    first
}

async fn pair(suite: Suite, room: usize) -> (Channel<DuplexStream>, Channel<DuplexStream>) {
    let (near, far) = duplex(room);
    let (me, them) = (party(0), party(1));
    let seen = SeenKeys::default();
    let (dialled, answered) =
        tokio::join!(dial_with(near, &me, (HostId(1), 1), suite), answer(far, &them, &seen));
    let (answered, who) = answered.unwrap();
    assert_eq!(who, HostId(0));
    (dialled.unwrap(), answered)
}

async fn cross<S: AsyncRead + AsyncWrite + Unpin>(from: &mut Channel<S>, to: &mut Channel<S>, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    let send = async {
        from.write_all(bytes).await.unwrap();
        from.flush().await.unwrap();
    };
    let (_, received) = tokio::join!(send, to.read_exact(&mut got));
    received.unwrap();
    assert!(got == bytes, "other bytes came out");
}

#[tokio::test]
async fn both_ends_talk_whichever_cipher_the_dialler_picks() {
    for suite in [Suite::AesGcm, Suite::ChaChaPoly] {
        let (mut near, mut far) = pair(suite, ROOM).await;
        let long: Vec<u8> = (0..200_000u32).map(|i| (i * 7 % 251) as u8).collect();
        cross(&mut near, &mut far, &long).await;
        cross(&mut far, &mut near, b"short").await;
        drop(near);
        assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0, "the end is told");
    }
}

#[tokio::test]
async fn nothing_readable_is_on_the_wire() {
    let (near, mut tap) = duplex(1 << 20);
    let (mut relay, far) = duplex(1 << 20);
    let secret = [b'x'; 5000];
    let send = async {
        let mut channel = dial(near, &party(0), HostId(1), 1).await.unwrap();
        channel.write_all(&secret).await.unwrap();
        channel.shutdown().await.unwrap();
        channel
    };
    let receive = async {
        let (mut channel, _) = answer(far, &party(1), &SeenKeys::default()).await.unwrap();
        let mut got = Vec::new();
        channel.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, secret);
        channel
    };
    let copy = async {
        let mut seen = Vec::new();
        let mut buffer = [0; ROOM];
        let (mut second, mut first_done) = ([0; 48], false);
        loop {
            let length = tap.read(&mut buffer).await.unwrap();
            if length == 0 {
                relay.shutdown().await.unwrap();
                return seen;
            }
            seen.extend_from_slice(&buffer[..length]);
            relay.write_all(&buffer[..length]).await.unwrap();
            if !first_done {
                relay.read_exact(&mut second).await.unwrap();
                tap.write_all(&second).await.unwrap();
                first_done = true;
            }
        }
    };
    let (_near, _far, seen) = tokio::join!(send, receive, copy);
    assert!(seen.len() > secret.len());
    assert!(!seen.windows(8).any(|window| window == b"xxxxxxxx"));
}

#[tokio::test]
async fn a_stranger_gets_not_one_byte() {
    let mut bittorrent = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
    bittorrent.extend_from_slice(&[9; 20]);
    bittorrent.extend_from_slice(b"-qB4500-abcdefghijkl");
    bittorrent.resize(200, 0);
    let other_key = Party { key: RunKey([8; 32]), ..party(0) };
    let cases = [
        ("a BitTorrent client that knows the info-hash", bittorrent),
        ("one that closes at once", Vec::new()),
        ("one that sends noise of its own", vec![1; 500]),
        ("one with the key of another run", first_message(other_key, 1).await),
    ];
    for (who, bytes) in cases {
        let (got, outcome) = sent_to(&bytes, &SeenKeys::default()).await;
        assert!(outcome.is_err(), "{who}");
        assert!(got.is_empty(), "{who} got {} bytes", got.len());
    }
}

#[tokio::test]
async fn a_dial_that_was_not_meant_for_this_end_gets_not_one_byte() {
    let other_torrent = Party { info_hash: [1; 20], ..party(0) };
    for (first, what) in [
        (first_message(party(0), 2).await, "another host"),
        (first_message(other_torrent, 1).await, "another torrent"),
        (first_message(party(1), 1).await, "itself"),
    ] {
        let (got, outcome) = sent_to(&first, &SeenKeys::default()).await;
        assert!(matches!(outcome, Err(NoiseError::NotMeant { what: named }) if named == what), "{outcome:?}");
        assert!(got.is_empty());
    }
}

#[tokio::test]
async fn an_altered_first_message_gets_not_one_byte() {
    let first = first_message(party(0), 1).await;
    for at in 0..FIRST {
        let mut altered = first.clone();
        altered[at] ^= 0x40;
        let (got, outcome) = sent_to(&altered, &SeenKeys::default()).await;
        assert!(outcome.is_err(), "byte {at}");
        assert!(got.is_empty(), "byte {at}");
    }
}

#[tokio::test]
async fn a_replayed_dial_gets_not_one_byte() {
    let seen = SeenKeys::default();
    let first = first_message(party(0), 1).await;
    let (got, outcome) = sent_to(&first, &seen).await;
    assert_eq!(got.len(), 48, "the true dial is answered");
    assert!(outcome.is_err(), "but it went no further");
    for _ in 0..3 {
        let (got, outcome) = sent_to(&first, &seen).await;
        assert!(matches!(outcome, Err(NoiseError::Replay)), "{outcome:?}");
        assert!(got.is_empty());
    }
}

#[tokio::test]
async fn a_replay_to_a_host_that_was_restarted_gets_not_one_byte() {
    // What a whole dial looked like on the wire, answered by the true host.
    let (near, mut tap) = duplex(ROOM);
    let (mut relay, far) = duplex(ROOM);
    let tape = async {
        let mut tape = vec![0; FIRST];
        tap.read_exact(&mut tape).await.unwrap();
        relay.write_all(&tape).await.unwrap();
        let mut second = [0; 48];
        relay.read_exact(&mut second).await.unwrap();
        tap.write_all(&second).await.unwrap();
        let mut confirm = [0; 18];
        tap.read_exact(&mut confirm).await.unwrap();
        relay.write_all(&confirm).await.unwrap();
        tape.extend_from_slice(&confirm);
        tape
    };
    let (me, them, seen) = (party(0), party(1), SeenKeys::default());
    let (dialled, answered, tape) =
        tokio::join!(dial(near, &me, HostId(1), 1), answer(far, &them, &seen), tape);
    dialled.unwrap();
    answered.unwrap();
    // A new process of the host has remembered nothing, but is in another life.
    let anew = Party { life: 2, ..party(1) };
    let (got, outcome) = sent_by(&anew, &tape, &SeenKeys::default()).await;
    assert!(matches!(outcome, Err(NoiseError::NotMeant { .. })), "{outcome:?}");
    assert!(got.is_empty());
}

#[tokio::test]
async fn an_altered_answer_or_frame_ends_the_channel() {
    for at in 0..48 {
        let (near, mut far) = duplex(ROOM);
        let (mut relay, host) = duplex(ROOM);
        let meddle = async {
            let mut first = [0; FIRST];
            far.read_exact(&mut first).await.unwrap();
            relay.write_all(&first).await.unwrap();
            let mut second = [0; 48];
            relay.read_exact(&mut second).await.unwrap();
            second[at] ^= 1;
            far.write_all(&second).await.unwrap();
            drop(relay);
        };
        let (me, them, seen) = (party(0), party(1), SeenKeys::default());
        let (dialled, answered, ()) =
            tokio::join!(dial(near, &me, HostId(1), 1), answer(host, &them, &seen), meddle);
        assert!(dialled.is_err() && answered.is_err(), "byte {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_says_nothing_is_given_up() {
    let (_silent, host) = duplex(ROOM);
    let begun = tokio::time::Instant::now();
    let outcome = answer(host, &party(1), &SeenKeys::default()).await.map(|_| ());
    assert!(matches!(outcome, Err(NoiseError::Timeout)));
    assert!(begun.elapsed() < HANDSHAKE_TIMEOUT * 2);
    let (_silent, host) = duplex(ROOM);
    assert!(matches!(dial(host, &party(1), HostId(2), 1).await.map(|_| ()), Err(NoiseError::Timeout)));
}

#[tokio::test]
async fn the_same_dial_twice_at_once_is_answered_once() {
    let first = first_message(party(0), 1).await;
    let seen = Arc::new(SeenKeys::default());
    let (one, two) = tokio::join!(sent_to(&first, &seen), sent_to(&first, &seen));
    assert_eq!(one.0.len() + two.0.len(), 48);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn bytes_come_out_as_they_went_in_whatever_the_cuts(
        parts in prop::collection::vec(1usize..40_000, 1..12),
        room in 1usize..5000,
        reads in prop::collection::vec(1usize..30_000, 1..6),
        plain: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut near, mut far) = if plain {
                let (near, far) = duplex(room);
                (Channel::plain(near), Channel::plain(far))
            } else {
                pair(Suite::best(), room.max(200)).await
            };
            let total: usize = parts.iter().sum();
            let bytes: Vec<u8> = (0..total).map(|i| (i * 31 % 253) as u8).collect();
            let send = async {
                let mut rest = &bytes[..];
                for part in &parts {
                    near.write_all(&rest[..*part]).await.unwrap();
                    rest = &rest[*part..];
                }
                near.flush().await.unwrap();
            };
            // Taken as the engine does: where it lies, some at a time, a remainder kept.
            let receive = async {
                let mut got = Vec::new();
                for want in reads.iter().cycle() {
                    let want = (*want).min(total - got.len());
                    while far.received().len() < want {
                        std::future::poll_fn(|cx| far.poll_receive(cx)).await.unwrap();
                    }
                    got.extend_from_slice(&far.received()[..want]);
                    far.consume(want);
                    if got.len() == total {
                        return got;
                    }
                }
                got
            };
            let (_, got) = tokio::join!(send, receive);
            assert!(got == bytes);
        });
    }
}
