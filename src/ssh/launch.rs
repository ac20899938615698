use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::control::{Hello, MARKER, MAX_LINE, Report, VERSION, decode};

use super::SshError;
use super::agent_process::AgentProcess;
use super::agents::{AgentBinaries, AgentBinary};
use super::ask::{Answer, NoAnswer};
use super::lines::Lines;
use super::process::{Exit, Process, Reader, wait};
use super::session::{Inner, Load, Session};

/// For the first word of the agent after its command was given; a busy host starts a shell slowly.
const FIRST_WORD: Duration = Duration::from_secs(30);

/// For a stretch of [`STRETCH`] bytes of the agent to leave.
const SLOWEST_STRETCH: Duration = Duration::from_secs(60);
const STRETCH: usize = 256 * 1024;

/// For the host to check what has arrived, and to say how a command ended.
const LAST_WORD: Duration = Duration::from_secs(60);

/// What login shells may print before the agent's first line.
const MOST_NOISE: usize = 64 * 1024;

/// Lines of it that an error shows.
const NOISE_SHOWN: usize = 20;

/// Commands that may be needed: a launch, an upload and a launch; another pair for each folder that was full.
const ROUNDS: usize = 4;

const LAUNCH: &str = include_str!("scripts/launch.sh");
const PUT: &str = include_str!("scripts/put.sh");

/// How the agent becomes root.
enum Root {
    /// Not at all.
    No,
    /// By sudo that asks nothing.
    Free,
    /// By sudo, with a password as the first line of stdin.
    Asked(Answer),
}

/// What came of a launch.
enum Started {
    Running(Box<AgentProcess>),
    /// It is not there: whether the host has gzip, its system and machine, a folder that can hold it.
    Needed {
        gzip: bool,
        system: String,
        machine: String,
        folder: Option<String>,
    },
    /// Nothing, with the host's words.
    Silent {
        exit: Exit,
        words: Vec<String>,
    },
}

impl Session {
    /// Starts the agent: finds it on the host by its hash, or sends it there once. Where the target says `become_sudo` it
    /// runs as root; a password is asked for only where it is needed, and once for all hosts.
    pub async fn launch(&self, agents: &AgentBinaries) -> Result<AgentProcess, SshError> {
        let (inner, agents) = (Arc::clone(&self.inner), agents.clone());
        let shared = Arc::clone(&inner.shared);
        let work = async move {
            let _place = inner.shared.launches.acquire().await;
            inner.launch(&agents).await
        };
        shared.run(work).await
    }
}

impl Inner {
    async fn launch(self: &Arc<Self>, agents: &AgentBinaries) -> Result<AgentProcess, SshError> {
        let mut root = if self.sudo { Root::Free } else { Root::No };
        let (mut full, mut words_when_full) = (Vec::new(), Vec::new());
        let mut uploaded = 0;
        for _ in 0..ROUNDS {
            match self.start(agents, &full, &root).await? {
                Started::Running(mut agent) => {
                    if let Root::Asked(answer) = root {
                        answer.right();
                    }
                    agent.uploaded_bytes = uploaded;
                    return Ok(*agent);
                }
                Started::Silent { exit: Exit::Code(1), words } if matches!(root, Root::Free) => {
                    root = Root::Asked(self.ask_for_sudo(words).await?);
                }
                Started::Silent { exit, words } => {
                    if let Root::Asked(answer) = root {
                        answer.wrong(&self.host);
                    }
                    return Err(self.silent(&exit, words));
                }
                Started::Needed { gzip, system, machine, folder } => {
                    let agent = agents.for_uname(&system, &machine).ok_or_else(|| SshError::Arch {
                        host: self.host.clone(),
                        system: format!("{system} {machine}"),
                        have: agents.platforms().collect::<Vec<_>>().join(", "),
                    })?;
                    let Some(folder) = folder else { return Err(self.nowhere(&full, words_when_full)) };
                    match self.put(agent, &folder, gzip).await? {
                        Put::Stored(bytes) => uploaded += bytes,
                        Put::Full(words) => {
                            words_when_full = words;
                            full.push(folder);
                        }
                    }
                }
            }
        }
        Err(self.nowhere(&full, words_when_full))
    }

    fn nowhere(&self, full: &[String], words: Vec<String>) -> SshError {
        let host = self.host.clone();
        if full.is_empty() {
            let reason = "no folder there is both writable and allowed to run programs: tried the cache and home folders, \
                          /var/tmp, /tmp, /dev/shm"
                .to_owned();
            return SshError::Launch { host, reason, words };
        }
        SshError::DiskFull { host, folders: full.join(", "), words }
    }

    fn failed(&self, reason: impl Into<String>, words: Vec<String>) -> SshError {
        SshError::Launch { host: self.host.clone(), reason: reason.into(), words }
    }

