use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, Signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::payload::{Sha256, hex};

use super::pipe::pipe;
use super::session::{Surroundings, run};

const USAGE: &str = "usage: murder-agent run | pipe PORT | --self-hash | --version\n\
    It is started by murder on the hosts of a deployment; there is no need to run it by hand.";

/// Threads for the disk and for hashing. Each takes memory, and few things are done at once.
const BLOCKING_THREADS: usize = 4;

/// The parent's death is told by this signal. It is also sent when only the thread that started us ends, so that it has to be looked into.
const PARENT_DIED: Signal = Signal::USR1;

/// The whole program.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["run"] => return run_agent(),
        ["pipe", port] => match port.parse() {
            Ok(port) => pipe(port, io::stdin(), io::stdout()),
            Err(_) => Err(io::Error::other(format!("{port:?} is no port"))),
        },
        ["--self-hash"] => self_hash().map(|hash| println!("{hash}")),
        ["--version"] => {
            println!("murder-agent {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        _ => Err(io::Error::other(USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn self_hash() -> io::Result<String> {
    let mut reader = BufReader::with_capacity(64 << 10, File::open(std::env::current_exe()?)?);
    let mut hash = Sha256::default();
    loop {
        let part = reader.fill_buf()?;
        if part.is_empty() {
            return Ok(hex(&hash.finish()));
        }
        hash.update(part);
        let length = part.len();
        reader.consume(length);
    }
}

fn run_agent() -> ExitCode {
    let umask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    raise_open_files();
    let surroundings = Surroundings {
        ssh_connection: std::env::var("SSH_CONNECTION").ok(),
        umask: umask.bits(),
        durable: std::env::var_os("MURDER_NO_SYNC").is_none(),
        orphaned: CancellationToken::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let clean = runtime.block_on(async {
        let stop = CancellationToken::new();
        if let Err(error) = listen_to_signals(&stop, &surroundings.orphaned) {
            eprintln!("cannot listen to signals: {error}");
        }
        run(tokio::io::stdin(), tokio::io::stdout(), surroundings, stop).await
    });
    // A thread may still wait for a line that will never come.
    runtime.shutdown_background();
    if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A tree may be deep and neighbours many; what the limit is now is for shells.
fn raise_open_files() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = rustix::process::setrlimit(Resource::Nofile, raised);
}

fn listen_to_signals(stop: &CancellationToken, orphaned: &CancellationToken) -> io::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()] {
        let (mut signals, stop) = (signal(kind)?, stop.clone());
        tokio::spawn(async move {
            signals.recv().await;
            stop.cancel();
        });
    }
    #[cfg(target_os = "linux")]
    {
        let parent = rustix::process::getppid();
        let (mut signals, orphaned) = (signal(SignalKind::user_defined1())?, orphaned.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if rustix::process::getppid() != parent {
                    orphaned.cancel();
                }
            }
        });
        rustix::process::set_parent_process_death_signal(Some(PARENT_DIED))?;
    }
    Ok(())
}
