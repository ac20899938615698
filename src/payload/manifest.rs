use std::io::{self, BufRead, Read as _, Write};

use super::digest::{Sha256, from_hex, hex, nibble};

/// First line of every manifest.
const TITLE: &[u8] = b"murder-manifest 1\n";

/// The longest line in bytes: two paths of 4096 bytes (PATH_MAX), each byte escaped, fit twice over.
pub(super) const MAX_LINE: u64 = 64 * 1024;

/// What a release is: its entries in order of their paths, the root first. Nothing of owner, mtime or packing is in it.
///
/// Its canonical bytes are a title and a line an entry, in ASCII; bytes of names outside `!`..`~`, and `\`, are written `\xNN`:
/// ```text
/// murder-manifest 1
/// d 0755 .
/// f 0644 1234 <sha256> path
/// l path target
/// h path path-of-the-first-name
/// ```
/// The SHA-256 of these bytes is the release's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    entries: Vec<Entry>,
}

/// One path of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Below the release's root, with `/`, as the file system's bytes; empty for the root itself.
    pub path: Vec<u8>,
    /// What stands there.
    pub kind: EntryKind,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder.
    Directory {
        /// Permission bits, setuid, setgid and sticky included.
        mode: u32,
    },
    /// A file.
    File {
        /// Permission bits, setuid, setgid and sticky included.
        mode: u32,
        /// Bytes.
        size: u64,
        /// Of its content.
        sha256: [u8; 32],
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as it is written.
        target: Vec<u8>,
    },
    /// Another name of a file that has an entry of its own before this one.
    HardLink {
        /// Path of that entry.
        target: Vec<u8>,
    },
}

/// Why bytes are no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// They could not be read.
    #[error("cannot read the manifest: {0}")]
    Io(#[from] io::Error),
    /// A line is not what it must be.
    #[error("line {line} of the manifest is wrong: {reason}")]
    Line {
        /// From 1.
        line: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// A path that would lie outside the release, or below something that is no folder.
    #[error("the manifest names a path that leaves the release: {0}")]
    Escape(String),
}

impl Manifest {
    /// A manifest of entries in any order.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| path_order(&a.path, &b.path));
        Self { entries }
    }

    /// From its canonical bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut reader = ManifestReader::new(bytes);
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            entries.push(entry);
        }
        Ok(Self { entries })
    }

    /// In order of their paths, the root first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(Entry::size).sum()
    }

    /// Its canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = TITLE.to_vec();
        for entry in &self.entries {
            entry.write_line(&mut bytes);
        }
        bytes
    }

    /// The release's identity.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::of(&self.to_bytes())
    }
}

impl Entry {
    /// Bytes of a file, nothing for anything else.
    pub fn size(&self) -> u64 {
        match self.kind {
            EntryKind::File { size, .. } => size,
            _ => 0,
        }
    }

    fn write_line(&self, line: &mut Vec<u8>) {
        let path: &[u8] = if self.path.is_empty() { b"." } else { &self.path };
        match &self.kind {
            EntryKind::Directory { mode } => {
                line.extend(format!("d {mode:04o} ").bytes());
                escape(path, line);
            }
            EntryKind::File { mode, size, sha256 } => {
                line.extend(format!("f {mode:04o} {size} {} ", hex(sha256)).bytes());
                escape(path, line);
            }
            EntryKind::Symlink { target } => {
                line.extend(b"l ");
                escape(path, line);
                line.push(b' ');
                escape(target, line);
            }
            EntryKind::HardLink { target } => {
                line.extend(b"h ");
                escape(path, line);
                line.push(b' ');
                escape(target, line);
            }
        }
        line.push(b'\n');
    }

    pub(super) fn parse_line(line: &[u8]) -> Result<Self, &'static str> {
        let line = std::str::from_utf8(line).map_err(|_| "not ASCII")?;
        let mut fields = line.split(' ');
        let mut field = || fields.next().ok_or("a field is missing");
        let (path, kind) = match field()? {
            "d" => {
                let mode = parse_mode(field()?)?;
                (unescape(field()?)?, EntryKind::Directory { mode })
            }
            "f" => {
                let mode = parse_mode(field()?)?;
                let size = field()?.parse().map_err(|_| "the size is no number")?;
                let sha256 = from_hex(field()?).ok_or("the hash is no SHA-256 in hex")?;
                (unescape(field()?)?, EntryKind::File { mode, size, sha256 })
            }
            "l" => (unescape(field()?)?, EntryKind::Symlink { target: unescape(field()?)? }),
            "h" => (unescape(field()?)?, EntryKind::HardLink { target: unescape(field()?)? }),
            _ => return Err("unknown type of entry"),
        };
        if fields.next().is_some() {
            return Err("too many fields");
        }
        let path = if path == b"." { Vec::new() } else { path };
        Ok(Self { path, kind })
    }
}

