use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::local::Local;

/// Settings that change nothing for us, so that a file with nothing else in it need not be asked about.
const WITHOUT_EFFECT: [&str; 8] = [
    "sendenv",
    "setenv",
    "gssapiauthentication",
    "gssapidelegatecredentials",
    "gssapikeyexchange",
    "forwardx11",
    "forwardx11trusted",
    "forwardx11timeout",
];

/// Identity files that `ssh -G` names when the configuration names none.
pub(super) const DEFAULT_IDENTITIES: [&str; 7] = [
    "~/.ssh/id_rsa",
    "~/.ssh/id_ecdsa",
    "~/.ssh/id_ecdsa_sk",
    "~/.ssh/id_ed25519",
    "~/.ssh/id_ed25519_sk",
    "~/.ssh/id_xmss",
    "~/.ssh/id_dsa",
];

/// What OpenSSH would do for a host, as `ssh -G` says it; tokens are not expanded yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostConfig {
    pub(super) hostname: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    /// Empty if none is named beyond the defaults.
    pub(super) identity_files: Vec<String>,
    pub(super) certificate_files: Vec<String>,
    pub(super) identities_only: bool,
    pub(super) identity_agent: Option<String>,
    pub(super) proxy_jump: Option<String>,
    pub(super) proxy_command: Option<String>,
    pub(super) proxy_use_fdpass: bool,
    pub(super) user_known_hosts: Vec<String>,
    pub(super) global_known_hosts: Vec<String>,
    pub(super) hash_known_hosts: bool,
    pub(super) host_key_alias: Option<String>,
    /// `StrictHostKeyChecking yes`; every other value accepts new keys.
    pub(super) strict: bool,
    pub(super) host_key_algorithms: Vec<String>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) address_family: Option<String>,
    pub(super) batch_mode: bool,
    pub(super) no_public_key: bool,
    pub(super) no_password: bool,
    pub(super) no_keyboard_interactive: bool,
}

impl HostConfig {
    /// Reads the output of `ssh -G`.
    pub(super) fn parse(text: &str) -> Self {
        let mut config = Self::default();
        for line in text.lines() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let value = value.trim();
            if !value.is_empty() {
                config.set(key, value);
            }
        }
        if config.identity_files == DEFAULT_IDENTITIES {
            config.identity_files.clear();
        }
        config
    }

    fn set(&mut self, key: &str, value: &str) {
        let some = || (value != "none").then(|| value.to_owned());
        let yes = matches!(value, "yes" | "true");
        match key {
            "hostname" => self.hostname = Some(value.to_owned()),
            "port" => self.port = value.parse().ok(),
            "user" => self.user = Some(value.to_owned()),
            "identityfile" => self.identity_files.extend(some()),
            "certificatefile" => self.certificate_files.extend(some()),
            "identitiesonly" => self.identities_only = yes,
            "identityagent" => self.identity_agent = Some(value.to_owned()),
            "proxyjump" => self.proxy_jump = some(),
            "proxycommand" => self.proxy_command = some(),
            "proxyusefdpass" => self.proxy_use_fdpass = yes,
            "userknownhostsfile" => self.user_known_hosts = words(value),
            "globalknownhostsfile" => self.global_known_hosts = words(value),
            "hashknownhosts" => self.hash_known_hosts = yes,
            "hostkeyalias" => self.host_key_alias = some(),
            "stricthostkeychecking" => self.strict = yes,
            "hostkeyalgorithms" => self.host_key_algorithms = value.split(',').map(str::to_owned).collect(),
            "connecttimeout" => self.connect_timeout = value.parse().ok().map(Duration::from_secs),
            "addressfamily" => self.address_family = (value != "any").then(|| value.to_owned()),
            "batchmode" => self.batch_mode = yes,
            "pubkeyauthentication" => self.no_public_key = matches!(value, "no" | "false"),
            "passwordauthentication" => self.no_password = value == "no",
            "kbdinteractiveauthentication" => self.no_keyboard_interactive = value == "no",
            _ => {}
        }
    }
}

/// Splits a list of files; double quotes keep spaces.
fn words(value: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in value.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words.retain(|word| word != "none");
    words
}

/// What `ssh -G` is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) name: String,
    /// Where to connect, if not the name: as `HostName` would say it.
    pub(super) address: Option<String>,
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
}

/// Why `ssh -G` gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoConfig {
    /// There is no `ssh` program.
    NoProgram,
    /// It failed, with these words.
    Failed(String),
}

/// Asks the system's `ssh`. Its stdin is null: `Match exec` runs commands, and they must not eat ours.
pub(super) async fn ask_ssh(
    program: &str,
    asked: &Asked,
    file: Option<&Path>,
) -> Result<HostConfig, NoConfig> {
    let mut ssh = tokio::process::Command::new(program);
    ssh.args(["-T", "-G"]).stdin(Stdio::null()).kill_on_drop(true);
    if let Some(file) = file {
        ssh.arg("-F").arg(file);
    }
    if let Some(address) = &asked.address {
        ssh.arg("-o").arg(format!("HostName={address}"));
    }
    if let Some(user) = &asked.user {
        ssh.arg("-l").arg(user);
    }
    if let Some(port) = asked.port {
        ssh.arg("-p").arg(port.to_string());
    }
    ssh.arg("--").arg(&asked.name);
    let output = ssh.output().await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => NoConfig::NoProgram,
        _ => NoConfig::Failed(format!("cannot start ssh: {error}")),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(NoConfig::Failed(format!("`ssh -G`: {}", said.trim())));
    }
    Ok(HostConfig::parse(&String::from_utf8_lossy(&output.stdout)))
}

