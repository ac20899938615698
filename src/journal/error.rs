use std::io;
use std::path::PathBuf;

/// Why a run could not be recorded or read back.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried: `create`, `write`, …
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A record is not the JSON that is expected.
    #[error("cannot read the record {}: {source}", path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// Written by a later version.
    #[error("the record {} has version {found}, this murder reads up to {known}: use the newer one", path.display())]
    Version {
        /// Which.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Nothing is recorded that could be meant.
    #[error("no run is recorded below {}: deploy something first", .0.display())]
    Empty(PathBuf),
    /// There are runs, and `last` means none of them.
    #[error("`last` is {wanted}, and there is none such: name the run that is meant, the newest is {newest}")]
    NoLast {
        /// What it is.
        wanted: &'static str,
        /// The newest of all.
        newest: String,
    },
    /// No run has that name.
    #[error("no recorded run is called {name:?}; the newest are {}", near.join(", "))]
    Unknown {
        /// As the user gave it.
        name: String,
        /// The newest runs.
        near: Vec<String>,
    },
    /// The run was killed before anything was known of it.
    #[error("the run in {} ended before its plan was recorded: there is nothing to show", .0.display())]
    NoPlan(PathBuf),
    /// The start of several names.
    #[error("{name:?} is the start of several runs: {}; give more of it", of.join(", "))]
    Ambiguous {
        /// As the user gave it.
        name: String,
        /// The runs it may mean.
        of: Vec<String>,
    },
}

impl JournalError {
    pub(super) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
