use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};

use crate::control::HostId;
use crate::fleet::{FleetState, Glance, Query, Rank};
use crate::tui::symbols::Symbols;
use crate::tui::ui::Ui;

use super::canvas::Retouch;
use super::frame::Scene;
use super::layout::Areas;
use super::pen::{Pen, eighths, level, number, set_sign};

/// Lines below the cells, for what they mean.
const LEGEND: u16 = 2;
/// Longest name of a rack that is shown in full.
const LABEL: usize = 12;
/// Columns of a bar in a cell that has room for one.
const BAR: u16 = 10;
/// And of its percent and what stands between.
const BAR_AND_SHARE: usize = BAR as usize + 8;

/// Above the highest that a cell is filled.
const FULL: u64 = 800;
/// The last of the legend's signs, which is rare.
const LEFT_OUT: usize = 7;

/// Where hosts are: rack by rack, each in order of the inventory, one or more to a cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::tui) struct Plan {
    order: Vec<HostId>,
    cells: Vec<Cell>,
    /// The cell of each host.
    cell_of: Vec<u32>,
    labels: Vec<(u16, usize)>,
    per_cell: usize,
    width: u16,
    named: bool,
    bars: bool,
    /// Of each cell's hosts the one that shows; none if the filter leaves all of them out.
    worst: Vec<Option<(HostId, Glance)>>,
    /// Which of the legend's signs are seen, a bit each.
    seen: u8,
    /// Cells that look otherwise than when it was prepared the last time, if nothing else does.
    changes: Option<Vec<usize>>,
    made_for: (Rect, usize),
    looked_for: (Query, u64),
}

/// Brings the cells in line with the fleet, the size of the screen and the filter.
pub(in crate::tui) fn prepare(ui: &mut Ui, fleet: &FleetState, body: Rect) {
    let made_for = (body, fleet.hosts().len());
    let anew = ui.grid.made_for != made_for || ui.grid.cells.is_empty();
    if anew {
        ui.grid = Plan { made_for, ..Plan::new(fleet, body) };
    }
    let (plan, query) = (&mut ui.grid, &ui.hosts.query);
    let (looked_for, revision) = &plan.looked_for;
    let same_query = looked_for == query;
    plan.changes = (!anew && same_query && !plan.named).then(Vec::new);
    if !anew && same_query && *revision == fleet.revision() {
        return;
    }
    plan.look(fleet, query);
    plan.looked_for = (query.clone(), fleet.revision());
}

/// The cells that have to be drawn anew, if it is not all of the grid.
pub(super) fn changes(ui: &Ui) -> Option<&[usize]> {
    ui.grid.changes.as_deref()
}

/// A cell: hosts from `first` on in the plan's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    first: u32,
    count: u32,
    x: u16,
    y: u16,
}

impl Plan {
    /// With names if there is room for them, else a sign a host, else as few hosts to a cell as fit.
    fn new(fleet: &FleetState, area: Rect) -> Self {
        let mut racks: Vec<Vec<HostId>> = vec![Vec::new(); fleet.racks().len()];
        for (id, host) in fleet.ids() {
            if let Some(rack) = racks.get_mut(host.rack()) {
                rack.push(id);
            }
        }
        let height = usize::from(area.height.saturating_sub(LEGEND));
        let labelled = racks.len() > 1 && racks.len() <= height;
        if !labelled {
            racks = vec![racks.concat()];
        }
        let longest = fleet.racks().iter().map(|rack| rack.chars().count()).max().unwrap_or(0).min(LABEL);
        let left = 1 + if labelled { longest as u16 + 2 } else { 0 };
        let room = usize::from(area.width.saturating_sub(left + 1)).max(1);
        let lines = |width: usize, per_cell: usize| -> usize {
            let columns = (room / width).max(1);
            racks.iter().map(|rack| rack.len().div_ceil(per_cell).div_ceil(columns)).sum()
        };
        let named = fleet.longest_name() + 4;
        let barred = named + BAR_AND_SHARE;
        let (width, per_cell) = match () {
            () if barred <= room && lines(barred, 1) <= height => (barred, 1),
            () if named <= room && lines(named, 1) <= height => (named, 1),
            () if lines(2, 1) <= height => (2, 1),
            () => {
                let least = fleet.hosts().len() / (room * height.max(1)).max(1);
                let most = fleet.hosts().len().max(1);
                (1, (least.max(1)..=most).find(|per_cell| lines(1, *per_cell) <= height).unwrap_or(most))
            }
        };
        let mut plan = Self {
            order: racks.concat(),
            cell_of: vec![0; fleet.hosts().len()],
            per_cell,
            width: width as u16,
            named: width >= named,
            bars: width == barred,
            ..Self::default()
        };
        // Racks stand apart where there is room for it.
        let gap = labelled && lines(width, per_cell) + racks.len() - 1 <= height;
        plan.place(&racks, left, (room / width).max(1), labelled, gap);
        plan
    }

