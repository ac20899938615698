use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use russh::client::{AuthResult, Handle};
use russh::keys::HashAlg;
use russh::keys::agent::client::AgentClient;
use russh::{MethodKind, MethodSet};
use tokio::net::UnixStream;

use super::SshError;
use super::ask::Questions;
use super::connection::{Handler, Words};
use super::keys::{KeyStore, is_rsa};
use super::local::Local;
use super::offers::{Key, Offer, OfferSigner, offers};
use super::resolve::Route;

/// Keys that are offered to one host: sshd hangs up at the sixth (MaxAuthTries 6).
const MOST_KEYS: usize = 5;

/// For the answers of the host to a login, in all. Waiting for the user does not count.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How a login failed.
pub(super) enum LoginError {
    /// For good: the host said no, or a question could not be asked. Never tried again by itself.
    Refused(SshError),
    /// The connection ended before there was an answer, as it does when the user takes longer than the host waits.
    Gone(String),
    /// No answer in time.
    Silent,
}

/// One host's login.
pub(super) struct Login<'a> {
    pub(super) handle: &'a mut Handle<Handler>,
    pub(super) words: &'a Words,
    pub(super) route: &'a Route,
    pub(super) keys: &'a KeyStore,
    pub(super) questions: &'a Questions,
    pub(super) local: &'a Local,
    /// Called before the user is asked: others may dial meanwhile.
    pub(super) before_question: &'a mut (dyn FnMut() + Send),
    pub(super) state: State,
}

#[derive(Default)]
pub(super) struct State {
    /// What was tried, one line each.
    pub(super) tried: Vec<String>,
    /// Methods that may go on, once the host has said.
    remaining: Option<MethodSet>,
    /// The last method was right, and more is wanted.
    pub(super) partial: bool,
    offered: usize,
    rsa_hash: Option<Option<HashAlg>>,
    pub(super) asking: AtomicBool,
}

