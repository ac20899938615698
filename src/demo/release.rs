use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use fastrand::Rng;

use super::DemoError;

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MadeRelease {
    /// Bytes of all files.
    pub bytes: u64,
    /// Files, without folders and links.
    pub files: usize,
}

/// What fills a file.
#[derive(Debug, Clone, Copy)]
enum Filling {
    /// Words and numbers: packs to about a third.
    Text,
    /// As machine code packs: about two thirds.
    Code,
    /// As images and archives: does not pack.
    Noise,
}

/// A part of the release that grows with it.
struct Part {
    /// Of a hundred of the bytes.
    share: u64,
    /// Bytes of one file of it, about; `None` for a single file.
    each: Option<u64>,
    filling: Filling,
    mode: u32,
    /// Name of the file; `{}` becomes its number.
    name: &'static str,
}

const PARTS: [Part; 7] = [
    Part { share: 22, each: None, filling: Filling::Code, mode: 0o755, name: "bin/app" },
    Part { share: 11, each: None, filling: Filling::Code, mode: 0o755, name: "bin/worker" },
    Part { share: 12, each: None, filling: Filling::Code, mode: 0o644, name: "lib/libapp.so.4.2.0" },
    Part {
        share: 18,
        each: Some(192 << 10),
        filling: Filling::Text,
        mode: 0o644,
        name: "static/js/chunk.{}.js",
    },
    Part {
        share: 12,
        each: Some(96 << 10),
        filling: Filling::Noise,
        mode: 0o644,
        name: "static/img/photo {}.webp",
    },
    Part { share: 20, each: Some(8 << 20), filling: Filling::Noise, mode: 0o600, name: "share/index/{}.seg" },
    Part {
        share: 5,
        each: Some(32 << 10),
        filling: Filling::Text,
        mode: 0o644,
        name: "share/i18n/übersetzung-{}.json",
    },
];

/// Small files that are there whatever the size.
const FILES: [(&str, u32, &str); 5] = [
    ("bin/check", 0o755, "#!/bin/sh\n# Is this host fit for the release?\ntest -r config/app.yaml\n"),
    (
        "config/app.yaml",
        0o640,
        "listen: 127.0.0.1:8080\nworkers: 8\nlog: {level: info, folder: ../var/log}\n",
    ),
    ("README.md", 0o644, "# app\n\nMade up by `murder demo`.\n"),
    ("static/robots.txt", 0o644, "User-agent: *\nDisallow: /\n"),
    ("var/.keep", 0o644, ""),
];

const FOLDERS: [&str; 2] = ["var/log", "var/spool/outgoing"];

const LINKS: [(&str, &str); 4] = [
    ("lib/libapp.so", "libapp.so.4"),
    ("lib/libapp.so.4", "libapp.so.4.2.0"),
    ("static/latest", "js"),
    ("var/run", "/run"),
];

/// The most files of one part, so that a large release has larger files rather than more.
const MOST_FILES: u64 = 240;

/// Bytes that are made at once.
const CHUNK: usize = 64 << 10;

const WORDS: [&str; 24] = [
    "return ", "const ", "function", "(", ") {\n  ", "}\n", "=> ", "value", "state", "request", ".map(",
    "await ", "items", " = ", "null", ";\n", "error", "user", "\"id\": ", ", ", "length", "render", "props.",
    "index",
];

/// Makes up a release of about `size` bytes in `folder`, which must not exist: programs, libraries, text, images, links and
/// empty folders, of which about half packs well. The same `seed` gives the same bytes.
///
/// # Errors
/// If something cannot be created or written.
pub fn make_release(folder: &Path, size: u64, seed: u64) -> Result<MadeRelease, DemoError> {
    let mut rng = Rng::with_seed(seed);
    let mut made = MadeRelease { bytes: 0, files: 0 };
    let version = format!("4.2.0+{:08x}\n", rng.u32(..));
    let small = FILES.iter().copied().chain([("VERSION", 0o644, version.as_str())]);
    for (name, mode, text) in small {
        write(&folder.join(name), mode, |file| file.write_all(text.as_bytes()))?;
        made.bytes += text.len() as u64;
        made.files += 1;
    }
    for name in FOLDERS {
        let path = folder.join(name);
        fs::create_dir_all(&path).map_err(DemoError::io("create", path))?;
    }
    let growing = size.saturating_sub(made.bytes);
    let mut left = growing;
    for (place, part) in PARTS.iter().enumerate() {
        let last = place + 1 == PARTS.len();
        let bytes = if last { left } else { growing / 100 * part.share };
        left -= bytes;
        let count = part.each.map_or(1, |each| (bytes / each).clamp(1, MOST_FILES));
        for number in 0..count {
            let length = bytes / count + u64::from(number < bytes % count);
            let path = folder.join(part.name.replace("{}", &format!("{number:03}")));
            write(&path, part.mode, |file| fill(file, part.filling, length, &mut rng))?;
            made.bytes += length;
            made.files += 1;
        }
    }
    for (name, target) in LINKS {
        let path = folder.join(name);
        symlink(target, &path).map_err(DemoError::io("link", path))?;
    }
    Ok(made)
}

