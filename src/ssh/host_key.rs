use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};

use super::known_hosts::{Found, KnownHosts, Marker, Place, line_for, lookup_name};
use super::learn::Learner;
use super::local::Local;
use super::resolve::{HostKeyRules, Route};

/// What to do with a host whose key is not known. A changed or revoked key is always refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// Refuse it.
    Strict,
    /// Accept it and write it down.
    AcceptNew,
}

/// Why a host's key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostKeyError {
    /// Another key is known for the host.
    #[error(
        "the host key has changed: the host offers {offered}; {place}, which `{remedy}` forgets, has {known}{also}"
    )]
    Changed {
        /// The host and its address.
        host: String,
        /// Algorithm and fingerprint of the offered key.
        offered: String,
        /// File and line of the known key.
        place: String,
        /// Algorithm and fingerprint of the known key.
        known: String,
        /// Whom the offered key belongs to, if that is known.
        also: String,
        /// The command that forgets the known key.
        remedy: String,
    },
    /// The key, or the authority behind it, is marked as revoked.
    #[error("the host key is revoked: {offered} is marked @revoked in {place}; give the host a new key")]
    Revoked {
        /// The host and its address.
        host: String,
        /// Algorithm and fingerprint of the offered key.
        offered: String,
        /// File and line of the mark.
        place: String,
    },
    /// Nothing is known for the host, and new keys are not accepted.
    #[error(
        "the host key is not known: {files} has no line for it; check the fingerprint and log in once with ssh, \
         or use --host-keys accept-new"
    )]
    Unknown {
        /// The files that were searched.
        files: String,
        /// What was offered by whom, why a certificate did not count, whom the key belongs to.
        offered: Vec<String>,
    },
    /// The system's `ssh` refused it.
    #[error("ssh refuses the host key: {words}")]
    Refused {
        /// The host and its address.
        host: String,
        /// What `ssh` said.
        words: String,
    },
}

impl HostKeyError {
    /// More lines: what differs from host to host.
    pub(super) fn detail(&self) -> &[String] {
        match self {
            Self::Unknown { offered, .. } => offered,
            _ => &[],
        }
    }
}

/// Checks the key of one connection, and again at each key exchange.
pub(super) struct HostKeyCheck {
    hosts: Arc<KnownHosts>,
    learner: Learner,
    local: Local,
    rules: HostKeyRules,
    policy: HostKeyPolicy,
    /// The host and its address, for messages.
    host: String,
    port: u16,
    /// What the files say of the host.
    found: Vec<Found>,
    /// What they say of it without its port, where that counts too.
    bare: Vec<Found>,
    /// The key that was accepted in this connection.
    accepted: Mutex<Option<PublicKey>>,
}

impl HostKeyCheck {
    /// Looks the host up. Takes milliseconds with thousands of hashed names: not for a task that must stay prompt.
    pub(super) fn new(
        hosts: Arc<KnownHosts>,
        learner: Learner,
        local: Local,
        route: &Route,
        policy: Option<HostKeyPolicy>,
    ) -> Self {
        let rules = route.host_key.clone();
        let default = if rules.strict { HostKeyPolicy::Strict } else { HostKeyPolicy::AcceptNew };
        let mut check = Self {
            hosts,
            learner,
            local,
            rules,
            policy: policy.unwrap_or(default),
            host: format!("{} ({})", route.name, super::resolve::join_port(&route.hostname, route.port)),
            port: route.port,
            found: Vec::new(),
            bare: Vec::new(),
            accepted: Mutex::default(),
        };
        check.found = check.find(&check.name());
        if !check.rules.alias && check.port != 22 {
            check.bare = check.find(&check.rules.name);
        }
        check
    }

    /// The name that is looked up.
    fn name(&self) -> String {
        if self.rules.alias { self.rules.name.clone() } else { lookup_name(&self.rules.name, self.port) }
    }

    fn find(&self, name: &str) -> Vec<Found> {
        self.hosts.find(&self.rules.files, name)
    }

