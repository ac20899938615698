use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::host::{assert_active, fleet};
use crate::support::operator::Operator;
use crate::support::terminal::Terminal;
use crate::support::tree;

/// What nobody but the user, `murder` and the key's file may know.
const SECRET: &str = "Xylophon-9417-zebra";

/// Files below a folder that hold these bytes.
fn holding(folder: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(holding(&path, bytes));
        } else if kind.is_file() && fs::read(&path).is_ok_and(|content| contains(&content, bytes)) {
            found.push(path);
        }
    }
    found
}

fn contains(content: &[u8], bytes: &[u8]) -> bool {
    content.windows(bytes.len()).any(|window| window == bytes)
}

/// Processes whose arguments or environment hold these bytes, of those that this user may look into.
fn processes_holding(bytes: &[u8]) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let says = |process: &PathBuf| {
        ["cmdline", "environ"]
            .iter()
            .any(|file| fs::read(process.join(file)).is_ok_and(|content| contains(&content, bytes)))
    };
    processes.filter(says).collect()
}

/// Gives a key file a passphrase; says whether there is a tool that can.
fn lock(key: &Path) -> bool {
    let arguments = ["-p", "-q", "-P", "", "-N", SECRET, "-f"];
    Command::new("ssh-keygen").args(arguments).arg(key).output().is_ok_and(|done| done.status.success())
}

#[test]
fn what_a_user_types_is_in_no_record_log_argument_or_environment() {
    let fleet = fleet(2, &[]);
    let operator = Operator::of_fleet(&fleet);
    let key = operator.path("home/.ssh/id_locked");
    fs::copy(fleet.identity(), &key).unwrap();
    if !lock(&key) {
        return;
    }
    let own = fleet.identity().to_str().unwrap();
    operator.has_inventory(&fleet.inventory().replace(own, key.to_str().unwrap()));
    tree::make(&operator.path("app"), 1 << 20);

    let deploy = ["deploy", "app", "--tag", "v1", "--hold", "-vv", "--output", "plain"];
    let mut terminal = Terminal::run(&operator, &deploy, 160, 50);
    terminal.reads("passphrase");
    terminal.types(&format!("{SECRET}\r"));
    terminal.reads("2 staged");
    let run = fs::read_dir(operator.path("state/murder/runs")).unwrap().next().unwrap().unwrap().path();
    let name = run.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(processes_holding(SECRET.as_bytes()), [""; 0].map(PathBuf::from));
    assert_ne!(
        processes_holding(b"id_locked").len() + processes_holding(b"--hold").len(),
        0,
        "the search works"
    );
    terminal.types("\x03");
    let ended = terminal.ends();
    assert_eq!(ended.code, 7, "{}", ended.text);

    assert!(!ended.text.contains(SECRET));
    for folder in [operator.path(""), fleet.folder().to_owned()] {
        assert_eq!(holding(&folder, SECRET.as_bytes()), [""; 0].map(PathBuf::from));
    }
    assert!(holding(&run, name.as_bytes()).len() >= 3, "the search works: the record names its run");
    let trace = fs::read_to_string(run.join("trace.log")).unwrap();
    assert!(trace.contains("logged in") && trace.contains("DEBUG"), "-vv traces much:\n{trace}");
    for host in fleet.hosts() {
        assert!(!host.dest.join("current").exists());
    }
    operator.has_inventory(&fleet.inventory());
    operator.run(&["activate", "v1"]).exits(0);
    assert_active(&fleet.hosts()[0].dest, "v1", &operator.path("app"));
}
