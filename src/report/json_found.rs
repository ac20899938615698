use serde::Serialize;

use crate::control::{HostId, Release};
use crate::deploy::{Checkup, Cleaned, Found};

/// What an errand found on a host, as an object of a type of its own.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum FoundObject<'a> {
    Checked {
        host: &'a str,
        free_bytes: u64,
        free_inodes: Option<u64>,
        current: Option<&'a str>,
        /// Seconds that the host's clock goes before the operator's.
        clock_offset: Option<f64>,
        reaches: Vec<String>,
        blocked: Vec<Blocked<'a>>,
    },
    Releases {
        host: &'a str,
        releases: Vec<Listed<'a>>,
    },
    Cleaned {
        host: &'a str,
        #[serde(flatten)]
        cleaned: &'a Cleaned,
    },
}

/// A swarm port that was not reached.
#[derive(Serialize)]
pub(super) struct Blocked<'a> {
    host: String,
    message: &'a str,
}

/// A release on a host.
#[derive(Serialize)]
pub(super) struct Listed<'a> {
    tag: &'a str,
    current: bool,
    previous: Option<&'a str>,
    bytes: Option<u64>,
    manifest: Option<&'a str>,
    staged_at: Option<u64>,
    activated_at: Option<u64>,
}

impl<'a> FoundObject<'a> {
    pub(super) fn new(host: &'a str, found: &'a Found, name: &dyn Fn(HostId) -> String) -> Self {
        match found {
            Found::Checkup(checkup) => Self::checked(host, checkup, name),
            Found::Releases { releases } => {
                Self::Releases { host, releases: releases.iter().map(Listed::new).collect() }
            }
            Found::Cleaned(cleaned) => Self::Cleaned { host, cleaned },
        }
    }

    fn checked(host: &'a str, checkup: &'a Checkup, name: &dyn Fn(HostId) -> String) -> Self {
        let blocked = checkup.blocked.iter();
        Self::Checked {
            host,
            free_bytes: checkup.free_bytes,
            free_inodes: checkup.free_inodes,
            current: checkup.current.as_deref(),
            clock_offset: checkup.clock_offset_ms.map(|offset| offset as f64 / 1000.0),
            reaches: checkup.reaches.iter().map(|id| name(*id)).collect(),
            blocked: blocked.map(|(id, message)| Blocked { host: name(*id), message }).collect(),
        }
    }
}

impl<'a> Listed<'a> {
    fn new(release: &'a Release) -> Self {
        Self {
            tag: &release.tag,
            current: release.current,
            previous: release.previous.as_deref(),
            bytes: release.bytes,
            manifest: release.manifest.as_deref(),
            staged_at: release.staged_at,
            activated_at: release.activated_at,
        }
    }
}
