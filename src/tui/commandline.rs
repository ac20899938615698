use crossterm::event::{KeyCode, KeyEvent};
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher};

use crate::control::HostId;
use crate::deploy::{Command, StateName};
use crate::fleet::{Filter, FleetState, Scope, Sort};
use crate::inventory::{FPS, THEME, Theme as ThemeName};
use crate::units::{format_rate, parse_rate, plural};

use super::action::{Action, View};
use super::app::{App, Effect};
use super::input::{Input, Typed};
use super::theme::Theme;
use super::ui::Modal;

/// Completions that are offered at a time.
const OFFERED: usize = 8;

/// What may follow the first word of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Argument {
    Nothing,
    Hosts,
    Sort,
    Group,
    Theme,
    View,
    Free,
}

/// A command of the `:` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Verb {
    name: &'static str,
    argument: Argument,
    /// What follows, as the palette shows it.
    usage: &'static str,
    help: &'static str,
}

const fn verb(name: &'static str, argument: Argument, usage: &'static str, help: &'static str) -> Verb {
    Verb { name, argument, usage, help }
}

const VERBS: [Verb; 23] = [
    verb("retry", Argument::Hosts, "[HOSTS]", "try the selected hosts again, or those named"),
    verb("retry-failed", Argument::Nothing, "", "try every failed host again"),
    verb("cancel", Argument::Hosts, "[HOSTS]", "give hosts up"),
    verb("open", Argument::Hosts, "HOST", "open a host"),
    verb("sort", Argument::Sort, "ORDER", "attention, inventory, name, progress, rate, attempts, rack"),
    verb("reverse", Argument::Nothing, "", "turn the order round"),
    verb("group", Argument::Group, "NAME", "only hosts of a group or rack"),
    verb("limit", Argument::Hosts, "WORDS", "only hosts that match, like /"),
    verb("all", Argument::Nothing, "", "all hosts again"),
    verb("mark", Argument::Hosts, "WORDS", "mark hosts that match"),
    verb("rate", Argument::Free, "RATE|none", "limit of each host, both directions: 4M, 100mbit"),
    verb("seed-rate", Argument::Free, "RATE|none", "limit of the seeder"),
    verb("activate", Argument::Nothing, "", "activate what is staged now"),
    verb("rollback", Argument::Nothing, "", "back to what was current before"),
    verb("stop", Argument::Nothing, "", "stop the deployment"),
    verb("view", Argument::View, "NAME", "another view"),
    verb("theme", Argument::Theme, "NAME", "default, dark, light, high-contrast, color-blind, mono"),
    verb("fps", Argument::Free, "N", "pictures a second, 1 to 30"),
    verb(
        "export",
        Argument::Free,
        "FILE [WORDS]",
        "write the names of hosts, a line each: export failed.txt state:failed",
    ),
    verb("undo", Argument::Nothing, "", "take back a retry, cancel, mark or filter"),
    verb("freeze", Argument::Nothing, "", "hold the picture still"),
    verb("help", Argument::Nothing, "", "all keys"),
    verb("quit", Argument::Nothing, "", "leave"),
];

/// What a command may be completed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Completion {
    /// The whole line as it would be.
    pub(super) line: String,
    /// What it does.
    pub(super) help: String,
}

/// Completions of what is typed, the best first.
pub(super) fn completions(fleet: &FleetState, text: &str) -> Vec<Completion> {
    let Some((name, rest)) = text.split_once(' ') else {
        let names: Vec<&str> = VERBS.iter().map(|verb| verb.name).collect();
        let verbs =
            ranked(&names, text).into_iter().filter_map(|name| VERBS.iter().find(|verb| verb.name == name));
        return verbs
            .map(|verb| {
                let space = if verb.argument == Argument::Nothing { "" } else { " " };
                let usage = if verb.usage.is_empty() { String::new() } else { format!("{}: ", verb.usage) };
                Completion { line: format!("{}{space}", verb.name), help: format!("{usage}{}", verb.help) }
            })
            .collect();
    };
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else { return Vec::new() };
    let words: Vec<&str> = match verb.argument {
        Argument::Nothing | Argument::Free => {
            return vec![Completion { line: text.to_owned(), help: verb.help.to_owned() }];
        }
        Argument::Hosts => fleet.hosts().iter().map(|host| host.info.name.as_str()).collect(),
        Argument::Sort => Sort::ALL.iter().map(|sort| sort.as_str()).collect(),
        Argument::Group => fleet.groups().iter().map(|group| group.name.as_str()).collect(),
        Argument::Theme => ThemeName::WORDS.to_vec(),
        Argument::View => View::ALL.iter().map(|view| view.title()).collect(),
    };
    ranked(&words, rest.trim())
        .into_iter()
        .map(|word| Completion { line: format!("{name} {word}"), help: String::new() })
        .collect()
}

