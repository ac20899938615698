//! Against OpenSSH as it is installed: an sshd of the user's own on a high port. Skipped, and said so, where there is none.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::control::FailureKind;

use super::agent::fake;
use super::sshd::{Sshd, keygen, ssh_agent};
use super::*;

#[tokio::test]
async fn commands_and_agents_run_over_openssh() {
    let user = User::new();
    let Some(sshd) = Sshd::start(&user, "") else { return };
    let session = user.client().connect(&sshd.target(&user)).await.unwrap();
    let (text, exit) = output(session.exec("echo $SSH_CONNECTION; exit 5").await.unwrap()).await;
    assert!(text.contains("127.0.0.1"), "{text}");
    assert_eq!(exit, Exit::Code(5));
    let (_, exit) = output(session.exec("kill -TERM $$").await.unwrap()).await;
    assert_eq!(exit, Exit::Signal("TERM".into()));
    let agent = session.launch(&fake()).await.unwrap();
    assert!(agent.uploaded_bytes > 0);
    assert_eq!(agent.leave(true).await, Leave { left: Some(vec![]), exit: Exit::Code(0) });
    assert_eq!(session.launch(&fake()).await.unwrap().uploaded_bytes, 0);
    session.close().await;
}

#[tokio::test]
async fn a_big_transfer_survives_many_key_exchanges() {
    let user = User::new();
    let Some(sshd) = Sshd::start(&user, "RekeyLimit 1M") else { return };
    let session = user.client().connect(&sshd.target(&user)).await.unwrap();
    let mut process = session.exec("cat").await.unwrap();
    let block: Vec<u8> = (0..1_000_003_u32).map(|n| (n % 251) as u8).collect();
    let write = async {
        for _ in 0..16 {
            process.stdin.write_all(&block).await.unwrap();
        }
        process.stdin.shutdown().await.unwrap();
    };
    let read = async {
        let mut back = vec![0; block.len()];
        for n in 0..16 {
            process.stdout.read_exact(&mut back).await.unwrap();
            assert!(back == block, "block {n} is damaged");
        }
        assert_eq!(process.stdout.read(&mut back).await.unwrap(), 0);
    };
    tokio::join!(write, read);
}

#[tokio::test]
async fn a_stream_reaches_loopback_with_forwarding_and_without() {
    for more in ["", "AllowTcpForwarding no"] {
        let user = User::new();
        let Some(sshd) = Sshd::start(&user, more) else { return };
        let session = user.client().connect(&sshd.target(&user)).await.unwrap();
        let echo = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = echo.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = echo.accept().await.unwrap();
            let (mut read, mut write) = stream.into_split();
            tokio::io::copy(&mut read, &mut write).await
        });
        let _agent = session.launch(&fake()).await.unwrap();
        let mut stream = session.open_loopback(port).await.unwrap();
        stream.write_all(b"through").await.unwrap();
        let mut back = [0; 7];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"through");
        if more.is_empty() {
            let refused = session.open_loopback(1).await.err().unwrap();
            assert!(refused.to_string().to_lowercase().contains("refused"), "{refused}");
        }
    }
}

