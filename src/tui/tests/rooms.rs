use std::path::Path;

/// Words that may stand nowhere in the sources of a folder, its tests left out.
fn assert_free_of(folder: &str, words: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") || path.ends_with("tests.rs") {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        for word in words {
            assert!(!source.contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn the_state_knows_no_terminal_and_no_clock() {
    assert_free_of("src/fleet", &["ratatui", "crossterm", "tokio", "Instant::now", "SystemTime::now"]);
}

#[test]
fn views_draw_and_do_nothing_else() {
    assert_free_of(
        "src/tui/view",
        &["tokio", "std::fs", "russh", "librqbit", "Instant::now", "SystemTime::now", "Color::"],
    );
}

#[test]
fn the_readme_shows_the_keys_as_they_are() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let table = super::Keymap::default().markdown();
    if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
        let text = std::fs::read_to_string(&readme).unwrap();
        let (before, rest) = text.split_once("<!-- keys -->\n").unwrap();
        let (_, after) = rest.split_once("<!-- /keys -->").unwrap();
        std::fs::write(&readme, format!("{before}<!-- keys -->\n{table}<!-- /keys -->{after}")).unwrap();
    }
    assert!(std::fs::read_to_string(&readme).unwrap().contains(&table), "README.md should hold\n{table}");
}

#[test]
fn the_pictures_that_the_readme_shows_are_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let named = readme.split(['"', '(', ')']).filter(|word| word.starts_with("assets/screen"));
    let missing: Vec<&str> = named.clone().filter(|word| !folder.join(word).is_file()).collect();
    assert!(missing.is_empty() && named.count() >= 4, "`just pictures` makes {missing:?}");
}
