use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

use super::face::Out;
use super::outcome::outcome;
use super::status::status_line;
use super::style::Ink;
use super::text::{clean, cut};
use super::words::title;
use super::{Ci, Face, Style, summary};
use crate::control::{Failure, FailureKind, HostId, LogLevel, LogSource};
use crate::deploy::{BarrierState, Body, Event, HostState, LogLine, Mark, Plan, RunInfo};
use crate::fleet::{FleetState, fold_names};
use crate::units::{format_bytes, format_clock, format_duration, plural};

/// Milliseconds between two status lines.
const STATUS_EVERY: u64 = 10_000;
/// Milliseconds between two versions of the line that is rewritten on a terminal.
const REWRITE_EVERY: u64 = 250;
/// A column of names is no wider.
const WIDEST_NAME: usize = 40;
/// Who speaks when it is no host.
const OURSELVES: &str = "murder";

/// How [`Plain`] prints.
#[derive(Debug, Clone, Copy)]
pub struct PlainOptions {
    /// Colours and glyphs.
    pub style: Style,
    /// Lines of level debug too, and what hosts and hooks say.
    pub verbose: bool,
    /// On a terminal: gives its columns. The last line is a status that is rewritten there; elsewhere a line of its own
    /// comes every 10 s.
    pub columns: Option<fn() -> usize>,
    /// Who reads.
    pub ci: Ci,
}

/// Prints a line for each change of state, a status now and then, and the summary.
#[derive(Debug)]
pub struct Plain<W> {
    out: Out<W>,
    options: PlainOptions,
    fleet: FleetState,
    name_width: usize,
    status_due: u64,
    /// A line that will be rewritten stands at the cursor.
    rewriting: bool,
    /// Lines that wait for the answer to a question.
    held: Option<String>,
    barrier: Option<BarrierState>,
}

impl<W: Write> Plain<W> {
    /// Writes to `writer`.
    pub fn new(writer: W, options: PlainOptions) -> Self {
        Self {
            out: Out::new(writer),
            options,
            fleet: FleetState::new(),
            name_width: OURSELVES.len(),
            status_due: u64::MAX,
            rewriting: false,
            held: None,
            barrier: None,
        }
    }

    fn text(&mut self, event: &Event) -> String {
        let at = event.at;
        match &event.body {
            Body::Planned(plan) => self.planned(at, plan),
            Body::Started(info) => self.started(at, info),
            Body::Host { host, attempt, state } => self.host(at, *host, *attempt, state),
            Body::Mark { host, mark, on, message } => self.mark(at, *host, *mark, *on, message),
            Body::Log(line) => self.log(at, line),
            Body::Barrier(barrier) => self.barrier(at, *barrier),
            Body::RolledBack { host, tag } => {
                let words = format!("`current` is {tag} again");
                self.line(at, Some(*host), (self.glyph("·"), Ink::Good), "rolled back", &words)
            }
            Body::Stopping { reason } => {
                self.line(at, None, (self.glyph("!"), Ink::Warn), "stopping", reason)
            }
            Body::Finished(_) => self.finished(at),
            _ => String::new(),
        }
    }

    fn planned(&mut self, at: u64, plan: &Plan) -> String {
        let widest = plan.hosts.iter().map(|host| clean(&host.name).chars().count()).max().unwrap_or(0);
        self.name_width = widest.clamp(OURSELVES.len(), WIDEST_NAME);
        self.status_due = at + if self.options.columns.is_some() { REWRITE_EVERY } else { STATUS_EVERY };
        let title = format!("{} to {}", title(plan), plural(plan.hosts.len(), "host"));
        let mut text = format!("{title} of {}\n", plan.inventory);
        let _ = writeln!(text, "run {}, recorded in {}", plan.run, plan.folder);
        let mut text = clean_lines(&text);
        text.push_str(&self.options.ci.open(&title, at));
        text
    }

    fn started(&self, at: u64, info: &RunInfo) -> String {
        if info.packed_bytes == 0 {
            return String::new();
        }
        let payload = self.fleet.plan().map_or("", |plan| plan.payload.as_str());
        let mut text = format!(
            "{payload}: {} in {}, packed to {}",
            format_bytes(info.bytes),
            plural(info.entries as usize, "entry").replace("entrys", "entries"),
            format_bytes(info.packed_bytes),
        );
        if info.ignored > 0 {
            let _ = write!(text, ", {} left out", info.ignored);
        }
        if let Some(least) = info.least_seconds {
            let least = format_duration(Duration::try_from_secs_f64(least).unwrap_or_default());
            let _ = write!(text, "; least possible time {least}");
        }
        self.line(at, None, (self.glyph("·"), Ink::Dim), "packed", &text)
    }

