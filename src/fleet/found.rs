use std::collections::BTreeMap;
use std::time::Duration;

use crate::control::{HostId, Release};
use crate::deploy::{Checkup, Cleaned, Found};
use crate::units::{format_bytes, format_duration, plural};

use super::fold_names;
use super::state::FleetState;

/// Hosts up to here are drawn one by one in the matrix of ports; more are taken together by rack.
const MATRIX_HOSTS: usize = 24;
/// Clocks that differ by more are named, milliseconds.
const CLOCK_MS: i64 = 2_000;
/// A swarm takes about so many times the fluid limit, by measurements on shaped links (88 to 94 % of it).
const OF_LEAST: f64 = 1.1;

/// What an errand found on all hosts, as text of two columns: a label, empty where it goes on, and a line.
pub type FoundLines = Vec<(String, String)>;

impl Found {
    /// What was found on one host, in a few words.
    pub fn words(&self) -> String {
        match self {
            Self::Checkup(checkup) => checkup_words(checkup),
            Self::Releases { releases } => {
                let current = releases.iter().find(|release| release.current).map_or("none", |it| &it.tag);
                format!("{}, current is {current}", plural(releases.len(), "release"))
            }
            Self::Cleaned(cleaned) => cleaned_words(cleaned),
        }
    }
}

fn checkup_words(checkup: &Checkup) -> String {
    let mut words = vec![format!("{} free", format_bytes(checkup.free_bytes))];
    let tried = checkup.reaches.len() + checkup.blocked.len();
    if tried > 0 {
        words.push(format!("reaches {} of {tried}", checkup.reaches.len()));
    }
    if let Some(offset) = checkup.clock_offset_ms.filter(|offset| offset.abs() > CLOCK_MS) {
        words.push(clock_words(offset));
    }
    words.join(", ")
}

fn cleaned_words(cleaned: &Cleaned) -> String {
    let mut words = vec![format!("{} freed", format_bytes(cleaned.bytes))];
    if !cleaned.tags.is_empty() {
        words.push(format!("removed {}", cleaned.tags.join(" ")));
    }
    if cleaned.agents > 0 {
        words.push(format!("removed {}", plural(cleaned.agents as usize, "agent")));
    }
    if cleaned.ended > 0 {
        words.push(format!("ended {}", plural(cleaned.ended as usize, "leftover agent")));
    }
    words.join(", ")
}

fn clock_words(offset_ms: i64) -> String {
    let by = format_duration(Duration::from_millis(offset_ms.unsigned_abs()));
    format!("clock {by} {}", if offset_ms < 0 { "behind" } else { "ahead" })
}

impl FleetState {
    /// What an errand found, over all hosts; empty for a run that is no errand.
    pub fn found_lines(&self) -> FoundLines {
        let (mut checkups, mut releases, mut cleaned) = (Vec::new(), Vec::new(), Vec::new());
        for (id, host) in self.ids() {
            match host.found.as_deref() {
                Some(Found::Checkup(found)) => checkups.push((id, found)),
                Some(Found::Releases { releases: found }) => releases.push((id, found.as_slice())),
                Some(Found::Cleaned(found)) => cleaned.push((id, found)),
                None => {}
            }
        }
        let mut lines = self.checkup_lines(&checkups);
        lines.extend(self.release_lines(&releases));
        lines.extend(self.cleaned_lines(&cleaned));
        lines
    }

    fn fold(&self, ids: impl IntoIterator<Item = HostId>) -> String {
        fold_names(ids.into_iter().map(|id| self.host_name(id)).collect::<Vec<_>>())
    }

    fn checkup_lines(&self, found: &[(HostId, &Checkup)]) -> FoundLines {
        let mut lines = FoundLines::new();
        let Some((least, checkup)) = found.iter().min_by_key(|(_, checkup)| checkup.free_bytes) else {
            return lines;
        };
        let free = format_bytes(checkup.free_bytes);
        lines.push(("disk".into(), format!("at least {free} free (least on {})", self.host_name(*least))));
        let inodes = found.iter().filter_map(|(id, checkup)| Some((checkup.free_inodes?, *id))).min();
        if let Some((inodes, host)) = inodes {
            lines.push((
                "inodes".into(),
                format!("at least {inodes} free (least on {})", self.host_name(host)),
            ));
        }
        lines.extend(self.clock_line(found));
        let mut tags: BTreeMap<&str, Vec<HostId>> = BTreeMap::new();
        for (id, checkup) in found {
            tags.entry(checkup.current.as_deref().unwrap_or("none")).or_default().push(*id);
        }
        let mut label = "current";
        for (tag, hosts) in tags {
            let all = hosts.len() == found.len();
            let on = if all { "all".to_owned() } else { self.fold(hosts) };
            lines.push((std::mem::take(&mut label).to_owned(), format!("{tag} on {on}")));
        }
        lines.extend(self.port_lines(found));
        lines.push(("deploy".into(), self.prediction()));
        lines
    }