    fn silent(&self, exit: &Exit, words: Vec<String>) -> SshError {
        if *exit == Exit::Unknown && self.is_closed() {
            return self.lost("before the agent's first word");
        }
        let said = match words.last() {
            Some(last) => format!(": {last}"),
            None => " without a word".to_owned(),
        };
        self.failed(format!("its command ended with {exit}{said}"), words)
    }

    async fn ask_for_sudo(&self, words: Vec<String>) -> Result<Answer, SshError> {
        let prompt = format!("sudo password for {}", self.user);
        let answer =
            self.shared.dialer.questions.answer(&format!("sudo {}", self.user), &prompt, false).await;
        answer.map_err(|none| {
            let why = match none {
                NoAnswer::Declined => "sudo wants a password, which was not given".to_owned(),
                NoAnswer::Wrong(place) => format!("the sudo password is wrong (last at {place})"),
            };
            SshError::Auth { login: self.login.clone(), reason: why, tried: words }
        })
    }

    async fn start(
        self: &Arc<Self>,
        agents: &AgentBinaries,
        full: &[String],
        root: &Root,
    ) -> Result<Started, SshError> {
        let preferred = self.shared.dialer.options.agent_root.as_deref().unwrap_or("-");
        let pass_over: String = full.iter().map(|folder| format!("{folder}:")).collect();
        let how = match root {
            Root::No => "-",
            Root::Free => "free",
            Root::Asked(_) => "ask",
        };
        let arguments = [preferred, &format!(":{pass_over}"), &agents.by_uname(), how];
        let command = one_line(LAUNCH, &arguments).map_err(|reason| self.failed(reason, Vec::new()))?;
        let mut process = self.exec(&command, Load::Control).await?;
        if let Root::Asked(answer) = root {
            let line = format!("{}\n", answer.secret.expose());
            let written = process.stdin.write_all(line.as_bytes()).await;
            written.map_err(|_| self.lost("before the agent's first word"))?;
        }
        let mut heard = Heard::default();
        let Process { stdin, stdout, stderr, exit } = process;
        let mut lines = Lines::new(stdout, MOST_NOISE);
        let word = match tokio::time::timeout(FIRST_WORD, heard.first_word(&mut lines)).await {
            Ok(word) => word.map_err(|reason| self.failed(reason, heard.shown()))?,
            Err(_) if heard.noise.is_empty() => {
                return Err(SshError::Timeout {
                    host: self.host.clone(),
                    tried: format!("no word of the agent within {} s", FIRST_WORD.as_secs()),
                });
            }
            Err(_) => {
                let reason = format!("no word of the agent within {} s", FIRST_WORD.as_secs());
                return Err(self.failed(reason, heard.shown()));
            }
        };
        match word {
            Word::Hello(hello) if hello.v != VERSION => {
                let reason = format!("it speaks version {} and we speak {VERSION}", hello.v);
                Err(self.failed(reason, heard.shown()))
            }
            Word::Hello(hello) => {
                if let Some(path) = heard.path {
                    // A second launch over the same session finds the same agent.
                    let _ = self.agent_path.set(path);
                }
                lines.allow(MAX_LINE);
                Ok(Started::Running(Box::new(AgentProcess::new(self, hello, stdin, lines, stderr, exit))))
            }
            Word::Need { gzip, system, machine, folder } => {
                Ok(Started::Needed { gzip, system, machine, folder })
            }
            Word::End => {
                drop(stdin);
                let mut exit = exit;
                heard.noise.extend(rest(stderr).await);
                let exit = tokio::time::timeout(LAST_WORD, wait(&mut exit)).await.unwrap_or(Exit::Unknown);
                Ok(Started::Silent { exit, words: heard.shown() })
            }
        }
    }