    fn host(&self, at: u64, host: HostId, attempt: u32, state: &HostState) -> String {
        let attempts = self.fleet.plan().map_or(0, |plan| plan.attempts);
        let text = match state {
            // Where everybody begins is no change.
            HostState::Queued { reason } if reason.is_empty() && attempt == 0 => return String::new(),
            HostState::Queued { reason } | HostState::Skipped { reason } => reason.clone(),
            HostState::Staged { .. } if self.went_back(host) => "no longer current".to_owned(),
            HostState::Staged { already: true } => "was there already".to_owned(),
            HostState::Done => self
                .fleet
                .host(host)
                .and_then(|it| it.found.as_ref())
                .map_or_else(String::new, |it| it.words()),
            HostState::Failed(failure) => {
                let Failure { phase, kind, message, .. } = failure;
                format!("{kind} while {phase}: {message}{}", which(attempt, attempts, *kind))
            }
            HostState::Connecting if attempt > 1 => format!("attempt {attempt}"),
            _ => String::new(),
        };
        let name = state.name();
        self.line(at, Some(host), self.options.style.state(name), name.as_str(), &text)
    }

    fn went_back(&self, host: HostId) -> bool {
        self.fleet.host(host).is_some_and(|host| host.back.is_some())
    }

    fn mark(&self, at: u64, host: HostId, mark: Mark, on: bool, message: &str) -> String {
        match (mark, on) {
            (Mark::Stalled, false) => {
                self.line(at, Some(host), (self.glyph("·"), Ink::Dim), "moves", "no longer stalled")
            }
            (_, false) => String::new(),
            (mark, true) => self.line(at, Some(host), (self.glyph("!"), Ink::Warn), mark.as_str(), message),
        }
    }

    fn log(&self, at: u64, line: &LogLine) -> String {
        let worth = match line.source {
            LogSource::Murder => line.level > LogLevel::Debug,
            LogSource::Stderr | LogSource::Hook => line.level > LogLevel::Info,
        };
        if !worth && !self.options.verbose {
            return String::new();
        }
        let (glyph, ink, word) = match line.level {
            LogLevel::Debug => ("·", Ink::Dim, "debug"),
            LogLevel::Info => ("·", Ink::Dim, "note"),
            LogLevel::Warn => ("!", Ink::Warn, "warning"),
            LogLevel::Error => ("✗", Ink::Bad, "error"),
        };
        let word = match line.source {
            LogSource::Murder => word,
            LogSource::Stderr => "stderr",
            LogSource::Hook => "hook",
        };
        self.line(at, line.host, (self.glyph(glyph), ink), word, &line.message)
    }

    fn barrier(&mut self, at: u64, now: BarrierState) -> String {
        let before = self.barrier.replace(now);
        let opened = now.open && before.is_none_or(|before| !before.open);
        let complete = now.waiting == 0 && before.is_none_or(|before| before.waiting > 0);
        let counts = format!("{} staged, {} failed, {} on their way", now.staged, now.failed, now.waiting);
        if opened {
            self.line(at, None, (self.glyph("▸"), Ink::Moving), "barrier", &format!("open: {counts}"))
        } else if now.held && complete {
            let tag = self.fleet.plan().map_or("", |plan| plan.tag.as_str());
            let text = format!("held: {counts}; `murder activate {tag}` opens it");
            self.line(at, None, (self.glyph("!"), Ink::Warn), "barrier", &text)
        } else {
            String::new()
        }
    }

    fn finished(&mut self, at: u64) -> String {
        self.status_due = u64::MAX;
        let errors: Vec<(String, String)> = outcome(&self.fleet).map_or_else(Vec::new, |outcome| {
            let of = |group: &crate::deploy::FailureGroup| {
                let hosts = fold_names(group.hosts.iter().map(|host| self.fleet.host_name(*host)));
                let title = format!("{} on {}", group.kind, plural(group.hosts.len(), "host"));
                (title, format!("{hosts}: {}. To do: {}", group.message, group.kind.advice()))
            };
            outcome.failures.iter().map(of).collect()
        });
        // A terminal may have another width by now.
        let columns = self.options.columns.map(|columns| columns()).or(self.options.style.columns);
        let summary = summary(&self.fleet, &Style { columns, ..self.options.style });
        let summary = self.options.ci.disarm(summary);
        format!("{}\n{summary}{}", self.options.ci.close(at), self.options.ci.errors(&errors))
    }

