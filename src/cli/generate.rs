use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::help::{EXIT_CODES, PRECEDENCE, UNITS, command, examples_of};
use super::reference::{CONFIG_KEYS, FILES, OptionEntry, VARIABLES, options};
use crate::paths::Paths;

/// murder(1).
pub fn man_page() -> String {
    page(built())
}

/// Writes murder(1) and a page of each command into a folder, which is made if it is not there. Returns the files.
pub fn man_pages(folder: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)?;
    let command = built();
    let pages: Vec<Command> = command.get_subcommands().cloned().chain([command.clone()]).collect();
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

/// The command line with all that clap adds, but for `help`, which needs no page.
fn built() -> Command {
    let mut command = command().disable_help_subcommand(true);
    command.build();
    command
}

fn page(command: Command) -> String {
    let is_whole = command.has_subcommands();
    let examples = examples_of(command.get_name());
    let mut text = Vec::new();
    let man = Man::new(command);
    let mut render = || -> io::Result<()> {
        man.render_title(&mut text)?;
        man.render_name_section(&mut text)?;
        man.render_synopsis_section(&mut text)?;
        man.render_description_section(&mut text)?;
        man.render_options_section(&mut text)?;
        if is_whole {
            man.render_subcommands_section(&mut text)?;
        }
        let mut more = Roff::new();
        if let Some(examples) = examples {
            more.control("SH", ["EXAMPLES"]);
            more.control("nf", []).text([roman(examples)]).control("fi", []);
        }
        if is_whole {
            whole(&mut more);
        } else {
            more.control("SH", ["SEE ALSO"]).text([bold("murder"), roman("(1)")]);
        }
        more.to_writer(&mut text)
    };
    // Writing to memory cannot fail.
    let _ = render();
    String::from_utf8_lossy(&text).into_owned()
}

/// What only murder(1) tells.
fn whole(page: &mut Roff) {
    page.control("SH", ["CONFIGURATION"]);
    page.text([roman(PRECEDENCE)]).control("PP", []).text([roman(UNITS)]).control("PP", []);
    page.text([
        roman("Keys of "),
        italic("options:"),
        roman(" in an inventory and of "),
        italic("config.toml"),
    ]);
    for OptionEntry { key, flag, default, meaning, .. } in options() {
        let default = default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
        entry(page, [bold(key)], &format!("{flag}: {meaning}{default}"));
    }
    page.control("PP", []).text([roman("Keys of "), italic("config.toml"), roman(" alone")]);
    CONFIG_KEYS.into_iter().for_each(|(key, what)| entry(page, [bold(key)], what));
    page.control("SH", ["ENVIRONMENT"]);
    for OptionEntry { variable, flag, .. } in options() {
        entry(page, [bold(variable)], &format!("as {flag}"));
    }
    VARIABLES.into_iter().for_each(|(name, what)| entry(page, [bold(name)], what));
    page.control("SH", ["FILES"]);
    FILES.into_iter().for_each(|(path, what)| entry(page, [italic(path)], what));
    page.control("SH", ["EXIT STATUS"]);
    EXIT_CODES.into_iter().for_each(|(code, what)| entry(page, [bold(code.to_string())], what));
    page.control("SH", ["SEE ALSO"]).text([bold("ssh"), roman("(1), "), bold("ssh_config"), roman("(5)")]);
}

fn entry(page: &mut Roff, title: [Inline; 1], text: &str) {
    page.control("TP", []).text(title).text([roman(text)]);
}