    fn place(&mut self, racks: &[Vec<HostId>], left: u16, columns: usize, labelled: bool, gap: bool) {
        let (mut y, mut first) = (0, 0);
        for (number, rack) in racks.iter().enumerate() {
            if labelled {
                self.labels.push((y, number));
            }
            let cells = rack.len().div_ceil(self.per_cell);
            for cell in 0..cells {
                let count = self.per_cell.min(rack.len() - cell * self.per_cell);
                let x = left + (cell % columns) as u16 * self.width;
                for host in self.order.get(first..first + count).unwrap_or(&[]) {
                    if let Some(cell) = self.cell_of.get_mut(host.index()) {
                        *cell = self.cells.len() as u32;
                    }
                }
                let y = y + (cell / columns) as u16;
                self.cells.push(Cell { first: first as u32, count: count as u32, x, y });
                first += count;
            }
            y += cells.div_ceil(columns) as u16 + u16::from(gap);
        }
    }

    fn hosts(&self, cell: &Cell) -> &[HostId] {
        self.order.get(cell.first as usize..(cell.first + cell.count) as usize).unwrap_or(&[])
    }

    /// Finds what shows in each cell, and which cells look otherwise than before. This goes over every host.
    fn look(&mut self, fleet: &FleetState, query: &Query) {
        let mut worst = std::mem::take(&mut self.worst);
        worst.resize(self.cells.len(), None);
        let (mut seen, mut changes) = (0, self.changes.take());
        for ((index, cell), shown) in self.cells.iter().enumerate().zip(&mut worst) {
            let now = self.worst(fleet, query, cell);
            seen |= now.map_or(0, |(_, glance)| 1 << kind(&glance));
            let before = std::mem::replace(shown, now);
            if before != now && face(before) != face(now) {
                changes.iter_mut().for_each(|changes| changes.push(index));
            }
        }
        self.changes = changes.filter(|_| seen == self.seen);
        (self.worst, self.seen) = (worst, seen);
    }

    /// Of a cell's hosts the one that shows: that which needs a person most among those that the filter lets through.
    fn worst(&self, fleet: &FleetState, query: &Query, cell: &Cell) -> Option<(HostId, Glance)> {
        let (all, glances) = (!query.narrows(), fleet.glances());
        let mut worst = None::<(HostId, Glance)>;
        for id in self.hosts(cell) {
            let Some(glance) = glances.get(id.index()) else { continue };
            let worse = worst.is_none_or(|(_, worst)| glance.need() < worst.need());
            if worse && (all || fleet.host(*id).is_some_and(|host| query.matches(*id, host))) {
                worst = Some((*id, *glance));
            }
        }
        worst
    }

    /// What is seen of the host that shows in a cell.
    fn glance(&self, cell: usize) -> Option<Glance> {
        self.worst.get(cell).copied().flatten().map(|(_, glance)| glance)
    }

    /// The host that shows in a cell, or its first if the filter leaves all out.
    fn shown(&self, cell: usize) -> Option<HostId> {
        let first = || self.hosts(self.cells.get(cell)?).first().copied();
        self.worst.get(cell).copied().flatten().map(|(id, _)| id).or_else(first)
    }

    /// The cell of a host, or the first.
    fn at(&self, host: Option<HostId>) -> Option<usize> {
        let cell = host.and_then(|host| self.cell_of.get(host.index())).map_or(0, |cell| *cell as usize);
        (cell < self.cells.len()).then_some(cell)
    }
}

