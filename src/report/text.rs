use std::borrow::Cow;

/// Text of a host or a user, made safe to print: escape sequences go, other control characters become spaces, and so do
/// characters that turn the direction of writing. What a host says cannot move the cursor or hide a line.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        match char {
            '\u{1b}' => skip_sequence(&mut rest),
            '\u{9b}' => skip_until(&mut rest, |char| ('@'..='~').contains(&char)),
            char if is_unsafe(char) => safe.push(' '),
            char => safe.push(char),
        }
    }
    Cow::Owned(safe)
}

/// Breaks words into lines of at most `width` columns; a longer word has a line of its own.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Cut to `width` columns, with a sign that something is missing.
pub(super) fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.chars().count() <= width {
        return Cow::Borrowed(text);
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        short.push('~');
    }
    Cow::Owned(short)
}

fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Passes over what follows an ESC: a control sequence to its last byte, a string to its end, else one character.
fn skip_sequence(rest: &mut std::str::Chars<'_>) {
    match rest.next() {
        Some('[') => skip_until(rest, |char| ('@'..='~').contains(&char)),
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let mut escaped = false;
            skip_until(rest, |char| {
                let end = char == '\u{7}' || (escaped && char == '\\');
                escaped = char == '\u{1b}';
                end
            });
        }
        _ => {}
    }
}

fn skip_until(rest: &mut std::str::Chars<'_>, mut is_last: impl FnMut(char) -> bool) {
    for char in rest.by_ref() {
        if is_last(char) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_host_says_is_printed_without_its_powers() {
        for (said, printed) in [
            ("plain wörds", "plain wörds"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("a\u{1b}]0;title\u{7}b", "ab"),
            ("a\u{1b}]52;c;Zm9v\u{1b}\\b", "ab"),
            ("one\r\ntwo\tthree", "one  two three"),
            ("up\u{9b}2Kdown", "updown"),
            ("a\u{202e}b", "a b"),
            ("end\u{1b}", "end"),
        ] {
            assert_eq!(clean(said), printed, "{said:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_printed_is_a_control_character(said: String) {
            prop_assert!(!clean(&said).chars().any(is_unsafe));
        }

        #[test]
        fn wrapping_loses_no_word(words in prop::collection::vec("[a-z]{1,12}", 0..40), width in 1usize..60) {
            let text = words.join(" ");
            let lines = wrap(&text, width);
            prop_assert_eq!(lines.join(" "), text);
            prop_assert!(lines.iter().all(|line| line.len() <= width.max(12)));
        }
    }

    #[test]
    fn a_cut_line_fits_and_says_so() {
        assert_eq!(cut("hello", 5), "hello");
        assert_eq!(cut("hello", 4), "hel~");
        assert_eq!(cut("hello", 0), "");
    }
}
