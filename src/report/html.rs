use std::collections::HashMap;
use std::fmt::Write as _;

use super::chart::{self, PARTS};
use super::phases::phases;
use super::text::clean;
use super::words::{comparison_line, facts, millis, phase_word, title, verdict};
use super::{Comparison, RunReport};
use crate::deploy::StateName;
use crate::fleet::fold_names;
use crate::units::{format_bytes, format_rate, plural};

/// Looks of the page. No script, nothing from elsewhere: the file can be mailed and opened anywhere.
const CSS: &str = include_str!("report.css");
/// Hosts with a bar of their own; beyond, the worst of them.
const MOST_BARS: usize = 200;
/// Hosts in the table.
const MOST_ROWS: usize = 2000;

/// The run as one self-contained page.
pub(super) fn html(run: &RunReport, before: Option<&Comparison>) -> String {
    let heading = escape(&title(&run.plan));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{heading}</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n<main>\n"
    );
    let class = if run.outcome.exit == 0 && run.fleet.is_resting() { "good" } else { "bad" };
    let _ = writeln!(page, "<h1>{heading} <span class=\"verdict {class}\">{}</span></h1>", verdict(run));
    figures(&mut page, run);
    failures(&mut page, run);
    curves(&mut page, run);
    ways(&mut page, run);
    phase_table(&mut page, run);
    if let Some(before) = before {
        compared(&mut page, before);
    }
    host_table(&mut page, run, before);
    let _ = writeln!(
        page,
        "<footer>murder {} · recorded in <code>{}</code></footer>\n</main>\n</body>\n</html>",
        env!("CARGO_PKG_VERSION"),
        escape(&run.plan.folder)
    );
    page
}

