use russh::keys::PublicKey;
use russh::keys::ssh_key::certificate::{Builder, CertType};

use crate::control::FailureKind;

use super::server::{Behaviour, Server};
use super::*;

fn line(hosts: &str, key: &PublicKey) -> String {
    format!("{hosts} {}\n", key.to_openssh().unwrap())
}

async fn server_for(user: &User, behaviour: Behaviour) -> Server {
    Server::start(Behaviour { keys: vec![user.key.public_key().clone()], ..behaviour }).await
}

async fn connect(user: &User, port: u16, policy: Option<HostKeyPolicy>) -> Result<Session, SshError> {
    let options = ClientOptions { host_keys: policy, ..user.options() };
    Client::new(options).unwrap().connect(&user.target(port)).await
}

#[tokio::test]
async fn a_new_key_is_written_down_once_and_known_the_next_time() {
    let user = User::new();
    let server = server_for(&user, Behaviour::default()).await;
    let client = user.client();
    for _ in 0..3 {
        client.connect(&user.target(server.port)).await.unwrap();
    }
    client.close().await;
    let text = std::fs::read_to_string(user.known_hosts()).unwrap();
    let (kind, blob) = server
        .host_key
        .to_openssh()
        .map(|text| {
            let mut words = text.split(' ').map(str::to_owned);
            (words.next().unwrap(), words.next().unwrap())
        })
        .unwrap();
    assert_eq!(text, format!("[127.0.0.1]:{} {kind} {blob}\n", server.port));
    assert!(connect(&user, server.port, Some(HostKeyPolicy::Strict)).await.is_ok());
}

#[tokio::test]
async fn an_unknown_key_is_refused_under_strict_and_nothing_is_written() {
    let user = User::new();
    let server = server_for(&user, Behaviour::default()).await;
    let error = connect(&user, server.port, Some(HostKeyPolicy::Strict)).await.err().unwrap();
    assert_eq!((error.kind(), error.retryable()), (FailureKind::HostKey, false));
    let text = error.to_string();
    let fingerprint = server.host_key.fingerprint(russh::keys::HashAlg::Sha256).to_string();
    assert!(text.contains("~/known_hosts has no line") && text.contains("--host-keys accept-new"), "{text}");
    assert!(error.detail()[0].contains(&fingerprint), "{:?}", error.detail());
    assert!(!user.known_hosts().exists());
    assert_eq!(server.count(|seen| &seen.connections), 1, "a definite answer is not asked for twice");
}

#[tokio::test]
async fn a_changed_key_is_always_refused_with_the_line_and_the_remedy() {
    let user = User::new();
    let server = server_for(&user, Behaviour::default()).await;
    let name = format!("[127.0.0.1]:{}", server.port);
    let other = new_key(Algorithm::Ed25519);
    std::fs::write(user.known_hosts(), format!("# mine\n{}", line(&name, other.public_key()))).unwrap();
    for policy in [None, Some(HostKeyPolicy::Strict), Some(HostKeyPolicy::AcceptNew)] {
        let error = connect(&user, server.port, policy).await.err().unwrap();
        assert_eq!(error.kind(), FailureKind::HostKey);
        let text = error.to_string();
        let remedy = format!(
            "~/known_hosts:2, which `ssh-keygen -R '{name}' -f ~/known_hosts` forgets, has ssh-ed25519"
        );
        assert!(text.contains(&remedy), "{text}");
    }
}

#[tokio::test]
async fn a_mixed_up_address_shows_whose_key_answered() {
    let user = User::new();
    let server = server_for(&user, Behaviour::default()).await;
    let other = new_key(Algorithm::Ed25519);
    let known = line(&format!("[127.0.0.1]:{}", server.port), other.public_key())
        + &line("web07.example.com", &server.host_key);
    std::fs::write(user.known_hosts(), known).unwrap();
    let error = connect(&user, server.port, None).await.err().unwrap();
    assert!(error.to_string().contains("known as the one of web07.example.com (~/known_hosts:2)"), "{error}");
}

