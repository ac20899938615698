use std::borrow::Cow;
use std::num::NonZeroU16;

use ratatui::buffer::{Buffer, CellDiffOption};
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::tui::symbols::Symbols;
use crate::tui::theme::Theme;

/// How far many hosts are together: shares of them all, 0 to 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stack {
    /// Hosts of which no more is expected.
    pub(super) done: f64,
    /// Bytes that are there.
    pub(super) moved: f64,
    /// Hosts that failed.
    pub(super) failed: f64,
}

/// Writes one line of the screen from left to right. What does not fit is cut, never wrapped; outside the screen nothing
/// is written.
pub(super) struct Pen<'a> {
    buffer: &'a mut Buffer,
    symbols: &'a Symbols,
    x: u16,
    y: u16,
    end: u16,
}

impl<'a> Pen<'a> {
    /// At the start of a line of `area`, 0 is its first.
    pub(super) fn new(buffer: &'a mut Buffer, symbols: &'a Symbols, area: Rect, line: u16) -> Self {
        let area = area.intersection(buffer.area);
        let y = area.y.saturating_add(line);
        let end = if line < area.height { area.right() } else { area.x };
        Self { buffer, symbols, x: area.x, y, end }
    }

    /// Columns that are left.
    pub(super) fn room(&self) -> u16 {
        self.end.saturating_sub(self.x)
    }

    /// Column of the next sign, from the left of the screen.
    pub(super) fn x(&self) -> u16 {
        self.x
    }

    /// Line of the screen.
    pub(super) fn y(&self) -> u16 {
        self.y
    }

    /// Writes text, cut where the line ends.
    pub(super) fn put(&mut self, text: &str, style: Style) -> &mut Self {
        let room = self.room();
        self.write(text, room, style);
        self
    }

    /// Writes text that is cut to `width` columns and does not fill them up.
    pub(super) fn put_within(&mut self, width: u16, text: &str, style: Style) -> &mut Self {
        let room = self.room().min(width);
        self.write(text, room, style);
        self
    }

    /// Writes text at the left of so many columns.
    pub(super) fn left(&mut self, width: u16, text: &str, style: Style) -> &mut Self {
        let end = self.x.saturating_add(width).min(self.end);
        self.write(text, end.saturating_sub(self.x), style);
        self.x = self.x.max(end);
        self
    }

    /// Writes text at the right of so many columns.
    pub(super) fn right(&mut self, width: u16, text: &str, style: Style) -> &mut Self {
        let width = width.min(self.room());
        let used = (text.width().min(usize::from(width))) as u16;
        self.x += width - used;
        self.write(text, used, style);
        self
    }

    /// Leaves columns free.
    pub(super) fn skip(&mut self, columns: u16) -> &mut Self {
        self.x = self.x.saturating_add(columns).min(self.end);
        self
    }

    /// Goes on at a column of the screen, if that is not behind.
    pub(super) fn to(&mut self, x: u16) -> &mut Self {
        self.x = self.x.max(x).min(self.end);
        self
    }

