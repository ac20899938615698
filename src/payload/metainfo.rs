use librqbit_bencode::{ByteBuf, bencode_serialize_to_writer};
use librqbit_core::torrent_metainfo::TorrentMetaV1Info;
use serde::Serialize;

use super::digest::sha1;

/// The least piece length in bytes. Small pieces make the swarm's tail short: it costs about piece x fan-out / uplink.
pub const LEAST_PIECE: u32 = 64 << 10;

/// Pieces of an artifact are made longer until there are no more than these, which bounds metainfo (20 bytes a piece) and bit fields.
const MOST_PIECES: u64 = 64 << 10;

/// Every host is sent 20 bytes a piece. All of that together is to be at most this share of the artifact, of which about
/// one copy leaves the operator's machine: a twelfth.
const METAINFO_SHARE: u64 = 12;

/// For the hosts' sake pieces are not made longer than this; only the number of pieces can.
const LONGEST_FOR_HOSTS: u32 = 1 << 20;

/// What the swarm must know of an artifact: a BitTorrent v1 info dictionary of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metainfo {
    /// The bencoded info dictionary.
    pub info_bytes: Vec<u8>,
    /// SHA-1 of these bytes.
    pub info_hash: [u8; 20],
    /// Name of the artifact's file.
    pub name: String,
    /// Bytes of every piece but the last.
    pub piece_length: u32,
    /// Bytes of the artifact, at least 1.
    pub length: u64,
    /// SHA-1 of each piece.
    pub hashes: Vec<[u8; 20]>,
}

/// Why bytes are no metainfo that we take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// Not the bencode that is expected.
    #[error("the metainfo cannot be read: {0}")]
    Bencode(String),
    /// Numbers in it do not fit each other.
    #[error("the metainfo is wrong: {0}")]
    Wrong(&'static str),
}

#[derive(Serialize)]
struct Info<'a> {
    length: u64,
    name: &'a str,
    #[serde(rename = "piece length")]
    piece_length: u32,
    pieces: ByteBuf<'a>,
    private: u8,
    salt: ByteBuf<'a>,
}

impl Metainfo {
    /// Of an artifact whose pieces are hashed. `salt` is random in each run, so that its info-hash tells nothing of the content.
    pub fn new(
        name: &str,
        length: u64,
        piece_length: u32,
        hashes: Vec<[u8; 20]>,
        salt: &[u8; 16],
    ) -> Result<Self, MetainfoError> {
        let info = Info {
            length,
            name,
            piece_length,
            pieces: ByteBuf(hashes.as_flattened()),
            private: 1,
            salt: ByteBuf(salt),
        };
        let mut info_bytes = Vec::with_capacity(hashes.len() * 20 + 256);
        bencode_serialize_to_writer(info, &mut info_bytes)
            .map_err(|error| MetainfoError::Bencode(error.to_string()))?;
        let metainfo = Self {
            info_hash: sha1(&info_bytes),
            info_bytes,
            name: name.to_owned(),
            piece_length,
            length,
            hashes,
        };
        metainfo.checked()
    }

    /// From a bencoded info dictionary.
    pub fn parse(info_bytes: &[u8]) -> Result<Self, MetainfoError> {
        let info: TorrentMetaV1Info<ByteBuf<'_>> = librqbit_bencode::from_bytes(info_bytes)
            .map_err(|error| MetainfoError::Bencode(error.to_string()))?;
        let name = info.name.map(|name| String::from_utf8(name.as_ref().to_vec()));
        let Some(Ok(name)) = name else {
            return Err(MetainfoError::Wrong("the name is missing or not UTF-8"));
        };
        let length = info.length.ok_or(MetainfoError::Wrong("it must be of a single file"))?;
        let (hashes, rest) = info.pieces.as_ref().as_chunks::<20>();
        if !rest.is_empty() {
            return Err(MetainfoError::Wrong("a piece hash is cut off"));
        }
        let metainfo = Self {
            info_hash: sha1(info_bytes),
            info_bytes: info_bytes.to_vec(),
            name,
            piece_length: info.piece_length,
            length,
            hashes: hashes.to_vec(),
        };
        metainfo.checked()
    }

    fn checked(self) -> Result<Self, MetainfoError> {
        if self.piece_length == 0 || self.length == 0 {
            return Err(MetainfoError::Wrong("a length is 0"));
        }
        if self.length.div_ceil(u64::from(self.piece_length)) != self.hashes.len() as u64 {
            return Err(MetainfoError::Wrong("there are too many or too few piece hashes"));
        }
        if u32::try_from(self.hashes.len()).is_err() {
            return Err(MetainfoError::Wrong("there are too many pieces"));
        }
        Ok(self)
    }

    /// How many pieces there are.
    pub fn pieces(&self) -> u32 {
        u32::try_from(self.hashes.len()).unwrap_or(u32::MAX)
    }

    /// Where a piece starts, bytes.
    pub fn piece_at(&self, piece: u32) -> u64 {
        u64::from(piece) * u64::from(self.piece_length)
    }

    /// Bytes of a piece: the piece length, less in the last one, 0 past the end.
    pub fn piece_size(&self, piece: u32) -> u32 {
        let left = self.length.saturating_sub(self.piece_at(piece));
        u32::try_from(left).unwrap_or(u32::MAX).min(self.piece_length)
    }

