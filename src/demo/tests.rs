use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use russh::client::{self, AuthResult, Handle};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};
use russh::{Channel, ChannelMsg, Sig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::control::Phase;

/// Far longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

struct Client {
    known: String,
}

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        Ok(key.to_openssh().unwrap() == self.known)
    }
}

fn fleet(hosts: usize, faults: &[Option<Fault>]) -> (tempfile::TempDir, DemoFleet) {
    let base = tempfile::tempdir().unwrap();
    let options =
        DemoOptions { hosts, size: 1 << 20, base: Some(base.path().to_owned()), ..DemoOptions::default() };
    let fleet = DemoFleet::start_with(&options, faults).unwrap();
    (base, fleet)
}

async fn connect(fleet: &DemoFleet, host: usize) -> Result<Handle<Client>, russh::Error> {
    let known = fs::read_to_string(fleet.known_hosts()).unwrap();
    let known = known.lines().nth(host).unwrap().split_once(' ').unwrap().1.to_owned();
    let config = Arc::new(client::Config { nodelay: true, ..client::Config::default() });
    client::connect(config, fleet.hosts()[host].address, Client { known }).await
}

async fn may_log_in(fleet: &DemoFleet, handle: &mut Handle<Client>, user: &str) -> bool {
    let key = Arc::new(load_secret_key(fleet.identity(), None).unwrap());
    let key = PrivateKeyWithHashAlg::new(key, None);
    matches!(handle.authenticate_publickey(user, key).await, Ok(AuthResult::Success))
}

async fn log_in(fleet: &DemoFleet, host: usize) -> Handle<Client> {
    let mut handle = connect(fleet, host).await.unwrap();
    assert!(may_log_in(fleet, &mut handle, &fleet.hosts()[host].user).await);
    handle
}

#[derive(Debug, Default)]
struct Output {
    stdout: Vec<u8>,
    stderr: String,
    code: Option<u32>,
    signal: Option<String>,
}

impl Output {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap().trim_end()
    }
}

async fn collect(mut channel: Channel<client::Msg>) -> Output {
    let mut output = Output::default();
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => output.stdout.extend_from_slice(&data),
            ChannelMsg::ExtendedData { data, .. } => output.stderr.push_str(&String::from_utf8_lossy(&data)),
            ChannelMsg::ExitStatus { exit_status } => output.code = Some(exit_status),
            ChannelMsg::ExitSignal { signal_name, .. } => output.signal = Some(format!("{signal_name:?}")),
            _ => {}
        }
    }
    output
}

async fn run(handle: &Handle<Client>, command: &str) -> Output {
    let channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, command).await.unwrap();
    channel.eof().await.unwrap();
    tokio::time::timeout(LONG, collect(channel)).await.unwrap()
}

async fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A command that writes its process id to `file` and then stays, whatever its input does.
fn stay(file: &Path) -> String {
    format!("sleep 1000 & echo $! > {}; wait", file.display())
}

