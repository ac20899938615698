use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use crate::cli::{Config, Setup, Surroundings};
use crate::deploy::{Body, Command, DeployPlan, RunHandle, start};
use crate::inventory::{Inventory, Options};
use crate::journal::{Journal, Meta, now};
use crate::paths::Paths;
use crate::ssh::ConfigSource;
use crate::text::did_you_mean_file;

use super::AppError;
use super::plan::{Occasion, plan};

/// Events between the run and its embedder, beside those that wait in the run: one burst of a small fleet.
const FORWARDED: usize = 256;

/// A deployment from Rust: what `murder deploy` does, without a face.
///
/// ```no_run
/// use murder::Deployment;
/// use murder::deploy::Body;
/// use murder::inventory::{Inventory, Options};
///
/// # async fn deploy() -> Result<(), Box<dyn std::error::Error>> {
/// let inventory = Inventory::load("hosts.yaml".as_ref())?;
/// let options = Options { tag: Some("2026.11.23".into()), retries: Some(5), ..Options::default() };
/// let mut run = Deployment::new("./build", inventory).options(options).start()?;
/// while let Some(event) = run.events.recv().await {
///     match event.body {
///         Body::Host { host, state, .. } => println!("{host} is {}", state.name()),
///         Body::Finished(summary) => println!("{} active, {} failed", summary.active, summary.failed),
///         _ => {}
///     }
/// }
/// # Ok(()) }
/// ```
///
/// The stream is the one that the screen, the JSON output and the records of runs are made from; a
/// [`FleetState`](crate::fleet::FleetState) that is given each event knows all that the screen shows. What a person would
/// do with keys is sent to [`RunHandle::commands`]: retry, cancel, stop. Nothing is taken from the command line, the
/// environment's `MURDER_*` or `config.toml`; the user's OpenSSH configuration counts, unless [`Self::ssh`] says otherwise.
#[derive(Debug, Clone)]
pub struct Deployment {
    payload: PathBuf,
    inventory: Inventory,
    options: Options,
    ssh: ConfigSource,
    record_below: Option<PathBuf>,
    asks: bool,
}

impl Deployment {
    /// Of a file or a directory to the hosts of an inventory; each needs its `dest`, or [`Options::to`].
    pub fn new(payload: impl Into<PathBuf>, inventory: Inventory) -> Self {
        Self {
            payload: payload.into(),
            inventory,
            options: Options::default(),
            ssh: ConfigSource::OpenSsh { file: None },
            record_below: None,
            asks: false,
        }
    }

    /// Options that win over those of the inventory; the fields are named as the flags of `murder deploy`.
    #[must_use]
    pub fn options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// Where settings of SSH come from that the inventory does not say.
    #[must_use]
    pub fn ssh(self, ssh: ConfigSource) -> Self {
        Self { ssh, ..self }
    }

    /// Records the run in a folder of its own below this one, for [`crate::journal`] to read. Below [`Paths::runs`],
    /// `murder show`, `retry` and `replay` find it.
    #[must_use]
    pub fn record_below(self, runs: impl Into<PathBuf>) -> Self {
        Self { record_below: Some(runs.into()), ..self }
    }

    /// Passes questions on as [`Body::Question`], each to be answered by [`Command::Answer`]. Without this, a host that needs
    /// a password or a passphrase fails as one that nobody could be asked for.
    #[must_use]
    pub fn with_questions(self) -> Self {
        Self { asks: true, ..self }
    }

    /// Starts it on the current tokio runtime. Dropping the events does not stop it; [`Command::Stop`] does.
    ///
    /// # Errors
    /// When options do not go together, no host is selected, the payload is not there, or the record cannot be made. What
    /// happens to hosts is no error: it is in the events.
    pub fn start(self) -> Result<RunHandle, AppError> {
        let nothing = Surroundings {
            env: Box::new(|_| None),
            stdin: Box::new(|| Box::new(io::empty())),
            config: Config::default(),
        };
        let setup = Setup::embedded(self.inventory, self.options, &nothing)?;
        let paths = Paths::find(|name| std::env::var_os(name))?;
        let occasion = Occasion {
            command: "deploy",
            payload: &self.payload,
            config: self.ssh,
            cache: paths.cache.clone(),
            linger: false,
        };
        let mut plan = plan(&setup, &paths, occasion)?;
        check_payload(&plan)?;
        plan.folder = self.record_below.as_ref().map(|runs| runs.join(&plan.run.0)).unwrap_or_default();
        let record = |runs: &Path| Journal::create(runs, &plan.shown(), meta(&plan, &setup, false));
        let journal = self.record_below.as_deref().map(record).transpose()?;
        Ok(forwarded(start(plan)?, journal, self.asks))
    }
}

/// That there is something to ship, if anything is to be.
pub(super) fn check_payload(plan: &DeployPlan) -> Result<(), AppError> {
    if plan.ships() && !plan.payload.exists() {
        let help = did_you_mean_file(&plan.payload).map(|help| format!("; {help}")).unwrap_or_default();
        let reason = format!("there is no such file or directory{help}");
        return Err(AppError::Payload { path: plan.payload.clone(), reason });
    }
    Ok(())
}

/// What the record of a run needs beside its plan.
pub(super) fn meta(plan: &DeployPlan, setup: &Setup, demo: bool) -> Meta {
    Meta {
        demo,
        started_at: now(),
        payload: plan.ships().then(|| std::path::absolute(&plan.payload).ok()).flatten(),
        hosts: serde_json::to_value(&setup.hosts).unwrap_or_default(),
        options: serde_json::json!({ "options": setup.options, "hooks": setup.inventory.hooks }),
    }
}

/// Records what happens and passes it on.
fn forwarded(run: RunHandle, journal: Option<Journal>, asks: bool) -> RunHandle {
    let RunHandle { mut events, commands, task } = run;
    let (forward, forwarded) = mpsc::channel(FORWARDED);
    let answers = commands.clone();
    let task = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let Some(journal) = &journal {
                journal.write(&event);
            }
            match &event.body {
                Body::Question(question) if !asks => {
                    // The run may be over; then nobody waits for the answer.
                    let _ = answers.send(Command::Answer { id: question.id, secret: None }).await;
                }
                // An embedder that left is no reason to leave hosts half deployed.
                _ => drop(forward.send(event).await),
            }
        }
        drop(answers);
        // A panic in the run has been printed; its events are over all the same.
        let _ = task.await;
    });
    RunHandle { events: forwarded, commands, task }
}
