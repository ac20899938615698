use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::values::{
    Amount, Canary, ColorChoice, HostKeys, Notify, Output, Percent, PortRange, Theme, Transport, Unpack,
};
use super::{Expr, host};
use crate::text::{Kind, Mistake, no_word};
use crate::units;

/// Frames a second that the screen may draw; more is not seen, and floods a slow line.
const FPS_RANGE: std::ops::RangeInclusive<u8> = 1..=30;

/// A name of an account.
pub(super) const USER: Kind<String> = Kind {
    expected: "an account like deploy",
    parse: |text| {
        if text.is_empty() { Err(None) } else { host::check_user(text).map(str::to_owned).map_err(Some) }
    },
};

/// A name or an address.
pub(super) const ADDRESS: Kind<String> = Kind {
    expected: "a name or an address like 192.0.2.21",
    parse: |text| host::check_host(text).map(str::to_owned).map_err(|_| None),
};

/// The same for every host of a range.
pub(super) const ADDRESSES: Kind<String> = Kind {
    expected: "a name or an address like 192.0.2.21",
    parse: |text| {
        let addresses = super::expand(text).map_err(Some)?;
        let all = addresses.iter().all(|address| host::check_host(address).is_ok());
        if all { Ok(text.to_owned()) } else { Err(None) }
    },
};

/// A TCP port.
pub const PORT: Kind<u16> =
    Kind { expected: "a port from 1 to 65535", parse: |text| host::parse_port(text).map_err(|_| None) };

/// Jump hosts, nearest first; a comma separates them as in ssh's own `-J`.
pub(super) const JUMP: Kind<Vec<String>> = Kind {
    expected: "a jump host like bastion.example.com or user@bastion:2222, or none",
    parse: |text| {
        let hosts = text.split(',').map(str::trim);
        hosts.map(|host| host::HostName::parse(host).map(|_| host.to_owned()).map_err(Some)).collect()
    },
};

/// An address or a net.
pub(super) const SWARM: Kind<String> = Kind {
    expected: "an address like 10.0.0.7 or a net like 10.0.0.0/8",
    parse: |text| match text.split_once('/') {
        Some((address, prefix)) => {
            let longest = match address.parse::<IpAddr>() {
                Ok(IpAddr::V4(_)) => 32,
                Ok(IpAddr::V6(_)) => 128,
                Err(_) => return Err(None),
            };
            let fits = prefix.parse::<u8>().is_ok_and(|prefix| prefix <= longest);
            if fits { Ok(text.to_owned()) } else { Err(None) }
        }
        None if text.parse::<IpAddr>().is_ok() => Ok(text.to_owned()),
        None => Err(None),
    },
};

/// The same for every host of a range.
pub(super) const SWARMS: Kind<String> = Kind {
    expected: SWARM.expected,
    parse: |text| {
        let addresses = super::expand(text).map_err(Some)?;
        let all = addresses.iter().all(|address| (SWARM.parse)(address).is_ok());
        if all { Ok(text.to_owned()) } else { Err(None) }
    },
};

/// A file on the operator's machine; `~/` is the home folder.
pub(super) const IDENTITY: Kind<String> =
    Kind { expected: "a file like ~/.ssh/id_ed25519", parse: |text| path(text) };

/// A rack, or any word for "near each other".
pub(super) const RACK: Kind<String> = Kind { expected: "a name like r1", parse: |text| path(text) };

/// The value of a label.
pub(super) const LABEL: Kind<String> = Kind {
    expected: "a text on one line",
    parse: |text| if text.contains(char::is_control) { Err(None) } else { Ok(text.to_owned()) },
};

/// What an expression can name: a group, a label.
pub(super) const WORD: Kind<String> = Kind {
    expected: "a name of letters, digits, `.`, `_`, `-` and `/`",
    parse: |text| {
        let plain = |c: char| c.is_alphanumeric() || "._-/".contains(c);
        (!text.is_empty() && text.chars().all(plain)).then(|| text.to_owned()).ok_or(None)
    },
};

/// How to become root.
pub(super) const BECOME: Kind<bool> = Kind {
    expected: "sudo or none",
    parse: |text| match text {
        "sudo" => Ok(true),
        "none" => Ok(false),
        _ => no_word(text, &["sudo", "none"]),
    },
};

