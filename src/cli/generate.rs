use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use super::help::command;
use crate::paths::Paths;

/// Completions for a shell.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "murder", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// murder(1).
pub fn man_page() -> String {
    let mut command = command();
    command.build();
    page(command)
}

/// Writes murder(1) and a page of each command into a folder, which is made if it is not there. Returns the files.
pub fn man_pages(folder: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)?;
    let mut command = command();
    command.build();
    let commands = command.get_subcommands().filter(|sub| sub.get_name() != "help").cloned();
    let pages: Vec<Command> = commands.chain([command.clone()]).collect();
    let write = |command: Command| {
        let path = folder.join(format!("{}.1", command.get_display_name().unwrap_or("murder")));
        std::fs::write(&path, page(command)).map(|()| path)
    };
    pages.into_iter().map(write).collect()
}

/// Where files lie, one place a line.
pub fn paths(paths: &Paths) -> String {
    let places = [("config", paths.config_file()), ("runs", paths.runs()), ("cache", paths.cache.clone())];
    places.iter().map(|(what, path)| format!("{what:<8} {}\n", path.display())).collect()
}

fn page(command: Command) -> String {
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _ = Man::new(command).render(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}
