//! The screen on a made-up deployment, to look at it: nothing is deployed, no host is contacted, every number is invented.
//!
//! ```text
//! cargo run --example screen -- [--hosts 24] [--fail 3] [--at SECONDS] [--replay] [--theme NAME] [--ascii] [--freeze]
//! ```
//!
//! `--at` begins so many seconds into the run; `--freeze` stands still there.

mod sim;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use murder::deploy::Command;
use murder::inventory::Theme;
use murder::journal::Replay;
use murder::tui::{ReplayStart, TuiOptions, replay, run};
use sim::{STEP_MS, Sim};
use tokio::sync::mpsc;

/// Events that wait for the screen.
const EVENTS: usize = 4096;

#[derive(Debug)]
struct Arguments {
    hosts: usize,
    fail: usize,
    at: u64,
    replay: bool,
    freeze: bool,
    options: TuiOptions,
}

fn arguments() -> Result<Arguments, Box<dyn std::error::Error>> {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let options = TuiOptions { color: !no_color, ..TuiOptions::default() };
    let mut found = Arguments { hosts: 24, fail: 3, at: 0, replay: false, freeze: false, options };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--hosts" => found.hosts = value()?.parse()?,
            "--fail" => found.fail = value()?.parse()?,
            "--at" => found.at = value()?.parse()?,
            "--theme" => found.options.theme = Theme::from_word(&value()?).ok_or("no theme is called so")?,
            "--fps" => found.options.fps = value()?.parse()?,
            "--ascii" => found.options.ascii = true,
            "--replay" => found.replay = true,
            "--freeze" => found.freeze = true,
            _ => return Err(format!("{word} is not known: see the head of examples/screen/main.rs").into()),
        }
    }
    Ok(found)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = arguments()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64 / 1000 * 1000;
    let end = if arguments.replay {
        let events = Sim::new(arguments.hosts, arguments.fail, now).record();
        {
            let start =
                ReplayStart { at: arguments.at * 1000, paused: arguments.freeze, ..ReplayStart::default() };
            replay(Replay::new(events), start, arguments.options).await?
        }
    } else {
        let (events, shown) = mpsc::channel(EVENTS);
        let (commands, mut asked) = mpsc::channel(8);
        let mut sim = Sim::new(arguments.hosts, arguments.fail, now - arguments.at * 1000);
        let freeze = arguments.freeze;
        tokio::spawn(async move {
            loop {
                let behind = sim.now() + STEP_MS <= now;
                if !behind && freeze {
                    std::future::pending::<()>().await;
                }
                for event in sim.step() {
                    if events.send(event).await.is_err() {
                        return;
                    }
                }
                if behind {
                    continue;
                }
                let wait = tokio::time::sleep(Duration::from_millis(STEP_MS));
                tokio::pin!(wait);
                loop {
                    tokio::select! {
                        () = &mut wait => break,
                        Some(command) = asked.recv() => {
                            let stop = matches!(command, Command::Stop | Command::Abort);
                            sim.command(command);
                            if stop {
                                for event in sim.step() {
                                    let _ = events.send(event).await;
                                }
                                return;
                            }
                        }
                    }
                }
            }
        });
        run(shown, commands, arguments.options).await?
    };
    let counts = end.fleet.counts();
    println!("{:?}: {} done, {} failed of {}", end.ended, counts.done(), counts.failed(), counts.total());
    Ok(())
}