    /// A `.torrent` file, with a tracker if one is named.
    pub fn to_torrent(&self, announce: Option<&str>) -> Vec<u8> {
        let mut torrent = vec![b'd'];
        if let Some(url) = announce {
            torrent.extend(format!("8:announce{}:{url}", url.len()).bytes());
        }
        torrent.extend(b"4:info");
        torrent.extend(&self.info_bytes);
        torrent.push(b'e');
        torrent
    }
}

/// Length of the pieces for an artifact of so many bytes and a run of so many hosts: a power of two.
pub fn choose_piece_length(length: u64, hosts: usize) -> u32 {
    let by_count = length.div_ceil(MOST_PIECES);
    let by_hosts = (METAINFO_SHARE * 20).saturating_mul(hosts as u64).min(u64::from(LONGEST_FOR_HOSTS));
    let least = by_count.max(by_hosts).max(u64::from(LEAST_PIECE));
    u32::try_from(least.next_power_of_two()).unwrap_or(1 << 31)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn metainfo(length: u64, piece_length: u32) -> Metainfo {
        let content: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let hashes = content.chunks(piece_length as usize).map(sha1).collect();
        Metainfo::new("näme.murder", length, piece_length, hashes, &[7; 16]).unwrap()
    }

    const LENGTHS: [(u64, usize); 6] =
        [(1, 1), (65535, 1), (65536, 1), (65537, 2), (3 * 65536, 3), (3 * 65536 + 5, 4)];

    #[test]
    fn exact_multiples_of_the_piece_length_have_no_hash_too_many() {
        for (length, pieces) in LENGTHS {
            let metainfo = metainfo(length, 65536);
            assert_eq!(metainfo.hashes.len(), pieces);
            let sizes = (0..metainfo.pieces()).map(|piece| u64::from(metainfo.piece_size(piece)));
            assert_eq!(sizes.sum::<u64>(), length);
            assert_eq!(Metainfo::parse(&metainfo.info_bytes).unwrap(), metainfo);
        }
    }

    #[test]
    fn librqbit_reads_it() {
        for (length, pieces) in LENGTHS {
            let metainfo = metainfo(length, 65536);
            let torrent = metainfo.to_torrent(Some("http://127.0.0.1:1/announce"));
            let read = librqbit_core::torrent_metainfo::torrent_from_bytes(&torrent).unwrap();
            assert_eq!(read.info_hash.0, metainfo.info_hash);
            let info = read.info.data.validate().unwrap();
            assert_eq!(info.lengths().total_pieces() as usize, pieces);
            assert_eq!(info.name().unwrap(), "näme.murder");
            assert!(info.info().private);
        }
    }

    #[test]
    fn libtorrent_reads_it() {
        const SCRIPT: &str = "import sys\ntry:\n import libtorrent as lt\nexcept ImportError:\n sys.exit(77)\n\
            for f in sys.argv[1:]:\n i=lt.torrent_info(f)\n print(i.info_hash(), i.num_pieces(), i.total_size(), i.piece_length(), i.name(), i.priv())\n";
        let folder = tempfile::tempdir().unwrap();
        let mut python = Command::new("/usr/bin/python3");
        python.arg("-c").arg(SCRIPT);
        let mut expected = String::new();
        for (length, pieces) in LENGTHS {
            let metainfo = metainfo(length, 65536);
            let file = folder.path().join(format!("{length}.torrent"));
            std::fs::write(&file, metainfo.to_torrent(None)).unwrap();
            python.arg(file);
            let hash = crate::payload::hex(&metainfo.info_hash);
            expected += &format!("{hash} {pieces} {length} 65536 näme.murder True\n");
        }
        let Ok(output) = python.env("PYTHONIOENCODING", "utf-8").output() else { return };
        if output.status.code() == Some(77) {
            return;
        }
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }

    #[test]
    fn what_is_no_metainfo_of_ours_is_refused() {
        let good = metainfo(70_000, 65536);
        let text = |info: &[u8]| String::from_utf8_lossy(info).into_owned();
        assert!(Metainfo::parse(b"").is_err());
        assert!(Metainfo::parse(&good.info_bytes[1..]).is_err());
        for (from, to) in [("6:lengthi70000e", "6:lengthi0e"), ("i70000e", "i140000e"), ("i65536e", "i0e")] {
            let mut bytes = good.info_bytes.clone();
            let at = text(&bytes).find(from).unwrap();
            bytes.splice(at..at + from.len(), to.bytes());
            assert!(Metainfo::parse(&bytes).is_err(), "{to}");
        }
        assert!(Metainfo::new("x", 10, 65536, vec![[0; 20]; 2], &[0; 16]).is_err());
    }

    #[test]
    fn pieces_grow_with_what_many_of_them_cost() {
        const MIB: u64 = 1 << 20;
        for (length, hosts, kib) in [
            (1, 1, 64),
            (64 * MIB, 8, 64),
            (64 * MIB, 100, 64),
            (64 * MIB, 1000, 256),
            (64 * MIB, 10_000, 1024),
            (4096 * MIB, 10, 64),
            (20 * 1024 * MIB, 10, 512),
            (1024 * 1024 * MIB, 10, 16 * 1024),
        ] {
            assert_eq!(choose_piece_length(length, hosts), kib << 10, "{length} bytes, {hosts} hosts");
        }
    }
}
