use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// What a line says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// The host has this key.
    Key,
    /// The host's certificates are signed by this key.
    Authority,
    /// The host must not have this key.
    Revoked,
}

/// A line that is about a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) marker: Marker,
    /// `ssh-ed25519`, `ssh-rsa`, …
    pub(super) algorithm: String,
    /// The key as on the wire, which leaves comments out of the comparison.
    pub(super) key: Arc<[u8]>,
    pub(super) place: Place,
}

/// Where a key is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    /// From 1; `None` for what was learned in this run.
    pub(super) line: Option<usize>,
}

/// All known_hosts files of the run, each parsed once and again when somebody else changed it.
#[derive(Default)]
pub(super) struct KnownHosts {
    files: Mutex<HashMap<PathBuf, Arc<RwLock<KnownFile>>>>,
}

impl KnownHosts {
    /// Every line in these files that is about a name, which is lower case and has the form `host` or `[host]:port`.
    pub(super) fn find(&self, files: &[PathBuf], name: &str) -> Vec<Found> {
        files.iter().flat_map(|path| self.read(path, |file| file.find(path, name))).collect()
    }

    /// Names under which a key is known in these files, hashed ones left out: who answers if it is not who was meant.
    pub(super) fn names_of(&self, files: &[PathBuf], key: &[u8]) -> Vec<(String, Place)> {
        files.iter().flat_map(|path| self.read(path, |file| file.names_of(path, key))).collect()
    }

    /// Notes a key that is on its way into a file.
    pub(super) fn learned(&self, path: &Path, name: &str, algorithm: &str, key: &[u8]) {
        let file = self.file(path);
        let mut file = file.write().unwrap_or_else(PoisonError::into_inner);
        file.insert(Entry {
            marker: Marker::Key,
            hosts: Hosts::Patterns(vec![Pattern { text: name.to_owned(), negated: false }]),
            algorithm: algorithm.to_owned(),
            key: key.into(),
            line: None,
        });
    }

    /// Our own lines were added: they are known already and no reason to parse the file again.
    pub(super) fn appended(&self, path: &Path, before: Option<Stamp>) {
        let file = self.file(path);
        let mut file = file.write().unwrap_or_else(PoisonError::into_inner);
        if file.stamp == before {
            file.stamp = Stamp::of(path);
        }
    }

    fn file(&self, path: &Path) -> Arc<RwLock<KnownFile>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(files.entry(path.to_owned()).or_default())
    }

    fn read<T>(&self, path: &Path, look: impl FnOnce(&KnownFile) -> T) -> T {
        let file = self.file(path);
        let stamp = Stamp::of(path);
        {
            let known = file.read().unwrap_or_else(PoisonError::into_inner);
            if known.parsed && known.stamp == stamp {
                return look(&known);
            }
        }
        let mut known = file.write().unwrap_or_else(PoisonError::into_inner);
        if !known.parsed || known.stamp != stamp {
            *known = KnownFile::parse(&std::fs::read_to_string(path).unwrap_or_default());
            known.stamp = stamp;
        }
        look(&known)
    }
}

/// By what a change of a file is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

impl Stamp {
    pub(super) fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { length: metadata.len(), modified: metadata.modified().ok(), inode: metadata.ino() })
    }
}

/// One file, with an index for each question: who is `name` (exact names first, then patterns and hashes, which must be
/// tried one by one) and whose is this key.
#[derive(Default)]
struct KnownFile {
    entries: Vec<Entry>,
    exact: HashMap<String, Vec<usize>>,
    tried: Vec<usize>,
    by_key: HashMap<Arc<[u8]>, Vec<usize>>,
    parsed: bool,
    stamp: Option<Stamp>,
}

struct Entry {
    marker: Marker,
    hosts: Hosts,
    algorithm: String,
    key: Arc<[u8]>,
    line: Option<usize>,
}

enum Hosts {
    Hashed {
        /// Keyed with the salt.
        hmac: Box<hmac::Key>,
        hash: Vec<u8>,
    },
    Patterns(Vec<Pattern>),
}

struct Pattern {
    /// Lower case.
    text: String,
    negated: bool,
}

impl KnownFile {
    fn parse(text: &str) -> Self {
        let mut file = Self { parsed: true, ..Self::default() };
        for (index, line) in text.lines().enumerate() {
            if let Some(entry) = Entry::parse(line, index + 1) {
                file.insert(entry);
            }
        }
        file
    }

    fn insert(&mut self, entry: Entry) {
        let index = self.entries.len();
        match &entry.hosts {
            Hosts::Patterns(patterns) if patterns.iter().all(Pattern::is_exact) => {
                for pattern in patterns {
                    let known = self.exact.entry(pattern.text.clone()).or_default();
                    if known.last() != Some(&index) {
                        known.push(index);
                    }
                }
            }
            _ => self.tried.push(index),
        }
        self.by_key.entry(Arc::clone(&entry.key)).or_default().push(index);
        self.entries.push(entry);
    }