#[tokio::test]
async fn every_kind_of_key_logs_in() {
    let user = User::answering(&["sesame"]);
    let Some(sshd) = Sshd::start(&user, "") else { return };
    let mut authorized = String::new();
    let kinds: [(&str, &[&str]); 6] = [
        ("ed25519", &["-t", "ed25519"]),
        ("ecdsa", &["-t", "ecdsa", "-b", "384"]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
        ("pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("pkcs8", &["-t", "ecdsa", "-m", "PKCS8"]),
        ("locked", &["-t", "ed25519", "-N", "sesame"]),
    ];
    for (name, arguments) in kinds {
        let path = user.path(name).display().to_string();
        keygen(&[arguments, &["-f", &path]].concat());
        authorized += &std::fs::read_to_string(path + ".pub").unwrap();
    }
    std::fs::write(sshd.path("authorized"), authorized).unwrap();
    for (name, _) in kinds {
        let target = Target { identity: vec![user.path(name)], ..sshd.target(&user) };
        let result = user.client().connect(&target).await;
        assert!(result.is_ok(), "{name}: {}", result.err().unwrap());
    }
    assert_eq!(user.prompts(), ["passphrase for ~/locked"]);
}

#[tokio::test]
async fn a_user_certificate_logs_in_whoever_holds_the_key() {
    let user = User::new();
    let Some(sshd) = Sshd::start(&user, "") else { return };
    let authority = user.path("ca").display().to_string();
    keygen(&["-t", "ed25519", "-f", &authority]);
    let me = sshd.target(&user).user.unwrap();
    for (name, kind) in [("mine", "ed25519"), ("mine_rsa", "rsa")] {
        let path = user.path(name).display().to_string();
        keygen(&["-t", kind, "-f", &path]);
        keygen(&["-s", &authority, "-I", "test", "-n", &me, &(path.clone() + ".pub")]);
    }
    let key = std::fs::read_to_string(authority + ".pub").unwrap();
    std::fs::write(sshd.path("authorized"), format!("cert-authority {key}")).unwrap();
    for name in ["mine", "mine_rsa"] {
        let target = Target { identity: vec![user.path(name)], ..sshd.target(&user) };
        let result = user.client().connect(&target).await;
        assert!(result.is_ok(), "{name}: {}", result.err().unwrap());
    }

    // The key is in the agent alone, the certificate in a file beside it.
    let Some((mut agent, socket)) = ssh_agent(&user, &["mine_rsa"]) else { return };
    std::fs::remove_file(user.path("mine_rsa")).unwrap();
    let config = user.path("config");
    let known_hosts = user.known_hosts().display().to_string();
    std::fs::write(
        &config,
        format!("UserKnownHostsFile {known_hosts}\nIdentityAgent {}\n", socket.display()),
    )
    .unwrap();
    let options = ClientOptions { config: ConfigSource::OpenSsh { file: Some(config) }, ..user.options() };
    let target = Target { identity: vec![user.path("mine_rsa")], ..sshd.target(&user) };
    let result = Client::new(options).unwrap().connect(&target).await;
    assert!(result.is_ok(), "{}", result.err().unwrap());
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[tokio::test]
async fn the_agent_signs_and_a_named_key_that_it_holds_needs_no_passphrase() {
    let user = User::new();
    let Some(sshd) = Sshd::start(&user, "") else { return };
    for name in ["a", "b", "c", "d", "e", "rsa"] {
        let kind = if name == "rsa" { "rsa" } else { "ed25519" };
        keygen(&["-t", kind, "-f", &user.path(name).display().to_string()]);
    }
    let Some((mut agent, socket)) = ssh_agent(&user, &["a", "b", "c", "d", "e", "rsa", "id"]) else { return };
    let rsa = std::fs::read_to_string(user.path("rsa.pub")).unwrap();
    std::fs::write(sshd.path("authorized"), rsa).unwrap();
    // The file is locked now; the agent has it open.
    keygen(&["-p", "-P", "", "-N", "sesame", "-f", &user.path("rsa").display().to_string()]);
    let config = user.path("config");
    let known_hosts = user.known_hosts().display().to_string();
    std::fs::write(
        &config,
        format!("UserKnownHostsFile {known_hosts}\nIdentityAgent {}\n", socket.display()),
    )
    .unwrap();
    let options =
        ClientOptions { config: ConfigSource::OpenSsh { file: Some(config.clone()) }, ..user.options() };
    let client = Client::new(options.clone()).unwrap();

    let named = Target { identity: vec![user.path("rsa")], ..sshd.target(&user) };
    let session = client.connect(&named).await;
    assert!(session.is_ok(), "{}", session.err().unwrap());

    // Seven keys in the agent: sshd would hang up at the sixth.
    let unnamed = Target { identity: Vec::new(), ..sshd.target(&user) };
    let error = client.connect(&unnamed).await.err().unwrap();
    assert_eq!(error.kind(), FailureKind::Auth);
    assert!(error.to_string().contains("more keys were not offered"), "{error}");

    let only = format!(
        "{}IdentityFile {}\nIdentitiesOnly yes\n",
        std::fs::read_to_string(&config).unwrap(),
        user.path("rsa").display()
    );
    std::fs::write(&config, only).unwrap();
    let session = Client::new(options).unwrap().connect(&unnamed).await;
    assert!(session.is_ok(), "{}", session.err().unwrap());
    assert!(user.prompts().is_empty());
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[tokio::test]
async fn the_systems_ssh_does_the_same() {
    let user = User::new();
    let Some(sshd) = Sshd::start(&user, "") else { return };
    let target = Target { transport: crate::inventory::Transport::Openssh, ..sshd.target(&user) };
    let client = user.client();
    let session = client.connect(&target).await.unwrap_or_else(|error| panic!("{error}"));
    let (text, exit) = output(session.exec("echo there; exit 3").await.unwrap()).await;
    assert_eq!((text.as_str(), exit), ("there\n", Exit::Code(3)));
    let echo = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = echo.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = echo.accept().await {
            let (mut read, mut write) = stream.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut read, &mut write).await });
        }
    });
    let mut agent = None;
    for _ in ["forwarded by ssh", "piped by the agent"] {
        let mut stream = session.open_loopback(port).await.unwrap();
        stream.write_all(b"through").await.unwrap();
        let mut back = [0; 7];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"through");
        if agent.is_none() {
            agent = Some(session.launch(&fake()).await.unwrap());
        }
    }
    let agent = agent.unwrap();
    assert!(agent.uploaded_bytes > 0);
    assert_eq!(agent.leave(false).await, Leave { left: Some(vec![]), exit: Exit::Code(0) });
    session.close().await;
    assert!(session.is_closed());
    let log = std::fs::read_to_string(sshd.path("log")).unwrap();
    assert_eq!(log.matches("Accepted publickey").count(), 1, "{log}");

    std::fs::write(sshd.path("authorized"), "").unwrap();
    let error = client.connect(&target).await.err().unwrap();
    assert_eq!(error.kind(), FailureKind::Auth, "{error}");
    let changed = new_key(Algorithm::Ed25519).public_key().to_openssh().unwrap();
    std::fs::write(user.known_hosts(), format!("{} {changed}\n", sshd.name())).unwrap();
    let error = client.connect(&target).await.err().unwrap();
    assert_eq!(error.kind(), FailureKind::HostKey, "{error}");
    let error = client.connect(&Target { port: Some(1), ..target }).await.err().unwrap();
    assert_eq!(error.kind(), FailureKind::Refused, "{error}");
}
