use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Certificate, HashAlg, PublicKey};
use tokio::net::UnixStream;

use super::ask::Questions;
use super::connection::io_words;
use super::keys::{KeyFile, KeyStore, Private, same_key, sign};
use super::local::Local;
use super::resolve::KeyRules;

/// A key, alone or with a certificate for it, that a host may take.
pub(super) struct Offer {
    pub(super) key: Key,
    pub(super) certificate: Option<Certificate>,
}

/// Who signs.
pub(super) enum Key {
    Agent(Box<AgentIdentity>),
    File(Arc<KeyFile>),
}

impl Offer {
    fn held(identity: AgentIdentity) -> Self {
        let certificate = match &identity {
            AgentIdentity::Certificate { certificate, .. } => Some(certificate.clone()),
            AgentIdentity::PublicKey { .. } => None,
        };
        Self { key: Key::Agent(Box::new(identity)), certificate }
    }

    pub(super) fn public_key(&self) -> PublicKey {
        match &self.key {
            Key::Agent(identity) => identity.public_key().into_owned(),
            Key::File(file) => file.public.clone(),
        }
    }

    /// For messages.
    pub(super) fn describe(&self, local: &Local) -> String {
        let what = if self.certificate.is_some() { "certificate" } else { "key" };
        match &self.key {
            Key::Agent(identity) => {
                let fingerprint = identity.public_key().fingerprint(HashAlg::Sha256).to_string();
                let name = if identity.comment().is_empty() { &fingerprint } else { identity.comment() };
                format!("{what} {name} of the ssh-agent")
            }
            Key::File(file) => format!("{what} {}", local.shorten(&file.path)),
        }
    }
}

/// What is offered to a host, in order: named keys, each after its certificates; what else the agent holds; the default
/// keys; and at last the keys that need a question. What cannot be used is noted.
pub(super) fn offers(
    rules: &KeyRules,
    keys: &KeyStore,
    mut held: Vec<AgentIdentity>,
    local: &Local,
    notes: &mut Vec<String>,
) -> Vec<Offer> {
    let certificates: Vec<Certificate> =
        rules.certificates.iter().filter_map(|path| Certificate::read_file(path).ok()).collect();
    let (mut ready, mut defaults, mut locked) = (Vec::new(), Vec::new(), Vec::new());
    let named = rules.named.iter().map(|path| (path, true));
    for (path, named) in named.chain(rules.defaults.iter().map(|path| (path, false))) {
        let Some(file) = load(keys, path, named, local, notes) else { continue };
        let own: Vec<Certificate> = certificates
            .iter()
            .chain(file.certificate.as_ref())
            .filter(|certificate| certificate.public_key() == file.public.key_data())
            .cloned()
            .collect();
        let in_agent = held.iter().position(|identity| match identity {
            AgentIdentity::PublicKey { key, .. } => same_key(key, &file.public),
            AgentIdentity::Certificate { .. } => false,
        });
        let list = match (in_agent.is_some() || keys.open(&file).is_some(), named) {
            (true, true) => &mut ready,
            (true, false) => &mut defaults,
            (false, _) if matches!(file.private, Private::Absent) => continue,
            (false, _) => &mut locked,
        };
        // The agent signs where it can: it asks nothing.
        let identity = in_agent.map(|index| held.remove(index));
        let key = || match &identity {
            Some(identity) => Key::Agent(Box::new(identity.clone())),
            None => Key::File(Arc::clone(&file)),
        };
        list.extend(own.into_iter().map(|certificate| Offer { key: key(), certificate: Some(certificate) }));
        list.push(Offer { key: key(), certificate: None });
    }
    if !rules.only_named {
        ready.extend(held.into_iter().map(Offer::held));
    }
    ready.extend(defaults);
    ready.extend(locked);
    ready
}

fn load(
    keys: &KeyStore,
    path: &Path,
    named: bool,
    local: &Local,
    notes: &mut Vec<String>,
) -> Option<Arc<KeyFile>> {
    let why_not = match keys.load(path) {
        Ok(Some(file)) => return Some(file),
        Ok(None) if !named => return None,
        Ok(None) => "no such file".to_owned(),
        Err(reason) => reason,
    };
    notes.push(format!("{}: {why_not}", local.shorten(path)));
    None
}

/// Signs for an offer. A passphrase is asked for only now, when the host has said that it takes the key.
pub(super) struct OfferSigner<'a> {
    pub(super) key: &'a Key,
    pub(super) agent: Option<&'a mut AgentClient<UnixStream>>,
    pub(super) keys: &'a KeyStore,
    pub(super) questions: &'a Questions,
    pub(super) local: &'a Local,
    /// Set while the user may be asked, by us or by the agent.
    pub(super) asking: &'a AtomicBool,
}

/// Why there is no signature.
pub(super) struct SignError(pub(super) String);

impl From<russh::SendError> for SignError {
    fn from(error: russh::SendError) -> Self {
        Self(error.to_string())
    }
}

impl OfferSigner<'_> {
    async fn sign(&mut self, hash: Option<HashAlg>, data: Vec<u8>) -> Result<Vec<u8>, String> {
        match (self.key, &mut self.agent) {
            (Key::File(file), _) => {
                let key = self.keys.unlock(file, self.questions, self.local).await?;
                sign(&key, hash, data)
            }
            (Key::Agent(identity), Some(agent)) => {
                agent.sign_request(identity, hash, data).await.map_err(|error| match error {
                    russh::keys::Error::AgentFailure => "the agent refused to sign".to_owned(),
                    russh::keys::Error::IO(error) => format!("the agent: {}", io_words(&error)),
                    other => format!("the agent: {other}"),
                })
            }
            (Key::Agent(_), None) => Err("the agent is gone".to_owned()),
        }
    }
}

impl russh::Signer for OfferSigner<'_> {
    type Error = SignError;

    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        hash: Option<HashAlg>,
        data: Vec<u8>,
    ) -> Result<Vec<u8>, SignError> {
        self.asking.store(true, Ordering::Relaxed);
        let signed = self.sign(hash, data).await;
        self.asking.store(false, Ordering::Relaxed);
        signed.map_err(SignError)
    }
}