    /// Sends the agent to a folder. All hosts share one buffer.
    async fn put(&self, agent: &AgentBinary, folder: &str, gzip: bool) -> Result<Put, SshError> {
        let _place = self.shared.uploads.acquire().await;
        let (bytes, unpack) = if gzip {
            (agent.packed(), "gzip -dc")
        } else {
            let unpacked = agent.unpacked();
            (unpacked.map_err(|error| SshError::Internal(format!("the embedded agent: {error}")))?, "cat")
        };
        let command = one_line(PUT, &[&agent.hash, folder, unpack]);
        let command = command.map_err(|reason| self.failed(reason, Vec::new()))?;
        let process = self.exec(&command, Load::Bulk).await?;
        let Process { mut stdin, stdout, stderr, mut exit } = process;
        let size = bytes.len() as u64;
        // What is written is read at the same time: a host that ends early says so, and its channel's messages are taken.
        let write = async {
            let mut left = bytes;
            while !left.is_empty() {
                let stretch = left.split_to(left.len().min(STRETCH));
                match tokio::time::timeout(SLOWEST_STRETCH, stdin.write_bytes(stretch)).await {
                    Ok(Ok(())) => {}
                    // The host's own words say more.
                    Ok(Err(_)) => break,
                    Err(_) => return false,
                }
            }
            // An error here is one of the channel that is closed already.
            let _ = stdin.shutdown().await;
            true
        };
        let read = async {
            let (said, words) = tokio::join!(rest(stdout), rest(stderr));
            let ended = tokio::time::timeout(LAST_WORD, wait(&mut exit)).await.unwrap_or(Exit::Unknown);
            (said, words, ended)
        };
        tokio::pin!(read);
        let (said, words, ended) = tokio::select! {
            answer = &mut read => answer,
            in_time = write => match in_time {
                true => match tokio::time::timeout(LAST_WORD, read).await {
                    Ok(answer) => answer,
                    Err(_) => return Err(self.slow("the host did not store the agent")),
                },
                false => return Err(self.slow("the agent's upload stood still")),
            },
        };
        if said.iter().any(|line| line == "MURDER1 STORED") {
            return Ok(Put::Stored(size));
        }
        let text = words.join("\n").to_lowercase();
        match ended {
            Exit::Code(73 | 74) if text.contains("no space") || text.contains("quota") => {
                Ok(Put::Full(words))
            }
            Exit::Unknown if self.is_closed() => Err(self.lost("while the agent was sent")),
            ended => {
                let last = words.last().map(|last| format!(": {last}")).unwrap_or_default();
                Err(self.failed(format!("it could not be stored in {folder}: {ended}{last}"), words))
            }
        }
    }

    fn slow(&self, what: &str) -> SshError {
        SshError::Timeout {
            host: self.host.clone(),
            tried: format!("{what} within {} s", SLOWEST_STRETCH.as_secs()),
        }
    }
}

/// What came of an upload.
enum Put {
    /// It is there; so many bytes were sent.
    Stored(u64),
    /// The folder has no room for it; the host's words.
    Full(Vec<String>),
}

/// The agent's first word, or our script's.
enum Word {
    Hello(Hello),
    Need { gzip: bool, system: String, machine: String, folder: Option<String> },
    End,
}

/// What was heard before the first word.
#[derive(Default)]
struct Heard {
    noise: Vec<String>,
    bytes: usize,
    /// Where the script found the agent.
    path: Option<String>,
}

impl Heard {
    async fn first_word(&mut self, lines: &mut Lines<Reader>) -> Result<Word, String> {
        loop {
            let Some(line) = lines.next().await.map_err(|error| error.to_string())? else {
                return Ok(Word::End);
            };
            if let Some(hello) = line.strip_prefix(MARKER) {
                return match decode(hello.trim_start()) {
                    Ok(Report::Hello(hello)) => Ok(Word::Hello(hello)),
                    Ok(_) => Err("its first word is no hello".to_owned()),
                    Err(error) => Err(error.to_string()),
                };
            }
            if let Some(path) = line.strip_prefix("MURDER1 AT ") {
                self.path = safe(path).then(|| path.to_owned());
                continue;
            }
            if let Some(need) = line.strip_prefix("MURDER1 NEED ") {
                return needed(need).ok_or_else(|| format!("it says {line:?}"));
            }
            self.bytes += line.len() + 1;
            if self.bytes > MOST_NOISE {
                return Err(format!("its login shell prints more than {MOST_NOISE} bytes"));
            }
            self.noise.push(line);
        }
    }

    fn shown(&self) -> Vec<String> {
        let said: Vec<_> = self.noise.iter().filter(|line| !line.trim().is_empty()).cloned().collect();
        said[said.len().saturating_sub(NOISE_SHOWN)..].to_vec()
    }
}

fn needed(words: &str) -> Option<Word> {
    let mut words = words.splitn(4, ' ');
    let (gzip, system, machine, folder) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let folder = (folder != "-").then(|| folder.to_owned());
    Some(Word::Need { gzip: gzip == "gz", system: system.to_owned(), machine: machine.to_owned(), folder })
}

/// All lines that are left, the last ones if they are many.
async fn rest(reader: Reader) -> Vec<String> {
    let mut lines = Lines::new(reader, MOST_NOISE);
    let mut all = std::collections::VecDeque::new();
    while let Ok(Some(line)) = lines.next().await {
        if all.len() == NOISE_SHOWN {
            all.pop_front();
        }
        all.push_back(line);
    }
    all.into_iter().filter(|line| !line.trim().is_empty()).collect()
}