    /// Writes text so that it ends where the line ends. Nothing is written if it would touch what stands there.
    pub(super) fn end_with(&mut self, parts: &[(Cow<'_, str>, Style)]) -> bool {
        let width: usize = parts.iter().map(|(text, _)| text.width()).sum();
        if width == 0 || width + 1 > usize::from(self.room()) {
            return false;
        }
        self.x = self.end - width as u16;
        for (text, style) in parts {
            self.put(text, *style);
        }
        true
    }

    /// A bar of so many columns; the share that is full is told to half a column.
    pub(super) fn bar(&mut self, width: u16, share: f64, full: Style, rest: Style) -> &mut Self {
        let width = width.min(self.room());
        let halves = (share.clamp(0.0, 1.0) * f64::from(width) * 2.0).floor() as u16;
        // A bar that has begun is seen, and one that is not over is not full.
        let halves = match halves {
            0 if share > 0.0 => 1,
            halves => halves,
        };
        for column in 0..width {
            match halves.saturating_sub(column * 2) {
                0 => self.sign(self.symbols.rest, rest),
                1 => self.sign(self.symbols.half, full),
                _ => self.sign(self.symbols.full, full),
            };
        }
        self
    }

    /// Many hosts in one bar of so many columns, told to half a column: what is done, what is under way, what is to come, and
    /// at its end what failed.
    pub(super) fn stack(&mut self, width: u16, stack: &Stack, theme: &Theme) -> &mut Self {
        let width = width.min(self.room());
        let columns = |share: f64| (share.clamp(0.0, 1.0) * f64::from(width)).floor() as u16;
        // One host of ten thousand is seen, too.
        let failed = columns(stack.failed).max(u16::from(stack.failed > 0.0)).min(width);
        let room = width - failed;
        // Where nothing is to come, rounding leaves no gap.
        let all = |share: f64| share + stack.failed > 1.0 - 1e-9;
        let done = if all(stack.done) { room } else { columns(stack.done).min(room) };
        let moved = (stack.moved.clamp(0.0, 1.0) * f64::from(width) * 2.0).floor() as u16;
        let moved = if all(stack.moved) { room * 2 } else { moved.min(room * 2) };
        let Symbols { full, half, rest, broken, .. } = *self.symbols;
        for column in 0..width {
            match moved.saturating_sub(column * 2) {
                _ if column >= room => self.sign(broken, theme.fail),
                _ if column < done => self.sign(full, theme.ok),
                0 => self.sign(rest, theme.faint),
                1 => self.sign(half, theme.accent),
                _ => self.sign(full, theme.accent),
            };
        }
        self
    }

    /// The last samples as a sparkline, the newest at the right, `top` being the highest level; a sample of nothing is a
    /// blank.
    pub(super) fn spark(
        &mut self,
        width: u16,
        samples: impl DoubleEndedIterator<Item = u64>,
        top: u64,
        style: Style,
    ) -> &mut Self {
        let width = width.min(self.room());
        let end = self.x + width;
        for (column, sample) in samples.rev().take(usize::from(width)).enumerate() {
            self.x = end - 1 - column as u16;
            self.sign(level(self.symbols, sample, top), style);
        }
        self.x = end;
        self
    }

    /// The rest of the line in one sign.
    pub(super) fn fill(&mut self, sign: &str, style: Style) {
        while self.room() > 0 {
            self.sign(sign, style);
        }
    }

    /// One of [`Symbols`]: bars and sparklines are made of many, and each is known to be a column wide.
    fn sign(&mut self, sign: &str, style: Style) {
        if self.room() > 0 {
            set_sign(self.buffer, (self.x, self.y), sign, style);
            self.x += 1;
        }
    }

    fn write(&mut self, text: &str, room: u16, style: Style) {
        let room = room.min(self.room());
        if room == 0 {
            return;
        }
        let text = self.symbols.plain(text);
        if text.chars().all(is_column) {
            return self.write_columns(&text, room, style);
        }
        let text = fit(&text, usize::from(room), self.symbols.ellipsis);
        let (x, _) = self.buffer.set_stringn(self.x, self.y, &text, usize::from(room), style);
        self.x = x;
    }

    /// Most text has a letter to a column: they are counted, and nothing of it has to be measured.
    fn write_columns(&mut self, text: &str, room: u16, style: Style) {
        let count = text.chars().count();
        let fits = count <= usize::from(room);
        let shown = if fits { count } else { usize::from(room) - 1 };
        let start = self.buffer.index_of(self.x, self.y);
        let cells = self.buffer.content.iter_mut().skip(start);
        for (cell, letter) in cells.zip(text.chars().take(shown)) {
            cell.set_char(letter).set_style(style);
            if !letter.is_ascii() {
                cell.set_diff_option(ONE_COLUMN);
            }
        }
        self.x += shown as u16;
        if !fits {
            self.sign(self.symbols.ellipsis, style);
        }
    }
}

/// Spares the comparison of pictures the measuring of what is known to take one column.
const ONE_COLUMN: CellDiffOption = CellDiffOption::ForcedWidth(NonZeroU16::MIN);

/// A letter or sign that takes one column and joins with none beside it.
fn is_column(c: char) -> bool {
    matches!(
        c,
        ' '..='~' | '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{24f}' | '\u{2010}'..='\u{2027}'
            | '\u{2190}'..='\u{2199}' | '\u{21b5}' | '\u{2500}'..='\u{25cf}' | '\u{2713}' | '\u{2717}'
    )
}

/// Puts a sign of one column into a cell; neither here nor when the picture is compared with the one before is it measured.
pub(super) fn set_sign(buffer: &mut Buffer, at: (u16, u16), sign: &str, style: Style) {
    if let Some(cell) = buffer.cell_mut(at) {
        cell.set_symbol(sign).set_style(style).set_diff_option(ONE_COLUMN);
    }
}

/// The sign of a sample in a sparkline that ends at `top`.
pub(super) fn level(symbols: &Symbols, sample: u64, top: u64) -> &'static str {
    match eighths(sample, top) {
        0 => " ",
        eighths => symbols.levels[eighths - 1],
    }
}

/// How many eighths of `top` a sample fills, begun ones as whole; 8 at most.
pub(super) fn eighths(sample: u64, top: u64) -> usize {
    sample.saturating_mul(8).div_ceil(top.max(1)).min(8) as usize
}

/// A number as people read it: `10,000`.
pub(super) fn number(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Text in so many columns at a time, broken between words.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// At most so many lines; the last is followed by the rest, to be cut where the screen ends.
pub(super) fn clip(lines: &[String], most: usize) -> Vec<String> {
    match lines.get(most..).filter(|rest| !rest.is_empty()) {
        Some(_) if most > 0 => {
            let (shown, rest) = lines.split_at(most - 1);
            shown.iter().cloned().chain([rest.join(" ")]).collect()
        }
        Some(_) => Vec::new(),
        None => lines.to_vec(),
    }
}

/// Text in at most so many columns, with an ellipsis where it was cut; control characters become blanks.
pub(super) fn fit<'t>(text: &'t str, width: usize, ellipsis: &str) -> Cow<'t, str> {
    let clean: Cow<'t, str> = if text.chars().any(char::is_control) {
        text.replace(char::is_control, " ").into()
    } else {
        text.into()
    };
    if clean.width() <= width {
        return clean;
    }
    let room = width.saturating_sub(ellipsis.width());
    let mut used = 0;
    let mut cut: String = clean
        .chars()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= room
        })
        .collect();
    if width >= ellipsis.width() {
        cut.push_str(ellipsis);
    }
    cut.into()
}