async fn pid_in(file: &Path) -> String {
    soon("the child's start", || fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n'))).await;
    fs::read_to_string(file).unwrap().trim().to_owned()
}

fn runs(pid: &str) -> bool {
    let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    rustix::process::test_kill_process(pid).is_ok() && state(pid) != Some('Z')
}

/// The letter of a process's state, where there is a /proc.
fn state(pid: rustix::process::Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_in_the_hosts_own_home_with_a_clean_environment() {
    let (_base, fleet) = fleet(2, &[]);
    let host = &fleet.hosts()[1];
    let handle = log_in(&fleet, 1).await;
    let seen = run(
        &handle,
        "echo $USER; pwd; echo $HOME; echo ${CARGO:-none} ${XDG_CACHE_HOME:-none}; echo $SSH_CONNECTION",
    )
    .await;
    let lines: Vec<&str> = seen.text().lines().collect();
    let home = host.home.to_str().unwrap();
    assert_eq!(lines[..4], [host.user.as_str(), home, home, "none none"]);
    let connection: Vec<&str> = lines[4].split(' ').collect();
    assert_eq!(connection.len(), 4);
    assert_eq!(format!("{}:{}", connection[2], connection[3]), host.address.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn output_errors_and_the_end_of_a_command_arrive_as_they_were() {
    let (_base, fleet) = fleet(1, &[]);
    let handle = log_in(&fleet, 0).await;
    let seen = run(&handle, "echo out; echo err >&2; exit 7").await;
    assert_eq!((seen.text(), seen.stderr.as_str(), seen.code), ("out", "err\n", Some(7)));
    let seen = run(&handle, "kill -TERM $$").await;
    assert_eq!((seen.signal.as_deref(), seen.code), (Some("TERM"), None));
    assert_eq!(run(&handle, "no-such-command").await.code, Some(127));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_of_the_client_reaches_the_command() {
    let (_base, fleet) = fleet(1, &[]);
    let handle = log_in(&fleet, 0).await;
    let mut channel = handle.channel_open_session().await.unwrap();
    channel
        .exec(true, "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.05; done")
        .await
        .unwrap();
    while !matches!(channel.wait().await.unwrap(), ChannelMsg::Data { .. }) {}
    channel.signal(Sig::TERM).await.unwrap();
    let seen = tokio::time::timeout(LONG, collect(channel)).await.unwrap();
    assert_eq!((seen.text(), seen.code), ("caught", Some(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_input_comes_back_whole_while_another_channel_is_used() {
    const SIZE: usize = 24 << 20;
    let (_base, fleet) = fleet(1, &[]);
    let handle = log_in(&fleet, 0).await;
    let data: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
    let channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, "cat").await.unwrap();
    let (mut reader, writer) = channel.split();
    let sent = data.clone();
    let sending = tokio::spawn(async move {
        writer.data(&sent[..]).await.unwrap();
        writer.eof().await.unwrap();
        writer
    });
    let mut back = Vec::with_capacity(SIZE);
    let reading = async {
        while let Some(message) = reader.wait().await {
            if let ChannelMsg::Data { data } = message {
                back.extend_from_slice(&data);
            }
        }
    };
    let (echo, ()) = tokio::join!(run(&handle, "echo beside"), async {
        tokio::time::timeout(LONG, reading).await.unwrap();
    });
    assert_eq!(echo.text(), "beside");
    assert!(back == data, "{} of {SIZE} bytes came back", back.len());
    drop(sending.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_takes_no_input_does_not_hold_up_the_connection() {
    let (base, fleet) = fleet(1, &[]);
    let handle = log_in(&fleet, 0).await;
    let file = base.path().join("pid");
    let deaf = handle.channel_open_session().await.unwrap();
    deaf.exec(true, stay(&file)).await.unwrap();
    let pid = pid_in(&file).await;
    let input = vec![1; 4 << 20];
    tokio::time::timeout(LONG, deaf.data(&input[..])).await.unwrap().unwrap();
    assert_eq!(run(&handle, "echo still here").await.text(), "still here");
    deaf.close().await.unwrap();
    drop(fleet);
    assert!(!runs(&pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_connection_is_gone_hears_the_end_of_its_input_and_goes_on_until_it_ends() {
    let (base, fleet) = fleet(1, &[]);
    let handle = log_in(&fleet, 0).await;
    let files = ["stays", "ends"].map(|name| base.path().join(name));
    let channels =
        [handle.channel_open_session().await.unwrap(), handle.channel_open_session().await.unwrap()];
    channels[0].exec(true, stay(&files[0])).await.unwrap();
    channels[1].exec(true, format!("echo $$ > {}; cat", files[1].display())).await.unwrap();
    let (stays, ends) = (pid_in(&files[0]).await, pid_in(&files[1]).await);
    assert!(runs(&stays) && runs(&ends));
    drop((handle, channels));
    soon("the end of what read its input", || !runs(&ends)).await;
    assert!(runs(&stays));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_when_the_fleet_ends() {
    let (base, fleet) = fleet(3, &[]);
    let handle = log_in(&fleet, 2).await;
    let file = base.path().join("pid");
    let channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, stay(&file)).await.unwrap();
    let pid = pid_in(&file).await;
    let folder = fleet.folder().to_owned();
    let address = fleet.hosts()[0].address;
    drop(fleet);
    assert!(!runs(&pid) && !folder.exists());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn loopback_ports_of_a_host_are_reached_through_it_and_no_others() {
    let (_base, fleet) = fleet(1, &[]);
    let handle = log_in(&fleet, 0).await;
    let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = u32::from(echo.local_addr().unwrap().port());
    let server = tokio::spawn(async move {
        let (mut stream, _) = echo.accept().await.unwrap();
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap();
    });
    let channel = handle.channel_open_direct_tcpip("127.0.0.1", port, "127.0.0.1", 1).await.unwrap();
    let mut stream = channel.into_stream();
    stream.write_all(b"to and fro").await.unwrap();
    let mut back = [0; 10];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"to and fro");
    drop(stream);
    tokio::time::timeout(LONG, server).await.unwrap().unwrap();

    assert!(
        handle.channel_open_direct_tcpip("127.0.0.1", port, "127.0.0.1", 1).await.is_err(),
        "nobody listens"
    );
    assert!(
        handle.channel_open_direct_tcpip("192.0.2.1", 80, "127.0.0.1", 1).await.is_err(),
        "not its loopback"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_lets_in_its_own_user_with_the_fleets_key_only() {
    let (_base, fleet) = fleet(2, &[]);
    let mut handle = connect(&fleet, 0).await.unwrap();
    assert!(!may_log_in(&fleet, &mut handle, &fleet.hosts()[1].user).await);
    let (_other_base, other) = self::fleet(1, &[]);
    let mut handle = connect(&fleet, 0).await.unwrap();
    assert!(!may_log_in(&other, &mut handle, &fleet.hosts()[0].user).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_way_in_last_until_they_are_healed() {
    let (_base, fleet) = fleet(3, &[Some(Fault::Refused), Some(Fault::Auth), Some(Fault::HostKey)]);
    for _ in 0..2 {
        assert!(matches!(
            connect(&fleet, 0).await,
            Err(russh::Error::IO(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused
        ));
        let mut handle = connect(&fleet, 1).await.unwrap();
        assert!(!may_log_in(&fleet, &mut handle, &fleet.hosts()[1].user).await);
        assert!(matches!(connect(&fleet, 2).await, Err(russh::Error::UnknownKey)));
    }
    for host in 0..3 {
        fleet.heal(host).unwrap();
        assert_eq!(run(&log_in(&fleet, host).await, "echo healed").await.text(), "healed");
        fleet.heal(host).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_on_the_host_last_until_they_are_healed() {
    let (_base, fleet) = fleet(2, &[Some(Fault::Permission), Some(Fault::Hook)]);
    let dest = fleet.hosts()[0].dest.display().to_string();
    let (make, hook) = (log_in(&fleet, 0).await, log_in(&fleet, 1).await);
    let refused = run(&make, &format!("mkdir {dest}")).await;
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("ermi") || refused.stderr.contains("ead-only"), "{}", refused.stderr);
    let failed = run(&hook, HOOK).await;
    assert_eq!(failed.code, Some(1));
    assert!(failed.stderr.contains("schema"), "{}", failed.stderr);
    for host in 0..2 {
        fleet.heal(host).unwrap();
    }
    assert_eq!(run(&make, &format!("mkdir {dest}")).await.code, Some(0));
    assert_eq!(run(&hook, HOOK).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_killed_in_the_middle_of_each_fetch_until_its_host_is_healed() {
    let (_base, fleet) = fleet(1, &[Some(Fault::Lost)]);
    let handle = log_in(&fleet, 0).await;
    for _ in 0..2 {
        let channel = handle.channel_open_session().await.unwrap();
        channel.exec(true, "echo running; exec cat").await.unwrap();
        let (mut reader, _writer) = channel.split();
        while !matches!(reader.wait().await.unwrap(), ChannelMsg::Data { .. }) {}
        fleet.progressed(0, Phase::Fetching, 0.1);
        fleet.progressed(0, Phase::Fetching, 0.5);
        let mut signal = None;
        while let Some(message) = tokio::time::timeout(LONG, reader.wait()).await.unwrap() {
            if let ChannelMsg::ExitSignal { signal_name, .. } = message {
                signal = Some(format!("{signal_name:?}"));
            }
        }
        assert_eq!(signal.as_deref(), Some("KILL"));
    }
    fleet.heal(0).unwrap();
    fleet.progressed(0, Phase::Fetching, 0.5);
    assert_eq!(run(&handle, "cat; echo done").await.text(), "done");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_agent_goes_on_when_its_host_is_healed_and_ends_with_the_fleet() {
    let (base, fleet) = fleet(2, &[Some(Fault::Stalled), Some(Fault::Stalled)]);
    let stopped = |pid: &str| {
        state(rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap()).is_some_and(|state| state == 'T')
    };
    let mut open = Vec::new();
    for host in 0..2 {
        let handle = log_in(&fleet, host).await;
        let file = base.path().join(format!("pid{host}"));
        let channel = handle.channel_open_session().await.unwrap();
        channel.exec(true, stay(&file)).await.unwrap();
        let pid = pid_in(&file).await;
        fleet.progressed(host, Phase::Fetching, 0.3);
        soon("the stop", || stopped(&pid)).await;
        open.push((handle, channel, pid));
    }
    fleet.heal(0).unwrap();
    soon("going on", || !stopped(&open[0].2)).await;
    let (handle, channel, pid) = open.remove(1);
    drop((handle, channel));
    drop(fleet);
    assert!(!runs(&pid));
}

#[test]
fn a_fleet_that_makes_no_sense_is_refused() {
    let start = |hosts, fail| DemoFleet::start(&DemoOptions { hosts, fail, ..DemoOptions::default() });
    assert!(matches!(start(0, 0), Err(DemoError::Hosts { .. })));
    assert!(matches!(start(100_000, 0), Err(DemoError::Hosts { .. })));
    assert!(matches!(start(3, 4), Err(DemoError::TooManyFaults { .. })));
    let huge = DemoOptions { size: u64::MAX / 4, ..DemoOptions::default() };
    assert!(matches!(DemoFleet::start(&huge), Err(DemoError::Space { .. })));
}

#[test]
fn two_hundred_hosts_stand_within_seconds_and_the_inventory_names_them_all() {
    let (_base, fleet) = fleet(200, &[]);
    let text = fleet.inventory();
    let read: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    let groups = read["groups"].as_mapping().unwrap();
    let named: usize = groups.values().map(|group| group["hosts"].as_sequence().unwrap().len()).sum();
    assert_eq!(named, 200);
    assert_eq!(read["hooks"]["before_activate"].as_str().unwrap(), HOOK);
    assert_eq!(read["defaults"]["identity"].as_str().unwrap(), fleet.identity().to_str().unwrap());
    for host in fleet.hosts() {
        assert!(std::net::TcpStream::connect(host.address).is_ok(), "{}", host.name);
    }
}
