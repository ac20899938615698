//! What users get, against an SSH server in this process and, where it is installed, against OpenSSH.

mod agent;
mod host_keys;
mod like_ssh;
mod login;
mod openssh;
mod routes;
mod server;
mod sshd;
mod traps;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};
use tempfile::TempDir;

use super::*;

/// A user with a home folder, a key and what they were asked.
struct User {
    home: TempDir,
    key: PrivateKey,
    asked: Arc<Asked>,
}

#[derive(Default)]
struct Asked {
    answers: Mutex<Vec<&'static str>>,
    prompts: Mutex<Vec<String>>,
    warnings: Mutex<Vec<String>>,
}

impl Ask for Asked {
    fn ask<'a>(&'a self, prompt: &'a str, _echo: bool) -> BoxFuture<'a, Option<Secret>> {
        self.prompts.lock().unwrap().push(prompt.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answer = (!answers.is_empty()).then(|| answers.remove(0));
        Box::pin(async move { answer.map(Secret::new) })
    }
}

impl User {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let key = new_key(Algorithm::Ed25519);
        key.write_openssh_file(home.path().join("id"), LineEnding::LF).unwrap();
        Self { home, key, asked: Arc::default() }
    }

    fn answering(answers: &[&'static str]) -> Self {
        let user = Self::new();
        *user.asked.answers.lock().unwrap() = answers.to_vec();
        user
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn known_hosts(&self) -> PathBuf {
        self.path("known_hosts")
    }

    fn options(&self) -> ClientOptions {
        let warned = Arc::clone(&self.asked);
        ClientOptions {
            config: ConfigSource::None { known_hosts: self.known_hosts() },
            ask: Arc::clone(&self.asked) as Arc<dyn Ask>,
            warn: Arc::new(move |warning| warned.warnings.lock().unwrap().push(warning)),
            local: Local { home: self.home.path().to_owned(), ..Local::from_environment() },
            ..ClientOptions::default()
        }
    }

    fn client(&self) -> Client {
        Client::new(self.options()).unwrap()
    }

    /// A host on loopback.
    fn target(&self, port: u16) -> Target {
        Target {
            port: Some(port),
            user: Some("deploy".into()),
            identity: vec![self.path("id")],
            ..Target::new("127.0.0.1")
        }
    }

    fn prompts(&self) -> Vec<String> {
        self.asked.prompts.lock().unwrap().clone()
    }
}

fn new_key(algorithm: Algorithm) -> PrivateKey {
    PrivateKey::random(&mut SystemRandom, algorithm).unwrap()
}

/// Reads all of a command's standard output and how it ended.
async fn output(mut process: Process) -> (String, Exit) {
    use tokio::io::AsyncReadExt as _;
    let mut text = String::new();
    process.stdout.read_to_string(&mut text).await.unwrap();
    (text, process.wait().await)
}

/// A program of the system's, if it is there.
fn installed(name: &str) -> Option<PathBuf> {
    let places = ["/usr/sbin", "/usr/bin", "/bin", "/usr/local/bin", "/sbin"];
    let found = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: {name} is not installed");
    }
    found
}

/// The system's randomness, as ssh-key wants it.
struct SystemRandom;

impl russh::keys::ssh_key::rand_core::TryRng for SystemRandom {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(getrandom::u32().unwrap())
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(getrandom::u64().unwrap())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        getrandom::fill(bytes).unwrap();
        Ok(())
    }
}

impl russh::keys::ssh_key::rand_core::TryCryptoRng for SystemRandom {}
