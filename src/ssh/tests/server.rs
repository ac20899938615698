use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use russh::keys::{Algorithm, Certificate, PrivateKey, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Response, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelMsg, ChannelOpenFailure, MethodKind, MethodSet};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::new_key;

/// How a server behaves.
pub(super) struct Behaviour {
    pub(super) host_keys: Vec<PrivateKey>,
    pub(super) certificates: Vec<Certificate>,
    /// Who may log in, and with what.
    pub(super) keys: Vec<PublicKey>,
    pub(super) password: Option<&'static str>,
    /// The password is asked for by keyboard-interactive.
    pub(super) interactive: bool,
    /// A key is not enough.
    pub(super) key_and_password: bool,
    pub(super) forwarding: bool,
    /// Connections that are closed before a word.
    pub(super) hang_up: usize,
    pub(super) shell: PathBuf,
    /// Printed before each command, as a login shell's files may do.
    pub(super) noise: &'static str,
    pub(super) environment: Vec<(&'static str, String)>,
    /// Bytes a second that are read from the connection, which can then be cut.
    pub(super) slow: Option<usize>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            host_keys: vec![new_key(Algorithm::Ed25519)],
            certificates: Vec::new(),
            keys: Vec::new(),
            password: None,
            interactive: false,
            key_and_password: false,
            forwarding: true,
            hang_up: 0,
            shell: "/bin/sh".into(),
            noise: "",
            environment: Vec::new(),
            slow: None,
        }
    }
}

/// What a server saw.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) connections: AtomicUsize,
    pub(super) logins: AtomicUsize,
    pub(super) refusals: AtomicUsize,
    /// Connections that were not logged in, at most at once.
    pub(super) most_at_once: AtomicUsize,
    logging_in: AtomicUsize,
    frozen: AtomicBool,
    cut: CancellationToken,
}

/// An SSH server in this process; commands are real processes.
pub(super) struct Server {
    pub(super) port: u16,
    pub(super) host_key: PublicKey,
    pub(super) seen: Arc<Seen>,
    home: PathBuf,
    _home: tempfile::TempDir,
    accepting: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(behaviour: Behaviour) -> Self {
        let home = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut methods = MethodSet::from(&[MethodKind::PublicKey][..]);
        if behaviour.password.is_some() {
            let method =
                if behaviour.interactive { MethodKind::KeyboardInteractive } else { MethodKind::Password };
            methods.push(method);
        }
        let config = Arc::new(Config {
            keys: behaviour.host_keys.clone(),
            certificates: behaviour.certificates.clone(),
            methods,
            auth_rejection_time: Duration::from_millis(1),
            max_auth_attempts: 6,
            nodelay: true,
            ..Config::default()
        });
        let seen = Arc::<Seen>::default();
        let host_key = behaviour.host_keys[0].public_key().clone();
        let guest = Guest {
            behaviour: Arc::new(behaviour),
            seen: Arc::clone(&seen),
            home: home.path().to_owned(),
            channels: HashMap::new(),
        };
        let accepting = tokio::spawn(accept(listener, config, guest));
        Self { port, host_key, seen, home: home.path().to_owned(), _home: home, accepting }
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    pub(super) fn count(&self, what: impl Fn(&Seen) -> &AtomicUsize) -> usize {
        what(&self.seen).load(Ordering::SeqCst)
    }
}

impl Server {
    /// Slow connections take nothing any more.
    pub(super) fn freeze(&self) {
        self.seen.frozen.store(true, Ordering::SeqCst);
    }

    /// Ends all slow connections without a word.
    pub(super) fn cut(&self) {
        self.seen.cut.cancel();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, config: Arc<Config>, guest: Guest) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let n = guest.seen.connections.fetch_add(1, Ordering::SeqCst);
        let at_once = guest.seen.logging_in.fetch_add(1, Ordering::SeqCst) + 1;
        guest.seen.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        if n < guest.behaviour.hang_up {
            continue;
        }
        let (config, guest) = (Arc::clone(&config), guest.clone());
        tokio::spawn(async move {
            let stream = match guest.behaviour.slow {
                Some(rate) => throttled(stream, rate, Arc::clone(&guest.seen)),
                None => Box::new(stream) as Box<dyn Wire>,
            };
            if let Ok(session) = russh::server::run_stream(config, stream, guest).await {
                let _ = session.await;
            }
        });
    }
}

trait Wire: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Wire for S {}

