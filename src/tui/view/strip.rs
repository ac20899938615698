use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr as _;

use crate::control::HostId;
use crate::fleet::HostRecord;
use crate::tui::action::Action;
use crate::units::{format_clock, format_duration};

use super::detail;
use super::frame::Scene;
use super::layout::Areas;
use super::pen::{clip, wrap};

/// Columns before the advice, where the key to press stands.
const ADVICE_INDENT: usize = 14;
/// Columns below which a fact that does not fit is left out.
const FEWEST_LETTERS: u16 = 12;

/// What there is to say about the selected host: why and what to do if it failed, else where its time goes. With room, all
/// that is known of it.
pub(super) fn draw(scene: &Scene<'_>, buffer: &mut Buffer, areas: &Areas) {
    let area = areas.strip;
    let Some((id, host)) =
        scene.ui.selected_host(scene.fleet).and_then(|id| Some((id, scene.fleet.host(id)?)))
    else {
        return;
    };
    if area.height == 0 {
        return;
    }
    let theme = scene.theme;
    let rule = scene.symbols.rule;
    let mut pen = scene.pen(buffer, area, 0);
    pen.put(&rule.repeat(2), theme.faint).skip(1).put(&host.info.name, theme.strong).skip(1);
    if let Some(failure) = host.failure() {
        pen.put(failure.kind.as_str(), theme.fail).put(&facts(scene, host), theme.muted).skip(1);
    }
    pen.fill(rule, theme.faint);
    let rest = Rect { y: area.y + 1, height: area.height - 1, ..area };
    if area.height > 4 {
        for (line, text) in detail::lines(scene, id, host, usize::from(area.width), true)
            .iter()
            .take(usize::from(rest.height))
            .enumerate()
        {
            let mut pen = scene.pen(buffer, rest, line as u16);
            text.spans.iter().for_each(|span| {
                pen.put(&span.content, text.style.patch(span.style));
            });
        }
    } else if host.failure().is_some() {
        failed(scene, buffer, rest, host);
    } else {
        fine(scene, buffer, rest, id, host);
    }
}

/// Where it failed, in which attempt, and whether it is alone with that.
fn facts(scene: &Scene<'_>, host: &HostRecord) -> String {
    let Some(failure) = host.failure() else { return String::new() };
    let dot = scene.symbols.dot;
    let mut facts = format!(" while {}", failure.phase);
    if host.share() > 0.0 && host.share() < 1.0 {
        facts.push_str(&format!(" at {:.0} %", (host.share() * 100.0).floor()));
    }
    if host.attempt > 1 {
        facts.push_str(&format!(" {dot} attempt {}", host.attempt));
    }
    let same = scene.fleet.causes().of(failure).map_or(0, |cause| cause.hosts.len().saturating_sub(1));
    if same > 0 {
        facts.push_str(&format!(" {dot} {same} more like it"));
    }
    facts
}

/// The cause in full, and what to do about it.
fn failed(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect, host: &HostRecord) {
    let Some(failure) = host.failure() else { return };
    let theme = scene.theme;
    let room = usize::from(area.width.saturating_sub(2));
    let indent = if scene.is_live() { ADVICE_INDENT } else { 0 };
    let advice = wrap(failure.kind.advice(), room.saturating_sub(indent));
    let mut message = wrap(&failure.message, room);
    let height = usize::from(area.height);
    // Two lines for the cause if it takes them; what to do goes on in the host's detail.
    let told =
        message.len().min(height.saturating_sub(advice.len()).max(2)).min(height.saturating_sub(1)).max(1);
    if let Some(last) = failure.detail.last().filter(|_| message.len() + advice.len() < height) {
        message.push(last.clone());
    }
    let told = told.max(message.len().min(height.saturating_sub(advice.len())));
    for (line, text) in clip(&message, told).iter().enumerate() {
        scene.pen(buffer, area, line as u16).put(text, theme.text);
    }
    let first = message.len().min(told);
    for (line, text) in clip(&advice, height.saturating_sub(first)).iter().enumerate() {
        let mut pen = scene.pen(buffer, area, (first + line) as u16);
        if line == 0 && scene.is_live() {
            pen.put(&scene.keymap.key(Action::Retry), theme.key).put(" retries it", theme.text);
        }
        pen.to(area.x + 1 + indent as u16).put(text, theme.muted);
    }
}

fn fine(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect, id: HostId, host: &HostRecord) {
    let theme = scene.theme;
    let mut pen = scene.pen(buffer, area, 0);
    pen.put(host.name().as_str(), theme.state(host.name()));
    let since = Duration::from_millis(scene.now.saturating_sub(host.since));
    if host.name().phase().is_some() {
        pen.put(&format!(" for {}", format_clock(since)), theme.muted);
    }
    let mut facts: Vec<String> = Vec::new();
    let remark = scene.fleet.remark(id, scene.now);
    if !remark.text.is_empty() {
        facts.push(remark.text);
    }
    facts.extend(host.spans().iter().filter(|span| span.end.is_some()).filter_map(|span| {
        let took = format_duration(Duration::from_millis(span.millis(scene.now)));
        span.state.phase().map(|phase| format!("{phase} {took}"))
    }));
    let dot = format!(" {} ", scene.symbols.dot);
    for (place, fact) in facts.iter().enumerate() {
        let fits = dot.width() + fact.width() <= usize::from(pen.room());
        // The first may be told in part, but not in a few letters.
        if fits || place == 0 && pen.room() > FEWEST_LETTERS {
            pen.put(&dot, theme.faint).put(fact, theme.muted);
        }
        if !fits {
            break;
        }
    }
    let room = usize::from(area.width.saturating_sub(2));
    for (line, text) in wrap(&scene.fleet.why_slow(host, scene.now), room).iter().enumerate() {
        scene.pen(buffer, area, line as u16 + 1).put(text, theme.muted);
    }
}
