//! BitTorrent version 1 on the wire: handshake, peer ids, and messages where they lie in a buffer.

use librqbit_core::hash_id::Id20;
use librqbit_peer_protocol::MessageDeserializeError;

pub use librqbit_peer_protocol::{Handshake, Message, Piece, Request};

use super::noise::{Channel, NoiseError};
use crate::control::HostId;

/// Bytes of a block, the unit of requests; what every client asks for.
pub const BLOCK: u32 = 16 << 10;

/// Bytes of a handshake.
pub const HANDSHAKE: usize = 68;

/// Longest message that is read: a block with its header, or a bitfield of 250,000 pieces.
pub const MAX_MESSAGE: usize = 31 << 10;

/// Length prefix and id.
const PREAMBLE: usize = 5;
/// Bytes of a PIECE message before its block.
pub const PIECE_HEADER: usize = PREAMBLE + 8;
/// The longest of the messages without a payload of their own, REQUEST and CANCEL.
const SMALL: usize = PREAMBLE + 12;

const CLIENT: &[u8; 8] = b"-MU0100-";

/// What came is not BitTorrent.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Longer than any message that is asked for.
    #[error("a message of {0} bytes came, at most {MAX_MESSAGE} are read")]
    TooLong(usize),
    /// Not to be understood.
    #[error("a message could not be read: {0}")]
    Message(#[from] MessageDeserializeError),
    /// A message that cannot be written.
    #[error("a message could not be written: {0}")]
    Write(#[from] librqbit_peer_protocol::SerializeError),
    /// The channel refused it.
    #[error(transparent)]
    Channel(#[from] NoiseError),
    /// A handshake for another torrent.
    #[error("the handshake names another torrent")]
    OtherTorrent,
}

impl From<WireError> for std::io::Error {
    fn from(error: WireError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// What stands at the start of a buffer.
#[derive(Debug)]
pub enum Parsed<'a> {
    /// Less than a message.
    Incomplete,
    /// A message that is not understood and may be passed over: PORT, extensions.
    Unknown {
        /// Bytes of it.
        length: usize,
    },
    /// A message.
    Message {
        /// It; blocks and bitfields point into the buffer.
        message: Message<'a>,
        /// Bytes of it.
        length: usize,
    },
}

/// Reads the message at the start of `buffer`.
pub fn parse(buffer: &[u8]) -> Result<Parsed<'_>, WireError> {
    let Some((prefix, rest)) = buffer.split_first_chunk::<4>() else { return Ok(Parsed::Incomplete) };
    let body = u32::from_be_bytes(*prefix) as usize;
    if body > MAX_MESSAGE {
        return Err(WireError::TooLong(body));
    }
    let length = 4 + body;
    match rest.first() {
        _ if rest.len() < body => Ok(Parsed::Incomplete),
        // Known ids only: a wrong extended message of a stranger's client is not worth to lose it.
        Some(id) if body > 0 && *id > 8 => Ok(Parsed::Unknown { length }),
        _ => {
            let (message, length) = Message::deserialize(&buffer[..length], &[])?;
            Ok(Parsed::Message { message, length })
        }
    }
}

/// Puts a message behind what the channel has to send.
pub fn push<S>(channel: &mut Channel<S>, message: &Message<'_>) -> Result<(), WireError> {
    match message {
        Message::Bitfield(bits) => {
            let body = bits.as_ref();
            let mut preamble = [0; PREAMBLE];
            preamble[..4].copy_from_slice(&(body.len() as u32 + 1).to_be_bytes());
            preamble[4] = 5;
            channel.push(&preamble)?;
            channel.push(body)?;
        }
        Message::Piece(piece) => {
            let (first, second) = piece.data();
            channel.push(&piece_header(piece.index, piece.begin, piece.len() as u32))?;
            channel.push(first)?;
            channel.push(second)?;
        }
        small => {
            let mut bytes = [0; SMALL];
            let length = small.serialize(&mut bytes, &Default::default)?;
            channel.push(&bytes[..length])?;
        }
    }
    Ok(())
}

/// What stands before a block of `length` bytes in a PIECE message.
pub fn piece_header(index: u32, begin: u32, length: u32) -> [u8; PIECE_HEADER] {
    let mut header = [0; PIECE_HEADER];
    header[..4].copy_from_slice(&(length + 9).to_be_bytes());
    header[4] = 7;
    header[5..9].copy_from_slice(&index.to_be_bytes());
    header[9..].copy_from_slice(&begin.to_be_bytes());
    header
}

/// The handshake of `me`. No extension is offered.
pub fn handshake(info_hash: [u8; 20], me: HostId) -> [u8; HANDSHAKE] {
    let handshake =
        Handshake { reserved: 0, info_hash: Id20::new(info_hash), peer_id: Id20::new(peer_id(me)) };
    let mut bytes = [0; HANDSHAKE];
    let _ = handshake.serialize_unchecked_len(&mut bytes);
    bytes
}

/// Reads the other end's handshake at the start of `buffer`, which may be less than one (`None`); gives its peer id.
pub fn read_handshake(buffer: &[u8], info_hash: [u8; 20]) -> Result<Option<[u8; 20]>, WireError> {
    if buffer.len() < HANDSHAKE {
        return Ok(None);
    }
    let (handshake, _) = Handshake::deserialize(buffer)?;
    if handshake.info_hash.0 == info_hash {
        Ok(Some(handshake.peer_id.0))
    } else {
        Err(WireError::OtherTorrent)
    }
}

/// The peer id of a host: client, version, `h`, its number in hex.
pub fn peer_id(host: HostId) -> [u8; 20] {
    let mut id = *b"-MU0100-h00000000---";
    id[9..17].copy_from_slice(format!("{:08x}", host.0).as_bytes());
    id
}

/// The host of a peer id that [`peer_id`] made; `None` for other clients.
pub fn host_of(peer_id: &[u8; 20]) -> Option<HostId> {
    let number = peer_id.strip_prefix(CLIENT)?.strip_prefix(b"h")?.strip_suffix(b"---")?;
    u32::from_str_radix(std::str::from_utf8(number).ok()?, 16).ok().map(HostId)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn written(messages: &[Message<'_>]) -> Vec<u8> {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut channel = Channel::plain(near);
        for message in messages {
            push(&mut channel, message).unwrap();
        }
        std::future::poll_fn(|cx| channel.poll_send(cx)).await.unwrap();
        drop(channel);
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test]
    async fn every_message_is_read_as_it_was_written() {
        let block = vec![7; BLOCK as usize];
        let request = Request::new(1, BLOCK, BLOCK);
        let messages = [
            Message::KeepAlive,
            Message::Choke,
            Message::Unchoke,
            Message::Interested,
            Message::NotInterested,
            Message::Have(77),
            Message::Bitfield((&[0xa5; 300][..]).into()),
            Message::Request(request),
            Message::Piece(Piece::from_data(3, BLOCK, &block)),
            Message::Cancel(request),
        ];
        let bytes = written(&messages).await;
        let mut rest = &bytes[..];
        for sent in &messages {
            let Parsed::Message { message, length } = parse(rest).unwrap() else { panic!("{sent:?}") };
            assert_eq!(format!("{message:?}"), format!("{sent:?}"));
            for part in 0..length {
                assert!(matches!(parse(&rest[..part]), Ok(Parsed::Incomplete)), "{sent:?} cut at {part}");
            }
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn what_is_not_understood_is_passed_over_and_what_is_too_long_is_refused() {
        let port = [0, 0, 0, 3, 9, 0x1a, 0xe1];
        assert!(matches!(parse(&port), Ok(Parsed::Unknown { length: 7 })));
        assert!(matches!(parse(&[0, 1, 0, 0]), Err(WireError::TooLong(65536))));
        assert!(matches!(parse(&[0, 0, 0, 2, 4, 0]), Err(WireError::Message(_))), "a HAVE of one byte");
    }

    #[test]
    fn a_peer_id_tells_the_host_and_strangers_have_none() {
        for host in [HostId(0), HostId(31), HostId::SEEDER] {
            assert_eq!(host_of(&peer_id(host)), Some(host));
        }
        assert_eq!(host_of(b"-qB4500-h0000000f---"), None);
        assert_eq!(host_of(b"-MU0100-h0000zz0f---"), None);
    }

    #[test]
    fn a_handshake_for_another_torrent_is_refused() {
        let bytes = handshake([1; 20], HostId(5));
        assert_eq!(read_handshake(&bytes, [1; 20]).unwrap(), Some(peer_id(HostId(5))));
        assert!(read_handshake(&bytes[..67], [1; 20]).unwrap().is_none());
        assert!(matches!(read_handshake(&bytes, [2; 20]), Err(WireError::OtherTorrent)));
    }
}
