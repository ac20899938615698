use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};

use crate::control::HostId;
use crate::deploy::StateName;
use crate::fleet::{FleetState, HostRecord, Query};
use crate::tui::symbols::Symbols;
use crate::tui::ui::Ui;

use super::frame::Scene;
use super::layout::Areas;
use super::pen::level;

/// Lines below the cells, for what they mean.
const LEGEND: u16 = 2;
/// Longest name of a rack that is shown in full.
const LABEL: usize = 12;

/// Where hosts are: rack by rack, each in order of the inventory, one or more to a cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::tui) struct Plan {
    order: Vec<HostId>,
    cells: Vec<Cell>,
    labels: Vec<(u16, usize)>,
    per_cell: usize,
    width: u16,
    named: bool,
    /// Of each cell's hosts the one that shows.
    worst: Vec<Option<HostId>>,
    made_for: (Rect, usize),
    looked_at: u64,
    looked_for: Query,
}

/// Of many hosts to a cell the one that shows is looked for this often, milliseconds: as often as the eye follows.
const LOOK_MS: u64 = 500;

/// Brings the cells in line with the fleet, the size of the screen and the filter.
pub(in crate::tui) fn prepare(ui: &mut Ui, fleet: &FleetState, body: Rect, now: u64) {
    let made_for = (body, fleet.hosts().len());
    let anew = ui.grid.made_for != made_for || ui.grid.cells.is_empty();
    if anew {
        ui.grid = Plan { made_for, ..Plan::new(fleet, body) };
    }
    let query = &ui.hosts.query;
    if anew || ui.grid.looked_for != *query || now.abs_diff(ui.grid.looked_at) >= LOOK_MS {
        let plan = &ui.grid;
        let worst = plan.cells.iter().map(|cell| plan.worst(fleet, query, cell)).collect();
        ui.grid.worst = worst;
        ui.grid.looked_at = now;
        ui.grid.looked_for = query.clone();
    }
}

/// A cell: hosts from `first` on in the plan's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    first: usize,
    count: usize,
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
        let (width, per_cell) = match () {
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
            cells: Vec::new(),
            labels: Vec::new(),
            per_cell,
            width: width as u16,
            named: width == named,
            ..Self::default()
        };
        plan.place(&racks, left, (room / width).max(1), labelled);
        plan
    }

    fn place(&mut self, racks: &[Vec<HostId>], left: u16, columns: usize, labelled: bool) {
        let (mut y, mut first) = (0, 0);
        for (number, rack) in racks.iter().enumerate() {
            if labelled {
                self.labels.push((y, number));
            }
            let cells = rack.len().div_ceil(self.per_cell);
            for cell in 0..cells {
                let count = self.per_cell.min(rack.len() - cell * self.per_cell);
                let x = left + (cell % columns) as u16 * self.width;
                self.cells.push(Cell { first, count, x, y: y + (cell / columns) as u16 });
                first += count;
            }
            y += cells.div_ceil(columns) as u16;
        }
    }

    fn hosts(&self, cell: &Cell) -> &[HostId] {
        self.order.get(cell.first..cell.first + cell.count).unwrap_or(&[])
    }

    /// Of a cell's hosts the one that shows: that which needs a person most among those that the filter lets through.
    fn worst(&self, fleet: &FleetState, query: &Query, cell: &Cell) -> Option<HostId> {
        let hosts = self.hosts(cell);
        let shown = hosts.iter().copied().filter_map(|id| {
            let host = fleet.host(id)?;
            query.matches(id, host).then_some((gravity(host), id))
        });
        shown.max_by_key(|(gravity, id)| (*gravity, std::cmp::Reverse(*id))).map(|(_, id)| id)
    }

    /// The host that shows in a cell, or its first if the filter leaves all out.
    fn shown(&self, cell: usize) -> Option<HostId> {
        let first = || self.hosts(self.cells.get(cell)?).first().copied();
        self.worst.get(cell).copied().flatten().or_else(first)
    }

    /// The cell of a host, or the first.
    fn at(&self, host: Option<HostId>) -> Option<usize> {
        let place = host.and_then(|host| self.order.iter().position(|id| *id == host)).unwrap_or(0);
        self.cells.iter().position(|cell| (cell.first..cell.first + cell.count).contains(&place))
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
        let worst = plan.worst.get(index).copied().flatten().and_then(|id| scene.fleet.host(id));
        let (sign, mut style) = match worst {
            Some(host) => (sign(scene.symbols, host), theme.host(host)),
            None => (scene.symbols.dot, theme.faint),
        };
        let here = selected == Some(index);
        if here {
            style = style.add_modifier(Modifier::REVERSED);
        }
        let mut pen = scene.edge_pen(buffer, area, cell.y);
        pen.to(area.x + cell.x).put(sign, style);
        if plan.named {
            let id = plan.hosts(cell).first().copied();
            let name = id.map_or("", |id| scene.fleet.host_name(id));
            let quiet = worst.is_none_or(|host| gravity(host) < 2);
            let text = if here {
                theme.strong
            } else if quiet {
                theme.muted
            } else {
                theme.text
            };
            pen.skip(1).put(name, text);
        }
    }
    legend(scene, buffer, area, plan);
}

/// How much a state draws the eye: what needs a person beats what moves beats what is done.
fn gravity(host: &HostRecord) -> u8 {
    match host.name() {
        StateName::Failed => 6,
        _ if host.needs_eyes() => 5,
        StateName::Cancelled | StateName::Skipped => 1,
        StateName::Queued => 3,
        StateName::Staged => 1,
        StateName::Active | StateName::Done => 0,
        // Of hosts that move the one that is least far shows.
        _ => 4,
    }
}

/// Filled by the share that is done while it moves; a sign of its own otherwise.
fn sign(symbols: &Symbols, host: &HostRecord) -> &'static str {
    if host.name() == StateName::Fetching && !host.needs_eyes() {
        // Seven levels: a full block would say that it is over.
        return level(symbols, (host.share() * 700.0) as u64 + 1, 800);
    }
    symbols.host(host)
}

fn legend(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect, plan: &Plan) {
    let (theme, symbols) = (scene.theme, scene.symbols);
    let mut pen = scene.pen(buffer, area, area.height.saturating_sub(1));
    if plan.per_cell > 1 {
        let text = format!("a cell is {} hosts, the worst of them shows", plan.per_cell);
        pen.put(&text, theme.text).skip(3);
    }
    let signs: [(&str, Style, &str); 7] = [
        (symbols.fail, theme.fail, "failed"),
        (symbols.warn, theme.warn, "in trouble"),
        (symbols.levels[4], theme.accent, "fetching, filled as far as it is"),
        (symbols.moving, theme.accent, "otherwise busy"),
        (symbols.waiting, theme.muted, "queued"),
        (symbols.staged, theme.ok, "staged"),
        (symbols.ok, theme.ok, "active"),
    ];
    for (sign, style, words) in signs {
        if usize::from(pen.room()) < words.len() + 2 {
            continue;
        }
        pen.put(sign, style).skip(1).put(words, theme.muted).skip(2);
    }
}