    /// Sets which algorithms are offered, those of known keys first: a host that has several keys shows the one that is
    /// asked for first, and an unknown one beside a known one would look like a change.
    pub(super) fn order(&self, preferred: &mut russh::Preferred) {
        let allowed: Vec<Algorithm> = if self.rules.algorithms.is_empty() {
            // SHA-1 signatures only if the user's configuration names them.
            russh::Preferred::DEFAULT
                .key
                .iter()
                .filter(|algorithm| !matches!(algorithm, Algorithm::Rsa { hash: None }))
                .cloned()
                .collect()
        } else {
            let named = self.rules.algorithms.iter().filter_map(|name| Algorithm::new(name).ok());
            named.filter(|algorithm| russh::Preferred::DEFAULT.key.contains(algorithm)).collect()
        };
        let known = |algorithm: &Algorithm| {
            let name = match algorithm {
                Algorithm::Rsa { .. } => "ssh-rsa",
                other => other.as_str(),
            };
            self.found.iter().any(|found| found.marker == Marker::Key && found.algorithm == name)
        };
        let (mut first, rest): (Vec<_>, Vec<_>) = allowed.into_iter().partition(known);
        first.extend(rest);
        if self.found.iter().chain(&self.bare).any(|found| found.marker == Marker::Authority) {
            preferred.host_key_certificates = Cow::Owned(first.clone());
        }
        preferred.key = Cow::Owned(first);
    }

    /// Whether the offered key is the host's. A new one is learned if the policy allows it.
    pub(super) async fn check(&self, offered: &PublicKeyOrCertificate) -> Result<(), HostKeyError> {
        let key = offered.public_key();
        let same = |accepted: &PublicKey| accepted.key_data() == key.key_data();
        if !self.accepted.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(same) {
            self.judge(offered, &key).await?;
            *self.accepted.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        }
        Ok(())
    }

    async fn judge(&self, offered: &PublicKeyOrCertificate, key: &PublicKey) -> Result<(), HostKeyError> {
        let blob = key.to_bytes().unwrap_or_default();
        if let Some(error) = self.revoked(offered, &blob, key) {
            return Err(error);
        }
        let mut why_not = None;
        if let Some(certificate) = offered.certificate() {
            match self.vouched(certificate) {
                Ok(()) => return Ok(()),
                // As OpenSSH does, the bare key may still be known.
                Err(reason) => why_not = Some(format!("its certificate does not count: {reason}")),
            }
        }
        let keys = |found: &&Found| found.marker == Marker::Key;
        if let Some(known) = self.found.iter().find(keys) {
            let right = self.found.iter().filter(keys).any(|found| *found.key == *blob);
            return if right { Ok(()) } else { Err(self.changed(key, &blob, known)) };
        }
        // OpenSSH takes a key that is known for the host without its port too.
        if self.bare.iter().filter(keys).any(|found| *found.key == *blob) {
            return Ok(());
        }
        if self.policy == HostKeyPolicy::Strict {
            let mut offered = vec![format!("{} offers {} as {}", self.host, describe(key), self.name())];
            offered.extend(why_not);
            offered.extend(self.owner(&blob));
            return Err(HostKeyError::Unknown { files: self.files(), offered });
        }
        // Another connection may have learned it since we looked.
        match self.find(&self.name()).iter().find(keys) {
            Some(known) if *known.key == *blob => Ok(()),
            Some(known) => Err(self.changed(key, &blob, known)),
            None => {
                self.learn(key, &blob).await;
                Ok(())
            }
        }
    }

    fn revoked(
        &self,
        offered: &PublicKeyOrCertificate,
        blob: &[u8],
        key: &PublicKey,
    ) -> Option<HostKeyError> {
        let authority = offered
            .certificate()
            .and_then(|certificate| PublicKey::new(certificate.signature_key().clone(), "").to_bytes().ok());
        let hit = |found: &&Found| {
            found.marker == Marker::Revoked
                && (*found.key == *blob || Some(&*found.key) == authority.as_deref())
        };
        let found = self.found.iter().chain(&self.bare).find(hit)?;
        Some(HostKeyError::Revoked {
            host: self.host.clone(),
            offered: describe(key),
            place: self.place(&found.place),
        })
    }

