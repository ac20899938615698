use std::io::{self, Write};

use crate::cli::{self, Cli, Command, ManArgs, Surroundings};
use crate::deploy::Errand;
use crate::exit;
use crate::paths::Paths;

use super::errand::errand;
use super::rollback::rollback;
use super::{AppError, demo, deploy, history};

/// Does what the command line says. Returns the exit code.
pub fn run(cli: &Cli) -> Result<u8, AppError> {
    let paths = Paths::find(|name| std::env::var_os(name))?;
    let around = Surroundings::of_process(&paths.config_file())?;
    match &cli.command {
        Command::Deploy(args) => wait(deploy::deploy(cli, &around, &paths, &args.payload)),
        Command::Demo(args) => wait(demo::demo(cli, &around, &paths, args)),
        Command::Activate(args) => wait(deploy::switch(cli, &around, &paths, "activate", &args.tag)),
        Command::Rollback(args) => wait(rollback(cli, &around, &paths, args)),
        Command::Runs(args) => print(&history::runs(&paths, &around.face(cli)?, args)?),
        Command::Show(args) => print(&history::tell(&paths, &around.face(cli)?, args)?),
        Command::Replay(args) => wait(history::replay(&paths, &around.face(cli)?, args)),
        Command::Retry(args) => wait(history::retry(cli, &around, &paths, args)),
        Command::Completions(args) => print(&cli::completions(args.shell)),
        Command::Man(ManArgs { dir: Some(folder) }) => printed(cli::man_pages(folder).map(drop)),
        Command::Man(ManArgs { dir: None }) => print(&cli::man_page()),
        Command::Keys => print(&around.config.keys.text()),
        Command::Paths => print(&cli::paths(&paths)),
        Command::Check(args) => {
            let bytes = args.size.unwrap_or(0);
            wait(errand(cli, &around, &paths, "check", |_| Errand::Check { bytes }))
        }
        Command::Releases(_) => wait(errand(cli, &around, &paths, "releases", |_| Errand::Releases)),
        Command::Clean(_) => {
            wait(errand(cli, &around, &paths, "clean", |setup| Errand::Clean { keep: setup.deploy.keep }))
        }
    }
}

/// Runs a command that waits for many things, on a runtime of its own.
fn wait(work: impl Future<Output = Result<u8, AppError>>) -> Result<u8, AppError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("murder")
        .enable_all()
        .build()
        .map_err(|error| AppError::System { what: "start threads", error })?;
    let exit = runtime.block_on(work);
    // A question that nobody answers must not keep the process.
    runtime.shutdown_background();
    exit
}

fn print(text: &str) -> Result<u8, AppError> {
    printed(io::stdout().write_all(text.as_bytes()))
}

fn printed(result: io::Result<()>) -> Result<u8, AppError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(AppError::System { what: "write the output", error })
        }
        _ => Ok(exit::OK),
    }
}