    fn clock_line(&self, found: &[(HostId, &Checkup)]) -> Option<(String, String)> {
        let offsets = found.iter().filter_map(|(id, checkup)| Some((checkup.clock_offset_ms?, *id)));
        let (worst, host) = offsets.max_by_key(|(offset, _)| offset.unsigned_abs())?;
        let text = if worst.abs() <= CLOCK_MS {
            format!(
                "all within {} of this machine's",
                format_duration(Duration::from_millis(CLOCK_MS as u64))
            )
        } else {
            format!("{}: {} of this machine's", self.host_name(host), clock_words(worst))
        };
        Some(("clocks".into(), text))
    }

    fn prediction(&self) -> String {
        let bytes = self.info().map_or(0, |info| info.bytes);
        if bytes == 0 {
            return "--size SIZE predicts the time that a deploy of so many bytes takes".to_owned();
        }
        let what = format!("{} to {}", format_bytes(bytes), plural(self.hosts().len(), "host"));
        match self.least_seconds() {
            Some(least) => {
                let time =
                    |seconds: f64| format_duration(Duration::try_from_secs_f64(seconds).unwrap_or_default());
                format!("{what}: about {}, at least {}", time(least * OF_LEAST), time(least))
            }
            None => {
                format!("{what}: the time is not known, for no rates are given (`rate` of hosts, --rate)")
            }
        }
    }

    /// Who reaches whose swarm port: a row dials, a column is dialled.
    fn port_lines(&self, found: &[(HostId, &Checkup)]) -> FoundLines {
        let dials: usize = found.iter().map(|(_, it)| it.reaches.len() + it.blocked.len()).sum();
        if dials == 0 {
            return FoundLines::new();
        }
        let blocked: usize = found.iter().map(|(_, checkup)| checkup.blocked.len()).sum();
        let verdict = if blocked == 0 {
            format!("all {dials} dials between hosts came through")
        } else {
            format!("{blocked} of {dials} dials between hosts did not come through")
        };
        let mut lines = vec![("ports".to_owned(), verdict)];
        let alone = self.hosts().len() <= MATRIX_HOSTS;
        let place = |id: HostId| if alone { Some(id.index()) } else { self.rack_of(id) };
        let names: Vec<&str> = if alone {
            self.hosts().iter().map(|host| host.info.name.as_str()).collect()
        } else {
            self.racks().iter().map(|rack| if rack.is_empty() { "hosts" } else { rack.as_str() }).collect()
        };
        let mut cells: BTreeMap<(usize, usize), (usize, usize)> = BTreeMap::new();
        for (from, checkup) in found {
            let outcomes = checkup.reaches.iter().map(|to| (*to, true));
            for (to, open) in outcomes.chain(checkup.blocked.iter().map(|(to, _)| (*to, false))) {
                let (Some(from), Some(to)) = (place(*from), place(to)) else { continue };
                let cell = cells.entry((from, to)).or_default();
                if open { cell.0 += 1 } else { cell.1 += 1 }
            }
        }
        lines.extend(matrix(&names, &cells));
        lines
    }

    fn release_lines(&self, found: &[(HostId, &[Release])]) -> FoundLines {
        let mut by_tag: BTreeMap<&str, Vec<(HostId, &Release)>> = BTreeMap::new();
        for (id, releases) in found {
            for release in *releases {
                by_tag.entry(&release.tag).or_default().push((*id, release));
            }
        }
        let mut tags: Vec<_> = by_tag.into_iter().collect();
        // The newest first, by when any host got it.
        tags.sort_by_key(|(tag, on)| {
            (std::cmp::Reverse(on.iter().filter_map(|(_, it)| it.staged_at.max(it.activated_at)).max()), *tag)
        });
        let mut lines = FoundLines::new();
        for (tag, on) in tags {
            self.release_line(&mut lines, tag, &on, found);
        }
        let bare = found.iter().filter(|(_, releases)| releases.is_empty()).map(|(id, _)| *id);
        let bare: Vec<HostId> = bare.collect();
        if !bare.is_empty() {
            lines.push(("none".into(), format!("no release on {}", self.fold(bare))));
        }
        lines
    }