    /// A line of the run: time, who, glyph and word, text.
    fn line(
        &self,
        at: u64,
        host: Option<HostId>,
        (glyph, ink): (&str, Ink),
        word: &str,
        text: &str,
    ) -> String {
        let style = &self.options.style;
        let clock = format_clock(Duration::from_millis(self.elapsed(at)));
        let who = clean(host.map_or(OURSELVES, |host| self.fleet.host_name(host)));
        let width = self.name_width;
        let pad = if text.is_empty() { 0 } else { 10 };
        let word = style.paint(ink, &format!("{glyph} {word:pad$}"));
        let clock = style.paint(Ink::Dim, &format!("{clock:>7}"));
        let mut line = format!("{clock}  {who:width$}  {word}");
        if !text.is_empty() {
            let _ = write!(line, "  {}", clean(text));
        }
        line.push('\n');
        self.options.ci.disarm(line)
    }

    /// Milliseconds since the run began, by the clock on the wall.
    fn elapsed(&self, at: u64) -> u64 {
        at.saturating_sub(self.fleet.started_at().unwrap_or(at))
    }

    fn glyph(&self, glyph: &'static str) -> &'static str {
        match glyph {
            _ if !self.options.style.ascii => glyph,
            "▸" => ">",
            "✗" => "x",
            "·" => ".",
            _ => glyph,
        }
    }

    fn status(&mut self, now: u64) -> String {
        if now < self.status_due || self.fleet.hosts().is_empty() {
            return String::new();
        }
        match self.options.columns {
            Some(_) => {
                self.status_due = now + REWRITE_EVERY;
                self.rewritten(now)
            }
            None => {
                self.status_due = now + STATUS_EVERY;
                let glyph = if self.options.style.ascii { "-" } else { "─" };
                self.line(now, None, (glyph, Ink::Strong), "status", &status_line(&self.fleet))
            }
        }
    }

    fn rewritten(&mut self, now: u64) -> String {
        let Some(columns) = self.options.columns else { return String::new() };
        let clock = format_clock(Duration::from_millis(self.elapsed(now)));
        let line = format!("{clock:>7}  {}", status_line(&self.fleet));
        self.rewriting = true;
        // A full last column would wrap on some terminals.
        format!("\r\u{1b}[K{}", cut(&line, columns().saturating_sub(1)))
    }

    /// Prints lines, above the one that is rewritten.
    fn print(&mut self, text: &str, now: u64) {
        if text.is_empty() {
            return;
        }
        if let Some(held) = &mut self.held {
            held.push_str(text);
            return;
        }
        let mut all = String::new();
        if std::mem::take(&mut self.rewriting) {
            all.push_str("\r\u{1b}[K");
        }
        all.push_str(text);
        if self.status_due != u64::MAX && self.options.columns.is_some() {
            let status = self.rewritten(now);
            all.push_str(&status);
        }
        self.out.write(&all);
    }
}

impl<W: Write + Send> Face for Plain<W> {
    fn event(&mut self, event: &Event) {
        self.fleet.apply(event);
        let text = self.text(event);
        self.print(&text, event.at);
        self.tick(event.at);
    }

    fn tick(&mut self, now: u64) {
        self.fleet.tick(now);
        let busy = self.fleet.counts().in_flight() > 0;
        if self.held.is_none() && (busy || self.options.columns.is_some()) {
            let status = self.status(now);
            self.out.write(&status);
        }
    }

    fn hold(&mut self, on: bool) {
        if on {
            if std::mem::take(&mut self.rewriting) {
                self.out.write("\r\u{1b}[K");
            }
            self.held.get_or_insert_default();
        } else if let Some(held) = self.held.take() {
            self.out.write(&held);
        }
    }

    fn trouble(&self) -> Option<String> {
        self.out.trouble()
    }
}

/// Which attempt a failure ended, where there was or could be another: ` (attempt 2 of 3)`. A user's retries go beyond.
fn which(attempt: u32, attempts: u32, kind: FailureKind) -> String {
    match attempt {
        attempt if attempt > attempts.max(1) => format!(" (attempt {attempt})"),
        1 if attempts < 2 || !kind.retryable() => String::new(),
        attempt => format!(" (attempt {attempt} of {attempts})"),
    }
}

/// Text of several lines, each made safe.
fn clean_lines(text: &str) -> String {
    text.lines().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "{}", clean(line));
        all
    })
}