    fn find(&self, path: &Path, name: &str) -> Vec<Found> {
        let exact = self.exact.get(name).map_or(&[][..], Vec::as_slice);
        let tried = self.tried.iter().filter(|index| self.entries[**index].is_about(name));
        let mut indices: Vec<usize> = exact.iter().chain(tried).copied().collect();
        indices.sort_unstable();
        let found = |index: usize| {
            let entry = &self.entries[index];
            Found {
                marker: entry.marker,
                algorithm: entry.algorithm.clone(),
                key: Arc::clone(&entry.key),
                place: Place { file: path.to_owned(), line: entry.line },
            }
        };
        indices.into_iter().map(found).collect()
    }

    fn names_of(&self, path: &Path, key: &[u8]) -> Vec<(String, Place)> {
        let indices = self.by_key.get(key).map_or(&[][..], Vec::as_slice);
        let entries = indices.iter().map(|index| &self.entries[*index]);
        entries
            .filter(|entry| entry.marker == Marker::Key)
            .filter_map(|entry| match &entry.hosts {
                Hosts::Patterns(patterns) => Some((
                    patterns.iter().find(|pattern| pattern.is_exact())?.text.clone(),
                    Place { file: path.to_owned(), line: entry.line },
                )),
                Hosts::Hashed { .. } => None,
            })
            .collect()
    }
}

impl Entry {
    /// Reads a line; what OpenSSH passes over (comments, keys that are none, unknown markers) is `None`.
    fn parse(line: &str, number: usize) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let mut hosts = fields.next().filter(|field| !field.starts_with('#'))?;
        let marker = match hosts {
            "@cert-authority" => Marker::Authority,
            "@revoked" => Marker::Revoked,
            field if field.starts_with('@') => return None,
            _ => Marker::Key,
        };
        if marker != Marker::Key {
            hosts = fields.next()?;
        }
        let algorithm = fields.next()?.to_owned();
        let key = BASE64.decode(fields.next()?).ok()?;
        if inner_algorithm(&key) != Some(algorithm.as_bytes()) {
            return None;
        }
        let hosts = Hosts::parse(hosts)?;
        Some(Self { marker, hosts, algorithm, key: key.into(), line: Some(number) })
    }

    /// OpenSSH's rule: any pattern that matches, unless a negated one matches.
    fn is_about(&self, name: &str) -> bool {
        match &self.hosts {
            Hosts::Hashed { hmac, hash } => hmac::verify(hmac, name.as_bytes(), hash).is_ok(),
            Hosts::Patterns(patterns) => {
                let mut matched = patterns.iter().filter(|pattern| pattern.matches(name)).peekable();
                matched.peek().is_some() && matched.all(|pattern| !pattern.negated)
            }
        }
    }
}

/// The algorithm that a key on the wire names itself.
fn inner_algorithm(key: &[u8]) -> Option<&[u8]> {
    let (length, rest) = key.split_first_chunk::<4>()?;
    rest.get(..u32::from_be_bytes(*length) as usize)
}

impl Hosts {
    fn parse(field: &str) -> Option<Self> {
        if let Some(hashed) = field.strip_prefix("|1|") {
            let (salt, hash) = hashed.split_once('|')?;
            let (salt, hash) = (BASE64.decode(salt).ok()?, BASE64.decode(hash).ok()?);
            let hmac = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
            return Some(Self::Hashed { hmac: Box::new(hmac), hash });
        }
        let patterns = field.split(',').filter(|pattern| !pattern.is_empty()).map(|pattern| {
            let (text, negated) = match pattern.strip_prefix('!') {
                Some(text) => (text, true),
                None => (pattern, false),
            };
            Pattern { text: text.to_lowercase(), negated }
        });
        Some(Self::Patterns(patterns.collect()))
    }
}

impl Pattern {
    fn is_exact(&self) -> bool {
        !self.negated && !self.text.contains(['*', '?'])
    }

    /// `*` is any run of characters, `?` any one; all else stands for itself, brackets too.
    fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.text.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while n < name.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, n));
                    p += 1;
                }
                Some(c) if *c == b'?' || *c == name[n] => {
                    p += 1;
                    n += 1;
                }
                _ => match &mut star {
                    Some((at, from)) => {
                        *from += 1;
                        (p, n) = (*at + 1, *from);
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|c| *c == b'*')
    }
}

/// A name as it is written in known_hosts.
pub(super) fn lookup_name(host: &str, port: u16) -> String {
    if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") }
}

