use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::network::{Network, which};
use crate::payload::Outcome;

/// What the operator and the hosts' sshd need: keys, homes, configurations.
pub(crate) struct Ssh {
    root: PathBuf,
}

impl Ssh {
    /// Keys for an operator and for hosts at these addresses, which share one.
    pub(crate) fn new(root: &Path, addresses: &[Ipv4Addr]) -> Outcome<Self> {
        let ssh = Self { root: root.to_owned() };
        fs::create_dir_all(ssh.operator().join(".ssh"))?;
        for key in [ssh.identity(), ssh.root.join("host_key")] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&key);
            if !keygen.status()?.success() {
                return Err("ssh-keygen made no key".into());
            }
        }
        let public = fs::read_to_string(ssh.root.join("host_key.pub"))?;
        let known = addresses.iter().map(|address| format!("{address} {public}")).collect::<String>();
        fs::write(ssh.known_hosts(), known)?;
        Ok(ssh)
    }

    /// The operator's home.
    pub(crate) fn operator(&self) -> PathBuf {
        self.root.join("operator")
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.operator().join(".ssh/id_ed25519")
    }

    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.operator().join(".ssh/known_hosts")
    }

    /// The command line of a host's server, for a shell.
    pub(crate) fn server(&self, host: usize, port: u16) -> Outcome<String> {
        let home = self.root.join(format!("home{host}"));
        fs::create_dir_all(&home)?;
        let config = self.root.join(format!("sshd_config{host}"));
        let text = format!(
            "Port {port}\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}.pub\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nPermitRootLogin yes\nMaxStartups 200\nSubsystem sftp internal-sftp\n\
             SetEnv HOME={}\n",
            self.root.join("host_key").display(),
            self.identity().display(),
            home.display(),
        );
        fs::write(&config, text)?;
        if rustix::process::geteuid().is_root() {
            // Its own packages make it at boot, which no container has.
            fs::create_dir_all("/run/sshd")?;
        }
        let sshd = which("sshd").ok_or("sshd is not installed")?;
        Ok(format!("{} -f {} -E {}/sshd{host}.log", sshd.display(), config.display(), self.root.display()))
    }

    /// An inventory of hosts on links; `dest(host)` is where each keeps its releases.
    pub(crate) fn inventory(&self, hosts: usize, dest: impl Fn(usize) -> PathBuf) -> String {
        let mut text = format!(
            "defaults:\n  ssh_config: none\n  user: root\n  identity: {}\ngroups:\n  all:\n    hosts:\n",
            self.identity().display()
        );
        for host in 1..=hosts {
            text += &format!(
                "      - {{host: h{host}, address: {0}, dest: {1}}}\n",
                Network::address(host),
                dest(host).display()
            );
        }
        text
    }
}
