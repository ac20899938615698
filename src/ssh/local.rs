use std::path::{Path, PathBuf};

/// The user at the operator's machine, as OpenSSH's configuration may refer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// Login name.
    pub user: String,
    /// User number.
    pub uid: u32,
    /// Home folder.
    pub home: PathBuf,
    /// Name of the machine.
    pub machine: String,
    /// Socket of the user's ssh-agent, if there is one.
    pub agent: Option<PathBuf>,
}

impl Local {
    /// As the environment says it.
    pub fn from_environment() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let named = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let user = named("USER").or_else(|| named("LOGNAME")).or_else(|| name_of(uid));
        Self {
            user: user.unwrap_or_else(|| uid.to_string()),
            uid,
            home: std::env::home_dir().unwrap_or_else(|| PathBuf::from("/")),
            machine: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            agent: std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from),
        }
    }

    /// A leading `~/` becomes the home folder.
    pub(super) fn expand_home(&self, path: &str) -> PathBuf {
        match path.strip_prefix('~') {
            Some("") => self.home.clone(),
            Some(rest) => match rest.strip_prefix('/') {
                Some(rest) => self.home.join(rest),
                None => PathBuf::from(path),
            },
            None => PathBuf::from(path),
        }
    }

    /// A path as users write it, for messages.
    pub(super) fn shorten(&self, path: &Path) -> String {
        match path.strip_prefix(&self.home) {
            Ok(rest) if self.home.parent().is_some() => format!("~/{}", rest.display()),
            _ => path.display().to_string(),
        }
    }
}

fn name_of(uid: u32) -> Option<String> {
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// What the tokens of OpenSSH's configuration stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tokens<'a> {
    pub(super) local: &'a Local,
    /// The host as the user named it (`%n`).
    pub(super) name: &'a str,
    /// Where it is dialled (`%h`).
    pub(super) hostname: &'a str,
    pub(super) port: u16,
    pub(super) user: &'a str,
    pub(super) alias: Option<&'a str>,
}

impl Tokens<'_> {
    /// Expands `%x` and `${VAR}`; what is unknown stays as it is.
    pub(super) fn expand(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(['%', '$']) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let (value, used) = match self.token(rest) {
                Some(found) => found,
                None => (rest[..1].to_owned(), 1),
            };
            out.push_str(&value);
            rest = &rest[used..];
        }
        out + rest
    }

    /// A file's path: tokens, then `~`.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        self.local.expand_home(&self.expand(text))
    }

    fn token(&self, text: &str) -> Option<(String, usize)> {
        if let Some(name) = text.strip_prefix("${") {
            let name = &name[..name.find('}')?];
            return Some((std::env::var(name).ok()?, name.len() + 3));
        }
        let machine = &self.local.machine;
        let value = match text.strip_prefix('%')?.chars().next()? {
            '%' => "%".to_owned(),
            'd' => self.local.home.display().to_string(),
            'h' => self.hostname.to_owned(),
            'i' => self.local.uid.to_string(),
            'k' => self.alias.unwrap_or(self.name).to_owned(),
            'L' => machine.split('.').next().unwrap_or(machine).to_owned(),
            'l' => machine.clone(),
            'n' => self.name.to_owned(),
            'p' => self.port.to_string(),
            'r' => self.user.to_owned(),
            'u' => self.local.user.clone(),
            _ => return None,
        };
        Some((value, 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stand_for_what_openssh_says() {
        let local = Local {
            user: "ann".into(),
            uid: 1000,
            home: "/home/ann".into(),
            machine: "laptop.example.com".into(),
            agent: None,
        };
        let tokens = Tokens {
            local: &local,
            name: "web",
            hostname: "10.0.0.4",
            port: 2222,
            user: "deploy",
            alias: None,
        };
        for (text, expanded) in [
            ("~/.ssh/web_%h_%r", "/home/ann/.ssh/web_10.0.0.4_deploy"),
            ("%d/k-%n-%p-%u-%i", "/home/ann/k-web-2222-ann-1000"),
            ("%l %L %k 100%%", "laptop.example.com laptop web 100%"),
            ("/a/%Z/$HOME_NOT/b%", "/a/%Z/$HOME_NOT/b%"),
            ("~bob/key", "~bob/key"),
            ("~", "/home/ann"),
            ("/ü/%h", "/ü/10.0.0.4"),
        ] {
            assert_eq!(tokens.path(text), PathBuf::from(expanded), "{text}");
        }
        assert_eq!(local.shorten(Path::new("/home/ann/.ssh/known_hosts")), "~/.ssh/known_hosts");
        assert_eq!(local.shorten(Path::new("/etc/ssh/x")), "/etc/ssh/x");
    }
}