fn ranked<'w>(words: &[&'w str], typed: &str) -> Vec<&'w str> {
    if typed.is_empty() {
        return words.iter().take(OFFERED).copied().collect();
    }
    let mut matcher = Matcher::new(Config::DEFAULT);
    let pattern = Pattern::parse(typed, CaseMatching::Ignore, Normalization::Smart);
    pattern.match_list(words, &mut matcher).into_iter().take(OFFERED).map(|(word, _)| *word).collect()
}

impl App {
    pub(super) fn command_key(&mut self, key: KeyEvent, mut input: Input, picked: Option<usize>) {
        let offered = completions(self.shown(), input.text());
        let step = match key.code {
            KeyCode::Tab | KeyCode::Down => 1,
            KeyCode::BackTab | KeyCode::Up => offered.len().saturating_sub(1),
            _ => 0,
        };
        if step > 0 && !offered.is_empty() {
            let next = picked
                .map_or(if step == 1 { 0 } else { offered.len() - 1 }, |at| (at + step) % offered.len());
            self.ui.modal = Some(Modal::Command(input, Some(next)));
            // With one way to go on there is nothing to pick.
            if let [only] = &offered[..] {
                self.ui.modal = Some(Modal::Command(Input::new(only.line.clone()), None));
            }
            return;
        }
        match input.key(key) {
            Typed::Done => {
                let line = picked
                    .and_then(|at| offered.get(at))
                    .map_or_else(|| input.text().to_owned(), |c| c.line.clone());
                // A picked word that wants more is taken over, not run.
                if picked.is_some() && line.ends_with(' ') {
                    self.ui.modal = Some(Modal::Command(Input::new(line), None));
                } else {
                    self.undoable(|app| {
                        app.command(line.trim()).unwrap_or_else(|problem| app.complain(problem))
                    });
                }
            }
            Typed::Left => {}
            Typed::Changed => {
                if let Some(taken) = picked.and_then(|at| offered.get(at))
                    && let KeyCode::Char(letter) = key.code
                {
                    input.set(format!("{}{letter}", taken.line));
                }
                self.ui.modal = Some(Modal::Command(input, None));
            }
            Typed::Nothing => self.ui.modal = Some(Modal::Command(input, picked)),
        }
    }

    /// Runs a line of the `:` line; an error is what to say to the user.
    pub(super) fn command(&mut self, line: &str) -> Result<(), String> {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        if name.is_empty() {
            return Ok(());
        }
        let verb = VERBS.iter().find(|verb| verb.name == name).or_else(|| {
            let mut begin = VERBS.iter().filter(|verb| verb.name.starts_with(name));
            begin.next().filter(|_| begin.next().is_none())
        });
        let verb = verb.ok_or_else(|| format!("no command is called {name:?}: Tab shows them all"))?;
        match verb.name {
            "retry" | "cancel" | "open" | "mark" => return self.about_hosts(verb.name, rest),
            "sort" | "reverse" | "group" | "limit" | "all" => return self.narrow_by(verb.name, rest),
            "rate" | "seed-rate" => return self.throttle(verb.name, rest),
            "view" | "theme" | "fps" | "export" => return self.look(verb.name, rest),
            "retry-failed" => self.retry_failed(),
            "activate" => self.activate(),
            "rollback" => self.roll_back(),
            "stop" => self.stop(),
            "undo" => self.undo(),
            "freeze" => self.act(Action::Freeze),
            "help" => self.act(Action::Help),
            _ => self.quit(),
        }
        Ok(())
    }

    /// Hosts that match words; a name stands for that host alone.
    fn matching(&self, words: &str) -> Result<Vec<HostId>, String> {
        let fleet = self.shown();
        if let Some(id) = fleet.find(words) {
            return Ok(vec![id]);
        }
        let filter = Filter::parse(words);
        let ids: Vec<HostId> =
            fleet.ids().filter(|(_, host)| filter.matches(host)).map(|(id, _)| id).collect();
        if ids.is_empty() { Err(format!("no host matches {words:?}")) } else { Ok(ids) }
    }

