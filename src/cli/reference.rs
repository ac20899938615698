use std::fmt::Write as _;

use clap::CommandFactory as _;

use super::Cli;
use super::help::default_of;
use super::setup::variable_of;
use crate::inventory::Options;

/// An option as documentation tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionEntry {
    /// Its name in `options:` of an inventory and in `config.toml`.
    pub key: &'static str,
    /// Its flag, with the name of its value: `--keep <N>`.
    pub flag: String,
    /// Its variable.
    pub variable: String,
    /// What counts where nothing is said; `None` for a switch that is off then.
    pub default: Option<String>,
    /// What it does.
    pub meaning: String,
}

/// Keys of `config.toml` that are no options of a run.
pub const CONFIG_KEYS: [(&str, &str); 4] = [
    ("inventory", "the inventory, if neither -i nor MURDER_INVENTORY names one"),
    ("keep_runs", "so many recorded runs stay, the newest; also MURDER_KEEP_RUNS [default: 100]"),
    ("keep_runs_for", "recorded runs stay so long; also MURDER_KEEP_RUNS_FOR [default: 90d]"),
    ("[keys]", "keys of the screen by action, like retry = \"ctrl-r\" or quit = [\"q\", \"Q\"]"),
];

/// Variables beside those of the options.
pub const VARIABLES: [(&str, &str); 10] = [
    ("MURDER_INVENTORY", "the inventory, as -i"),
    ("MURDER_HOSTS", "hosts, as --hosts"),
    (
        "MURDER_AGENTS",
        "folder of further agents, `murder-agent-<os>-<arch>`; they win over those inside murder",
    ),
    ("XDG_CONFIG_HOME", "folder of murder/config.toml [default: ~/.config]"),
    ("XDG_STATE_HOME", "folder of murder/runs, the records of runs [default: ~/.local/state]"),
    ("XDG_CACHE_HOME", "folder of murder, for packed payloads while they are shipped [default: ~/.cache]"),
    ("SSH_AUTH_SOCK", "the ssh-agent"),
    ("NO_COLOR", "no colours, if not empty and --color is auto; TERM=dumb does the same"),
    ("LC_ALL, LC_CTYPE, LANG", "the locale; one that is not UTF-8 turns --ascii on, none at all does not"),
    (
        "GITHUB_ACTIONS, GITLAB_CI",
        "`true`: plain output folds its lines, and GitHub is given annotations of failures",
    ),
];

/// Files that are read or written, beside what the command line names.
pub const FILES: [(&str, &str); 5] = [
    ("./hosts.yaml", "the inventory"),
    ("PAYLOAD/.murderignore", "what is left out of a payload, in the form of .gitignore"),
    ("$XDG_CONFIG_HOME/murder/config.toml", "your own defaults"),
    (
        "$XDG_STATE_HOME/murder/runs/RUN/",
        "a recorded run: run.json, status.json, events.jsonl, log.txt, trace.log, hosts/NAME.stderr",
    ),
    ("~/.ssh/config, ~/.ssh/known_hosts", "as ssh reads them; see ssh_config(5)"),
];

/// All options that more sources than the command line may set, in the order of the help.
pub fn options() -> Vec<OptionEntry> {
    let cli = Cli::command();
    let of = |key: &'static str| {
        let all = || cli.get_subcommands().flat_map(|sub| sub.get_arguments()).chain(cli.get_arguments());
        // The demo has a `--rate` of its own.
        let is_it = |arg: &&clap::Arg| {
            arg.get_id() == key && !arg.is_positional() && arg.get_default_values().is_empty()
        };
        let arg = all().find(is_it)?;
        let values = arg.get_value_names().filter(|_| arg.get_action().takes_values()).unwrap_or_default();
        let value = values.first().map(|name| format!(" <{name}>")).unwrap_or_default();
        Some(OptionEntry {
            key,
            flag: format!("--{}{value}", arg.get_long()?),
            variable: variable_of(key),
            default: default_of(key),
            meaning: arg.get_help().map(ToString::to_string).unwrap_or_default(),
        })
    };
    Options::KEYS.iter().filter_map(|key| of(key)).collect()
}

/// The options as a table in Markdown, for the documentation.
pub fn options_table() -> String {
    let mut table = String::from(
        "| key in `options:` and `config.toml` | flag | variable | default | what it does |\n|---|---|---|---|---|\n",
    );
    for OptionEntry { key, flag, variable, default, meaning } in options() {
        let default = default.unwrap_or_else(|| "no".to_owned()).replace('|', "\\|");
        let (flag, meaning) = (flag.replace('|', "\\|"), meaning.replace('|', "\\|").replace('*', "\\*"));
        let _ = writeln!(table, "| `{key}` | `{flag}` | `{variable}` | {default} | {meaning} |");
    }
    table
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn list(entries: &[(&str, &str)]) -> String {
        entries.iter().map(|(name, what)| format!("- `{name}`: {what}\n")).collect()
    }

    /// `page` with what stands after this heading, up to the next one, replaced.
    fn with_section(page: &str, heading: &str, text: &str) -> String {
        let start = page.find(heading).unwrap() + heading.len();
        let end = page[start..].find("\n# ").map_or(page.len(), |end| start + end);
        format!("{}\n\n{text}{}", &page[..start], &page[end..])
    }

    #[test]
    fn the_page_on_configuration_is_made_from_what_the_help_is_made_from() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs/configuration.md");
        let page = fs::read_to_string(&path).unwrap();
        let mut made = page.clone();
        for (heading, text) in [
            ("\n# Options", options_table()),
            ("\n# Keys of `config.toml` alone", list(&CONFIG_KEYS)),
            ("\n# Other variables", list(&VARIABLES)),
            ("\n# Files", list(&FILES)),
        ] {
            made = with_section(&made, heading, &text);
        }
        if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
            fs::write(path, made).unwrap();
        } else {
            assert_eq!(page, made, "INSTA_UPDATE=always brings it up to date");
        }
    }
}