/// Reads a manifest entry by entry, so that memory does not grow with the release, and refuses what would leave the release.
pub struct ManifestReader<R> {
    input: R,
    hash: Sha256,
    line: u64,
    buffer: Vec<u8>,
    last: Option<Vec<u8>>,
    /// The folders that the last entry lies in, outermost first, the root left out.
    folders: Vec<Vec<u8>>,
}

impl<R: BufRead> ManifestReader<R> {
    /// Of canonical bytes.
    pub fn new(input: R) -> Self {
        Self { input, hash: Sha256::default(), line: 0, buffer: Vec::new(), last: None, folders: Vec::new() }
    }

    /// The next entry, `None` at the end.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ManifestError> {
        if self.line == 0 && (!self.next_line()? || self.buffer != TITLE) {
            return Err(self.wrong("the title is missing"));
        }
        if !self.next_line()? {
            return if self.last.is_some() { Ok(None) } else { Err(self.wrong("there is no root")) };
        }
        let Some(line) = self.buffer.strip_suffix(b"\n") else {
            return Err(self.wrong("it is cut off"));
        };
        let entry = Entry::parse_line(line).map_err(|reason| self.wrong(reason))?;
        self.check_place(&entry)?;
        self.last = Some(entry.path.clone());
        Ok(Some(entry))
    }

    /// SHA-256 of all that was read, the manifest's hash when it was read to the end.
    pub fn finish(self) -> [u8; 32] {
        self.hash.finish()
    }

    fn next_line(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        self.input.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.buffer)?;
        self.hash.update(&self.buffer);
        self.line += 1;
        Ok(!self.buffer.is_empty())
    }

    fn wrong(&self, reason: &'static str) -> ManifestError {
        ManifestError::Line { line: self.line, reason }
    }

    /// Paths are in order, made of plain names, and below folders of this manifest, so that none leads through a link.
    fn check_place(&mut self, entry: &Entry) -> Result<(), ManifestError> {
        let is_folder = matches!(entry.kind, EntryKind::Directory { .. });
        let Some(last) = &self.last else {
            let root = entry.path.is_empty() && is_folder;
            return if root { Ok(()) } else { Err(self.wrong("the first entry is not the root")) };
        };
        let escape = || ManifestError::Escape(String::from_utf8_lossy(&entry.path).into_owned());
        if !is_plain(&entry.path) {
            return Err(escape());
        }
        if path_order(last, &entry.path).is_ge() {
            return Err(self.wrong("the paths are not in order"));
        }
        if let EntryKind::HardLink { target } = &entry.kind
            && !is_plain(target)
        {
            return Err(escape());
        }
        let parent = parent(&entry.path);
        while self.folders.last().is_some_and(|folder| folder.as_slice() != parent) {
            self.folders.pop();
        }
        if self.folders.last().map_or(b"".as_slice(), Vec::as_slice) != parent {
            return Err(escape());
        }
        if is_folder {
            self.folders.push(entry.path.clone());
        }
        Ok(())
    }
}

/// Writes a manifest entry by entry, in order of paths, and hashes it.
pub(super) struct ManifestWriter<W> {
    output: W,
    hash: Sha256,
    buffer: Vec<u8>,
}

impl<W: Write> ManifestWriter<W> {
    pub(super) fn new(mut output: W) -> io::Result<Self> {
        output.write_all(TITLE)?;
        let mut hash = Sha256::default();
        hash.update(TITLE);
        Ok(Self { output, hash, buffer: Vec::new() })
    }

    pub(super) fn write(&mut self, entry: &Entry) -> io::Result<()> {
        self.buffer.clear();
        entry.write_line(&mut self.buffer);
        self.hash.update(&self.buffer);
        self.output.write_all(&self.buffer)
    }

    pub(super) fn finish(self) -> (W, [u8; 32]) {
        (self.output, self.hash.finish())
    }
}

/// Order of paths: name by name, so that what lies in a folder follows it at once.
pub(super) fn path_order(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    let names = |path| <[u8]>::split(path, |byte: &u8| *byte == b'/');
    b.is_empty().cmp(&a.is_empty()).then_with(|| names(a).cmp(names(b)))
}

/// The folder that a path lies in, empty for the root.
pub(super) fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(b"", |slash| &path[..slash])
}

/// Last name of a path.
pub(super) fn file_name(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(path, |slash| &path[slash + 1..])
}