/// A new line, newline included. Hashed names get a salt of their own.
pub(super) fn line_for(name: &str, hashed: bool, algorithm: &str, key: &[u8]) -> Option<String> {
    let name = if hashed {
        let mut salt = [0; 20];
        getrandom::fill(&mut salt).ok()?;
        let hmac = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
        let hash = hmac::sign(&hmac, name.as_bytes());
        format!("|1|{}|{}", BASE64.encode(salt), BASE64.encode(hash))
    } else {
        name.to_owned()
    };
    Some(format!("{name} {algorithm} {}\n", BASE64.encode(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    fn about(hosts: &str, name: &str) -> bool {
        let file = KnownFile::parse(&format!("{hosts} ssh-ed25519 {KEY} a comment\n"));
        !file.find(Path::new("f"), name).is_empty()
    }

    #[test]
    fn names_match_as_openssh_matches_them() {
        for (hosts, name, expected) in [
            ("web01", "web01", true),
            ("WEB01", "web01", true),
            ("web01", "web010", false),
            ("a,web01,b", "web01", true),
            ("web*", "web01", true),
            ("web?1", "web01", true),
            ("web?", "web01", false),
            ("*", "anything", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("web*,!web02", "web01", true),
            ("web*,!web02", "web02", false),
            ("!web02,web*", "web02", false),
            ("!web02", "web01", false),
            ("[127.0.0.1]:2222", "[127.0.0.1]:2222", true),
            ("[127.0.0.1]:2222", "127.0.0.1", false),
            ("127.0.0.1", "[127.0.0.1]:2222", false),
            ("[127.0.0.*]:*", "[127.0.0.1]:2222", true),
            ("*a*b*c", "xxaxxbxxbxc", true),
            ("*a*b*c", "xxaxxbxxbxcx", false),
        ] {
            assert_eq!(about(hosts, name), expected, "{hosts} for {name}");
        }
    }

    #[test]
    fn hashed_names_match_and_what_we_write_is_read_back() {
        let line = line_for("[db1]:2222", true, "ssh-ed25519", &BASE64.decode(KEY).unwrap()).unwrap();
        assert!(line.starts_with("|1|") && line.ends_with('\n'));
        let file = KnownFile::parse(&line);
        assert_eq!(file.find(Path::new("f"), "[db1]:2222").len(), 1);
        assert!(file.find(Path::new("f"), "db1").is_empty());
    }

    #[test]
    fn what_openssh_passes_over_is_passed_over() {
        for line in [
            "",
            "# web01 ssh-ed25519 AAAA",
            "web01",
            "web01 ssh-ed25519",
            "web01 ssh-ed25519 not-base64!",
            "web01 ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ",
            "@unknown web01 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ",
            "|1|nonsense ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ",
        ] {
            assert!(Entry::parse(line, 1).is_none(), "{line}");
        }
    }

    #[test]
    fn any_white_space_separates_and_markers_are_kept() {
        let text = format!(
            "\n\tweb01\tssh-ed25519\t{KEY}\n@revoked * ssh-ed25519 {KEY}\n@cert-authority  *.x  ssh-ed25519 {KEY} ca\n"
        );
        let file = KnownFile::parse(&text);
        let markers = |name| -> Vec<(Marker, Option<usize>)> {
            file.find(Path::new("f"), name)
                .into_iter()
                .map(|found| (found.marker, found.place.line))
                .collect()
        };
        assert_eq!(markers("web01"), [(Marker::Key, Some(2)), (Marker::Revoked, Some(3))]);
        assert_eq!(markers("a.x"), [(Marker::Revoked, Some(3)), (Marker::Authority, Some(4))]);
    }

    #[test]
    fn a_file_is_read_again_when_somebody_changed_it_and_not_after_our_own_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        let hosts = KnownHosts::default();
        let files = [path.clone()];
        assert!(hosts.find(&files, "web01").is_empty());
        std::fs::write(&path, format!("web01 ssh-ed25519 {KEY}\n")).unwrap();
        assert_eq!(hosts.find(&files, "web01").len(), 1);

        let before = Stamp::of(&path);
        hosts.learned(&path, "web02", "ssh-ed25519", &BASE64.decode(KEY).unwrap());
        std::fs::write(&path, format!("web01 ssh-ed25519 {KEY}\nweb02 ssh-ed25519 {KEY}\n")).unwrap();
        hosts.appended(&path, before);
        assert_eq!(hosts.find(&files, "web02")[0].place.line, None);

        // `ssh-keygen -R web02`.
        std::fs::write(&path, format!("web01 ssh-ed25519 {KEY}\n")).unwrap();
        assert!(hosts.find(&files, "web02").is_empty());
    }

    #[test]
    fn the_owner_of_a_key_is_found_by_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        std::fs::write(&path, format!("# c\nweb07,10.0.0.7 ssh-ed25519 {KEY}\n")).unwrap();
        let names = KnownHosts::default().names_of(std::slice::from_ref(&path), &BASE64.decode(KEY).unwrap());
        assert_eq!(names, [("web07".to_owned(), Place { file: path, line: Some(2) })]);
    }
}
