use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use murder::demo::DemoFleet;

use crate::support::host::fleet;

/// OpenSSH's client for a made-up host, which must behave as any server does; `None` where it is not installed.
fn ssh(fleet: &DemoFleet, host: usize) -> Option<Command> {
    Command::new("ssh").arg("-V").stderr(Stdio::null()).status().ok()?;
    let host = &fleet.hosts()[host];
    let mut command = Command::new("ssh");
    command.args(["-F", "none", "-T", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]);
    command.args(["-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=/dev/null", "-o"]);
    command.arg(format!("UserKnownHostsFile={}", fleet.known_hosts().display()));
    command.arg("-i").arg(fleet.identity()).arg("-p").arg(host.address.port().to_string());
    command.arg("-l").arg(&host.user).arg(host.address.ip().to_string());
    Some(command)
}

/// Runs it with this input and answers what it said.
fn with_input(command: &mut Command, input: Vec<u8>) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    output
}

#[test]
fn openssh_runs_commands_on_made_up_hosts_and_moves_much_through_them() {
    let fleet = fleet(2, &[]);
    let Some(mut command) = ssh(&fleet, 0) else { return };
    let said = command.args(["echo out; echo err >&2; exit 9"]).output().unwrap();
    assert_eq!((said.stdout.as_slice(), said.status.code()), (&b"out\n"[..], Some(9)), "{said:?}");
    assert!(said.stderr.ends_with(b"err\n"));

    let bytes: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(20 << 20).collect();
    let said = with_input(ssh(&fleet, 1).unwrap().arg("cat > up; cat up; rm up"), bytes.clone());
    assert!(said.status.success() && said.stdout == bytes, "{} bytes came back", said.stdout.len());
    let said = with_input(ssh(&fleet, 1).unwrap().arg("cat"), bytes.clone());
    assert!(said.status.success() && said.stdout == bytes, "{} bytes came back", said.stdout.len());
}

#[test]
fn openssh_reaches_a_port_of_a_made_up_host_through_its_server() {
    let fleet = fleet(1, &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let Some(mut command) = ssh(&fleet, 0) else { return };
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = [0; 5];
        stream.read_exact(&mut text).unwrap();
        stream.write_all(b"you said ").unwrap();
        stream.write_all(&text).unwrap();
    });
    // -W must stand before the host.
    let arguments: Vec<_> = command.get_args().map(Path::new).map(Path::to_owned).collect();
    command = Command::new("ssh");
    let said = with_input(command.arg("-W").arg(&target).args(arguments), b"hello".to_vec());
    assert_eq!(said.stdout, b"you said hello", "{said:?}");
    server.join().unwrap();
}
