//! The ways to a host: the OpenSSH configuration, jump hosts, commands.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::control::FailureKind;

use super::server::{Behaviour, Server};
use super::sshd::Sshd;
use super::*;

#[tokio::test]
async fn the_openssh_configuration_counts_as_for_ssh_itself() {
    let user = User::new();
    let Some(bastion) = Sshd::start(&user, "") else { return };
    let Some(sshd) = Sshd::start(&user, "") else { return };
    let me = sshd.target(&user).user.unwrap();
    let config = user.path("config");
    let text = format!(
        "Host web\n  HostName 127.0.0.1\n  Port {}\n  ProxyJump bastion\n  HostKeyAlias the-web\n\
         Host bastion\n  HostName 127.0.0.1\n  Port {}\n\
         Host piped\n  HostName 127.0.0.1\n  Port {}\n  ProxyCommand ssh -F {} -W %h:%p bastion\n\
         Host *\n  User {me}\n  IdentityFile {}/id_%r\n  UserKnownHostsFile {}\n  StrictHostKeyChecking accept-new\n  BatchMode yes\n",
        sshd.port,
        bastion.port,
        sshd.port,
        config.display(),
        user.home.path().display(),
        user.known_hosts().display(),
    );
    // Named by a token, which `ssh -G` leaves to us.
    std::fs::rename(user.path("id"), user.path(&format!("id_{me}"))).unwrap();
    std::fs::write(&config, text).unwrap();
    let options = ClientOptions {
        config: ConfigSource::OpenSsh { file: Some(config) },
        host_keys: None,
        ..user.options()
    };
    let client = Client::new(options).unwrap();
    for name in ["web", "piped"] {
        let session = client.connect(&Target::new(name)).await;
        let session = session.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(session.login(), format!("{me}@127.0.0.1:{}", sshd.port));
        assert_eq!(output(session.exec("echo there").await.unwrap()).await.0, "there\n");
    }
    client.close().await;
    let known = std::fs::read_to_string(user.known_hosts()).unwrap();
    assert!(known.contains("the-web ssh-ed25519") && known.contains(&bastion.name()), "{known}");
}

#[tokio::test]
async fn many_hosts_share_one_connection_to_a_jump_host() {
    let user = User::new();
    let Some(bastion) = Sshd::start(&user, "") else { return };
    let me = Local::from_environment().user;
    let behaviour = Behaviour { keys: vec![user.key.public_key().clone()], ..Default::default() };
    let server = Server::start(behaviour).await;
    let client = user.client();
    let target =
        Target { jump: vec![format!("{me}@127.0.0.1:{}", bastion.port)], ..user.target(server.port) };
    let sessions = futures::future::join_all((0..40).map(|_| client.connect(&target))).await;
    for session in &sessions {
        let session = session.as_ref().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(output(session.exec("echo there").await.unwrap()).await.0, "there\n");
    }
    let log = std::fs::read_to_string(bastion.path("log")).unwrap();
    assert_eq!(log.matches("Accepted publickey").count(), 1, "{log}");

    let nowhere = Target { port: Some(1), ..target.clone() };
    let error = client.connect(&nowhere).await.err().unwrap();
    assert_eq!(error.kind(), FailureKind::Refused, "{error}");
    assert!(
        error.to_string().contains(&format!("127.0.0.1:1 from {me}@127.0.0.1:{}", bastion.port)),
        "{error}"
    );
    let unknown = Target { address: Some("no-such-host.invalid".into()), ..target.clone() };
    let error = client.connect(&unknown).await.err().unwrap();
    assert!(matches!(error.kind(), FailureKind::Resolve | FailureKind::Unreachable), "{error}");
}