    fn release_line(
        &self,
        lines: &mut FoundLines,
        tag: &str,
        on: &[(HostId, &Release)],
        found: &[(HostId, &[Release])],
    ) {
        let all = found.len();
        let current: Vec<HostId> = on.iter().filter(|(_, it)| it.current).map(|(id, _)| *id).collect();
        let size = on.iter().find_map(|(_, it)| it.bytes).map_or("size not known".to_owned(), format_bytes);
        let mut text = format!("{size}, on {} of {all}", on.len());
        if current.len() == all {
            text.push_str(", current on all");
        } else if !current.is_empty() {
            text = format!("{text}, current on {}", self.fold(current));
        }
        lines.push((tag.to_owned(), text));
        let missing: Vec<HostId> =
            found.iter().map(|(id, _)| *id).filter(|id| !on.iter().any(|(other, _)| other == id)).collect();
        if !missing.is_empty() && missing.len() <= on.len() {
            lines.push((String::new(), format!("not on {}", self.fold(missing))));
        } else if !missing.is_empty() {
            lines.push((String::new(), format!("only on {}", self.fold(on.iter().map(|(id, _)| *id)))));
        }
        let mut contents: BTreeMap<Option<&str>, Vec<HostId>> = BTreeMap::new();
        for (id, release) in on {
            contents.entry(release.manifest.as_deref()).or_default().push(*id);
        }
        let most = contents.values().map(Vec::len).max().unwrap_or(0);
        let mut common_seen = false;
        for (manifest, hosts) in contents {
            if hosts.len() == most && !std::mem::replace(&mut common_seen, true) {
                continue;
            }
            let what = if manifest.is_some() { "other content" } else { "content not known" };
            lines.push((String::new(), format!("{what} on {}", self.fold(hosts))));
        }
    }

    fn cleaned_lines(&self, found: &[(HostId, &Cleaned)]) -> FoundLines {
        if found.is_empty() {
            return FoundLines::new();
        }
        let bytes = found.iter().map(|(_, cleaned)| cleaned.bytes).sum();
        let sum = |of: fn(&Cleaned) -> u32| found.iter().map(|(_, it)| of(it) as usize).sum::<usize>();
        let agents = plural(sum(|it| it.agents), "file").replace("file", "agent file");
        let ended = plural(sum(|it| it.ended), "leftover agent");
        let text = format!("{} freed, {agents} removed, {ended} ended", format_bytes(bytes));
        let mut lines = vec![("cleaned".to_owned(), text)];
        let mut tags: BTreeMap<&str, Vec<HostId>> = BTreeMap::new();
        for (id, cleaned) in found {
            cleaned.tags.iter().for_each(|tag| tags.entry(tag).or_default().push(*id));
        }
        for (tag, hosts) in tags {
            let on = if hosts.len() == found.len() { "all".to_owned() } else { self.fold(hosts) };
            lines.push((tag.to_owned(), format!("removed from {on}")));
        }
        lines
    }
}

/// `+` reached, `x` not reached, `~` some of both, `.` not tried.
fn matrix(names: &[&str], cells: &BTreeMap<(usize, usize), (usize, usize)>) -> FoundLines {
    let number = |index: usize| format!("{:>3}", index + 1);
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let head: String = (0..names.len()).map(number).collect();
    let mut lines = vec![(String::new(), format!("{:width$}    {head}", ""))];
    for (from, name) in names.iter().enumerate() {
        let row: String = (0..names.len())
            .map(|to| match cells.get(&(from, to)) {
                None | Some((0, 0)) => "  .",
                Some((_, 0)) => "  +",
                Some((0, _)) => "  x",
                Some(_) => "  ~",
            })
            .collect();
        lines.push((String::new(), format!("{name:width$} {}{row}", number(from))));
    }
    let legend = "a row dials, a column is dialled: + reached, x not, ~ in part, . not tried";
    lines.push((String::new(), legend.to_owned()));
    lines
}
