use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// Size of a cell, pixels.
const CELL: (f64, f64) = (8.4, 18.0);
/// Around the screen, pixels.
const MARGIN: f64 = 14.0;
/// Below the top of a cell, where letters stand; pixels.
const BASELINE: f64 = 13.5;
const FONT: &str =
    "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace";

/// The 16 colours as a terminal with good taste has them: dark, then light.
const PALETTE: [(&str, &str); 16] = [
    ("#1c1c1c", "#2a2c33"),
    ("#e5605c", "#c4302b"),
    ("#5fb86a", "#2e7d32"),
    ("#d9b13b", "#9a6700"),
    ("#5a93e0", "#2b62c4"),
    ("#b87fd0", "#8b3fa8"),
    ("#45b5b5", "#0b7a80"),
    ("#d0d0d0", "#5f6368"),
    ("#7b818c", "#7d828c"),
    ("#ff8580", "#d9433d"),
    ("#86e08f", "#3c9a44"),
    ("#f2d568", "#b58200"),
    ("#8bb8ff", "#4a7fe0"),
    ("#dca6f2", "#a65cc4"),
    ("#7fe0e0", "#1a9aa0"),
    ("#ffffff", "#111111"),
];

/// A screen's cells as a picture that needs no font of its own: what is alike in a row is one text of a fixed width.
pub(super) fn picture(buffer: &Buffer, dark: bool) -> String {
    let (columns, rows) = (f64::from(buffer.area.width), f64::from(buffer.area.height));
    let (width, height) = (columns * CELL.0 + 2.0 * MARGIN, rows * CELL.1 + 2.0 * MARGIN);
    let (paper, ink) = if dark { ("#15171c", "#d3d6dc") } else { ("#fbfbfa", "#24262b") };
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}">"#
    );
    let _ = writeln!(svg, r#"<rect width="100%" height="100%" rx="9" fill="{paper}"/>"#);
    let _ = writeln!(svg, r#"<g font-family="{FONT}" font-size="14" fill="{ink}" xml:space="preserve">"#);
    for y in 0..buffer.area.height {
        row(&mut svg, buffer, y, (paper, ink), dark);
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

fn row(svg: &mut String, buffer: &Buffer, y: u16, (paper, ink): (&str, &str), dark: bool) {
    let mut x = 0;
    while x < buffer.area.width {
        let first = &buffer[(x, y)];
        let mut end = x + 1;
        while end < buffer.area.width && alike(first, &buffer[(end, y)]) {
            end += 1;
        }
        let text: String = (x..end).map(|x| buffer[(x, y)].symbol()).collect();
        let (mut fg, mut bg) = (color(first.fg, dark), color(first.bg, dark));
        if first.modifier.contains(Modifier::REVERSED) {
            (fg, bg) = (bg.or(Some(paper.to_owned())), fg.or(Some(ink.to_owned())));
        }
        let left = f64::from(x) * CELL.0 + MARGIN;
        let top = f64::from(y) * CELL.1 + MARGIN;
        let width = f64::from(end - x) * CELL.0;
        if let Some(bg) = bg {
            let _ = writeln!(
                svg,
                r#"<rect x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{:.1}" fill="{bg}"/>"#,
                CELL.1
            );
        }
        if !text.trim().is_empty() {
            let mut style = fg.map_or(String::new(), |fg| format!(r#" fill="{fg}""#));
            for (modifier, attribute) in [
                (Modifier::BOLD, r#" font-weight="bold""#),
                (Modifier::DIM, r#" opacity="0.6""#),
                (Modifier::UNDERLINED, r#" text-decoration="underline""#),
            ] {
                if first.modifier.contains(modifier) {
                    style.push_str(attribute);
                }
            }
            let _ = writeln!(
                svg,
                r#"<text x="{left:.1}" y="{:.1}" textLength="{width:.1}"{style}>{}</text>"#,
                top + BASELINE,
                text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
            );
        }
        x = end;
    }
}

/// Whether two cells can be one text. Blanks end a text, so that each word stands where it belongs.
fn alike(a: &Cell, b: &Cell) -> bool {
    let blank = |cell: &Cell| cell.symbol() == " ";
    a.fg == b.fg && a.bg == b.bg && a.modifier == b.modifier && blank(a) == blank(b)
}

fn color(color: Color, dark: bool) -> Option<String> {
    let named = |index: usize| {
        PALETTE.get(index).map(|(on_dark, on_light)| (if dark { on_dark } else { on_light }).to_string())
    };
    match color {
        Color::Reset => None,
        Color::Black => named(0),
        Color::Red => named(1),
        Color::Green => named(2),
        Color::Yellow => named(3),
        Color::Blue => named(4),
        Color::Magenta => named(5),
        Color::Cyan => named(6),
        Color::Gray => named(7),
        Color::DarkGray => named(8),
        Color::LightRed => named(9),
        Color::LightGreen => named(10),
        Color::LightYellow => named(11),
        Color::LightBlue => named(12),
        Color::LightMagenta => named(13),
        Color::LightCyan => named(14),
        Color::White => named(15),
        Color::Rgb(r, g, b) => Some(format!("#{r:02x}{g:02x}{b:02x}")),
        Color::Indexed(index) => indexed(index, dark),
    }
}

/// The 256 colours of xterm.
fn indexed(index: u8, dark: bool) -> Option<String> {
    let number = usize::from(index);
    if number < 16 {
        return PALETTE
            .get(number)
            .map(|(on_dark, on_light)| (if dark { on_dark } else { on_light }).to_string());
    }
    let level = |step: usize| if step == 0 { 0 } else { 55 + step * 40 };
    let (r, g, b) = if number >= 232 {
        let grey = 8 + (number - 232) * 10;
        (grey, grey, grey)
    } else {
        let cube = number - 16;
        (level(cube / 36), level(cube / 6 % 6), level(cube % 6))
    };
    Some(format!("#{r:02x}{g:02x}{b:02x}"))
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn words_stand_where_they_stood_and_signs_of_xml_are_written_out() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        buffer.set_string(0, 0, "a<b", Style::new().fg(Color::Red));
        buffer.set_string(5, 0, "c&d", Style::new().add_modifier(Modifier::REVERSED));
        let svg = picture(&buffer, true);
        assert!(
            svg.contains(r##"<text x="14.0" y="27.5" textLength="25.2" fill="#e5605c">a&lt;b</text>"##),
            "{svg}"
        );
        assert!(
            svg.contains(r##"<rect x="56.0" y="14.0" width="25.2" height="18.0" fill="#d3d6dc"/>"##),
            "{svg}"
        );
        assert!(svg.contains("c&amp;d"));
    }

    #[test]
    fn indexed_colours_are_those_of_xterm() {
        for (index, hex) in
            [(16, "#000000"), (203, "#ff5f5f"), (231, "#ffffff"), (234, "#1c1c1c"), (255, "#eeeeee")]
        {
            assert_eq!(indexed(index, true).as_deref(), Some(hex), "{index}");
        }
    }
}