    fn about_hosts(&mut self, verb: &str, words: &str) -> Result<(), String> {
        if words.is_empty() {
            match verb {
                "retry" => self.retry(),
                "cancel" => self.cancel(),
                "open" => self.act(Action::Open),
                _ => self.act(Action::Mark),
            }
            return Ok(());
        }
        let ids = self.matching(words)?;
        let marks = std::mem::take(&mut self.ui.hosts.marks);
        match verb {
            "open" => {
                let first = ids.first().copied();
                self.ui.hosts.marks = marks;
                first.into_iter().for_each(|id| self.ui.hosts.select_host(id));
                self.ui.detail = first;
            }
            "mark" => {
                self.ui.hosts.marks = marks;
                self.ui.hosts.marks.extend(&ids);
                self.say(format!("{} marked", plural(ids.len(), "host")));
            }
            _ => {
                if verb == "retry" {
                    self.retry_of(ids);
                } else {
                    self.cancel_of(ids);
                }
                self.ui.hosts.marks = marks;
            }
        }
        Ok(())
    }

    fn narrow_by(&mut self, verb: &str, words: &str) -> Result<(), String> {
        match verb {
            "reverse" => self.ui.hosts.query.reverse = !self.ui.hosts.query.reverse,
            "limit" => self.set_filter(words),
            "all" => {
                let query = &mut self.ui.hosts.query;
                (query.filter, query.scope, query.failures_only) = (Filter::default(), None, false);
            }
            "sort" => {
                let sort = Sort::ALL.into_iter().find(|sort| sort.as_str() == words);
                let orders = Sort::ALL.map(Sort::as_str).join(", ");
                self.ui.hosts.query.sort =
                    sort.ok_or_else(|| format!("no order is called {words:?}: {orders}"))?;
            }
            _ => {
                let fleet = self.shown();
                let group = fleet.groups().iter().find(|group| group.name == words);
                let group = group.ok_or_else(|| format!("no group or rack is called {words:?}"))?;
                let hosts = std::sync::Arc::new(group.hosts.iter().copied().collect());
                let label = format!("{} {}", group.kind.as_str(), group.name);
                self.ui.hosts.query.scope = Some(Scope { label, hosts });
            }
        }
        Ok(())
    }

    fn throttle(&mut self, verb: &str, words: &str) -> Result<(), String> {
        let rate = match words {
            "" => return Err(format!("{verb} needs a rate like 4M or 100mbit, or none")),
            "none" => None,
            rate => Some(parse_rate(rate).map_err(|error| error.to_string())?),
        };
        let shown = rate.map_or("no limit".to_owned(), format_rate);
        let (command, whose) = if verb == "rate" {
            (Command::Throttle { host: Some(rate), seed: None }, "each host")
        } else {
            (Command::Throttle { host: None, seed: Some(rate) }, "the seeder")
        };
        self.send(command, format!("{whose}: {shown}"));
        Ok(())
    }

    fn look(&mut self, verb: &str, words: &str) -> Result<(), String> {
        match verb {
            "view" => {
                let view = View::ALL.into_iter().find(|view| view.title().eq_ignore_ascii_case(words));
                self.show(view.ok_or_else(|| format!("no view is called {words:?}"))?);
            }
            "theme" => {
                let unknown = |_| format!("no theme is called {words:?}: expected {}", THEME.expected);
                self.theme = Theme::new((THEME.parse)(words).map_err(unknown)?);
            }
            "fps" => {
                let fps = (FPS.parse)(words).map_err(|_| format!("fps needs {}", FPS.expected))?;
                self.effects.push(Effect::Fps(fps));
            }
            _ => {
                let (file, filter) = words.split_once(' ').unwrap_or((words, ""));
                if file.is_empty() {
                    return Err("export needs the name of a file".to_owned());
                }
                let ids = if filter.is_empty() { self.shown_or_failed() } else { self.matching(filter)? };
                let text: String = ids.iter().map(|id| format!("{}\n", self.live.host_name(*id))).collect();
                self.effects.push(Effect::Write(file.to_owned(), text));
            }
        }
        Ok(())
    }

    /// What `:export` writes if it is not told: the marked hosts, else those that the view is narrowed to.
    fn shown_or_failed(&self) -> Vec<HostId> {
        let hosts = &self.ui.hosts;
        if !hosts.marks.is_empty() {
            return hosts.marks.iter().copied().collect();
        }
        if hosts.query.narrows() {
            return hosts.hosts().to_vec();
        }
        let failed = self.live.ids().filter(|(_, host)| host.name() == StateName::Failed);
        failed.map(|(id, _)| id).collect()
    }
}