fn write(
    path: &Path,
    mode: u32,
    content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), DemoError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(DemoError::io("create", folder))?;
    }
    let file = File::create_new(path).map_err(DemoError::io("create", path))?;
    file.set_permissions(Permissions::from_mode(mode)).map_err(DemoError::io("change the mode of", path))?;
    let mut file = BufWriter::with_capacity(CHUNK, file);
    content(&mut file).and_then(|()| file.flush()).map_err(DemoError::io("write", path))
}

fn fill(file: &mut impl Write, filling: Filling, length: u64, rng: &mut Rng) -> io::Result<()> {
    let mut left = length;
    let mut chunk = Vec::with_capacity(CHUNK + 64);
    while left > 0 {
        chunk.clear();
        match filling {
            Filling::Text => words(&mut chunk, rng),
            Filling::Code => code(&mut chunk, rng),
            Filling::Noise => noise(&mut chunk, CHUNK, rng),
        }
        let count = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.write_all(&chunk[..count])?;
        left -= count as u64;
    }
    Ok(())
}

fn words(chunk: &mut Vec<u8>, rng: &mut Rng) {
    while chunk.len() < CHUNK {
        // One number chooses three words and says whether a number follows.
        let dice = rng.u32(..);
        for shift in [0, 8, 16] {
            let word = WORDS[(dice >> shift) as usize % WORDS.len()];
            chunk.extend_from_slice(word.as_bytes());
        }
        if dice >> 29 == 0 {
            let _ = write!(chunk, "{dice}");
        }
    }
}

/// Stretches of noise between stretches that repeat themselves.
fn code(chunk: &mut Vec<u8>, rng: &mut Rng) {
    while chunk.len() < CHUNK {
        noise(chunk, 320, rng);
        let byte = rng.u8(..);
        let start = chunk.len();
        chunk.resize(start + 192, byte);
    }
}

fn noise(chunk: &mut Vec<u8>, count: usize, rng: &mut Rng) {
    let start = chunk.len();
    chunk.resize(start + count, 0);
    rng.fill(&mut chunk[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(size: u64, seed: u64) -> (tempfile::TempDir, MadeRelease) {
        let folder = tempfile::tempdir().unwrap();
        let made = make_release(&folder.path().join("app"), size, seed).unwrap();
        (folder, made)
    }

    #[test]
    fn a_release_has_the_size_that_was_asked_for() {
        for size in [4 << 10, 1 << 20, (3 << 20) + 17] {
            assert_eq!(made(size, 1).1.bytes, size);
        }
        assert!(made(0, 1).1.files > 5, "even the smallest is a whole release");
    }

    #[test]
    fn it_has_what_real_releases_have() {
        let (folder, _) = made(4 << 20, 7);
        let app = folder.path().join("app");
        assert_eq!(fs::metadata(app.join("bin/app")).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::metadata(app.join("config/app.yaml")).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(app.join("lib/libapp.so").canonicalize().unwrap().ends_with("lib/libapp.so.4.2.0"));
        assert_eq!(fs::read_dir(app.join("var/log")).unwrap().count(), 0);
        assert!(fs::read_dir(app.join("static/js")).unwrap().count() > 1);
    }

    #[test]
    fn one_seed_gives_one_release_and_another_seed_another() {
        let read = |seed| fs::read(made(300 << 10, seed).0.path().join("app/bin/app")).unwrap();
        assert_eq!(read(1), read(1));
        assert_ne!(read(1), read(2));
    }

    #[test]
    fn it_packs_to_some_part_as_releases_do() {
        let mut rng = Rng::with_seed(3);
        for (filling, least, most) in
            [(Filling::Text, 20, 50), (Filling::Code, 50, 80), (Filling::Noise, 99, 101)]
        {
            let mut bytes = Vec::new();
            fill(&mut bytes, filling, 1 << 20, &mut rng).unwrap();
            let packed = zstd::bulk::compress(&bytes, 3).unwrap().len() * 100 / bytes.len();
            assert!((least..=most).contains(&packed), "{filling:?} packs to {packed} %");
        }
    }
}
