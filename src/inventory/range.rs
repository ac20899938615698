use crate::text::Mistake;

/// Most names that one range may stand for: ten times the largest fleet that is planned for, far below what memory holds.
pub const MAX_EXPANSION: usize = 100_000;

/// Digits of a number in a range; all such numbers fit 64 bits.
const MAX_DIGITS: usize = 18;

/// What is between the brackets, in words for a user.
const EXPECTED: &str = "numbers like [01-20] or [1,3,7-9]";

/// All names that a name with ranges stands for, the last range turning fastest: `r[1-2]n[01,05-06]` is `r1n01`, `r1n05`,
/// `r1n06`, `r2n01` and so on. Brackets around an IPv6 address are none of a range.
pub fn expand(text: &str) -> Result<Vec<String>, Mistake> {
    Ok(spread(&parse(text, false)?))
}

/// All names that the pieces of a name stand for.
pub(super) fn spread(parts: &[Part]) -> Vec<String> {
    let mut names = vec![String::new()];
    for part in parts {
        match part {
            Part::Text(literal) => names.iter_mut().for_each(|name| name.push_str(literal)),
            Part::Set(spans) => {
                let longer = |name: &String| {
                    numbers(spans).map(|number| format!("{name}{number}")).collect::<Vec<_>>()
                };
                names = names.iter().flat_map(longer).collect();
            }
        }
    }
    names
}

/// A piece of a name with ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// As it stands.
    Text(String),
    /// One of these numbers.
    Set(Vec<Span>),
}

/// Numbers from `first` to `last`, padded with zeros to `width`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) width: usize,
}

/// Takes a name apart. With `classes`, brackets that hold no numbers are left in the text, for a glob.
pub(super) fn parse(text: &str, classes: bool) -> Result<Vec<Part>, Mistake> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    let mut address_brackets = 0;
    while let Some(at) = rest.find(['[', ']']) {
        literal.push_str(&rest[..at]);
        let (bracket, inner) = rest[at..].split_at(1);
        rest = inner;
        if bracket == "]" {
            if address_brackets == 0 && !classes {
                return Err(Mistake::new("]", "a `]` without its `[`").expected(EXPECTED));
            }
            address_brackets = usize::saturating_sub(address_brackets, 1);
            literal.push(']');
            continue;
        }
        let end = inner.find(['[', ']']).unwrap_or(inner.len());
        let content = &inner[..end];
        let numeric = content.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b',' | b' '));
        if content.contains(':') || (classes && !numeric) {
            address_brackets += 1;
            literal.push('[');
            continue;
        }
        if !inner[end..].starts_with(']') {
            return Err(Mistake::new(format!("[{content}"), "a range is not closed").expected("`]`"));
        }
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal)));
        }
        parts.push(Part::Set(set(content)?));
        rest = &inner[end + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() || parts.is_empty() {
        parts.push(Part::Text(literal));
    }
    limit(text, &parts)?;
    Ok(parts)
}

fn set(content: &str) -> Result<Vec<Span>, Mistake> {
    if content.trim().is_empty() {
        return Err(Mistake::new(format!("[{content}]"), "an empty range").expected(EXPECTED));
    }
    content.split(',').map(|item| span(item.trim(), content)).collect()
}

fn span(item: &str, content: &str) -> Result<Span, Mistake> {
    let (first, last) = item.split_once('-').unwrap_or((item, item));
    let wrong = || {
        let text = if item.is_empty() { content } else { item };
        let headline = format!("`{text}` is neither a number nor two numbers");
        Mistake::new(text, headline).expected(EXPECTED)
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if digits && text.len() > MAX_DIGITS {
            return Err(Mistake::new(text, "a number of a range is too long").expected("at most 18 digits"));
        }
        text.parse::<u64>().ok().filter(|_| digits).ok_or_else(wrong)
    };
    let (low, high) = (number(first)?, number(last)?);
    if high < low {
        let help = format!("did you mean `{last}-{first}`?");
        return Err(Mistake::new(item, format!("the range `{item}` runs backwards")).help(help));
    }
    let padded = |text: &str| if text.len() > 1 && text.starts_with('0') { text.len() } else { 0 };
    Ok(Span { first: low, last: high, width: padded(first).max(padded(last)) })
}

fn limit(text: &str, parts: &[Part]) -> Result<(), Mistake> {
    let count = |part: &Part| match part {
        Part::Text(_) => 1,
        Part::Set(spans) => {
            spans.iter().fold(0u64, |sum, span| sum.saturating_add(span.last - span.first + 1))
        }
    };
    let names = parts.iter().map(count).fold(1, u64::saturating_mul);
    if names <= MAX_EXPANSION as u64 {
        return Ok(());
    }
    let headline = format!("`{text}` stands for {names} names");
    Err(Mistake::new(text, headline).expected(format!("a range of at most {MAX_EXPANSION} names")))
}

fn numbers(spans: &[Span]) -> impl Iterator<Item = String> + '_ {
    spans
        .iter()
        .flat_map(|span| (span.first..=span.last).map(|number| format!("{number:0w$}", w = span.width)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_stand_for_names() {
        for (text, names) in [
            ("web", "web"),
            ("web[1-3]", "web1 web2 web3"),
            ("web[08-11].x", "web08.x web09.x web10.x web11.x"),
            ("web[8-011]", "web008 web009 web010 web011"),
            ("web[1,3,7-9]", "web1 web3 web7 web8 web9"),
            ("r[1-2]n[01,05]", "r1n01 r1n05 r2n01 r2n05"),
            ("[1-2]", "1 2"),
            ("root@web[1-2]:22", "root@web1:22 root@web2:22"),
            ("[2001:db8::1]:22", "[2001:db8::1]:22"),
            ("[2001:db8::[1-2]]:22", "[2001:db8::1]:22 [2001:db8::2]:22"),
            ("h[ 1 , 2 ]", "h1 h2"),
            ("h[0-1]", "h0 h1"),
            ("", ""),
        ] {
            assert_eq!(expand(text).unwrap().join(" "), names, "{text}");
        }
    }

    #[test]
    fn a_wrong_range_is_named() {
        for (text, part) in [
            ("web[1-", "[1-"),
            ("web[1-3", "[1-3"),
            ("web[]", "[]"),
            ("web1]", "]"),
            ("web[a-c]", "a-c"),
            ("web[3-1]", "3-1"),
            ("web[1-2-3]", "1-2-3"),
            ("web[1,,2]", "1,,2"),
            ("web[[1-2]]", "["),
            ("web[1-9999999]", "web[1-9999999]"),
            (
                "web[1-999999999999999999][1-999999999999999999]",
                "web[1-999999999999999999][1-999999999999999999]",
            ),
            ("web[1-1234567890123456789]", "1234567890123456789"),
        ] {
            assert_eq!(expand(text).unwrap_err().text(), part, "{text}");
        }
    }
}