/// Whether the user's ssh configuration counts.
pub(super) const SSH_CONFIG: Kind<bool> = Kind {
    expected: "none, or user for the user's own configuration",
    parse: |text| match text {
        "user" => Ok(true),
        "none" => Ok(false),
        _ => no_word(text, &["user", "none"]),
    },
};

/// Who speaks SSH.
pub(super) const TRANSPORT: Kind<Transport> =
    Kind { expected: "russh or openssh", parse: |text| word(text, Transport::WORDS, Transport::from_word) };

/// Lines for a shell; nothing is no hook.
pub(super) const SHELL: Kind<Option<String>> = Kind {
    expected: "a line for the shell",
    parse: |text| {
        if text.contains('\0') {
            Err(None)
        } else {
            Ok(Some(text.to_owned()).filter(|text| !text.trim().is_empty()))
        }
    },
};

/// Yes or no.
pub const BOOL: Kind<bool> = Kind {
    expected: "true or false",
    parse: |text| match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => no_word(text, &["true", "false"]),
    },
};

/// The folder of releases on a host.
pub const DEST: Kind<String> = Kind {
    expected: "an absolute folder like /srv/app",
    parse: |text| {
        if !text.starts_with('/') || text.contains(char::is_control) {
            return Err(None);
        }
        match without_climbing(text) {
            None => Ok(text.to_owned()),
            Some(meant) => Err(Some(Mistake::hint(format!(
                "`..` is refused, for where it leads depends on the links of each host: write the folder itself, {meant}"
            )))),
        }
    },
};

/// The name of a release.
pub const TAG: Kind<String> =
    Kind { expected: "a name without `/` and without a leading `.`", parse: |text| file_name(text) };

/// The name of the link to the release in use.
pub const LINK: Kind<String> = Kind {
    expected: "a name like current, without `/`, without a leading `.`, and not releases",
    parse: |text| if text == "releases" { Err(None) } else { file_name(text) },
};

/// How many hosts are activated at a time.
pub const BATCH: Kind<Amount> = Kind {
    expected: "a number of hosts like 10, or a share like 25%",
    parse: |text| {
        let some = |amount: &Amount| !matches!(amount, Amount::Count(0) | Amount::Percent(0));
        Amount::parse(text).filter(some).ok_or(None)
    },
};

/// How many hosts may fail.
pub const MAX_FAIL: Kind<Amount> = Kind {
    expected: "a number of hosts like 3, or a share like 5%",
    parse: |text| Amount::parse(text).ok_or(None),
};

/// The share of hosts that opens the barrier.
pub const QUORUM: Kind<Percent> = Kind {
    expected: "a share of the hosts from 1% to 100%",
    parse: |text| Percent::parse(text).filter(|share| share.0 > 0).ok_or(None),
};

/// The hosts that go first.
pub const CANARY: Kind<Canary> = Kind {
    expected: "a number of hosts, or an expression like web01 or ring=canary",
    parse: |text| match text.parse::<u32>() {
        Ok(0) => Err(None),
        Ok(count) => Ok(Canary::Count(count)),
        Err(_) => Expr::parse(text).map(|_| Canary::Hosts(text.to_owned())).map_err(Some),
    },
};

/// An expression that selects hosts.
pub const EXPRESSION: Kind<String> = Kind {
    expected: "hosts like web[01-20]*, groups, or label=value, joined by `,` (or), `&` (and), `!` (not)",
    parse: |text| Expr::parse(text).map(|_| text.to_owned()).map_err(Some),
};

/// How many releases stay.
pub const KEEP: Kind<u32> = Kind { expected: "a number of releases like 5", parse: |text| digits(text) };

/// How often a host is tried again.
pub const RETRIES: Kind<u32> = Kind {
    expected: "a number of retries from 0 to 100",
    parse: |text| digits(text).and_then(|number| if number > 100 { Err(None) } else { Ok(number) }),
};

/// How many hosts are dialled at once.
pub const FANOUT: Kind<u32> =
    Kind { expected: "a number of hosts from 1 to 10000", parse: |text| positive(text, 10_000) };

/// Bytes a second.
pub const RATE: Kind<u64> = Kind {
    expected: "bytes a second like 4M, or bits like 100mbit",
    parse: |text| units::parse_rate(text).map_err(|_| None),
};

