use ratatui::buffer::{Buffer, Cell, CellDiffOption};
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr as _;

/// The body is drawn anew after so long, milliseconds: as often as the eye follows numbers. Between that, pictures show it as it
/// was.
const LOOK_MS: u64 = 240;

/// The body of the screen as it was drawn last. What of it the terminal has shows no more in pictures, so that it is neither
/// copied nor compared with every one of them: [`Canvas::lose`] has to be called when the terminal lost it.
#[derive(Debug, Default)]
pub(in crate::tui) struct Canvas {
    cells: Buffer,
    /// When, by the clock of the screen, and as of which revision of the fleet.
    drawn: Option<(u64, u64)>,
    /// What the terminal has of it.
    shown: Buffer,
    /// Whether it has that, with nothing over it, on a screen of this size.
    on: Option<Rect>,
    /// Whether `cells` is not yet what the terminal has.
    fresh: bool,
    /// Cells that are new in it, if no others are.
    touched: Option<Vec<usize>>,
}

/// A body of which some cells are drawn anew.
pub(super) struct Retouch<'a> {
    cells: &'a mut Buffer,
    touched: &'a mut Vec<usize>,
}

impl Retouch<'_> {
    /// Draws a cell: something of one column in place of something of one column.
    pub(super) fn cell(&mut self, x: u16, y: u16, draw: impl FnOnce(&mut Buffer)) {
        if self.cells.area.contains((x, y).into()) {
            self.touched.push(self.cells.index_of(x, y));
            draw(self.cells);
        }
    }
}

impl Canvas {
    /// The next picture needs a new one: a key may have changed anything.
    pub(in crate::tui) fn spoil(&mut self) {
        self.drawn = None;
    }

    /// The next picture has to hold all of it.
    pub(in crate::tui) fn lose(&mut self) {
        self.on = None;
    }

    /// Whether a picture at this time needs a new one.
    pub(in crate::tui) fn is_due(&self, body: Rect, uptime: u64) -> bool {
        self.cells.area != body || self.drawn.is_none_or(|(at, _)| uptime.abs_diff(at) >= LOOK_MS)
    }

    /// Whether it shows less than is known, so that it has to be drawn anew even if nothing more happens.
    pub(in crate::tui) fn is_behind(&self, revision: u64) -> bool {
        self.drawn.is_none_or(|(_, as_of)| as_of != revision)
    }

    /// Begins it anew.
    pub(super) fn begin(&mut self, body: Rect, style: Style, uptime: u64, revision: u64) -> &mut Buffer {
        if !self.fresh {
            std::mem::swap(&mut self.cells, &mut self.shown);
        }
        self.fresh = true;
        self.touched = None;
        self.drawn = Some((uptime, revision));
        self.cells.resize(body);
        self.cells.reset();
        self.cells.set_style(body, style);
        &mut self.cells
    }

    /// Goes on with what is there, if that is the same view of the same size and no key was pressed.
    pub(super) fn retouch(&mut self, body: Rect, uptime: u64, revision: u64) -> Option<Retouch<'_>> {
        if self.drawn.is_none() || self.fresh || self.cells.area != body {
            return None;
        }
        self.fresh = true;
        self.drawn = Some((uptime, revision));
        let touched = self.touched.insert(Vec::new());
        Some(Retouch { cells: &mut self.cells, touched })
    }

    /// Puts into a picture what the terminal has not; all of it if something will lie over it.
    pub(super) fn lay(&mut self, picture: &mut Buffer, covered: bool) {
        let touched = self.touched.take();
        let comparable = !self.fresh || touched.is_some() || self.shown.area == self.cells.area;
        let known = self.on == Some(picture.area) && !covered && comparable;
        self.on = Some(picture.area).filter(|_| !covered);
        let body = self.cells.area.intersection(picture.area);
        let width = usize::from(body.width);
        for y in body.top()..body.bottom() {
            let (from, to) = (self.cells.index_of(body.x, y), picture.index_of(body.x, y));
            let row = self.cells.content.get(from..from + width).unwrap_or(&[]);
            let shown = self.shown.content.get(from..from + width).unwrap_or(&[]);
            let Some(place) = picture.content.get_mut(to..to + row.len()) else { continue };
            match (known, self.fresh && touched.is_none()) {
                (false, _) => place.clone_from_slice(row),
                (true, true) => lay_changes(place, row, shown),
                (true, false) => place.iter_mut().for_each(skip),
            }
        }
        for index in touched.into_iter().flatten().filter(|_| known) {
            if let (Some(cell), Some(place)) =
                (self.cells.content.get(index), picture.cell_mut(self.cells.pos_of(index)))
            {
                update(place, cell);
            }
        }
        self.fresh = false;
    }
}

