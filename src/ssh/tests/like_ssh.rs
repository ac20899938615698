//! What `ssh` says of a host key and what we say, side by side.

use std::process::{Command, Stdio};

use crate::control::FailureKind;

use super::sshd::{Sshd, keygen};
use super::*;

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
async fn a_new_key_is_written_hashed_where_the_configuration_says_so_and_ssh_knows_it() {
    let user = User::new();
    let Some(sshd) = Sshd::start(&user, "") else { return };
    let config = user.path("config");
    let known_hosts = user.known_hosts();
    std::fs::write(&config, format!("UserKnownHostsFile {}\nHashKnownHosts yes\n", known_hosts.display()))
        .unwrap();
    let options = ClientOptions { config: ConfigSource::OpenSsh { file: Some(config) }, ..user.options() };
    let client = Client::new(options).unwrap();
    client.connect(&sshd.target(&user)).await.unwrap();
    client.close().await;
    assert!(std::fs::read_to_string(&known_hosts).unwrap().starts_with("|1|"));
    let found =
        Command::new("ssh-keygen").arg("-F").arg(sshd.name()).arg("-f").arg(known_hosts).output().unwrap();
    assert!(found.status.success());
}
