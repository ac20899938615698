use std::collections::{BTreeSet, HashMap};

use super::range::Span;

/// Digits of a number that is folded; longer ones stay text.
const MAX_DIGITS: usize = 18;

/// Names in the fewest words: `web01 … web40 db1` becomes `web[01-40] db1`, a word for each pattern, in the order of the
/// first name of each. What [`super::expand`] makes of the words is what went in, each name once.
pub fn fold<S: AsRef<str>>(names: &[S]) -> String {
    let mut order: Vec<Pattern> = Vec::new();
    let mut known: HashMap<Vec<&str>, usize> = HashMap::new();
    for (position, name) in names.iter().enumerate() {
        let (texts, numbers) = split(name.as_ref());
        let pattern = *known.entry(texts.clone()).or_insert_with(|| {
            order.push(Pattern { texts, names: Vec::new() });
            order.len() - 1
        });
        order[pattern].names.push((position, numbers));
    }
    let mut words: Vec<(usize, String)> = order.iter().flat_map(Pattern::words).collect();
    words.sort();
    words.into_iter().map(|(_, word)| word).collect::<Vec<_>>().join(" ")
}

/// Names that differ in their numbers alone.
struct Pattern<'a> {
    /// What stands before, between and after the numbers.
    texts: Vec<&'a str>,
    /// Place of each name in the list, and its numbers.
    names: Vec<(usize, Vec<&'a str>)>,
}

/// Values of one number of a pattern, sorted, with their padding.
type Values = BTreeSet<(usize, u64)>;

impl Pattern<'_> {
    fn words(&self) -> Vec<(usize, String)> {
        let fields = self.texts.len() - 1;
        let widths: Vec<BTreeSet<usize>> = (0..fields)
            .map(|field| self.names.iter().filter_map(|(_, n)| padding(n[field])).collect())
            .collect();
        let mut rows: Vec<(usize, Vec<Values>)> = self
            .names
            .iter()
            .map(|(position, numbers)| {
                let values =
                    numbers.iter().zip(&widths).map(|(text, widths)| Values::from([value(text, widths)]));
                (*position, values.collect())
            })
            .collect();
        for field in (0..fields).rev() {
            rows = merge(rows, field);
        }
        rows.into_iter().map(|(position, values)| (position, self.word(&values))).collect()
    }

    fn word(&self, fields: &[Values]) -> String {
        let mut word = self.texts[0].to_owned();
        for (values, text) in fields.iter().zip(&self.texts[1..]) {
            word.push_str(&set(values));
            word.push_str(text);
        }
        word
    }
}

/// Puts rows together that differ in one field alone.
fn merge(rows: Vec<(usize, Vec<Values>)>, field: usize) -> Vec<(usize, Vec<Values>)> {
    let mut merged: Vec<(usize, Vec<Values>)> = Vec::new();
    let mut known: HashMap<Vec<Values>, usize> = HashMap::new();
    for (position, mut values) in rows {
        let own = std::mem::take(&mut values[field]);
        match known.get(&values) {
            Some(&row) => merged[row].1[field].extend(own),
            None => {
                known.insert(values.clone(), merged.len());
                values[field] = own;
                merged.push((position, values));
            }
        }
    }
    merged
}

fn set(values: &Values) -> String {
    let mut spans: Vec<Span> = Vec::new();
    for &(width, number) in values {
        match spans.last_mut() {
            Some(span) if span.width == width && span.last + 1 == number => span.last = number,
            _ => spans.push(Span { first: number, last: number, width }),
        }
    }
    let show = |span: &Span| {
        let Span { first, last, width } = *span;
        if first == last { format!("{first:0width$}") } else { format!("{first:0width$}-{last:0width$}") }
    };
    match spans.as_slice() {
        [one] if one.first == one.last => show(one),
        many => format!("[{}]", many.iter().map(show).collect::<Vec<_>>().join(",")),
    }
}

/// A name's texts and the numbers between them; there is one text more than there are numbers.
fn split(name: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut texts, mut numbers) = (Vec::new(), Vec::new());
    let (mut text_start, mut at) = (0, 0);
    while let Some(offset) = name[at..].find(|c: char| c.is_ascii_digit()) {
        let start = at + offset;
        let end =
            name[start..].find(|c: char| !c.is_ascii_digit()).map_or(name.len(), |length| start + length);
        if end - start <= MAX_DIGITS {
            texts.push(&name[text_start..start]);
            numbers.push(&name[start..end]);
            text_start = end;
        }
        at = end;
    }
    texts.push(&name[text_start..]);
    (texts, numbers)
}

fn padding(number: &str) -> Option<usize> {
    (number.len() > 1 && number.starts_with('0')).then_some(number.len())
}

/// A number with its padding: `10` counts as padded to two places if there is an `09` beside it.
fn value(text: &str, widths: &BTreeSet<usize>) -> (usize, u64) {
    let width = padding(text).or_else(|| widths.range(..=text.len()).next_back().copied()).unwrap_or(0);
    (width, text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::inventory::expand;

    fn unfold(folded: &str) -> BTreeSet<String> {
        folded.split_whitespace().flat_map(|word| expand(word).unwrap()).collect()
    }

    #[test]
    fn names_are_folded_as_people_write_them() {
        for (names, folded) in [
            ("", ""),
            ("db1", "db1"),
            ("web01 web02 web03 db1", "web[01-03] db1"),
            ("web08 web09 web10 web11", "web[08-11]"),
            ("web98 web99 web100", "web[98-100]"),
            ("web098 web099 web100", "web[098-100]"),
            ("web3 web1 web2 web7", "web[1-3,7]"),
            ("web1 web01", "web[1,01]"),
            ("db9 web2 db8 web1", "db[8-9] web[1-2]"),
            ("r1n1 r1n2 r2n1 r2n2", "r[1-2]n[1-2]"),
            ("r1n1 r1n2 r2n1", "r1n[1-2] r2n1"),
            ("10.0.0.1:22 10.0.0.2:22", "10.0.0.[1-2]:22"),
            ("a1 a1", "a1"),
            ("x12345678901234567890 x12345678901234567891", "x12345678901234567890 x12345678901234567891"),
        ] {
            let names: Vec<&str> = names.split_whitespace().collect();
            assert_eq!(fold(&names), folded);
        }
    }

    proptest! {
        #[test]
        fn unfolding_what_was_folded_gives_the_names(
            names in proptest::collection::vec("[ab]{0,2}[0-9]{1,3}(\\.r[0-2]{1,2})?(x[0-9])?", 0..40)
        ) {
            let folded = fold(&names);
            prop_assert_eq!(unfold(&folded), names.iter().cloned().collect::<BTreeSet<_>>(), "{}", folded);
        }

        #[test]
        fn folding_what_a_range_stands_for_loses_nothing(
            first in 0u64..200, more in 0u64..50, width in 0usize..5, rack in 1u64..4, tail in "(\\.[a-z]{1,3})?"
        ) {
            let range = format!("web[{first:0width$}-{:0width$}]r[1-{rack}]{tail}", first + more);
            let names = expand(&range).unwrap();
            prop_assert_eq!(names.len() as u64, (more + 1) * rack);
            let folded = fold(&names);
            prop_assert_eq!(folded.split_whitespace().count(), 1, "{}", &folded);
            prop_assert_eq!(unfold(&folded), names.into_iter().collect::<BTreeSet<_>>());
        }
    }
}
