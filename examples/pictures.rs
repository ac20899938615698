//! Pictures of the screen for the README, of a run that took place, drawn from the terminal's own cells:
//!
//! ```text
//! cargo run --example pictures                  # a demo with three failing hosts, recorded and drawn into assets/
//! cargo run --example pictures -- RUN_FOLDER    # a run that was recorded before; `murder runs` names folders
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use murder::deploy::Event;
use murder::fleet::FleetState;
use murder::journal::Recorded;
use murder::tui::{Preview, TuiOptions};

/// What the demo is told.
const DEMO: &str = "demo --fleet 24 --fail 3 --retries 0 --size 96M --rate 4M --output quiet";
/// Name, columns, rows, and the keys that lead there.
const PICTURES: [(&str, u16, u16, &str); 6] = [
    ("hosts", 120, 39, ""),
    ("hosts-80x24", 80, 24, ""),
    ("grid", 120, 30, "2"),
    ("failures", 120, 30, "4"),
    ("swarm", 120, 36, "6"),
    ("host", 120, 30, "G Enter"),
];
/// The run is shown when this share of it is done.
const SHARE: f64 = 0.55;

fn main() -> Result<(), Box<dyn Error>> {
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let state = std::env::temp_dir().join(format!("murder-pictures-{}", std::process::id()));
    let drawn = match std::env::args_os().nth(1) {
        Some(folder) => draw(Path::new(&folder), &out),
        None => record(&state).and_then(|folder| draw(&folder, &out)),
    };
    if state.exists() {
        std::fs::remove_dir_all(&state)?;
    }
    drawn
}

/// Runs the demo; returns the folder of its record.
fn record(state: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--"])
        .args(DEMO.split(' '))
        .env("XDG_STATE_HOME", state)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    println!("the demo ended with {status}");
    let mut runs = std::fs::read_dir(state.join("murder/runs"))?.filter_map(Result::ok).map(|run| run.path());
    Ok(runs.find(|path| path.is_dir()).ok_or("the demo was not recorded")?)
}

fn draw(folder: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let events: Vec<Event> = Recorded::open(folder)?.events()?.collect();
    let moment = moment(&events).ok_or("the run has no events")?;
    std::fs::create_dir_all(out)?;
    for (name, columns, rows, keys) in PICTURES {
        for dark in [true, false] {
            let mut preview = Preview::new(columns, rows, &TuiOptions::default())?;
            events.iter().filter(|event| event.at <= moment).for_each(|event| preview.apply(event));
            preview.tick(moment);
            preview.draw()?;
            preview.press(keys)?;
            let path = out.join(format!("screen-{name}-{}.svg", if dark { "dark" } else { "light" }));
            std::fs::write(&path, preview.svg(dark)?)?;
            println!("{}", path.display());
        }
    }
    Ok(())
}

/// When the run was in full swing, milliseconds since the epoch.
fn moment(events: &[Event]) -> Option<u64> {
    let mut fleet = FleetState::new();
    for event in events {
        fleet.apply(event);
        if fleet.share() >= SHARE && fleet.eta().is_some() {
            break;
        }
    }
    fleet.started_at()?;
    Some(fleet.last_at())
}