/// Text that is safe between tags and in attributes.
pub(super) fn escape(text: &str) -> String {
    clean(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn figures(page: &mut String, run: &RunReport) {
    page.push_str("<dl class=\"facts\">\n");
    for (label, value) in facts(run) {
        let class = if label == "failed" { " class=\"bad\"" } else { "" };
        let _ = writeln!(page, "<div><dt>{label}</dt><dd{class}>{}</dd></div>", escape(&value));
    }
    if let Some(reason) = run.fleet.stopping() {
        let _ = writeln!(page, "<div><dt>stopped</dt><dd class=\"bad\">{}</dd></div>", escape(reason));
    }
    page.push_str("</dl>\n");
}

fn failures(page: &mut String, run: &RunReport) {
    if run.outcome.failures.is_empty() {
        return;
    }
    page.push_str("<h2>Failures</h2>\n");
    for group in &run.outcome.failures {
        let hosts = fold_names(group.hosts.iter().map(|id| run.fleet.host_name(*id)));
        let _ = writeln!(
            page,
            "<section class=\"failure\">\n<h3>{} on {}</h3>\n<p class=\"names\">{}</p>\n<p>{}</p>",
            group.kind,
            plural(group.hosts.len(), "host"),
            escape(&hosts),
            escape(&group.message)
        );
        let sample = group.hosts.iter().find_map(|id| run.fleet.host(*id)?.failure());
        if let Some(failure) = sample.filter(|failure| !failure.detail.is_empty()) {
            let lines: Vec<String> = failure.detail.iter().map(|line| escape(line)).collect();
            let _ = writeln!(page, "<pre>{}</pre>", lines.join("\n"));
        }
        let _ = writeln!(page, "<p class=\"advice\">To do: {}</p>\n</section>", escape(group.kind.advice()));
    }
}

fn curves(page: &mut String, run: &RunReport) {
    if run.throughput.peak() <= 0.0 {
        return;
    }
    page.push_str(
        "<h2>Throughput</h2>\n<p class=\"legend\"><span class=\"key hosts\"></span>into all hosts \
         <span class=\"key seeder\"></span>out of the seeder</p>\n",
    );
    page.push_str(&chart::throughput(run));
}

fn ways(page: &mut String, run: &RunReport) {
    let mut hosts = run.worst_first();
    if hosts.is_empty() {
        return;
    }
    page.push_str("<h2>Hosts over time</h2>\n<p class=\"legend\">");
    for (class, words) in PARTS {
        let _ = write!(page, "<span class=\"key {class}\"></span>{words} ");
    }
    page.push_str("</p>\n");
    if hosts.len() > MOST_BARS {
        let all = hosts.len();
        hosts.truncate(MOST_BARS);
        let _ =
            writeln!(page, "<p class=\"note\">Failed ones and the slowest, {MOST_BARS} of {all} hosts.</p>");
    }
    page.push_str(&chart::bars(run, &hosts));
}

fn phase_table(page: &mut String, run: &RunReport) {
    let phases = phases(run);
    if phases.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Phases</h2>\n<div class=\"wide\"><table>\n<tr><th>phase<th class=\"number\">hosts<th class=\"number\">median\
         <th class=\"number\">95 %<th class=\"number\">longest<th>slowest host</tr>\n",
    );
    for phase in phases {
        let _ = writeln!(
            page,
            "<tr><td>{}<td class=\"number\">{}<td class=\"number\">{}<td class=\"number\">{}<td class=\"number\">{}<td>{}</tr>",
            phase_word(phase.state),
            phase.hosts,
            millis(phase.median),
            millis(phase.most),
            millis(phase.longest),
            escape(run.fleet.host_name(phase.slowest))
        );
    }
    page.push_str("</table></div>\n");
}

fn compared(page: &mut String, before: &Comparison) {
    let _ = writeln!(page, "<h2>Beside run {}</h2>\n<p>{}</p>", escape(&before.run), comparison_line(before));
    if before.slower.is_empty() {
        return;
    }
    page.push_str("<div class=\"wide\"><table>\n<tr><th>slower host<th class=\"number\">then<th class=\"number\">now</tr>\n");
    for host in &before.slower {
        let (then, now) = (format_rate(host.before), format_rate(host.now));
        let name = escape(&host.host);
        let _ = writeln!(page, "<tr><td>{name}<td class=\"number\">{then}<td class=\"number\">{now}</tr>");
    }
    page.push_str("</table></div>\n");
}

fn host_table(page: &mut String, run: &RunReport, before: Option<&Comparison>) {
    let slower: HashMap<&str, u64> = before
        .iter()
        .flat_map(|before| &before.slower)
        .map(|host| (host.host.as_str(), host.before))
        .collect();
    let hosts = run.worst_first();
    let open = if hosts.len() <= 50 { " open" } else { "" };
    let _ = writeln!(page, "<details{open}>\n<summary><h2>All hosts</h2></summary>");
    if hosts.len() > MOST_ROWS {
        let _ = writeln!(page, "<p class=\"note\">The first {MOST_ROWS} of {} hosts.</p>", hosts.len());
    }
    page.push_str(
        "<div class=\"wide\"><table>\n<tr><th>host<th>rack<th>state<th class=\"number\">try<th class=\"number\">fetching\
         <th class=\"number\">rate<th class=\"number\">received<th class=\"number\">sent<th>remarks</tr>\n",
    );
    for (_, record, host) in hosts.into_iter().take(MOST_ROWS) {
        let class = match record.name() {
            StateName::Failed => "bad",
            StateName::Active | StateName::Done | StateName::Staged => "good",
            _ => "",
        };
        let dash = || "–".to_owned();
        let then = slower.get(record.info.name.as_str());
        let slower = then.map(|rate| format!("slower than before: then {}", format_rate(*rate)));
        let tries = host.failures.iter();
        let tries = tries.map(|(attempt, failure)| format!("try {attempt}, {}: {failure}", failure.phase));
        let remarks: Vec<String> = tries.chain(slower).collect();
        let fallen = if then.is_some() { "number bad" } else { "number" };
        let _ = writeln!(
            page,
            "<tr><td>{}<td>{}<td class=\"{class}\">{}<td class=\"number\">{}<td class=\"number\">{}<td class=\"{fallen}\">{}\
             <td class=\"number\">{}<td class=\"number\">{}<td>{}</tr>",
            escape(&record.info.name),
            escape(&record.info.rack),
            record.name(),
            record.attempt,
            host.millis(StateName::Fetching).map_or_else(dash, millis),
            host.fetch_rate(record).map_or_else(dash, format_rate),
            format_bytes(record.progress.down),
            format_bytes(record.progress.up),
            escape(&remarks.join("; "))
        );
    }
    page.push_str("</table></div>\n</details>\n");
}
