//! The agent: runs on a host for the time of a deployment.

use std::process::ExitCode;

fn main() -> ExitCode {
    murder::agent::main()
}
