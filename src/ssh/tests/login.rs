use std::sync::atomic::Ordering;

use russh::keys::Algorithm;
use russh::keys::ssh_key::LineEnding;

use crate::control::FailureKind;

use super::server::{Behaviour, Server};
use super::*;

async fn open_server(user: &User, behaviour: Behaviour) -> Server {
    Server::start(Behaviour { keys: vec![user.key.public_key().clone()], ..behaviour }).await
}

#[tokio::test]
async fn a_command_runs_and_its_output_and_exit_come_back() {
    let user = User::new();
    let server = open_server(&user, Behaviour::default()).await;
    let session = user.client().connect(&user.target(server.port)).await.unwrap();
    let mut process = session.exec("cat; echo problem >&2; exit 3").await.unwrap();
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    process.stdin.write_all(b"hello").await.unwrap();
    process.stdin.shutdown().await.unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    process.stdout.read_to_string(&mut out).await.unwrap();
    process.stderr.read_to_string(&mut err).await.unwrap();
    assert_eq!((out.as_str(), err.as_str(), process.wait().await), ("hello", "problem\n", Exit::Code(3)));
    session.close().await;
    assert!(session.is_closed());
}

#[tokio::test]
async fn a_session_outlives_its_client_and_works_from_another_runtime() {
    let user = User::new();
    let server = open_server(&user, Behaviour::default()).await;
    let client = user.client();
    let session = client.connect(&user.target(server.port)).await.unwrap();
    drop(client);
    let (text, exit) = output(session.exec("echo alive").await.unwrap()).await;
    assert_eq!((text.as_str(), exit), ("alive\n", Exit::Code(0)));
}

#[tokio::test]
async fn a_refused_key_is_auth_says_what_was_tried_and_is_not_tried_twice() {
    let user = User::new();
    let server = Server::start(Behaviour::default()).await;
    let error = user.client().connect(&user.target(server.port)).await.err().unwrap();
    assert_eq!(error.kind(), FailureKind::Auth);
    assert!(!error.retryable());
    let text = error.to_string();
    assert!(text.starts_with("cannot log in as deploy: "), "{text}");
    assert!(text.contains("key ~/id: refused") && text.contains("the host takes publickey"), "{text}");
    assert_eq!(server.count(|seen| &seen.connections), 1);
}

#[tokio::test]
async fn a_missing_key_file_is_named() {
    let user = User::new();
    let server = Server::start(Behaviour::default()).await;
    let target = Target { identity: vec!["~/.ssh/id_gone".into()], ..user.target(server.port) };
    let error = user.client().connect(&target).await.err().unwrap();
    assert_eq!(error.kind(), FailureKind::Auth);
    assert!(error.to_string().contains("~/.ssh/id_gone: no such file"), "{error}");
}

#[tokio::test]
async fn a_locked_key_asks_once_for_all_hosts_and_only_when_a_host_wants_it() {
    let user = User::answering(&["wrong", "sesame"]);
    let locked = user.key.encrypt(&mut SystemRandom, "sesame").unwrap();
    locked.write_openssh_file(user.path("id"), LineEnding::LF).unwrap();
    let stranger = Server::start(Behaviour::default()).await;
    let client = user.client();
    assert!(client.connect(&user.target(stranger.port)).await.is_err());
    assert!(user.prompts().is_empty());

    let server = open_server(&user, Behaviour::default()).await;
    let target = user.target(server.port);
    let logins = (0..10).map(|_| client.connect(&target));
    for login in futures::future::join_all(logins).await {
        login.unwrap();
    }
    let prompts = user.prompts();
    assert_eq!(prompts.len(), 2, "{prompts:?}");
    assert_eq!(prompts[0], "passphrase for ~/id");
    assert!(prompts[1].contains("wrong"));
}

#[tokio::test]
async fn a_password_is_asked_once_and_shared_by_password_and_keyboard_interactive() {
    let user = User::answering(&["sesame"]);
    let client = user.client();
    for interactive in [false, true] {
        let behaviour = Behaviour { password: Some("sesame"), interactive, ..Behaviour::default() };
        let server = Server::start(behaviour).await;
        let target = user.target(server.port);
        let logins = (0..5).map(|_| client.connect(&target));
        for login in futures::future::join_all(logins).await {
            login.unwrap();
        }
    }
    assert_eq!(user.prompts(), ["password for deploy"]);
}

#[tokio::test]
async fn a_wrong_password_costs_one_login_and_is_asked_again_for_the_next_host() {
    let user = User::answering(&["wrong", "sesame"]);
    let server = Server::start(Behaviour { password: Some("sesame"), ..Behaviour::default() }).await;
    let client = user.client();
    let target = Target { identity: Vec::new(), ..user.target(server.port) };
    let logins: Vec<_> = futures::future::join_all((0..6).map(|_| client.connect(&target))).await;
    let failed: Vec<_> = logins.into_iter().filter_map(Result::err).collect();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].to_string().contains("password: refused"), "{}", failed[0]);
    assert_eq!(server.count(|seen| &seen.refusals), 1);
    assert_eq!(user.prompts().len(), 2);
}