fn is_plain(path: &[u8]) -> bool {
    !path.contains(&0) && path.split(|byte| *byte == b'/').all(|name| !matches!(name, b"" | b"." | b".."))
}

fn parse_mode(text: &str) -> Result<u32, &'static str> {
    u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777).ok_or("the mode is none")
}

fn escape(bytes: &[u8], line: &mut Vec<u8>) {
    for byte in bytes {
        match byte {
            b'\\' | 0..=b' ' | 0x7f.. => line.extend(format!("\\x{byte:02x}").bytes()),
            _ => line.push(*byte),
        }
    }
}

fn unescape(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'\\' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let [b'x', high, low, after @ ..] = after else { return Err("an escape is cut off") };
        let (high, low) = nibble(*high).zip(nibble(*low)).ok_or("an escape is no hex")?;
        bytes.push(high << 4 | low);
        rest = after;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folder(path: &[u8]) -> Entry {
        Entry { path: path.to_vec(), kind: EntryKind::Directory { mode: 0o755 } }
    }

    #[test]
    fn the_canonical_bytes_are_fixed_for_ever() {
        let manifest = Manifest::new(vec![
            Entry {
                path: b"bin/run me\n\xff".to_vec(),
                kind: EntryKind::File { mode: 0o4755, size: 3, sha256: Sha256::of(b"abc") },
            },
            folder(b""),
            Entry { path: b"bin-old".to_vec(), kind: EntryKind::Symlink { target: b"../x y".to_vec() } },
            folder(b"bin"),
            Entry { path: b"z".to_vec(), kind: EntryKind::HardLink { target: b"bin/run me\n\xff".to_vec() } },
        ]);
        insta::assert_snapshot!(String::from_utf8(manifest.to_bytes()).unwrap(), @r"
        murder-manifest 1
        d 0755 .
        d 0755 bin
        f 4755 3 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad bin/run\x20me\x0a\xff
        l bin-old ../x\x20y
        h z bin/run\x20me\x0a\xff
        ");
        assert_eq!(Manifest::parse(&manifest.to_bytes()).unwrap(), manifest);
    }

    #[test]
    fn what_would_leave_the_release_is_refused() {
        for lines in [
            "d 0755 .\nl ../x y\n",
            "d 0755 .\nl /etc y\n",
            "d 0755 .\nl a//b y\n",
            "d 0755 .\nd 0755 a\nl a/../../b y\n",
            "d 0755 .\nl a /etc\nl a/passwd y\n",
            "d 0755 .\nl a/b y\n",
            "d 0755 .\nd 0755 a\nl b y\nl b/c y\n",
            "d 0755 .\nh a ../../etc/passwd\n",
            "d 0755 .\nl a\\x00 y\n",
        ] {
            let result = Manifest::parse(format!("murder-manifest 1\n{lines}").as_bytes());
            assert!(matches!(result, Err(ManifestError::Escape(_))), "{lines}: {result:?}");
        }
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_its_line() {
        for (text, at) in [
            ("", 1),
            ("murder-manifest 2\n", 1),
            ("murder-manifest 1\n", 2),
            ("murder-manifest 1\nl a b\n", 2),
            ("murder-manifest 1\nd 0755 .", 2),
            ("murder-manifest 1\nd 99999 .\n", 2),
            ("murder-manifest 1\nd 0755 .\nl b c\nl a c\n", 4),
            ("murder-manifest 1\nd 0755 .\nl a c\nl a c\n", 4),
            ("murder-manifest 1\nd 0755 .\nf 0644 1 00 a\n", 3),
            ("murder-manifest 1\nd 0755 .\nl a b c\n", 3),
            ("murder-manifest 1\nd 0755 .\nl a\\x b\n", 3),
        ] {
            let result = Manifest::parse(text.as_bytes());
            assert!(
                matches!(result, Err(ManifestError::Line { line, .. }) if line == at),
                "{text:?}: {result:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_name_survives(names in proptest::collection::btree_set(proptest::collection::vec(1u8.., 1..20), 1..20)) {
            let names = names.into_iter().map(|name| name.into_iter().filter(|byte| *byte != b'/').collect::<Vec<_>>());
            let names = names.filter(|name| is_plain(name)).collect::<std::collections::BTreeSet<_>>();
            let entries = names.iter().map(|name| Entry { path: name.clone(), kind: EntryKind::Symlink { target: name.clone() } });
            let manifest = Manifest::new(entries.chain([folder(b"")]).collect());
            prop_assert_eq!(Manifest::parse(&manifest.to_bytes()).unwrap(), manifest);
        }
    }
}
