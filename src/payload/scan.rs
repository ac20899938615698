use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::tree::{Contents, Item, ItemKind, PackError, Source, Stamp, Tree, as_path, mtime_of};
use super::walk::{Found, HardLinks, read_link, unfit, walk};

/// Left out unless a rule says otherwise: the history of the source is no part of a release.
const DEFAULT_IGNORE: &str = ".git";

/// Name of the file with rules, in any folder of the payload; it is shipped unless it names itself.
const IGNORE_FILE: &str = ".murderignore";

/// Reads a folder. `ignore` are rules like a line of a `.gitignore`; they win over those in files.
pub(super) fn scan_folder(root: &Path, ignore: &[String]) -> Result<Tree, PackError> {
    let mut tree =
        Tree { items: Vec::new(), contents: Contents::Files, ignored: Vec::new(), stamps: Vec::new() };
    let mut links = HardLinks::default();
    let mut rules = Rules::new(ignore)?;
    walk(root, &mut |found| {
        let is_folder = found.metadata.is_dir();
        if rules.leave_out(found.path, is_folder) {
            tree.ignored.push(as_path(found.path).display().to_string());
            return Ok(false);
        }
        if is_folder {
            rules.enter(found.path, found.place)?;
        }
        tree.stamps.push((found.place.to_owned(), Stamp::of(found.metadata)));
        tree.items.push(item(&found, &mut links)?);
        Ok::<_, PackError>(true)
    })?;
    Ok(tree)
}

/// A single file: a folder with nothing else in it, of the same mtime.
pub(super) fn scan_file(file: &Path, name: &[u8]) -> Result<Tree, PackError> {
    let metadata = fs::symlink_metadata(file).map_err(PackError::io("look at", file))?;
    let found = Found { path: name, place: file, metadata: &metadata };
    let file_item = item(&found, &mut HardLinks::default())?;
    let root =
        Item { path: Vec::new(), mtime: mtime_of(&metadata), kind: ItemKind::Directory { mode: 0o755 } };
    Ok(Tree {
        items: vec![root, file_item],
        contents: Contents::Files,
        ignored: Vec::new(),
        stamps: vec![(file.to_owned(), Stamp::of(&metadata))],
    })
}

fn item(found: &Found<'_>, links: &mut HardLinks) -> Result<Item, PackError> {
    let metadata = found.metadata;
    let mode = metadata.mode() & 0o7777;
    let kind = if metadata.is_dir() {
        ItemKind::Directory { mode }
    } else if metadata.is_symlink() {
        ItemKind::Symlink { target: read_link(found.place)? }
    } else if let Some(what) = unfit(metadata) {
        return Err(PackError::Unfit { path: found.place.to_owned(), what });
    } else if let Some(target) = links.first(metadata, found.path) {
        ItemKind::HardLink { target }
    } else {
        let source = Source::File(found.place.to_owned());
        ItemKind::File { mode, size: metadata.size(), disk: metadata.blocks() * 512, source }
    };
    Ok(Item { path: found.path.to_vec(), mtime: mtime_of(metadata), kind })
}

/// What is left out: the command line's rules, then those of `.murderignore` files, the innermost first, then the default.
struct Rules {
    given: Gitignore,
    files: Vec<(Vec<u8>, Gitignore)>,
    default: Gitignore,
}

impl Rules {
    fn new(given: &[String]) -> Result<Self, PackError> {
        let given = rules(given.iter().map(String::as_str), None)?;
        Ok(Self { given, files: Vec::new(), default: rules([DEFAULT_IGNORE], None)? })
    }

    fn enter(&mut self, path: &[u8], place: &Path) -> Result<(), PackError> {
        let file = place.join(IGNORE_FILE);
        match fs::read(&file) {
            Ok(text) => {
                let text = String::from_utf8_lossy(&text);
                self.files.push((path.to_vec(), rules(text.lines(), Some(&file))?));
                Ok(())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => {
                Ok(())
            }
            Err(error) => Err(PackError::io("read", &file)(error)),
        }
    }

    fn leave_out(&mut self, path: &[u8], is_folder: bool) -> bool {
        if path.is_empty() {
            return false;
        }
        let below = |folder: &[u8]| match path.strip_prefix(folder) {
            Some(rest) if folder.is_empty() => Some(rest.to_vec()),
            Some([b'/', rest @ ..]) => Some(rest.to_vec()),
            _ => None,
        };
        while self.files.pop_if(|(folder, _)| below(folder).is_none()).is_some() {}
        let inner = self.files.iter().rev().filter_map(|(folder, rules)| {
            let path = below(folder)?;
            Some(rules.matched(as_path(&path), is_folder).map(|_| ()))
        });
        let first = std::iter::once(self.given.matched(as_path(path), is_folder).map(|_| ()));
        let last = std::iter::once(self.default.matched(as_path(path), is_folder).map(|_| ()));
        let decided = first.chain(inner).chain(last).find(|matched| !matched.is_none());
        matches!(decided, Some(Match::Ignore(())))
    }
}

fn rules<'a>(lines: impl IntoIterator<Item = &'a str>, place: Option<&Path>) -> Result<Gitignore, PackError> {
    let mut builder = GitignoreBuilder::new("");
    let mut pattern = "";
    let add = || {
        for line in lines {
            pattern = line;
            builder.add_line(None, line)?;
        }
        builder.build()
    };
    add().map_err(|error| PackError::Pattern {
        pattern: pattern.to_owned(),
        place: place.map(Path::to_owned),
        reason: error.to_string(),
    })
}

/// The name under which a file lies in its release.
pub(super) fn payload_name(source: &Path) -> Result<Vec<u8>, PackError> {
    let own = source.file_name().map(|name| name.as_bytes().to_vec());
    match own {
        Some(name) => Ok(name),
        None => {
            let real = fs::canonicalize(source).map_err(PackError::io("read", source))?;
            Ok(real.file_name().map_or_else(|| b"payload".to_vec(), |name| name.as_bytes().to_vec()))
        }
    }
}
