use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use librqbit::{
    AddTorrent, AddTorrentOptions, ListenerMode, ListenerOptions, Session, SessionOptions, torrent_from_bytes,
};
use murder::control::{HostId, Neighbour};
use murder::payload::Metainfo;
use murder::swarm::engine::Event;

use crate::host;
use crate::payload::Outcome;

/// How often a librqbit session is asked whether it has everything; its own word for it may get lost.
const ASK: Duration = Duration::from_millis(20);

/// What this process is told to be, one of many on a host.
struct Peer {
    host: usize,
    torrent: Vec<u8>,
    folder: PathBuf,
    at: SocketAddr,
    peers: Vec<(usize, SocketAddr)>,
}

/// A client of its own: `ROLE HOST TORRENT FOLDER ADDRESS HOST=ADDRESS…`.
pub(crate) fn main(words: &[String]) -> Outcome<()> {
    let [role, host, torrent, folder, at, peers @ ..] = words else { return Err("words are missing".into()) };
    let peer = Peer {
        host: host.parse()?,
        torrent: std::fs::read(torrent)?,
        folder: folder.into(),
        at: at.parse()?,
        peers: peers.iter().map(|peer| numbered(peer)).collect::<Outcome<_>>()?,
    };
    match role.as_str() {
        "tracker" => track(&peer),
        // On a runtime of many threads librqbit takes twice the CPU, and the agent's has one thread too.
        _ => tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            match role.as_str() {
                "engine" => engine(&peer, false).await,
                "engine-plain" => engine(&peer, true).await,
                "librqbit" => librqbit(&peer).await,
                other => Err(format!("there is no role {other}").into()),
            }
        }),
    }
}

fn numbered(peer: &str) -> Outcome<(usize, SocketAddr)> {
    let (host, address) = peer.split_once('=').ok_or("a peer has no number")?;
    Ok((host.parse()?, address.parse()?))
}

fn say(word: &str) -> Outcome<()> {
    let mut output = std::io::stdout();
    writeln!(output, "{word}")?;
    Ok(output.flush()?)
}

/// Waits for a line of input; `all`: for its end.
async fn hear(all: bool) -> Outcome<()> {
    let heard = tokio::task::spawn_blocking(move || {
        let mut input = std::io::stdin().lock();
        if all {
            input.read_to_end(&mut Vec::new())
        } else {
            std::io::BufRead::read_line(&mut input, &mut String::new())
        }
    });
    heard.await??;
    Ok(())
}

fn metainfo(torrent: &[u8]) -> Outcome<Metainfo> {
    let torrent = torrent_from_bytes(torrent)?;
    Ok(Metainfo::parse(torrent.info.raw_bytes.as_ref())?)
}

async fn engine(peer: &Peer, plain: bool) -> Outcome<()> {
    let metainfo = metainfo(&peer.torrent)?;
    let id = |host: usize| if host == 0 { HostId::SEEDER } else { HostId(host as u32) };
    let listener = tokio::net::TcpListener::bind(peer.at).await?;
    let file = peer.folder.join(&metainfo.name);
    let engine = host::start(id(peer.host), &file, listener, &metainfo, plain, None)?;
    say("ready")?;
    hear(false).await?;
    let neighbours = peer.peers.iter();
    let neighbours =
        neighbours.map(|(host, address)| Neighbour { id: id(*host), life: 1, addresses: vec![*address] });
    engine.set_neighbours(neighbours.collect(), &[]);
    match engine.event().await {
        Event::Completed => say("done")?,
        other => return Err(format!("{other:?}").into()),
    }
    hear(true).await
}

async fn librqbit(peer: &Peer) -> Outcome<()> {
    let options = SessionOptions {
        dht: None,
        disable_trackers: true,
        disable_local_service_discovery: true,
        persistence: None,
        listen: Some(ListenerOptions {
            mode: ListenerMode::TcpOnly,
            listen_addr: peer.at,
            enable_upnp_port_forwarding: false,
            ipv4_only: true,
            ..Default::default()
        }),
        ipv4_only: true,
        ..Default::default()
    };
    let session = Session::new_with_opts(peer.folder.clone(), options).await?;
    let add = AddTorrentOptions {
        overwrite: true,
        output_folder: Some(text(&peer.folder)?),
        disable_trackers: true,
        initial_peers: Some(peer.peers.iter().map(|(_, address)| *address).collect()),
        ..Default::default()
    };
    // It takes peers only with the torrent, so whoever downloads adds it when all are there; a seeder checks its file first.
    if peer.host > 0 {
        say("ready")?;
        hear(false).await?;
    }
    let torrent = AddTorrent::from_bytes(peer.torrent.clone());
    let handle =
        session.add_torrent(torrent, Some(add)).await?.into_handle().ok_or("librqbit gave no handle")?;
    handle.wait_until_initialized().await?;
    if peer.host == 0 {
        say("ready")?;
        hear(false).await?;
    }
    while !handle.stats().finished {
        tokio::time::sleep(ASK).await;
    }
    say("done")?;
    hear(true).await
}

fn text(path: &Path) -> Outcome<String> {
    Ok(path.to_str().ok_or("a folder has an odd name")?.to_owned())
}

/// Tells everybody who asks of all peers, whoever it is.
fn track(peer: &Peer) -> Outcome<()> {
    let mut body = b"d8:intervali1e5:peers".to_vec();
    body.extend(format!("{}:", peer.peers.len() * 6).bytes());
    for (_, address) in &peer.peers {
        let SocketAddr::V4(peer) = address else { continue };
        body.extend(peer.ip().octets());
        body.extend(peer.port().to_be_bytes());
    }
    body.push(b'e');
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let answer = [head.into_bytes(), body].concat();
    let listener = TcpListener::bind(peer.at)?;
    say("ready")?;
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    for stream in listener.incoming() {
        let mut stream = stream?;
        // What does not hear the answer asks again.
        let _ = stream.read(&mut [0; 4096]).and_then(|_| stream.write_all(&answer));
    }
    Ok(())
}