/// The host so many cells to the right of another and so many lines below; of several in a cell the one that shows.
pub(in crate::tui) fn neighbour(ui: &Ui, right: isize, down: isize) -> Option<HostId> {
    let plan = &ui.grid;
    let at = plan.at(ui.grid_at)?;
    let cell = plan.cells.get(at)?;
    let wanted = if down == 0 {
        at.saturating_add_signed(right).min(plan.cells.len() - 1)
    } else {
        let last = plan.cells.last()?.y;
        let y = usize::from(cell.y).saturating_add_signed(down).min(usize::from(last)) as u16;
        let mut line = (0..plan.cells.len()).filter(|index| plan.cells[*index].y == y);
        line.clone().rfind(|index| plan.cells[*index].x <= cell.x).or_else(|| line.next()).unwrap_or(at)
    };
    plan.shown(wanted)
}

/// The host whose cell is at a place of the screen.
pub(super) fn host_at(ui: &Ui, body: Rect, at: Position) -> Option<HostId> {
    let (x, y) = (at.x.checked_sub(body.x)?, at.y.checked_sub(body.y)?);
    let plan = &ui.grid;
    let cell =
        plan.cells.iter().position(|cell| cell.y == y && (cell.x..cell.x + plan.width).contains(&x))?;
    plan.shown(cell)
}

/// A cell a host, or the worst of several; hosts that the filter leaves out are a dot.
pub(super) fn draw(scene: &Scene<'_>, buffer: &mut Buffer, areas: &Areas) {
    let area = areas.body;
    let theme = scene.theme;
    if scene.fleet.hosts().is_empty() {
        scene.pen(buffer, area, 1).put("no hosts yet", theme.muted);
        return;
    }
    let plan = &scene.ui.grid;
    let selected = plan.at(scene.ui.grid_at);
    for (line, rack) in &plan.labels {
        let name = scene.fleet.racks().get(*rack).map_or("", String::as_str);
        scene.edge_pen(buffer, area, *line).skip(1).put_within(LABEL as u16, name, theme.muted);
    }
    for (index, cell) in plan.cells.iter().enumerate() {
        let here = selected == Some(index);
        let glance = plan.glance(index);
        if cell.y < area.height {
            set_cell(scene, buffer, (area.x + cell.x, area.y + cell.y), glance, here);
        }
        if cell.y < area.height && is_marked(scene, cell) {
            mark(scene, buffer, (area.x + cell.x, area.y + cell.y), plan.width);
        }
        if plan.named {
            name(scene, &mut scene.edge_pen(buffer, area, cell.y), plan, cell, glance, here);
        }
    }
    legend(scene, buffer, area, plan);
}

/// Draws those cells anew that changed.
pub(super) fn redraw(scene: &Scene<'_>, mut retouch: Retouch<'_>, areas: &Areas, changes: &[usize]) {
    let (plan, area) = (&scene.ui.grid, areas.body);
    let selected = plan.at(scene.ui.grid_at);
    for (index, cell) in changes.iter().filter_map(|index| Some((*index, plan.cells.get(*index)?))) {
        let (x, y) = (area.x + cell.x, area.y + cell.y);
        let here = selected == Some(index);
        retouch.cell(x, y, |buffer| {
            set_cell(scene, buffer, (x, y), plan.glance(index), here);
            if is_marked(scene, cell) {
                mark(scene, buffer, (x, y), plan.width);
            }
        });
    }
}

/// Thousands of cells: each is one sign, and nothing of it has to be cut or measured.
fn set_cell(scene: &Scene<'_>, buffer: &mut Buffer, at: (u16, u16), glance: Option<Glance>, here: bool) {
    let (sign, style) = match glance {
        Some(glance) => (sign(scene.symbols, &glance), scene.theme.rank(glance.rank)),
        None => (scene.symbols.dot, scene.theme.faint),
    };
    set_sign(buffer, at, sign, if here { style.add_modifier(Modifier::REVERSED) } else { style });
}

fn is_marked(scene: &Scene<'_>, cell: &Cell) -> bool {
    let marks = &scene.ui.hosts.marks;
    !marks.is_empty() && scene.ui.grid.hosts(cell).iter().any(|id| marks.contains(id))
}

/// A host of the cell is marked: in the column beside its sign, or as a line below it where there is none.
fn mark(scene: &Scene<'_>, buffer: &mut Buffer, at: (u16, u16), width: u16) {
    if width > 1 {
        set_sign(buffer, (at.0 + 1, at.1), scene.symbols.mark, scene.theme.cursor);
    } else if let Some(cell) = buffer.cell_mut(at) {
        cell.modifier.insert(Modifier::UNDERLINED);
    }
}