#[tokio::test]
async fn a_mended_known_hosts_lets_the_same_client_in() {
    let user = User::new();
    let server = server_for(&user, Behaviour::default()).await;
    let other = new_key(Algorithm::Ed25519);
    let known = line(&format!("[127.0.0.1]:{}", server.port), other.public_key());
    std::fs::write(user.known_hosts(), known).unwrap();
    let client = user.client();
    assert!(client.connect(&user.target(server.port)).await.is_err());
    std::fs::write(user.known_hosts(), "").unwrap();
    assert!(client.connect(&user.target(server.port)).await.is_ok());
}

#[tokio::test]
async fn a_revoked_key_is_refused_even_if_it_is_listed() {
    let user = User::new();
    let server = server_for(&user, Behaviour::default()).await;
    let listed = line("*", &server.host_key);
    std::fs::write(user.known_hosts(), format!("{listed}@revoked {listed}")).unwrap();
    let error = connect(&user, server.port, None).await.err().unwrap();
    assert_eq!(error.kind(), FailureKind::HostKey);
    assert!(error.to_string().contains("@revoked in ~/known_hosts:2"), "{error}");
}

#[tokio::test]
async fn a_key_that_is_known_without_the_port_counts() {
    let user = User::new();
    let server = server_for(&user, Behaviour::default()).await;
    std::fs::write(user.known_hosts(), line("127.0.0.1", &server.host_key)).unwrap();
    assert!(connect(&user, server.port, Some(HostKeyPolicy::Strict)).await.is_ok());
    // Another key without the port says nothing about this one.
    let other = new_key(Algorithm::Ed25519);
    std::fs::write(user.known_hosts(), line("127.0.0.1", other.public_key())).unwrap();
    assert!(connect(&user, server.port, Some(HostKeyPolicy::AcceptNew)).await.is_ok());
}

/// A server that proves itself with a certificate for `principal`, and the authority's public key.
async fn certified(user: &User, principal: &str, valid_for: u64) -> (Server, PublicKey) {
    let (authority, host) = (new_key(Algorithm::Ed25519), new_key(Algorithm::Ed25519));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut builder =
        Builder::new(vec![7; 16], host.public_key().key_data().clone(), now - 100, now - 50 + valid_for)
            .unwrap();
    builder.cert_type(CertType::Host).unwrap();
    builder.valid_principal(principal).unwrap();
    let certificate = builder.sign(&authority).unwrap();
    let behaviour =
        Behaviour { host_keys: vec![host], certificates: vec![certificate], ..Behaviour::default() };
    (server_for(user, behaviour).await, authority.public_key().clone())
}

#[tokio::test]
async fn a_host_certificate_counts_for_its_name_its_time_and_its_authority() {
    let strict = Some(HostKeyPolicy::Strict);
    for (principal, valid_for, pattern, known) in [
        ("127.0.0.1", 1000, "127.0.0.*", true),
        ("127.0.0.1", 1000, "[127.0.0.1]:*", true),
        ("127.0.0.2", 1000, "*", false),
        ("127.0.0.1", 0, "*", false),
        ("127.0.0.1", 1000, "10.*", false),
    ] {
        let user = User::new();
        let (server, authority) = certified(&user, principal, valid_for).await;
        let text = format!("@cert-authority {}", line(pattern, &authority));
        std::fs::write(user.known_hosts(), &text).unwrap();
        let result = connect(&user, server.port, strict).await;
        assert_eq!(result.is_ok(), known, "{principal} {valid_for} {pattern}: {:?}", result.err());

        std::fs::write(user.known_hosts(), text + "@revoked " + &line("*", &authority)).unwrap();
        assert!(connect(&user, server.port, strict).await.is_err(), "a revoked authority vouches for nobody");
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_count_leaves_the_key_that_is_known() {
    let user = User::new();
    let (server, authority) = certified(&user, "elsewhere", 1000).await;
    let text = format!("@cert-authority {}{}", line("*", &authority), line("127.0.0.1", &server.host_key));
    std::fs::write(user.known_hosts(), text).unwrap();
    assert!(connect(&user, server.port, Some(HostKeyPolicy::Strict)).await.is_ok());
}