#[tokio::test]
async fn nobody_to_ask_is_auth_and_not_a_hang() {
    let user = User::new();
    let server = Server::start(Behaviour { password: Some("sesame"), ..Behaviour::default() }).await;
    let options = ClientOptions { ask: Arc::new(NobodyToAsk), ..user.options() };
    let error = Client::new(options).unwrap().connect(&user.target(server.port)).await.err().unwrap();
    assert_eq!(error.kind(), FailureKind::Auth);
    assert!(error.to_string().contains("password for deploy: not given"), "{error}");
}

#[tokio::test]
async fn a_key_and_then_a_password_get_in_together() {
    let user = User::answering(&["sesame"]);
    let behaviour = Behaviour { password: Some("sesame"), key_and_password: true, ..Behaviour::default() };
    let server = open_server(&user, behaviour).await;
    assert!(user.client().connect(&user.target(server.port)).await.is_ok());
}

#[tokio::test]
async fn no_more_than_five_keys_are_offered() {
    let user = User::new();
    let server = open_server(&user, Behaviour::default()).await;
    let mut identity = Vec::new();
    for n in 0..6 {
        let path = user.path(&format!("other{n}"));
        new_key(Algorithm::Ed25519).write_openssh_file(&path, LineEnding::LF).unwrap();
        identity.push(path);
    }
    identity.push(user.path("id"));
    let target = Target { identity, ..user.target(server.port) };
    let error = user.client().connect(&target).await.err().unwrap();
    assert_eq!(error.kind(), FailureKind::Auth);
    assert!(error.to_string().contains("more keys were not offered after 5"), "{error}");
}

#[tokio::test]
async fn a_host_that_hangs_up_before_the_login_is_tried_again() {
    let user = User::new();
    let server = open_server(&user, Behaviour { hang_up: 2, ..Behaviour::default() }).await;
    assert!(user.client().connect(&user.target(server.port)).await.is_ok());
    assert_eq!(server.seen.connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_host_that_always_hangs_up_is_refused_after_five_tries() {
    let user = User::new();
    let server = open_server(&user, Behaviour { hang_up: usize::MAX, ..Behaviour::default() }).await;
    let error = user.client().connect(&user.target(server.port)).await.err().unwrap();
    assert_eq!((error.kind(), error.retryable()), (FailureKind::Refused, true));
    assert!(error.to_string().contains("5 times"), "{error}");
    assert_eq!(server.count(|seen| &seen.connections), 5);
}

#[tokio::test]
async fn causes_before_the_login_are_told_apart_with_the_address() {
    let user = User::new();
    let client = Client::new(ClientOptions {
        connect_timeout: Some(std::time::Duration::from_millis(300)),
        ..user.options()
    })
    .unwrap();
    // Bound, so that nobody else takes the port, and not listening.
    let unheard = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    unheard.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let closed = unheard.local_addr().unwrap().as_socket().unwrap().port();
    let refused = client.connect(&user.target(closed)).await.err().unwrap();
    assert_eq!(refused.kind(), FailureKind::Refused, "{refused}");
    assert!(refused.to_string().contains(&format!("127.0.0.1:{closed}: connection refused")), "{refused}");

    let unknown = Target::new("no-such-host.invalid");
    let unknown = client.connect(&unknown).await.err().unwrap();
    assert_eq!(unknown.kind(), FailureKind::Resolve, "{unknown}");

    // A listener whose queue is full answers nobody.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    full.listen(0).unwrap();
    let port = full.local_addr().unwrap().as_socket().unwrap().port();
    let _waiting: Vec<_> = (0..4)
        .map(|_| {
            std::net::TcpStream::connect_timeout(
                &([127, 0, 0, 1], port).into(),
                std::time::Duration::from_millis(100),
            )
        })
        .collect();
    let silent = client.connect(&user.target(port)).await.err().unwrap();
    assert_eq!(silent.kind(), FailureKind::Timeout, "{silent}");
    assert!(silent.to_string().contains("no answer within 0.3 s"), "{silent}");
}

#[tokio::test]
async fn what_is_no_ssh_server_is_said_so_without_a_second_try() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while let Ok((mut stream, _)) = listener.accept().await {
            let line = format!("HTTP/1.1 400 {}\r\n", "x".repeat(5000));
            let _ = stream.write_all(line.as_bytes()).await;
        }
    });
    let user = User::new();
    let error = user.client().connect(&user.target(port)).await.err().unwrap();
    assert_eq!((error.kind(), error.retryable()), (FailureKind::Refused, false), "{error}");
}
