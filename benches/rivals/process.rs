use std::fs;

use crate::payload::Outcome;

/// The kernel tells times in this unit.
const TICKS_A_SECOND: f64 = 100.0;

/// Seconds of CPU that a process has used so far, kernel and all threads included.
pub(crate) fn cpu_seconds(process: u32) -> Outcome<f64> {
    times(process, 11)
}

/// The same of those of its children that it has seen end.
pub(crate) fn cpu_seconds_of_children(process: u32) -> Outcome<f64> {
    times(process, 13)
}

/// Two neighbouring times of `/proc/PID/stat`, counted from the state behind the name.
fn times(process: u32, first: usize) -> Outcome<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = text.rsplit_once(") ").ok_or("no process status")?;
    let mut ticks = 0;
    for field in fields.split_whitespace().skip(first).take(2) {
        ticks += field.parse::<u64>()?;
    }
    Ok(ticks as f64 / TICKS_A_SECOND)
}

/// The most memory that a process has had, bytes.
pub(crate) fn peak_memory(process: u32) -> Outcome<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak memory")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}

/// Processes of that name in the network of `keeper`.
pub(crate) fn named(name: &str, keeper: u32) -> Outcome<Vec<u32>> {
    let network = fs::read_link(format!("/proc/{keeper}/ns/net"))?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let is = fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|comm| comm.trim() == name);
        if is && fs::read_link(format!("/proc/{process}/ns/net")).is_ok_and(|other| other == network) {
            found.push(process);
        }
    }
    Ok(found)
}

/// Whether a process' network listens at a port.
pub(crate) fn listens(process: u32, port: u16) -> bool {
    let text = fs::read_to_string(format!("/proc/{process}/net/tcp")).unwrap_or_default();
    let local = format!(":{port:04X}");
    text.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        // 0A is LISTEN.
        fields.next().is_some_and(|address| address.ends_with(&local)) && fields.nth(1) == Some("0A")
    })
}