/// The name of a cell's host, and how far it is.
fn name(scene: &Scene<'_>, pen: &mut Pen<'_>, plan: &Plan, cell: &Cell, glance: Option<Glance>, here: bool) {
    let theme = scene.theme;
    let id = plan.hosts(cell).first().copied();
    let text = match glance {
        _ if here => theme.strong,
        Some(glance) if glance.rank < Rank::LeftOut => theme.text,
        _ => theme.muted,
    };
    pen.skip(cell.x + 2).left(
        scene.fleet.longest_name() as u16,
        id.map_or("", |id| scene.fleet.host_name(id)),
        text,
    );
    let Some(glance) = glance.filter(|_| plan.bars) else { return };
    let share = f64::from(glance.share) / 1000.0;
    pen.skip(1).bar(BAR, share, theme.rank(glance.rank), theme.faint);
    if share > 0.0 {
        pen.right(6, &format!("{:.0} %", (share * 100.0).floor()), theme.muted);
    }
}

/// Filled by the share that is done while it moves; a sign of its own otherwise.
fn sign(symbols: &Symbols, glance: &Glance) -> &'static str {
    if glance.fetching && glance.rank == Rank::Moving {
        return level(symbols, filled(glance), FULL);
    }
    symbols.rank(glance.rank)
}

/// Of [`FULL`]: seven levels, as a full block would say that it is over.
fn filled(glance: &Glance) -> u64 {
    u64::from(glance.share) * 7 / 10 + 1
}

/// What tells cells apart that look alike: the kind of sign, and how far it is filled.
fn face(worst: Option<(HostId, Glance)>) -> Option<(Rank, bool, usize)> {
    let (_, glance) = worst?;
    let level = if glance.fetching { eighths(filled(&glance), FULL) } else { 0 };
    Some((glance.rank, glance.fetching, level))
}

/// Which of the legend's signs a host has.
fn kind(glance: &Glance) -> usize {
    match glance.rank {
        Rank::Failed => 0,
        Rank::Trouble => 1,
        Rank::Moving if glance.fetching => 2,
        Rank::Moving => 3,
        Rank::Queued => 4,
        Rank::Staged => 5,
        Rank::Active => 6,
        Rank::LeftOut => LEFT_OUT,
    }
}

/// What the signs mean: those that are usual, or where there is no room for them those that are seen.
fn legend(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect, plan: &Plan) {
    let (theme, symbols) = (scene.theme, scene.symbols);
    let mut pen = scene.pen(buffer, area, area.height.saturating_sub(1));
    if plan.per_cell > 1 {
        let text = format!("a cell is {} hosts, the worst of them shows", number(plan.per_cell));
        pen.put(&text, theme.text).skip(3);
    }
    let signs: [(&str, Style, &str); 8] = [
        (symbols.fail, theme.fail, "failed"),
        (symbols.warn, theme.warn, "in trouble"),
        (symbols.levels[4], theme.accent, "fetching, filled as far as it is"),
        (symbols.moving, theme.accent, "otherwise busy"),
        (symbols.waiting, theme.muted, "queued"),
        (symbols.staged, theme.ok, "staged"),
        (symbols.ok, theme.ok, "active"),
        (symbols.left_out, theme.rank(Rank::LeftOut), "left out"),
    ];
    let is_seen = |sign: &usize| plan.seen & 1 << sign != 0;
    let fits = |list: &[usize], room: u16| {
        list.iter().map(|sign| signs[*sign].2.len() + 4).sum::<usize>() <= usize::from(room) + 2
    };
    let mut list: Vec<usize> = (0..signs.len()).filter(|sign| *sign != LEFT_OUT || is_seen(sign)).collect();
    if !fits(&list, pen.room()) {
        list.retain(is_seen);
    }
    let long = fits(&list, pen.room());
    for (sign, style, words) in list.into_iter().map(|sign| signs[sign]) {
        let words = if long { words } else { words.split(',').next().unwrap_or(words) };
        if usize::from(pen.room()) >= words.len() + 2 {
            pen.put(sign, style).skip(1).put(words, theme.muted).skip(2);
        }
    }
}
