//! Pictures of the screen for the documentation, from a run that was recorded:
//!
//!     cargo run --example pictures -- RUN_FOLDER SECONDS OUT_FOLDER
//!
//! `murder runs` names folders; SECONDS is the moment that is shown. Writes an SVG for each view and size.

use std::path::{Path, PathBuf};

use murder::deploy::Event;
use murder::journal::Recorded;
use murder::tui::{Preview, TuiOptions};

/// Name, columns, rows, and the keys that lead there.
const PICTURES: [(&str, u16, u16, &str); 7] = [
    ("hosts", 120, 32, ""),
    ("hosts-80x24", 80, 24, ""),
    ("grid", 120, 32, "2"),
    ("failures", 120, 24, "4"),
    ("groups", 120, 24, "3"),
    ("swarm", 120, 28, "6"),
    ("host", 120, 28, "Enter"),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, seconds, out] = &words[..] else {
        return Err("usage: pictures RUN_FOLDER SECONDS OUT_FOLDER".into());
    };
    let events: Vec<Event> = Recorded::open(Path::new(folder))?.events()?.collect();
    let start = events.first().ok_or("the run has no events")?.at;
    let moment = start + (seconds.parse::<f64>()? * 1000.0) as u64;
    let out = PathBuf::from(out);
    std::fs::create_dir_all(&out)?;
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
