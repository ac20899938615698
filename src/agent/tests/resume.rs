use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpStream;

use super::*;
use crate::swarm::noise::{Channel, Party, dial};

const DOOR: RunKey = RunKey([3; 32]);

type Way = (tokio::io::WriteHalf<Channel<TcpStream>>, Lines<tokio::io::ReadHalf<Channel<TcpStream>>>);

async fn knock(port: u16, key: RunKey) -> Option<Way> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
    let party = Party { key, me: HostId::SEEDER, life: 0, info_hash: [0; 20] };
    let channel = dial(stream, &party, HostId(3), 0).await.ok()?;
    let (output, input) = tokio::io::split(channel);
    Some((input, Lines::new(output)))
}

async fn ask(input: &mut (impl tokio::io::AsyncWrite + Unpin), request: Request) {
    input.write_all(&encode(&request).unwrap()).await.unwrap();
    input.flush().await.unwrap();
}

async fn hear(lines: &mut Lines<impl tokio::io::AsyncRead + Unpin>) -> Report {
    let line = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await.unwrap();
    crate::control::decode(&line.unwrap().unwrap()).unwrap()
}

impl Operator {
    async fn resumable(&mut self) -> u16 {
        self.ask(Request::Resumable { id: HostId(3), key: DOOR }).await;
        self.until(|told| if let Report::Resumable { port } = told { Some(*port) } else { None }).await
    }

    /// The connection is lost; the agent's task is left.
    fn cut(self) -> JoinHandle<bool> {
        self.agent
    }
}

#[tokio::test]
async fn an_agent_fetches_on_without_its_operator_and_tells_it_all_when_it_comes_back() {
    local(async {
        let (host, payload) = (Host::new(), payload("resumed"));
        let mut operator = Operator::launch().await;
        let port = operator.resumable().await;
        let checked = operator.begin(host.begin("1", Some(&payload.packed))).await;
        operator.send_metainfo(&payload.packed).await;
        operator.ask(Request::Fetch(Box::new(fetch_of(&payload.packed)))).await;
        operator.until(|told| matches!(told, Report::Joined { .. }).then_some(())).await;
        let agent = operator.cut();
        let _seeder = seeder(&payload.packed, checked.port);

        assert!(knock(port, RunKey([4; 32])).await.is_none(), "a stranger is not let in");
        let (mut input, mut lines) = knock(port, DOOR).await.expect("the operator is");
        ask(&mut input, Request::Resume { heard: 2 }).await;
        let requests = 2 + payload.packed.metainfo.info_bytes.chunks(45_000).count() as u64;
        assert_eq!(hear(&mut lines).await, Report::Resumed { heard: requests, next: 2 });
        loop {
            match hear(&mut lines).await {
                Report::Verified => break,
                Report::Progress(_) | Report::Fetched(_) => {}
                other => panic!("{other:?} was heard before, or is none of it"),
            }
        }
        // Cut again: what was told in vain is told once more.
        drop((input, lines));
        let (mut input, mut lines) = knock(port, DOOR).await.unwrap();
        ask(&mut input, Request::Resume { heard: 3 }).await;
        assert_eq!(hear(&mut lines).await, Report::Resumed { heard: requests, next: 3 });
        assert_eq!(hear(&mut lines).await, Report::Verified);
        ask(&mut input, Request::Bye { keep_partial: false }).await;
        while !matches!(hear(&mut lines).await, Report::Bye { .. }) {}
        assert!(agent.await.unwrap());
        assert_eq!(host.left(), Vec::<String>::new());
        assert!(TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn nobody_comes_back_and_the_lease_ends_it() {
    local(async {
        let (host, payload) = (Host::new(), payload("adrift"));
        let mut operator = Operator::launch().await;
        operator.resumable().await;
        operator.begin(host.begin("1", Some(&payload.packed))).await;
        operator.ask(Request::Lease { seconds: 2 }).await;
        operator.ask(Request::Releases).await;
        operator.until(|told| matches!(told, Report::Releases { .. }).then_some(())).await;
        let cut = std::time::Instant::now();
        assert!(!operator.cut().await.unwrap());
        assert!((1..30).contains(&cut.elapsed().as_secs()), "{:?}", cut.elapsed());
        assert!(!host.left().contains(&"lock".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn another_run_takes_the_lock_of_an_agent_that_lost_its_operator_and_of_no_other() {
    local(async {
        let host = Host::new();
        let mut first = Operator::launch().await;
        first.resumable().await;
        first.begin(host.begin("1", None)).await;
        let other = Begin { run: RunId("another".into()), ..host.begin("1", None) };
        let mut second = Operator::launch().await;
        second.ask(Request::Begin(Box::new(other))).await;
        assert_eq!(second.failure().await.kind, FailureKind::Locked);
        let lock = host.dest().join(".murder/lock");
        assert!(!fs::read_to_string(&lock).unwrap().contains(r#""adrift":true"#));
        let _agent = first.cut();
        // The end of the stream is heard soon.
        let adrift = async {
            while !fs::read_to_string(&lock).unwrap_or_default().contains(r#""adrift":true"#) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), adrift).await.unwrap();
    })
    .await;
}
