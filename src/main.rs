//! The operator's command: arguments -> mode -> exit code.

use std::process::ExitCode;

use murder::app;
use murder::cli::{self, Cli};

fn main() -> color_eyre::Result<ExitCode> {
    if cli::answered_shell() {
        return Ok(ExitCode::SUCCESS);
    }
    color_eyre::install()?;
    let cli = Cli::from_env().unwrap_or_else(|error| error.exit());
    let code = app::run(&cli).unwrap_or_else(|error| {
        eprintln!("murder: {error}");
        error.exit_code()
    });
    Ok(ExitCode::from(code))
}
