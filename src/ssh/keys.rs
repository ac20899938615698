use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use russh::keys::ssh_encoding::Encode as _;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{Algorithm, Certificate, HashAlg, PrivateKey, PublicKey, decode_secret_key, signature};

use super::ask::{NoAnswer, Questions};
use super::local::Local;

/// A key file of the user's.
pub(super) struct KeyFile {
    pub(super) path: PathBuf,
    pub(super) public: PublicKey,
    pub(super) private: Private,
    /// `PATH-cert.pub`.
    pub(super) certificate: Option<Certificate>,
}

/// The secret half of a key file.
pub(super) enum Private {
    /// Ready to sign.
    Open(Arc<PrivateKey>),
    /// Needs its passphrase; the file's text.
    Locked(String),
    /// Elsewhere: only an agent can sign.
    Absent,
}

/// All key files of the run, each read once; locked ones are opened once, when a host wants them.
#[derive(Default)]
pub(super) struct KeyStore {
    files: Mutex<HashMap<PathBuf, Arc<KeyFile>>>,
    opened: Mutex<HashMap<PathBuf, Arc<PrivateKey>>>,
}

impl KeyStore {
    /// Reads a key file. `Ok(None)` if there is none; an error says why it cannot be used.
    pub(super) fn load(&self, path: &Path) -> Result<Option<Arc<KeyFile>>, String> {
        if let Some(file) = self.files.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Ok(Some(Arc::clone(file)));
        }
        let Some(file) = read(path)? else { return Ok(None) };
        let file = Arc::new(file);
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(path.to_owned(), Arc::clone(&file));
        Ok(Some(file))
    }

    /// The key if it can sign without a question.
    pub(super) fn open(&self, file: &KeyFile) -> Option<Arc<PrivateKey>> {
        match &file.private {
            Private::Open(key) => Some(Arc::clone(key)),
            _ => self.opened.lock().unwrap_or_else(PoisonError::into_inner).get(&file.path).cloned(),
        }
    }

    /// The key, after asking for its passphrase where that is needed: once for all hosts, again only if it was wrong.
    pub(super) async fn unlock(
        &self,
        file: &KeyFile,
        questions: &Questions,
        local: &Local,
    ) -> Result<Arc<PrivateKey>, String> {
        let name = local.shorten(&file.path);
        loop {
            if let Some(key) = self.open(file) {
                return Ok(key);
            }
            let Private::Locked(text) = &file.private else {
                return Err(format!("{name} holds no private key"));
            };
            let question = (format!("passphrase {}", file.path.display()), format!("passphrase for {name}"));
            let answer =
                questions.answer(&question.0, &question.1, false).await.map_err(|none| match none {
                    NoAnswer::Declined => format!("{name} has a passphrase, which was not given"),
                    NoAnswer::Wrong(_) => format!("{name} has a passphrase, and what was given is wrong"),
                })?;
            if let Some(key) = self.open(file) {
                answer.right();
                return Ok(key);
            }
            // Deriving the key takes 80 ms of a processor on purpose.
            let (text, secret) = (text.clone(), answer.secret.clone());
            let decoding =
                tokio::task::spawn_blocking(move || decode_secret_key(&text, Some(secret.expose())));
            match decoding.await {
                Ok(Ok(key)) => {
                    let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
                    opened.insert(file.path.clone(), Arc::new(key));
                    drop(opened);
                    answer.right();
                }
                _ => answer.wrong(&name),
            }
        }
    }
}

fn read(path: &Path) -> Result<Option<KeyFile>, String> {
    let (public_path, certificate_path) = (with_suffix(path, ".pub"), with_suffix(path, "-cert.pub"));
    let public = || read_public(&public_path);
    let text = match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(super::connection::io_words(&error)),
    };
    let (public, private) = match text {
        None => match public() {
            Some(public) => (public, Private::Absent),
            None => return Ok(None),
        },
        Some(text) => match PublicKey::from_openssh(&text) {
            Ok(public) => (public, Private::Absent),
            Err(_) => private(text, public)?,
        },
    };
    let certificate = Certificate::read_file(&certificate_path).ok();
    Ok(Some(KeyFile { path: path.to_owned(), public, private, certificate }))
}

fn private(text: String, public: impl Fn() -> Option<PublicKey>) -> Result<(PublicKey, Private), String> {
    // OpenSSH's format shows the public half of a locked key.
    if let Ok(key) = PrivateKey::from_openssh(&text) {
        let half = key.public_key().clone();
        return Ok((
            half,
            if key.is_encrypted() { Private::Locked(text) } else { Private::Open(Arc::new(key)) },
        ));
    }
    match decode_secret_key(&text, None) {
        Ok(key) => Ok((key.public_key().clone(), Private::Open(Arc::new(key)))),
        Err(_) if text.contains("ENCRYPTED") => {
            let half = public().ok_or("it has a passphrase and there is no .pub file beside it")?;
            Ok((half, Private::Locked(text)))
        }
        Err(error) => Err(format!("it cannot be read as a key: {error}")),
    }
}

fn read_public(path: &Path) -> Option<PublicKey> {
    PublicKey::from_openssh(&std::fs::read_to_string(path).ok()?).ok()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Appends the signature of `data` to it, in the form that russh's signers give.
pub(super) fn sign(key: &PrivateKey, hash: Option<HashAlg>, mut data: Vec<u8>) -> Result<Vec<u8>, String> {
    use signature::Signer as _;
    let signed = match key.key_data() {
        KeypairData::Rsa(pair) => (pair, hash).try_sign(&data),
        pair => pair.try_sign(&data),
    };
    let mut encoded = Vec::new();
    signed.map_err(|error| error.to_string())?.encode(&mut encoded).map_err(|error| error.to_string())?;
    encoded.encode(&mut data).map_err(|error| error.to_string())?;
    Ok(data)
}

/// Keys are the same if what is on the wire is: comments do not count.
pub(super) fn same_key(a: &PublicKey, b: &PublicKey) -> bool {
    a.key_data() == b.key_data()
}

pub(super) fn is_rsa(key: &PublicKey) -> bool {
    matches!(key.algorithm(), Algorithm::Rsa { .. })
}