/// A script as one line for any login shell, with its arguments in double quotes.
fn one_line(script: &str, arguments: &[&str]) -> Result<String, String> {
    let lines: Vec<&str> =
        script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let mut command = format!("sh -c '{}' sh", lines.join(" "));
    for argument in arguments {
        if !argument.chars().all(harmless) {
            return Err(format!("{argument:?} cannot be given to a shell; use a folder with a plain name"));
        }
        command.push_str(&format!(" \"{argument}\""));
    }
    Ok(command)
}

/// A path that no shell takes for anything else.
fn safe(path: &str) -> bool {
    path.starts_with('/') && !path.contains(' ') && path.chars().all(harmless)
}

/// Stands for itself between double quotes, in every shell.
fn harmless(c: char) -> bool {
    !c.is_control() && !matches!(c, '"' | '\'' | '\\' | '`' | '$' | '!')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_one_line_that_every_login_shell_takes() {
        for script in [LAUNCH, PUT] {
            let command = one_line(script, &["/a", ":", "x=y"]).unwrap();
            let inner = command.strip_prefix("sh -c '").unwrap();
            let (inner, rest) = inner.rsplit_once('\'').unwrap();
            assert!(!inner.contains(['\'', '\\', '!', '\n', '`']), "{inner}");
            assert_eq!(rest, " sh \"/a\" \":\" \"x=y\"");
        }
    }

    #[test]
    fn arguments_that_a_shell_would_change_are_refused() {
        for argument in ["/a\"b", "/$HOME", "/a`b`", "/a!b", "/a\\b", "/a\nb", "it's"] {
            assert!(one_line(PUT, &[argument]).is_err(), "{argument}");
        }
    }

    #[tokio::test]
    async fn noise_before_the_first_word_is_kept_and_bounded() {
        let noisy = format!(
            "Welcome!\n{{\"t\":\"hello\"}}\n\nMURDER1 AT /c/agent\n{MARKER} {}\nnext\n",
            r#"{"t":"hello","v":1,"version":"0.1.0","pid":7,"hostname":"h","uid":0,"clock_ms":5}"#
        );
        let mut heard = Heard::default();
        let mut lines = Lines::new(Box::new(std::io::Cursor::new(noisy.into_bytes())) as Reader, MOST_NOISE);
        let word = heard.first_word(&mut lines).await.unwrap();
        assert!(matches!(word, Word::Hello(Hello { pid: 7, .. })));
        assert_eq!(heard.shown(), ["Welcome!", "{\"t\":\"hello\"}"]);
        assert_eq!(heard.path.as_deref(), Some("/c/agent"));
        assert_eq!(lines.next().await.unwrap().as_deref(), Some("next"));

        let flood = "x".repeat(100).to_owned() + "\n";
        let flood = std::io::Cursor::new(flood.repeat(1000).into_bytes());
        let mut lines = Lines::new(Box::new(flood) as Reader, MOST_NOISE);
        assert!(Heard::default().first_word(&mut lines).await.is_err());
    }

    #[test]
    fn what_is_needed_is_read() {
        let Some(Word::Need { gzip, system, machine, folder }) = needed("gz Linux x86_64 /home/a/.cache")
        else {
            panic!("not read")
        };
        assert_eq!(
            (gzip, &*system, &*machine, folder.as_deref()),
            (true, "Linux", "x86_64", Some("/home/a/.cache"))
        );
        assert!(matches!(needed("- Darwin arm64 -"), Some(Word::Need { gzip: false, folder: None, .. })));
        assert!(needed("gz Linux").is_none());
    }

    /// What the script answers when these are the shared folders and nothing else can be used.
    fn needs(shared: &std::path::Path) -> String {
        let script = LAUNCH.replace("/var/tmp/$I", &format!("{}/$I", shared.display()));
        let script = script.replace("/tmp/$I /dev/shm/$I", "");
        let command = one_line(&script, &["-", ":", "x=y", "-"]).unwrap();
        let output = std::process::Command::new("sh")
            .args(["-c", &command])
            .env("HOME", "/dev/null")
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_RUNTIME_DIR")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn a_shared_folder_is_used_only_if_it_is_ours_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let shared = tempfile::tempdir().unwrap();
        let ours = shared.path().join(format!("murder-{}", rustix::process::getuid().as_raw()));
        assert!(needs(shared.path()).ends_with(&format!(" {}", ours.display())));
        assert_eq!(std::fs::metadata(&ours).unwrap().permissions().mode() & 0o777, 0o700);

        std::fs::set_permissions(&ours, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(needs(shared.path()).ends_with(" -"), "others can look into it");

        std::fs::remove_dir_all(&ours).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &ours).unwrap();
        assert!(needs(shared.path()).ends_with(" -"), "it is a link of somebody's");
    }
}