#[tokio::test]
async fn a_jump_host_that_fails_is_named_and_asked_once() {
    let user = User::new();
    let closed = Server::start(Default::default()).await;
    let client = user.client();
    let target = Target { jump: vec![format!("127.0.0.1:{}", closed.port)], ..user.target(1) };
    let errors = futures::future::join_all((0..20).map(|_| client.connect(&target))).await;
    for error in errors {
        let error = error.err().unwrap();
        assert_eq!(error.kind(), FailureKind::Auth);
        assert!(error.to_string().starts_with("jump host 127.0.0.1: cannot log in"), "{error}");
    }
    assert_eq!(closed.count(|seen| &seen.connections), 1);
}

#[tokio::test]
async fn jump_hosts_that_go_in_a_circle_are_noticed() {
    let user = User::new();
    if installed("ssh").is_none() {
        return;
    }
    let config = user.path("config");
    std::fs::write(&config, "Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n").unwrap();
    let options = ClientOptions { config: ConfigSource::OpenSsh { file: Some(config) }, ..user.options() };
    let error = Client::new(options).unwrap().connect(&Target::new("a")).await.err().unwrap();
    assert!(error.to_string().contains("circle"), "{error}");
}

#[tokio::test]
async fn a_mistake_in_the_configuration_is_told_in_the_words_of_ssh() {
    let user = User::new();
    if installed("ssh").is_none() {
        return;
    }
    let config = user.path("config");
    std::fs::write(&config, "Host *\n  Prot 22\n").unwrap();
    let options =
        ClientOptions { config: ConfigSource::OpenSsh { file: Some(config.clone()) }, ..user.options() };
    let error = Client::new(options).unwrap().connect(&Target::new("web01")).await.err().unwrap();
    assert_eq!(error.kind(), FailureKind::Resolve);
    assert!(error.to_string().contains(&format!("{}: line 2", config.display())), "{error}");
}

#[tokio::test]
async fn hosts_that_freeze_under_bulk_hold_up_nobody_behind_the_same_jump_host() {
    let user = User::new();
    let Some(bastion) = Sshd::start(&user, "") else { return };
    let me = Local::from_environment().user;
    let open = |slow| Behaviour { keys: vec![user.key.public_key().clone()], slow, ..Default::default() };
    let (freezing, lively) = (Server::start(open(Some(1 << 40))).await, Server::start(open(None)).await);
    let client = user.client();
    let target =
        |port| Target { jump: vec![format!("{me}@127.0.0.1:{}", bastion.port)], ..user.target(port) };
    let mut sessions = Vec::new();
    // More hosts than chunks that may be under way in one connection, and on each more than all windows and sockets hold.
    let mut feeds = Vec::new();
    for _ in 0..6 {
        let session = client.connect(&target(freezing.port)).await.unwrap();
        for _ in 0..6 {
            let mut process = session.exec("cat > /dev/null").await.unwrap();
            feeds.push(tokio::spawn(async move {
                let data = vec![0; 64 * 1024];
                while process.stdin.write_all(&data).await.is_ok() {}
            }));
        }
        sessions.push(session);
    }
    freezing.freeze();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let work = async {
        let session = client.connect(&target(lively.port)).await.unwrap();
        let mut process = session.exec("head -c 4000000 | wc -c").await.unwrap();
        process.stdin.write_all(&vec![0; 4_000_000]).await.unwrap();
        output(process).await.0
    };
    let done = tokio::time::timeout(Duration::from_secs(50), work).await.expect("nothing moves any more");
    assert_eq!(done.trim(), "4000000");
    for feed in feeds {
        feed.abort();
    }
}

#[tokio::test]
async fn one_sshd_gets_no_more_than_eight_logins_at_once() {
    let user = User::new();
    let behaviour = Behaviour { keys: vec![user.key.public_key().clone()], ..Default::default() };
    let server = Server::start(behaviour).await;
    let (client, target) = (user.client(), user.target(server.port));
    let sessions = futures::future::join_all((0..100).map(|_| client.connect(&target))).await;
    assert!(sessions.iter().all(Result::is_ok));
    let most = server.count(|seen| &seen.most_at_once);
    assert!((2..=8).contains(&most), "{most}");
}
