//! Where `murder` keeps its files on the operator's machine, after the XDG base directory specification.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// There is no home folder, and the variables that could replace it are not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no folder for murder's files: HOME is not set; set it, or XDG_CONFIG_HOME, XDG_STATE_HOME and XDG_CACHE_HOME"
)]
pub struct NoHome;

/// The folders. None of them needs to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The home folder, if there is one.
    pub home: Option<PathBuf>,
    /// Holds `config.toml`.
    pub config: PathBuf,
    /// Holds the records of runs.
    pub state: PathBuf,
    /// Holds packed artifacts; may be removed at any time when no run is going on.
    pub cache: PathBuf,
}

impl Paths {
    /// The folders that the environment names; `env` looks a variable up. A relative path in an XDG variable is ignored,
    /// as the specification asks.
    pub fn find(env: impl Fn(&str) -> Option<OsString>) -> Result<Self, NoHome> {
        let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME");
        let folder = |name: &str, below_home: &str| {
            let base = absolute(name).or_else(|| Some(home.as_ref()?.join(below_home)));
            base.map(|base| base.join("murder")).ok_or(NoHome)
        };
        Ok(Self {
            config: folder("XDG_CONFIG_HOME", ".config")?,
            state: folder("XDG_STATE_HOME", ".local/state")?,
            cache: folder("XDG_CACHE_HOME", ".cache")?,
            home,
        })
    }

    /// The user's own defaults.
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// Records of runs, a folder each.
    pub fn runs(&self) -> PathBuf {
        self.state.join("runs")
    }

    /// A path as the user wrote it, with `~/` replaced by the home folder.
    pub fn expand(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ if path == "~" => self.home.clone().unwrap_or_else(|| PathBuf::from(path)),
            _ => PathBuf::from(path),
        }
    }

    /// The opposite, for messages.
    pub fn shorten(&self, path: &Path) -> String {
        match self.home.as_ref().and_then(|home| path.strip_prefix(home).ok()) {
            Some(rest) => Path::new("~").join(rest).display().to_string(),
            None => path.display().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(variables: &[(&str, &str)]) -> Result<Paths, NoHome> {
        let get = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        Paths::find(get)
    }

    #[test]
    fn folders_are_those_of_the_specification() {
        let paths =
            find(&[("HOME", "/home/me"), ("XDG_CACHE_HOME", "/var/cache/me"), ("XDG_STATE_HOME", "state")]);
        let paths = paths.unwrap();
        assert_eq!(paths.config_file(), Path::new("/home/me/.config/murder/config.toml"));
        assert_eq!(paths.runs(), Path::new("/home/me/.local/state/murder/runs"));
        assert_eq!(paths.cache, Path::new("/var/cache/me/murder"));
    }

    #[test]
    fn no_home_is_needed_if_all_folders_are_named() {
        let xdg = [("XDG_CONFIG_HOME", "/c"), ("XDG_STATE_HOME", "/s"), ("XDG_CACHE_HOME", "/k")];
        assert_eq!(find(&xdg).unwrap().runs(), Path::new("/s/murder/runs"));
        assert_eq!(find(&xdg[..2]), Err(NoHome));
        assert_eq!(find(&[("HOME", "")]), Err(NoHome));
    }

    #[test]
    fn a_tilde_is_the_home_folder() {
        let paths = find(&[("HOME", "/home/me")]).unwrap();
        for (written, meant) in
            [("~/.ssh/id", "/home/me/.ssh/id"), ("~", "/home/me"), ("~you/x", "~you/x"), ("a", "a")]
        {
            assert_eq!(paths.expand(written), Path::new(meant));
        }
        assert_eq!(paths.shorten(Path::new("/home/me/x")), "~/x");
        assert_eq!(paths.shorten(Path::new("/home/you/x")), "/home/you/x");
    }
}
