use std::io::{self, Write};

use crate::cli::{self, Cli, Command, ManArgs, Surroundings};
use crate::exit;
use crate::paths::Paths;

use super::{AppError, demo, deploy};

/// Does what the command line says. Returns the exit code.
pub fn run(cli: &Cli) -> Result<u8, AppError> {
    let paths = Paths::find(|name| std::env::var_os(name))?;
    let around = Surroundings::of_process(&paths.config_file())?;
    match &cli.command {
        Command::Deploy(args) => wait(deploy::deploy(cli, &around, &paths, &args.payload)),
        Command::Demo(args) => wait(demo::demo(cli, &around, &paths, args)),
        Command::Completions(args) => printed(cli::completions(args.shell, io::stdout())),
        Command::Man(ManArgs { dir: Some(folder) }) => printed(cli::man_pages(folder).map(drop)),
        Command::Man(ManArgs { dir: None }) => printed(cli::man_page(io::stdout())),
        Command::Keys => printed(io::stdout().write_all(crate::tui::Keymap::default().text().as_bytes())),
        Command::Paths => printed(cli::paths(&paths, io::stdout())),
        _ => Err(AppError::Config("this command is not in this version".to_owned())),
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

fn printed(result: io::Result<()>) -> Result<u8, AppError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(AppError::System { what: "write the output", error })
        }
        _ => Ok(exit::OK),
    }
}
