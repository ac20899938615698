use ratatui::layout::Rect;

/// How much room there is, by columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::tui) enum Size {
    /// One line that says it all.
    Tiny,
    /// Sign, name and percent.
    Narrow,
    /// Without sparklines.
    Medium,
    /// All columns.
    Wide,
    /// All columns, at their ease.
    Full,
}

/// Where things are.
///
/// ```text
///  murder  app 2026.11.23-3 → 24 hosts          header: run, bar, counts
///  ━━━━━━━━━━━━━━━━━━━━━━━━━━━╸────────  71 %
///  ✗ 3 failed  ▸ 7 fetching    84 MB/s ▂▄▆▇
///
///  1 Hosts  2 Grid  3 Groups  4 Failures·3      tabs, and what narrows the view
///                                               body: the view, or one host
///  ── web-017 ───────────────────────────       strip: what there is to say about the selected host
///  ↵ open  r retry  R retry 3 failed  q quit    footer
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tui) struct Areas {
    /// How much room there is.
    pub(in crate::tui) size: Size,
    /// Run, bar and counts.
    pub(in crate::tui) header: Rect,
    /// Names of the views.
    pub(in crate::tui) tabs: Rect,
    /// The view.
    pub(in crate::tui) body: Rect,
    /// The selected host, if there is room.
    pub(in crate::tui) strip: Rect,
    /// Keys, or what is typed.
    pub(in crate::tui) footer: Rect,
}

/// Smallest screen that is not told in one line.
const LEAST: (u16, u16) = (40, 7);
/// From this many lines on, parts of the screen stand apart.
const AIRY: u16 = 30;
/// From this many lines on, the strip shows the selected host in full.
const TALL: u16 = 46;
/// Lines of the strip on a tall screen.
const PREVIEW: u16 = 14;

/// Cuts the screen up; `strip` says whether the view has a selected host to tell about.
pub(in crate::tui) fn areas(area: Rect, strip: bool) -> Areas {
    let none = Rect::new(area.x, area.y, area.width, 0);
    if area.width < LEAST.0 || area.height < LEAST.1 {
        return Areas { size: Size::Tiny, header: area, tabs: none, body: none, strip: none, footer: none };
    }
    let size = match area.width {
        0..80 => Size::Narrow,
        80..120 => Size::Medium,
        120..160 => Size::Wide,
        _ => Size::Full,
    };
    let mut rest = area;
    // So many lines from the top, while `left` stay below them.
    let mut top = |lines: u16, left: u16| {
        let lines = lines.min(rest.height.saturating_sub(left));
        let taken = Rect { height: lines, ..rest };
        rest = Rect { y: rest.y + lines, height: rest.height - lines, ..rest };
        taken
    };
    let airy = area.height >= AIRY;
    top(u16::from(airy), 0);
    let header = top(if area.height < 12 { 2 } else { 3 }, 0);
    top(u16::from(area.height >= 14), 0);
    let tabs = top(u16::from(area.height >= 9), 0);
    top(u16::from(airy), 0);
    let strip_lines = match area.height {
        _ if !strip => 0,
        TALL.. => PREVIEW,
        22.. => 4,
        14.. => 3,
        _ => 0,
    };
    let gap = u16::from(airy);
    let body = top(u16::MAX, strip_lines + gap + 1);
    let strip = top(strip_lines, 0);
    top(gap, 0);
    let footer = top(1, 0);
    Areas { size, header, tabs, body, strip, footer }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_of_the_screen_lie_in_it_and_not_on_each_other(width in 0u16..300, height in 0u16..120, strip: bool) {
            let area = Rect::new(0, 0, width, height);
            let areas = areas(area, strip);
            let parts = [areas.header, areas.tabs, areas.body, areas.strip, areas.footer];
            for (index, part) in parts.iter().enumerate() {
                prop_assert_eq!(part.intersection(area), *part);
                for other in &parts[index + 1..] {
                    prop_assert!(part.intersection(*other).is_empty());
                }
            }
            if areas.size != Size::Tiny {
                prop_assert_eq!(areas.footer.height, 1);
                prop_assert!(areas.body.height >= 2, "{areas:?}");
            }
        }
    }
}
