use std::fs;
use std::path::Path;

/// The candidate that the word was most likely meant to be.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_").chars().collect::<Vec<char>>();
    let word = plain(word);
    let allowed = (word.len() / 3).max(1);
    let close = |candidate: &&'a str| {
        let other = plain(candidate);
        let distance = distance(&word, &other);
        let begins =
            word.len() >= 3 && other.len() >= 3 && (other.starts_with(&word) || word.starts_with(&other));
        (distance <= allowed || begins).then_some(distance)
    };
    candidates
        .into_iter()
        .filter_map(|candidate| Some((close(&candidate)?, candidate)))
        .min()
        .map(|(_, best)| best)
}

/// The nearest candidate as a question, for [`super::Mistake::maybe_help`].
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|best| format!("did you mean `{best}`?"))
}

/// The file or folder beside a path that is not there which was most likely meant, as a question.
pub fn did_you_mean_file(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let near = nearest(name, names.iter().map(String::as_str))?;
    Some(format!("did you mean `{}`?", path.with_file_name(near).display()))
}

/// Edits from one word to the other, where two swapped letters are one edit.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beside_the_missing_one_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("hosts.yaml"), "").unwrap();
        let meant = |name: &str| did_you_mean_file(&folder.path().join(name));
        assert_eq!(
            meant("hosts.yml"),
            Some(format!("did you mean `{}/hosts.yaml`?", folder.path().display()))
        );
        assert_eq!((meant("build"), meant("no/hosts.yml")), (None, None));
    }

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let keys = ["host", "port", "user", "max_fail", "seed_rate", "rate", "identity"];
        for (word, meant) in [
            ("prot", Some("port")),
            ("Port", Some("port")),
            ("max-fail", Some("max_fail")),
            ("hostname", Some("host")),
            ("ident", Some("identity")),
            ("ratee", Some("rate")),
            ("children", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), meant, "{word}");
        }
    }
}
