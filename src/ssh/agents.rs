use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// Built by build.rs: platform, SHA-256 of the binary in hex, the binary gzipped.
const EMBEDDED: &[(&str, &str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/agents.rs"));

/// Names of Rust's platforms and what `uname -s` and `uname -m` call them.
const SYSTEMS: [(&str, &str); 4] =
    [("linux", "Linux"), ("macos", "Darwin"), ("freebsd", "FreeBSD"), ("openbsd", "OpenBSD")];
const MACHINES: [(&str, &[&str]); 7] = [
    ("x86_64", &["x86_64", "amd64"]),
    ("aarch64", &["aarch64", "arm64"]),
    ("arm", &["armv7l", "armv6l", "armv8l"]),
    ("x86", &["i686", "i586", "i386"]),
    ("riscv64", &["riscv64"]),
    ("powerpc64", &["ppc64le"]),
    ("s390x", &["s390x"]),
];

/// The agents that can be sent to hosts, by platform. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AgentBinaries {
    agents: Arc<BTreeMap<String, AgentBinary>>,
}

/// One platform's agent.
#[derive(Debug)]
pub(super) struct AgentBinary {
    /// SHA-256 of the binary, hex.
    pub(super) hash: String,
    packed: Bytes,
    unpacked: OnceLock<Bytes>,
}

impl AgentBinaries {
    /// The agents that were built into this program.
    pub fn embedded() -> Self {
        let agents = EMBEDDED.iter().map(|(platform, hash, packed)| {
            let packed = Bytes::from_static(packed);
            (
                (*platform).to_owned(),
                AgentBinary { hash: (*hash).to_owned(), packed, unpacked: OnceLock::new() },
            )
        });
        Self { agents: Arc::new(agents.collect()) }
    }

    /// The embedded agents, and over them those of the folder that `MURDER_AGENTS` names, files `murder-agent-<os>-<arch>`.
    pub fn from_environment() -> std::io::Result<Self> {
        match std::env::var_os("MURDER_AGENTS").filter(|folder| !folder.is_empty()) {
            Some(folder) => Self::embedded().with_folder(Path::new(&folder)),
            None => Ok(Self::embedded()),
        }
    }

    /// Adds the agents of a folder, files `murder-agent-<os>-<arch>`; they go before the ones that are there.
    pub fn with_folder(self, folder: &Path) -> std::io::Result<Self> {
        let mut given = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if let Some(platform) = name.to_str().and_then(|name| name.strip_prefix("murder-agent-")) {
                given.push((platform.to_owned(), std::fs::read(entry.path())?));
            }
        }
        self.with(given)
    }

    /// Adds agents given as bytes, by platform (`linux-x86_64`).
    pub fn with(self, given: impl IntoIterator<Item = (String, Vec<u8>)>) -> std::io::Result<Self> {
        let mut agents = BTreeMap::new();
        for (platform, binary) in given {
            let hash = hex(&Sha256::digest(&binary));
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            gzip.write_all(&binary)?;
            let packed = Bytes::from(gzip.finish()?);
            agents.insert(platform, AgentBinary { hash, packed, unpacked: OnceLock::new() });
        }
        for (platform, agent) in self.agents.iter() {
            let copy = || AgentBinary {
                hash: agent.hash.clone(),
                packed: agent.packed.clone(),
                unpacked: OnceLock::new(),
            };
            agents.entry(platform.clone()).or_insert_with(copy);
        }
        Ok(Self { agents: Arc::new(agents) })
    }

    /// No agent at all.
    pub fn none() -> Self {
        Self { agents: Arc::default() }
    }

    /// Platforms, `os-arch`.
    pub fn platforms(&self) -> impl Iterator<Item = &str> {
        self.agents.keys().map(String::as_str)
    }

    /// Bytes that each takes on its way to a host, by platform.
    pub fn packed_sizes(&self) -> impl Iterator<Item = (&str, usize)> {
        self.agents.iter().map(|(platform, agent)| (platform.as_str(), agent.packed.len()))
    }

    /// `Linux.x86_64=HASH …`, every name that `uname` may give.
    pub(super) fn by_uname(&self) -> String {
        let mut list = Vec::new();
        for (platform, agent) in self.agents.iter() {
            let Some((os, arch)) = platform.split_once('-') else { continue };
            let systems = SYSTEMS.iter().filter(|(name, _)| *name == os);
            for (_, system) in systems {
                let machines =
                    MACHINES.iter().filter(|(name, _)| *name == arch).flat_map(|(_, names)| *names);
                list.extend(machines.map(|machine| format!("{system}.{machine}={}", agent.hash)));
            }
        }
        list.join(" ")
    }

    /// The agent for what `uname -s` and `uname -m` said.
    pub(super) fn for_uname(&self, system: &str, machine: &str) -> Option<&AgentBinary> {
        let (os, _) = SYSTEMS.iter().find(|(_, name)| *name == system)?;
        let (arch, _) = MACHINES.iter().find(|(_, names)| names.contains(&machine))?;
        self.agents.get(&format!("{os}-{arch}"))
    }
}

impl AgentBinary {
    /// As it is sent to a host that has gzip.
    pub(super) fn packed(&self) -> Bytes {
        self.packed.clone()
    }

    /// As it is sent to a host that has not.
    pub(super) fn unpacked(&self) -> std::io::Result<Bytes> {
        if let Some(bytes) = self.unpacked.get() {
            return Ok(bytes.clone());
        }
        let mut binary = Vec::new();
        flate2::read::GzDecoder::new(&*self.packed).read_to_end(&mut binary)?;
        Ok(self.unpacked.get_or_init(|| Bytes::from(binary)).clone())
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_agent_is_what_its_hash_says() {
        let agents = AgentBinaries::embedded();
        for (platform, agent) in agents.agents.iter() {
            assert_eq!(hex(&Sha256::digest(agent.unpacked().unwrap())), agent.hash, "{platform}");
        }
        assert!(agents.platforms().count() > 0);
    }

    #[test]
    fn agents_are_found_by_what_uname_says() {
        let agents = AgentBinaries::none()
            .with([("linux-aarch64".to_owned(), b"a".to_vec()), ("macos-aarch64".to_owned(), b"m".to_vec())])
            .unwrap();
        let hash = |system, machine| agents.for_uname(system, machine).map(|agent| agent.hash.clone());
        assert_eq!(hash("Linux", "arm64"), hash("Linux", "aarch64"));
        assert_eq!(hash("Darwin", "arm64"), Some(hex(&Sha256::digest(b"m"))));
        assert_eq!(hash("Linux", "x86_64"), None);
        assert_eq!(hash("SunOS", "sun4v"), None);
        assert_eq!(agents.by_uname().split(' ').count(), 4);
    }

    #[test]
    fn a_folder_of_agents_goes_before_the_embedded_ones() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("murder-agent-linux-x86_64"), b"mine").unwrap();
        std::fs::write(folder.path().join("README"), b"x").unwrap();
        let agents = AgentBinaries::embedded().with_folder(folder.path()).unwrap();
        assert_eq!(agents.for_uname("Linux", "x86_64").unwrap().unpacked().unwrap(), "mine");
    }
}