/// Puts those cells of a row into a picture that are others than those that are shown.
fn lay_changes(place: &mut [Cell], row: &[Cell], shown: &[Cell]) {
    let mut wide = false;
    for ((place, cell), shown) in place.iter_mut().zip(row).zip(shown) {
        if cell == shown {
            skip(place);
        } else {
            update(place, cell);
            wide |= is_wide(cell) || is_wide(shown);
        }
    }
    // A letter of two columns that comes or goes takes the cell beside it with it.
    if wide {
        place.iter_mut().zip(row).for_each(|(place, cell)| update(place, cell));
    }
}

fn is_wide(cell: &Cell) -> bool {
    let measured = cell.symbol().len() > 1 && cell.diff_option == CellDiffOption::None;
    measured && cell.symbol().width() > 1
}

fn update(place: &mut Cell, cell: &Cell) {
    place.clone_from(cell);
    place.set_diff_option(CellDiffOption::AlwaysUpdate);
}

fn skip(cell: &mut Cell) {
    cell.set_diff_option(CellDiffOption::Skip);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    const BODY: Rect = Rect::new(0, 1, 12, 4);

    #[test]
    fn it_is_drawn_a_few_times_a_second_and_at_once_when_it_was_spoilt_or_has_another_size() {
        let mut canvas = Canvas::default();
        assert!(canvas.is_due(BODY, 0) && canvas.is_behind(7));
        canvas.begin(BODY, Style::new(), 1000, 7);
        assert!(!canvas.is_due(BODY, 1100) && !canvas.is_behind(7) && canvas.is_behind(8));
        assert!(canvas.is_due(BODY, 1250) && canvas.is_due(Rect { height: 3, ..BODY }, 1100));
        canvas.spoil();
        assert!(canvas.is_due(BODY, 1100) && canvas.is_behind(7));
    }

    /// One picture after the other on a terminal, and each of them on a terminal of its own.
    #[test]
    fn a_terminal_shows_the_same_as_if_it_were_told_everything_every_time() {
        let words = ["rate 12", "", "━━╾──", "rate 13", "ab c…", "x"];
        let mut canvas = Canvas::default();
        let mut kept = Terminal::new(TestBackend::new(12, 6)).unwrap();
        let mut rng = fastrand::Rng::with_seed(3);
        for step in 0..400u64 {
            let body = if step / 50 % 2 == 0 { BODY } else { Rect { height: 3, ..BODY } };
            let covered = step % 11 < 2;
            if step % 37 == 0 {
                canvas.lose();
            }
            if let Some(mut retouch) = (step % 3 == 1).then(|| canvas.retouch(body, step, step)).flatten() {
                let (x, y) = (rng.u16(0..12), rng.u16(1..5));
                retouch.cell(x, y, |cells| cells.set_string(x, y, "▅", Style::new().green()));
            } else if step % 50 == 0 || rng.bool() {
                let buffer = canvas.begin(body, Style::new(), step, step);
                for y in body.top()..body.bottom() {
                    let style = if rng.bool() { Style::new().red() } else { Style::new() };
                    buffer.set_string(rng.u16(0..3), y, words[rng.usize(0..words.len())], style);
                }
            }
            let cells = canvas.cells.clone();
            let mut fresh = Terminal::new(TestBackend::new(12, 6)).unwrap();
            let over = |buffer: &mut Buffer| {
                if covered {
                    buffer.set_string(4, 2, "over", Style::new().bold());
                }
            };
            kept.draw(|frame| {
                canvas.lay(frame.buffer_mut(), covered);
                over(frame.buffer_mut());
            })
            .unwrap();
            fresh
                .draw(|frame| {
                    frame.buffer_mut().merge(&cells);
                    over(frame.buffer_mut());
                })
                .unwrap();
            assert_eq!(kept.backend().to_string(), fresh.backend().to_string(), "step {step}");
        }
    }

    #[test]
    fn a_row_is_told_as_a_whole_if_wide_letters_come_or_go() {
        let row = |text: &str| Buffer::with_lines([format!("{text:6}")]).content;
        let told = |row: &[Cell], shown: &[Cell]| {
            let mut place = vec![Cell::EMPTY; row.len()];
            lay_changes(&mut place, row, shown);
            place.iter().filter(|cell| cell.diff_option == CellDiffOption::AlwaysUpdate).count()
        };
        assert_eq!(told(&row("ab 12"), &row("ab 13")), 1);
        assert_eq!(told(&row("日 12"), &row("日 12")), 0);
        assert_eq!(told(&row("日 12"), &row("日 13")), 1);
        assert_eq!(told(&row("日 12"), &row("本 12")), row("日 12").len());
        assert_eq!(told(&row("ab 12"), &row("日 12")[..6]), 6);
    }
}
