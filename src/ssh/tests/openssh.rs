//! Against OpenSSH as it is installed: an sshd of the user's own on a high port. Skipped, and said so, where there is none.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::control::FailureKind;

use super::agent::fake;
use super::*;

/// An sshd that ends with the test.
struct Sshd {
    folder: TempDir,
    port: u16,
    daemon: Child,
}

impl Sshd {
    /// Starts one that knows the user's key; `None` where OpenSSH's server is not installed or may not run.
    fn start(user: &User, more: &str) -> Option<Self> {
        Self::start_with(user, &["ed25519"], more)
    }

    /// Starts one with host keys of these kinds.
    fn start_with(user: &User, kinds: &[&str], more: &str) -> Option<Self> {
        let program = installed("sshd")?;
        installed("ssh")?;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut host_keys = String::new();
        for kind in kinds {
            let file = path(&format!("host_{kind}"));
            keygen(&["-t", kind, "-f", &file]);
            host_keys += &format!("HostKey {file}\n");
        }
        std::fs::write(path("authorized"), user.key.public_key().to_openssh().unwrap() + "\n").unwrap();
        std::fs::create_dir(path("home")).unwrap();
        // Bound until sshd is about to start, so that no other test has the port.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "{more}\nPort {port}\nListenAddress 127.0.0.1\n{host_keys}PidFile none\nUsePAM no\n\
             StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
             AuthorizedKeysFile {}\nSetEnv HOME={}\nLogLevel VERBOSE\n",
            path("authorized"),
            path("home"),
        );
        std::fs::write(path("config"), config).unwrap();
        if rustix::process::getuid().is_root() {
            // What the service would make.
            let _ = std::fs::create_dir_all("/run/sshd");
        }
        let mut daemon = Command::new(program)
            .args(["-D", "-f", &path("config"), "-E", &path("log")])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..500 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(Self { folder, port, daemon });
            }
            if daemon.try_wait().unwrap().is_some() {
                eprintln!(
                    "skipped: sshd does not run here: {}",
                    std::fs::read_to_string(path("log")).unwrap()
                );
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("sshd does not answer");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A host key's line in known_hosts.
    fn known(&self, kind: &str, hosts: &str) -> String {
        let key = std::fs::read_to_string(self.path(&format!("host_{kind}.pub"))).unwrap();
        format!("{hosts} {key}")
    }

    fn name(&self) -> String {
        format!("[127.0.0.1]:{}", self.port)
    }

    fn target(&self, user: &User) -> Target {
        Target { user: Some(Local::from_environment().user), ..user.target(self.port) }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn keygen(arguments: &[&str]) {
    let mut command = Command::new("ssh-keygen");
    command.arg("-q").args(arguments);
    if !arguments.contains(&"-N") && arguments.contains(&"-t") {
        command.args(["-N", ""]);
    }
    assert!(
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success(),
        "{arguments:?}"
    );
}

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
    assert_eq!(agent.leave(true).await, Leave { left: vec![], exit: Exit::Code(0) });
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
async fn a_user_certificate_logs_in_from_file() {
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
}

/// An ssh-agent that holds these keys, and its socket.
fn ssh_agent(user: &User, keys: &[&str]) -> Option<(Child, PathBuf)> {
    let socket = user.path("agent.sock");
    let agent = Command::new(installed("ssh-agent")?)
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !socket.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    for key in keys {
        let added = Command::new("ssh-add")
            .arg(user.path(key))
            .env("SSH_AUTH_SOCK", &socket)
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(added.success());
    }
    Some((agent, socket))
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
    let behaviour =
        super::server::Behaviour { keys: vec![user.key.public_key().clone()], ..Default::default() };
    let server = super::server::Server::start(behaviour).await;
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
    let closed = super::server::Server::start(Default::default()).await;
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
async fn known_hosts_counts_as_for_ssh_itself() {
    let user = User::new();
    let Some(sshd) = Sshd::start_with(&user, &["ed25519", "ecdsa", "rsa"], "") else { return };
    let (name, bare, other) = (sshd.name(), "127.0.0.1", new_key(Algorithm::Ed25519));
    let other = |hosts: &str| format!("{hosts} {}\n", other.public_key().to_openssh().unwrap());
    let known = |kind: &str, hosts: &str| sshd.known(kind, hosts);
    let hashed = {
        let path = user.path("hashed");
        std::fs::write(&path, known("ed25519", &name)).unwrap();
        keygen(&["-H", "-f", &path.display().to_string()]);
        std::fs::read_to_string(path).unwrap()
    };
    let cases = [
        ("nothing", String::new()),
        ("plain", known("ed25519", &name)),
        ("hashed", hashed),
        ("rsa alone", known("rsa", &name)),
        ("ecdsa alone", known("ecdsa", &name)),
        ("without the port", known("ed25519", bare)),
        ("wildcards", known("ed25519", "[127.0.0.*]:*")),
        ("question mark", known("ed25519", &format!("[127.0.0.?]:{}", sshd.port))),
        ("star for all", known("ed25519", "*")),
        ("negated", known("ed25519", &format!("*,!{name}"))),
        ("negated first", known("ed25519", &format!("!{name},*"))),
        ("another is negated", known("ed25519", &format!("*,!{bare}"))),
        ("changed", other(&name)),
        ("changed without the port", other(bare)),
        ("changed and right", other(&name) + &known("ed25519", &name)),
        ("another kind is changed", other(&name) + &known("rsa", &name)),
        ("revoked", known("ed25519", &name) + "@revoked " + &known("ed25519", "*")),
        ("another is revoked", known("ed25519", &name) + "@revoked " + &other("*")),
        ("tabs", known("ed25519", &name).replace(' ', "\t")),
        ("indented, with a comment", format!("# c\n\n   {}", known("ed25519", &name))),
        ("unknown marker", format!("@whatever {}", known("ed25519", &name))),
        ("upper case", known("ed25519", &name).to_uppercase().replacen("SSH-ED25519", "ssh-ed25519", 1)),
        ("no newline at the end", known("ed25519", &name).trim_end().to_owned()),
        ("wrong kind before the key", known("ed25519", &name).replace("ssh-ed25519", "ssh-rsa")),
    ];
    for (case, text) in cases {
        std::fs::write(user.known_hosts(), &text).unwrap();
        let theirs = Command::new("ssh")
            .args(["-F", "none", "-T", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
            .args([
                "-o",
                "GlobalKnownHostsFile=none",
                "-o",
                "IdentityAgent=none",
                "-o",
                "UpdateHostKeys=no",
                "-o",
            ])
            .arg(format!("UserKnownHostsFile={}", user.known_hosts().display()))
            .arg("-i")
            .arg(user.path("id"))
            .args(["-p", &sshd.port.to_string(), bare, "true"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success();
        let options = ClientOptions { host_keys: Some(HostKeyPolicy::Strict), ..user.options() };
        let ours = Client::new(options).unwrap().connect(&sshd.target(&user)).await;
        if let Err(error) = &ours {
            assert_eq!(error.kind(), FailureKind::HostKey, "{case}: {error}");
        }
        assert_eq!(ours.is_ok(), theirs, "{case}: ssh says {theirs}; we: {:?}", ours.err());
    }
}

#[tokio::test]
async fn a_host_certificate_counts_as_for_ssh_itself() {
    let user = User::new();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    if installed("ssh-keygen").is_none() {
        return;
    }
    keygen(&["-t", "ed25519", "-f", &path("ca")]);
    keygen(&["-t", "ed25519", "-f", &path("other_ca")]);
    for (case, principals, validity, hosts) in [
        ("right", "127.0.0.1", "-1m:+1h", "127.0.0.1"),
        ("with the port", "127.0.0.1", "-1m:+1h", "[127.0.0.1]:*"),
        ("another name", "web01", "-1m:+1h", "*"),
        ("a pattern as name", "127.0.0.*", "-1m:+1h", "*"),
        ("any name", "", "-1m:+1h", "*"),
        ("expired", "127.0.0.1", "-2h:-1h", "*"),
        ("other hosts", "127.0.0.1", "-1m:+1h", "10.*"),
    ] {
        let key = path(&format!("host {case}").replace(' ', "_"));
        keygen(&["-t", "ed25519", "-f", &key]);
        let public = key.clone() + ".pub";
        let ca = path("ca");
        let mut sign = vec!["-s", &ca, "-h", "-I", "host", "-V", validity];
        if !principals.is_empty() {
            sign.extend(["-n", principals]);
        }
        sign.push(&public);
        keygen(&sign);
        let Some(sshd) = Sshd::start(&user, &format!("HostKey {key}\nHostCertificate {key}-cert.pub")) else {
            return;
        };
        let authority = std::fs::read_to_string(path("ca.pub")).unwrap();
        std::fs::write(user.known_hosts(), format!("@cert-authority {hosts} {authority}")).unwrap();
        let theirs = Command::new("ssh")
            .args(["-F", "none", "-T", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
            .args(["-o", "GlobalKnownHostsFile=none", "-o", "IdentityAgent=none", "-o"])
            .arg(format!("UserKnownHostsFile={}", user.known_hosts().display()))
            .arg("-i")
            .arg(user.path("id"))
            .args(["-p", &sshd.port.to_string(), "127.0.0.1", "true"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success();
        let options = ClientOptions { host_keys: Some(HostKeyPolicy::Strict), ..user.options() };
        let ours = Client::new(options).unwrap().connect(&sshd.target(&user)).await;
        assert_eq!(ours.is_ok(), theirs, "{case}: ssh says {theirs}; we: {:?}", ours.err());
    }
}

#[tokio::test]
async fn the_systems_ssh_does_the_same() {
    let user = User::new();
    let Some(sshd) = Sshd::start(&user, "") else { return };
    let target = Target { transport: Transport::Openssh, ..sshd.target(&user) };
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
    assert_eq!(agent.leave(false).await, Leave { left: vec![], exit: Exit::Code(0) });
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