impl Login<'_> {
    /// Logs in: certificates and named keys, the agent's, the default ones, then a password.
    pub(super) async fn run(mut self) -> Result<(), LoginError> {
        if self.route.keys.public_key && self.keys().await? {
            return Ok(());
        }
        if self.state.remaining.is_none() {
            // Nothing was offered yet: ask which methods there are.
            let none = self.handle.authenticate_none(self.route.user.clone());
            let result = watch(&self.state.asking, none).await?;
            if self.judge(result.map_err(|error| error.to_string()), "no credentials")? {
                return Ok(());
            }
        }
        // One of both: PAM answers to both with the same password, and a second refusal counts against us. After a part of
        // the way the other may be what is still wanted.
        let rules = &self.route.keys;
        if rules.password && self.may(MethodKind::Password) {
            if self.password().await? {
                return Ok(());
            }
            if !self.state.partial {
                return Err(LoginError::Refused(self.refused()));
            }
        }
        if rules.keyboard_interactive
            && self.may(MethodKind::KeyboardInteractive)
            && self.interactive().await?
        {
            return Ok(());
        }
        Err(LoginError::Refused(self.refused()))
    }

    fn may(&self, method: MethodKind) -> bool {
        self.state.remaining.as_ref().is_none_or(|remaining| remaining.contains(&method))
    }

    pub(super) fn refused(&self) -> SshError {
        let allowed = match &self.state.remaining {
            Some(methods) => methods.iter().map(<&str>::from).collect::<Vec<_>>().join(", "),
            None => String::new(),
        };
        let tried = &self.state.tried;
        let reason = if tried.is_empty() {
            "there is no key to offer; name one with `identity`".to_owned()
        } else {
            tried.join("; ")
        };
        let mut reason =
            if allowed.is_empty() { reason } else { format!("{reason}; the host takes {allowed}") };
        if allowed.contains("gssapi") {
            reason += "; for GSSAPI give it `transport: openssh`";
        }
        SshError::Auth { login: self.route.login(), reason, tried: tried.clone() }
    }

    /// Notes the host's answer; `true` if the login is done.
    pub(super) fn judge(
        &mut self,
        result: Result<AuthResult, String>,
        what: &str,
    ) -> Result<bool, LoginError> {
        tracing::debug!(host = self.route.name, with = what, ?result, "login");
        match result {
            Ok(AuthResult::Success) => Ok(true),
            // russh says so when the connection died too.
            Ok(AuthResult::Failure { remaining_methods, .. })
                if remaining_methods.is_empty() || self.handle.is_closed() =>
            {
                Err(self.gone(what))
            }
            Ok(AuthResult::Failure { remaining_methods, partial_success }) => {
                if what != "no credentials" {
                    let verdict = if partial_success { "accepted, but more is wanted" } else { "refused" };
                    self.state.tried.push(format!("{what}: {verdict}"));
                }
                self.state.remaining = Some(remaining_methods);
                self.state.partial = partial_success;
                Ok(false)
            }
            Err(_) if self.handle.is_closed() => Err(self.gone(what)),
            Err(reason) => {
                self.state.tried.push(format!("{what}: {reason}"));
                Ok(false)
            }
        }
    }

    fn gone(&mut self, what: &str) -> LoginError {
        let reason = self.words.goodbye().unwrap_or_else(|| "the host closed the connection".to_owned());
        if reason.to_lowercase().contains("too many authentication failures") {
            self.state.tried.push(format!("{what}: {reason}"));
            return LoginError::Refused(self.refused());
        }
        LoginError::Gone(format!("{reason} (at {what})"))
    }

    async fn keys(&mut self) -> Result<bool, LoginError> {
        let mut agent = self.agent().await;
        let held = match &mut agent {
            Some(agent) => agent.request_identities().await.unwrap_or_default(),
            None => Vec::new(),
        };
        let offers = offers(&self.route.keys, self.keys, held, self.local, &mut self.state.tried);
        for offer in offers {
            if !self.may(MethodKind::PublicKey) {
                break;
            }
            if self.state.offered == MOST_KEYS {
                self.state.tried.push(format!(
                    "more keys were not offered after {MOST_KEYS}; name the right one with `identity`"
                ));
                break;
            }
            self.state.offered += 1;
            let what = offer.describe(self.local);
            let result = self.make(offer, agent.as_mut()).await?;
            if self.judge(result, &what)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn agent(&mut self) -> Option<AgentClient<UnixStream>> {
        let socket = self.route.keys.agent.as_ref()?;
        match AgentClient::connect_uds(socket).await {
            Ok(mut agent) => {
                if let Some(binding) = self.handle.agent_session_binding() {
                    // Agents that do not know it refuse, which changes nothing.
                    let _ = agent.bind_session(binding, false).await;
                }
                Some(agent)
            }
            Err(error) => {
                self.state.tried.push(format!("ssh-agent at {}: {error}", socket.display()));
                None
            }
        }
    }

    async fn make(
        &mut self,
        offer: Offer,
        agent: Option<&mut AgentClient<UnixStream>>,
    ) -> Result<Result<AuthResult, String>, LoginError> {
        let public = offer.public_key();
        let hash = if is_rsa(&public) { self.rsa_hash().await? } else { None };
        if let Key::File(file) = &offer.key
            && self.keys.open(file).is_none()
        {
            (self.before_question)();
        }
        let mut signer = OfferSigner {
            key: &offer.key,
            agent,
            keys: self.keys,
            questions: self.questions,
            local: self.local,
            asking: &self.state.asking,
        };
        let user = self.route.user.clone();
        let result = match offer.certificate {
            Some(certificate) => {
                let made = self.handle.authenticate_certificate_with(user, certificate, hash, &mut signer);
                watch(&self.state.asking, made).await?
            }
            None => {
                let made = self.handle.authenticate_publickey_with(user, public, hash, &mut signer);
                watch(&self.state.asking, made).await?
            }
        };
        Ok(result.map_err(|error| error.0))
    }

    /// The best signature for RSA that the host takes. Costs up to a second where the host does not say.
    async fn rsa_hash(&mut self) -> Result<Option<HashAlg>, LoginError> {
        if let Some(hash) = self.state.rsa_hash {
            return Ok(hash);
        }
        let best = watch(&self.state.asking, self.handle.best_supported_rsa_hash()).await?;
        let hash = match best {
            Ok(Some(hash)) => hash,
            _ => Some(HashAlg::Sha512),
        };
        self.state.rsa_hash = Some(hash);
        Ok(hash)
    }
}

/// Waits for the host's answer, but not for ever; while the user is asked, the clock stands.
pub(super) async fn watch<T>(asking: &AtomicBool, step: impl Future<Output = T>) -> Result<T, LoginError> {
    const TICK: Duration = Duration::from_secs(1);
    let silence = async {
        let mut waited = Duration::ZERO;
        while waited < LOGIN_TIMEOUT {
            tokio::time::sleep(TICK).await;
            if !asking.load(Ordering::Relaxed) {
                waited += TICK;
            }
        }
    };
    tokio::select! {
        done = step => Ok(done),
        () = silence => Err(LoginError::Silent),
    }
}