    /// Whether an authority that is known for the host signed the certificate, and it is good for the host now.
    fn vouched(&self, certificate: &Certificate) -> Result<(), String> {
        let fingerprints: Vec<_> = self
            .found
            .iter()
            .chain(&self.bare)
            .filter(|found| found.marker == Marker::Authority)
            .filter_map(|found| PublicKey::from_bytes(&found.key).ok())
            .map(|key| key.fingerprint(HashAlg::Sha256))
            .collect();
        if !fingerprints.contains(&certificate.signature_key().fingerprint(HashAlg::Sha256)) {
            return Err("no known authority signed it".to_owned());
        }
        certificate
            .validate(&fingerprints)
            .map_err(|_| "it has expired or its signature is wrong".to_owned())?;
        if certificate.cert_type() != CertType::Host {
            return Err("it is no host certificate".to_owned());
        }
        let principals = certificate.valid_principals();
        if !principals.is_empty() && !principals.contains(&self.rules.name) {
            return Err(format!("it is for {}", principals.join(", ")));
        }
        match certificate.critical_options().iter().next() {
            Some((name, _)) => Err(format!("it has an unknown critical option {name}")),
            None => Ok(()),
        }
    }

    async fn learn(&self, key: &PublicKey, blob: &[u8]) {
        let Some(file) = self.rules.files.first() else { return };
        let (name, algorithm) = (self.name(), key.algorithm());
        let algorithm = wire_name(&algorithm);
        self.hosts.learned(file, &name, algorithm, blob);
        if let Some(line) = line_for(&name, self.rules.hash, algorithm, blob) {
            self.learner.append(file.clone(), line).await;
        }
    }

    fn changed(&self, key: &PublicKey, blob: &[u8], first: &Found) -> HostKeyError {
        // The line with the same algorithm says the most.
        let algorithm = key.algorithm();
        let same = |found: &&Found| found.marker == Marker::Key && found.algorithm == wire_name(&algorithm);
        let known = self.found.iter().find(same).unwrap_or(first);
        let described =
            PublicKey::from_bytes(&known.key).map_or_else(|_| known.algorithm.clone(), |key| describe(&key));
        let name = self.name();
        let name = if name.starts_with('[') { format!("'{name}'") } else { name };
        HostKeyError::Changed {
            host: self.host.clone(),
            offered: describe(key),
            place: self.place(&known.place),
            known: described,
            also: self.owner(blob).map(|owner| format!("; {owner}")).unwrap_or_default(),
            remedy: format!("ssh-keygen -R {name} -f {}", self.local.shorten(&known.place.file)),
        }
    }

    /// Whom the key belongs to, when not to this host: an address that was mixed up shows itself this way.
    fn owner(&self, blob: &[u8]) -> Option<String> {
        let names = self.hosts.names_of(&self.rules.files, blob);
        let (name, place) = names.first()?;
        Some(format!("that key is known as the one of {name} ({})", self.place(place)))
    }

    fn place(&self, place: &Place) -> String {
        let file = self.local.shorten(&place.file);
        match place.line {
            Some(line) => format!("{file}:{line}"),
            None => format!("{file} (learned in this run)"),
        }
    }

    fn files(&self) -> String {
        let exist = |file: &&PathBuf| file.exists();
        let files: Vec<_> =
            self.rules.files.iter().filter(exist).map(|file| self.local.shorten(file)).collect();
        match (files.is_empty(), self.rules.files.first()) {
            (true, Some(first)) => self.local.shorten(first),
            _ => files.join(", "),
        }
    }
}

/// Algorithm and fingerprint, as `ssh` shows them.
fn describe(key: &PublicKey) -> String {
    format!("{} {}", wire_name(&key.algorithm()), key.fingerprint(HashAlg::Sha256))
}

/// The name in known_hosts, which for RSA is the same whatever the signature.
fn wire_name(algorithm: &Algorithm) -> &str {
    match algorithm {
        Algorithm::Rsa { .. } => "ssh-rsa",
        other => other.as_str(),
    }
}