/// What can be said of the configuration files without asking `ssh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// Nothing in them changes anything but this.
    Defaults {
        /// `HashKnownHosts yes`, which Debian ships.
        hash_known_hosts: bool,
    },
    /// Something is set: `ssh` must be asked.
    Settings,
}

/// Looks whether the user's and the system's files hold anything beyond what distributions ship.
pub(super) fn scan(local: &Local) -> Scan {
    scan_files([local.expand_home("~/.ssh/config"), PathBuf::from("/etc/ssh/ssh_config")].into())
}

fn scan_files(mut files: VecDeque<PathBuf>) -> Scan {
    /// More files than that are not plain defaults.
    const MOST_FILES: usize = 64;
    let mut hash_known_hosts = false;
    let mut read = 0;
    while let Some(file) = files.pop_front() {
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            // Let ssh say what is wrong with it.
            Err(_) => return Scan::Settings,
        };
        read += 1;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (key, value) = line.split_once(|c: char| c.is_whitespace() || c == '=').unwrap_or((line, ""));
            let value = value.trim_matches(|c: char| c.is_whitespace() || c == '=');
            match key.to_ascii_lowercase().as_str() {
                "host" if value == "*" => {}
                "hashknownhosts" => hash_known_hosts = value.eq_ignore_ascii_case("yes"),
                "include" => match included(&file, value) {
                    Some(more) => files.extend(more),
                    None => return Scan::Settings,
                },
                key if WITHOUT_EFFECT.contains(&key) => {}
                _ => return Scan::Settings,
            }
        }
        if read > MOST_FILES {
            return Scan::Settings;
        }
    }
    Scan::Defaults { hash_known_hosts }
}

/// The files of an `Include`, if it is of the simple kind that distributions ship: `DIR/*.conf` or one file.
fn included(from: &Path, value: &str) -> Option<Vec<PathBuf>> {
    if value.contains(['"', '~', '%', '$']) || value.split_whitespace().count() != 1 {
        return None;
    }
    let path = from.parent()?.join(value);
    let name = path.file_name()?.to_str()?;
    let Some(suffix) = name.strip_prefix('*') else {
        return (!value.contains(['*', '?', '['])).then(|| vec![path.clone()]);
    };
    let folder = path.parent()?;
    if suffix.contains(['*', '?', '[']) || folder.to_str()?.contains(['*', '?', '[']) {
        return None;
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return Some(Vec::new()) };
    let files = entries.flatten().map(|entry| entry.path());
    Some(files.filter(|file| file.to_str().is_some_and(|file| file.ends_with(suffix))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_ssh_is_read() {
        let config = HostConfig::parse(
            "host web\nuser deploy\nhostname 10.0.0.4\nport 2222\nidentitiesonly yes\nidentityfile ~/.ssh/web_%h\n\
             identityfile ~/.ssh/b\nproxyjump a@b:2,c\nuserknownhostsfile /a/b \"/c d/e\"\nstricthostkeychecking ask\n\
             connecttimeout 7\nhostkeyalias web\npubkeyauthentication true\nproxycommand none\nbatchmode no\n",
        );
        assert_eq!(
            config,
            HostConfig {
                hostname: Some("10.0.0.4".into()),
                port: Some(2222),
                user: Some("deploy".into()),
                identities_only: true,
                identity_files: vec!["~/.ssh/web_%h".into(), "~/.ssh/b".into()],
                proxy_jump: Some("a@b:2,c".into()),
                user_known_hosts: vec!["/a/b".into(), "/c d/e".into()],
                connect_timeout: Some(Duration::from_secs(7)),
                host_key_alias: Some("web".into()),
                ..HostConfig::default()
            }
        );
    }

    #[test]
    fn strict_is_yes_alone() {
        for (value, strict) in
            [("yes", true), ("true", true), ("ask", false), ("accept-new", false), ("no", false)]
        {
            assert_eq!(
                HostConfig::parse(&format!("stricthostkeychecking {value}")).strict,
                strict,
                "{value}"
            );
        }
    }

    #[test]
    fn default_identities_are_not_taken_for_named_ones() {
        let text: String = DEFAULT_IDENTITIES.iter().map(|file| format!("identityfile {file}\n")).collect();
        assert!(HostConfig::parse(&text).identity_files.is_empty());
        assert_eq!(HostConfig::parse("identityfile ~/.ssh/id_rsa\n").identity_files, ["~/.ssh/id_rsa"]);
    }

    #[test]
    fn what_debian_ships_needs_no_question_and_any_setting_does() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("ssh_config");
        std::fs::create_dir(folder.path().join("d")).unwrap();
        let included = folder.path().join("d/50.conf");
        std::fs::write(
            &main,
            "# comment\nInclude d/*.conf\nHost *\n    SendEnv LANG LC_*\n\tHashKnownHosts yes\n    GSSAPIAuthentication yes\n",
        )
        .unwrap();
        let files = || VecDeque::from([folder.path().join("missing"), main.clone()]);
        assert_eq!(scan_files(files()), Scan::Defaults { hash_known_hosts: true });
        std::fs::write(&included, "Port = 2222\n").unwrap();
        assert_eq!(scan_files(files()), Scan::Settings);
        std::fs::remove_file(&included).unwrap();
        std::fs::write(&main, "Host web\n").unwrap();
        assert_eq!(scan_files(files()), Scan::Settings);
    }

    #[tokio::test]
    async fn a_machine_without_ssh_is_told_apart_from_a_mistake() {
        let asked = Asked { name: "-oProxyCommand=evil".into(), address: None, user: None, port: None };
        assert_eq!(ask_ssh("no-such-program", &asked, None).await, Err(NoConfig::NoProgram));
        assert!(matches!(ask_ssh("false", &asked, None).await, Err(NoConfig::Failed(_))));
    }
}