#[cfg(test)]
mod tests {
    use ratatui::style::Style;

    use super::*;

    fn line(width: u16, draw: impl FnOnce(&mut Pen)) -> String {
        let area = Rect::new(0, 0, width, 1);
        let mut buffer = Buffer::empty(area);
        draw(&mut Pen::new(&mut buffer, &Symbols::UNICODE, area, 0));
        buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect()
    }

    #[test]
    fn text_is_cut_with_an_ellipsis_and_wide_letters_are_not_halved() {
        assert_eq!(fit("web-017", 7, "…"), "web-017");
        assert_eq!(fit("web-017", 5, "…"), "web-…");
        assert_eq!(fit("日本語", 4, "…"), "日…");
        assert_eq!(fit("a\tb\u{1b}[31m", 9, "…"), "a b [31m");
        assert_eq!(fit("abc", 0, "…"), "");
    }

    #[test]
    fn what_is_not_measured_is_a_column_wide() {
        let counted: Vec<char> = ('\u{20}'..='\u{3000}').filter(|c| is_column(*c)).collect();
        assert!(counted.iter().all(|c| c.width() == Some(1)));
        for sign in [Symbols::UNICODE.ok, Symbols::UNICODE.fail, Symbols::UNICODE.enter, "…×→–“”■"]
        {
            assert!(sign.chars().all(is_column), "{sign}");
        }
        let put = |width, text: &str| {
            line(width, |pen| {
                pen.put(text, Style::new());
            })
        };
        assert_eq!((put(4, "a · b"), put(5, "a · b")), ("a ·…".into(), "a · b".into()));
    }

    #[test]
    fn large_numbers_are_parted() {
        for (count, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(count), text);
        }
    }

    #[test]
    fn bars_tell_half_columns() {
        let bar = |share| {
            line(4, |pen| {
                pen.bar(4, share, Style::new(), Style::new());
            })
        };
        assert_eq!(bar(0.0), "────");
        assert_eq!(bar(0.001), "╾───");
        assert_eq!(bar(0.5), "━━──");
        assert_eq!(bar(0.63), "━━╾─");
        assert_eq!(bar(1.0), "━━━━");
    }

    #[test]
    fn a_bar_of_many_hosts_has_its_failures_at_its_end_however_few() {
        let theme = Theme::new(crate::inventory::Theme::Mono);
        let stack = |done, moved, failed| {
            line(8, |pen| {
                pen.stack(8, &Stack { done, moved, failed }, &theme);
            })
        };
        assert_eq!(stack(0.0, 0.0, 0.0), "────────");
        assert_eq!(stack(0.25, 0.45, 0.0), "━━━╾────");
        assert_eq!(stack(0.5, 0.9, 0.0001), "━━━━━━━╍");
        assert_eq!(stack(0.0, 0.0, 1.0), "╍╍╍╍╍╍╍╍");
        assert_eq!(stack(11.0 / 12.0, 11.0 / 12.0, 1.0 / 12.0), "━━━━━━━╍");
        assert_eq!(stack(0.0, 0.8, 0.2), "━━━━━━━╍");
    }

    #[test]
    fn sparklines_end_with_the_newest_sample() {
        let spark = |samples: Vec<u64>| {
            line(4, |pen| {
                pen.spark(4, samples.into_iter(), 8, Style::new());
            })
        };
        assert_eq!(spark(vec![]), "    ");
        assert_eq!(spark(vec![0, 8]), "   █");
        assert_eq!(spark(vec![9, 0, 1, 4, 99]), " ▁▄█");
    }

    #[test]
    fn what_stands_at_the_end_does_not_touch_what_stands_before() {
        let style = Style::new();
        let ends = |width, text: &str| {
            line(width, |pen| {
                pen.put("left", style);
                pen.end_with(&[(text.to_owned().into(), style)]);
            })
        };
        assert_eq!(ends(10, "right"), "left right");
        assert_eq!(ends(9, "right"), "left     ");
    }
}