/// Ports for the swarm.
pub const PORTS: Kind<PortRange> = Kind {
    expected: "two ports like 7000-7100, the lower one first",
    parse: |text| PortRange::parse(text).ok_or(None),
};

/// A stretch of time that is not nothing.
pub const DURATION: Kind<Duration> = Kind {
    expected: "a time like 10s, 2m or 1h30m",
    parse: |text| units::parse_duration(text).ok().filter(|time| !time.is_zero()).ok_or(None),
};

/// What is unpacked.
pub const UNPACK: Kind<Unpack> =
    Kind { expected: "auto, always or never", parse: |text| word(text, Unpack::WORDS, Unpack::from_word) };

/// A pattern of files to leave out.
pub const GLOB: Kind<String> = Kind { expected: "a pattern like *.log or /tmp", parse: |text| path(text) };

/// What becomes of unknown host keys.
pub const HOST_KEYS: Kind<HostKeys> =
    Kind { expected: "strict or accept-new", parse: |text| word(text, HostKeys::WORDS, HostKeys::from_word) };

/// A file on the operator's machine.
pub const FILE: Kind<PathBuf> = Kind { expected: "a file", parse: |text| path(text).map(PathBuf::from) };

/// A file for the report; its ending says in which form.
pub const REPORT: Kind<PathBuf> = Kind {
    expected: "a file that ends in .md, .html or .json",
    parse: |text| {
        let known =
            Path::new(text).extension().is_some_and(|end| ["md", "html", "json"].iter().any(|e| end == *e));
        if known { Ok(PathBuf::from(text)) } else { Err(None) }
    },
};

/// The face of a run.
pub const OUTPUT: Kind<Output> = Kind {
    expected: "auto, tui, plain, json or quiet",
    parse: |text| word(text, Output::WORDS, Output::from_word),
};

/// Whether there are colours.
pub const COLOR: Kind<ColorChoice> = Kind {
    expected: "auto, always or never",
    parse: |text| word(text, ColorChoice::WORDS, ColorChoice::from_word),
};

/// The colours of the screen.
pub const THEME: Kind<Theme> = Kind {
    expected: "default, dark, light, high-contrast, color-blind or mono",
    parse: |text| word(&text.replace("colour", "color"), Theme::WORDS, Theme::from_word),
};

/// How the first failure and the end are told.
pub const NOTIFY: Kind<Notify> = Kind {
    expected: "none, bell, osc9 or osc777",
    parse: |text| word(text, Notify::WORDS, Notify::from_word),
};

/// Frames a second.
pub const FPS: Kind<u8> = Kind {
    expected: "a number of frames a second from 1 to 30",
    parse: |text| digits(text).and_then(|fps| if FPS_RANGE.contains(&fps) { Ok(fps) } else { Err(None) }),
};

/// How much is said.
pub const VERBOSE: Kind<u8> = Kind { expected: "a number from 0 to 3", parse: |text| digits(text) };

/// One of a few words.
pub(super) fn word<T>(text: &str, words: &[&str], read: fn(&str) -> Option<T>) -> Result<T, Option<Mistake>> {
    read(text).map_or_else(|| no_word(text, words), Ok)
}

/// The path without its `..`, as it reads; `None` if it has none.
fn without_climbing(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    path.split('/').any(|part| part == "..").then(|| format!("/{}", parts.join("/")))
}

fn non_empty(text: &str) -> Result<String, Option<Mistake>> {
    if text.is_empty() { Err(None) } else { Ok(text.to_owned()) }
}

fn path(text: &str) -> Result<String, Option<Mistake>> {
    if text.contains(char::is_control) { Err(None) } else { non_empty(text) }
}

/// Longest name of a release or link: what a file may be called.
const MAX_FILE_NAME: usize = 255;

fn file_name(text: &str) -> Result<String, Option<Mistake>> {
    let odd = text.starts_with('.') || text.contains('/') || text.len() > MAX_FILE_NAME;
    if odd { Err(None) } else { path(text) }
}

fn digits<T: std::str::FromStr>(text: &str) -> Result<T, Option<Mistake>> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain).ok_or(None)
}

fn positive(text: &str, most: u32) -> Result<u32, Option<Mistake>> {
    digits(text).and_then(|number| if (1..=most).contains(&number) { Ok(number) } else { Err(None) })
}