/// A link that takes so many bytes a second from the client, with little room in between.
fn throttled(stream: TcpStream, rate: usize, seen: Arc<Seen>) -> Box<dyn Wire> {
    // Room for one of the loopback's packets: without it the kernel drops them, and sends them again ever later.
    socket2::SockRef::from(&stream).set_recv_buffer_size(64 * 1024).unwrap();
    let (near, far) = tokio::io::duplex(16 * 1024);
    let (mut read, mut write) = stream.into_split();
    let (mut up, mut down) = tokio::io::split(far);
    tokio::spawn(async move {
        let read_slowly = async {
            let mut buffer = vec![0; (rate / 500).clamp(4096, 64 * 1024)];
            while let Ok(n @ 1..) = read.read(&mut buffer).await {
                if down.write_all(&buffer[..n]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs_f64(n as f64 / rate as f64)).await;
                while seen.frozen.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        };
        tokio::select! {
            () = read_slowly => {}
            _ = tokio::io::copy(&mut up, &mut write) => {}
            () = seen.cut.cancelled() => {}
        }
    });
    Box::new(near)
}

#[derive(Clone)]
struct Guest {
    behaviour: Arc<Behaviour>,
    seen: Arc<Seen>,
    home: PathBuf,
    channels: HashMap<ChannelId, Arc<std::sync::Mutex<Option<Channel<Msg>>>>>,
}

impl Guest {
    fn judge(&self, right: bool) -> Auth {
        if right {
            self.seen.logins.fetch_add(1, Ordering::SeqCst);
            self.seen.logging_in.fetch_sub(1, Ordering::SeqCst);
            Auth::Accept
        } else {
            self.seen.refusals.fetch_add(1, Ordering::SeqCst);
            Auth::reject()
        }
    }
}

impl Handler for Guest {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: russh::server::PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        let known = self.behaviour.keys.iter().any(|key| key.key_data() == offer.public_key.key_data());
        Ok(if known { Auth::Accept } else { self.judge(false) })
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let known = self.behaviour.keys.iter().any(|known| known.key_data() == key.public_key.key_data());
        if known && self.behaviour.key_and_password {
            return Ok(Auth::Reject {
                proceed_with_methods: Some(MethodSet::from(&[MethodKind::Password][..])),
                partial_success: true,
            });
        }
        Ok(self.judge(known))
    }

    async fn auth_password(&mut self, _user: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(self.judge(self.behaviour.password == Some(password)))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some(response) = response else {
            return Ok(Auth::Partial {
                name: "".into(),
                instructions: "".into(),
                prompts: vec![("Password: ".into(), false)].into(),
            });
        };
        let given: Vec<Bytes> = response.collect();
        let right = self.behaviour.password.is_some_and(|password| given == [password.as_bytes()]);
        Ok(self.judge(right))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), Arc::new(std::sync::Mutex::new(Some(channel))));
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if !self.behaviour.forwarding {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        }
        let to = format!("{host}:{port}");
        tokio::spawn(async move {
            match TcpStream::connect(to).await {
                Ok(mut stream) => {
                    reply.accept().await;
                    let mut channel = channel.into_stream();
                    let _ = tokio::io::copy_bidirectional(&mut channel, &mut stream).await;
                }
                Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            }
        });
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let channel = self.channels.get(&id).and_then(|channel| channel.lock().unwrap().take());
        let Some(channel) = channel else { return session.channel_failure(id) };
        session.channel_success(id)?;
        let mut process = tokio::process::Command::new(&self.behaviour.shell);
        process
            .arg("-c")
            .arg(std::str::from_utf8(command).unwrap())
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", std::env::var("PATH").unwrap())
            .env("SSH_CONNECTION", "127.0.0.1 1 127.0.0.1 2")
            .envs(self.behaviour.environment.iter().map(|(name, value)| (*name, value.as_str())))
            .current_dir(&self.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        tokio::spawn(serve(channel, process, self.behaviour.noise));
        Ok(())
    }
}

async fn serve(channel: Channel<Msg>, mut command: tokio::process::Command, noise: &'static str) {
    let mut child = command.spawn().unwrap();
    let (mut read, write) = channel.split();
    let write = Arc::new(write);
    if !noise.is_empty() {
        write.data_bytes(Bytes::from_static(noise.as_bytes())).await.unwrap();
    }
    let (mut stdin, mut stdout, mut stderr) =
        (child.stdin.take(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let input = tokio::spawn(async move {
        while let Some(message) = read.wait().await {
            match message {
                ChannelMsg::Data { data } => {
                    let Some(pipe) = &mut stdin else { continue };
                    if pipe.write_all(&data).await.is_err() {
                        stdin = None;
                    }
                }
                ChannelMsg::Eof => stdin = None,
                ChannelMsg::Close => break,
                _ => {}
            }
        }
    });
    let errors = {
        let write = Arc::clone(&write);
        tokio::spawn(async move {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
                let data = Bytes::copy_from_slice(&buffer[..n]);
                if write.extended_data_bytes(1, data).await.is_err() {
                    break;
                }
            }
        })
    };
    let mut buffer = vec![0; 32 * 1024];
    let copy = async {
        while let Ok(n @ 1..) = stdout.read(&mut buffer).await {
            if write.data_bytes(Bytes::copy_from_slice(&buffer[..n])).await.is_err() {
                break;
            }
        }
        let _ = errors.await;
    };
    tokio::select! {
        () = copy => {}
        // The client closed the channel.
        _ = input => return,
    }
    let status = child.wait().await.unwrap();
    let _ = write.exit_status(status.code().unwrap_or(255) as u32).await;
    let _ = write.eof().await;
    let _ = write.close().await;
}
