use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use super::help::command;
use crate::paths::Paths;

/// Writes completions for a shell.
pub fn completions(shell: Shell, mut out: impl Write) -> io::Result<()> {
    // The generator panics where it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "murder", &mut script);
    out.write_all(&script)
}

/// Writes murder(1).
pub fn man_page(mut out: impl Write) -> io::Result<()> {
    let mut command = command();
    command.build();
    Man::new(command).render(&mut out)
}

/// Writes murder(1) and a page of each command into a folder, which is made if it is not there. Returns the files.
pub fn man_pages(folder: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)?;
    let mut command = command();
    command.build();
    let mut written = Vec::new();
    let pages: Vec<Command> =
        command.get_subcommands().filter(|sub| sub.get_name() != "help").cloned().collect();
    for page in pages.into_iter().chain([command]) {
        let name = page.get_display_name().unwrap_or("murder").to_owned();
        let path = folder.join(format!("{name}.1"));
        let mut text = Vec::new();
        Man::new(page).render(&mut text)?;
        std::fs::write(&path, text)?;
        written.push(path);
    }
    Ok(written)
}

/// Writes where files lie, one place a line.
pub fn paths(paths: &Paths, mut out: impl Write) -> io::Result<()> {
    let lines = [("config", paths.config_file()), ("runs", paths.runs()), ("cache", paths.cache.clone())];
    for (what, path) in lines {
        writeln!(out, "{what:<8} {}", path.display())?;
    }
    Ok(())
}
