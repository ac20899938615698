use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use tar::EntryType;
use zip::{DateTime, ExtraField, ZipArchive};

use super::artifact::Mtime;
use super::manifest::{parent, path_order};
use super::tree::{Contents, Item, ItemKind, PackError, Source, Stamp, Tree, as_path};

/// The longest target of a link in a zip, bytes (PATH_MAX).
const MOST_LINK: u64 = 4096;

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Tar,
    TarGz,
    TarZst,
    Zip,
}

/// Reads an archive as the tree that it holds; `None` if it is none by its name. Compressed tars are unpacked to a spool in `cache`.
pub(super) fn read_archive(file: &Path, cache: &Path) -> Result<Option<Tree>, PackError> {
    let Some(form) = form_of(file) else { return Ok(None) };
    let metadata = fs::metadata(file).map_err(PackError::io("look at", file))?;
    let input = File::open(file).map_err(PackError::io("open", file))?;
    let mut reader = Reader { file, items: HashMap::new() };
    let contents = match form {
        Form::Zip => reader.zip(input)?,
        Form::Tar => reader.tar(input)?,
        Form::TarGz => {
            reader.tar(spool(file, flate2::read::MultiGzDecoder::new(BufReader::new(input)), cache)?)?
        }
        Form::TarZst => {
            let unpacked = zstd::stream::read::Decoder::new(input).map_err(|error| reader.wrong(error))?;
            reader.tar(spool(file, unpacked, cache)?)?
        }
    };
    let stamps = vec![(file.to_owned(), Stamp::of(&metadata))];
    let mut tree = Tree { items: reader.finish()?, contents, ignored: Vec::new(), stamps };
    tree.sort();
    Ok(Some(tree))
}

fn form_of(file: &Path) -> Option<Form> {
    const ENDS: [(&str, Form); 6] = [
        (".tar", Form::Tar),
        (".tar.gz", Form::TarGz),
        (".tgz", Form::TarGz),
        (".tar.zst", Form::TarZst),
        (".tzst", Form::TarZst),
        (".zip", Form::Zip),
    ];
    let name = file.file_name()?.to_string_lossy().to_ascii_lowercase();
    ENDS.iter().find(|(end, _)| name.ends_with(end)).map(|(_, form)| *form)
}

/// An unpacked copy that has no name and goes with the last use of it.
fn spool(file: &Path, mut unpacked: impl Read, cache: &Path) -> Result<File, PackError> {
    let path = cache.join(format!("spool-{}", std::process::id()));
    let mut spool = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(PackError::io("create", &path))?;
    let _ = fs::remove_file(&path);
    let mut buffer = vec![0; 128 << 10];
    loop {
        let read = unpacked
            .read(&mut buffer)
            .map_err(|error| PackError::Archive { path: file.to_owned(), reason: error.to_string() })?;
        if read == 0 {
            break;
        }
        io::Write::write_all(&mut spool, &buffer[..read]).map_err(PackError::io("write", &path))?;
    }
    spool.seek(SeekFrom::Start(0)).map_err(PackError::io("read", &path))?;
    Ok(spool)
}

struct Reader<'a> {
    file: &'a Path,
    /// By path; a later entry of an archive replaces an earlier one.
    items: HashMap<Vec<u8>, Item>,
}

impl Reader<'_> {
    fn wrong(&self, reason: impl ToString) -> PackError {
        PackError::Archive { path: self.file.to_owned(), reason: reason.to_string() }
    }

    fn unfit(&self, path: &[u8], what: &'static str) -> PackError {
        PackError::Unfit { path: self.file.join(as_path(path)), what }
    }

    fn tar(&mut self, file: File) -> Result<Contents, PackError> {
        let mut archive = tar::Archive::new(BufReader::new(&file));
        for entry in archive.entries_with_seek().map_err(|error| self.wrong(error))? {
            let mut entry = entry.map_err(|error| self.wrong(error))?;
            let path = self.plain(&entry.path_bytes())?;
            let header = entry.header();
            let mode = header.mode().map_err(|error| self.wrong(error))? & 0o7777;
            let seconds = header.mtime().map_err(|error| self.wrong(error))?;
            let kind = header.entry_type();
            let mut mtime = Mtime { seconds: seconds.cast_signed(), nanos: 0 };
            if let Some(precise) = pax_mtime(&mut entry).map_err(|error| self.wrong(error))? {
                mtime = precise;
            }
            let link = || entry.link_name_bytes().map(|name| name.into_owned()).unwrap_or_default();
            let kind = match kind {
                EntryType::Regular | EntryType::Continuous => {
                    let source = Source::Span(entry.raw_file_position());
                    ItemKind::File { mode, size: entry.size(), disk: u64::MAX, source }
                }
                EntryType::Directory => ItemKind::Directory { mode },
                EntryType::Symlink => ItemKind::Symlink { target: link() },
                EntryType::Link => ItemKind::HardLink { target: self.plain(&link())? },
                EntryType::Char | EntryType::Block => return Err(self.unfit(&path, "device")),
                EntryType::Fifo => return Err(self.unfit(&path, "fifo")),
                EntryType::GNUSparse => {
                    return Err(self.unfit(&path, "sparse file in a tar made with --sparse"));
                }
                EntryType::XGlobalHeader => continue,
                _ => return Err(self.unfit(&path, "entry of an unknown type")),
            };
            self.items.insert(path.clone(), Item { path, mtime, kind });
        }
        drop(archive);
        Ok(Contents::Spool(file))
    }

    fn zip(&mut self, file: File) -> Result<Contents, PackError> {
        let mut zip = ZipArchive::new(file).map_err(|error| self.wrong(error))?;
        for index in 0..zip.len() {
            let mut entry = zip.by_index(index).map_err(|error| self.wrong(error))?;
            let (path, mtime, size) = (self.plain(&zip_name(&entry)), zip_mtime(&entry), entry.size());
            let path = path?;
            let mode = entry.unix_mode();
            let bits = |default| mode.map_or(default, |mode| mode & 0o7777);
            let kind = if entry.is_dir() {
                ItemKind::Directory { mode: bits(0o755) }
            } else if entry.is_symlink() {
                let mut target = Vec::new();
                entry.by_ref().take(MOST_LINK).read_to_end(&mut target).map_err(|error| self.wrong(error))?;
                ItemKind::Symlink { target }
            } else {
                ItemKind::File { mode: bits(0o644), size, disk: u64::MAX, source: Source::Zip(index) }
            };
            self.items.insert(path.clone(), Item { path, mtime, kind });
        }
        Ok(Contents::Zip(Box::new(zip)))
    }

    /// A name of an archive as a path below the release's root.
    fn plain(&self, name: &[u8]) -> Result<Vec<u8>, PackError> {
        let names: Vec<&[u8]> =
            name.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).collect();
        if names.contains(&b"..".as_slice()) || name.contains(&0) {
            return Err(self.wrong(format!("{} would lie outside of the release", as_path(name).display())));
        }
        Ok(names.join(&b'/'))
    }

    /// All items, with the folders that the archive does not name.
    fn finish(mut self) -> Result<Vec<Item>, PackError> {
        self.settle_links()?;
        let mut paths: Vec<Vec<u8>> = self.items.keys().cloned().collect();
        paths.push(Vec::new());
        for path in paths {
            let mut folder = path.as_slice();
            loop {
                let is_root = folder.is_empty();
                folder = parent(folder);
                match self.items.get(folder).map(|item| &item.kind) {
                    Some(ItemKind::Directory { .. }) => {}
                    Some(_) => {
                        return Err(self.wrong(format!("{} is no folder", as_path(folder).display())));
                    }
                    None => {
                        let kind = ItemKind::Directory { mode: 0o755 };
                        let item = Item { path: folder.to_vec(), mtime: Mtime::default(), kind };
                        self.items.insert(folder.to_vec(), item);
                    }
                }
                if is_root {
                    break;
                }
            }
        }
        Ok(self.items.into_values().collect())
    }

    /// Of the names of one file the first in order holds it, as in a folder on disk.
    fn settle_links(&mut self) -> Result<(), PackError> {
        let mut names: HashMap<Vec<u8>, Vec<Vec<u8>>> = HashMap::new();
        for item in self.items.values() {
            if let ItemKind::HardLink { target } = &item.kind {
                let file = self.file_behind(target)?;
                names.entry(file).or_default().push(item.path.clone());
            }
        }
        for (file, links) in names {
            let Some(mut content) = self.items.remove(&file) else { continue };
            let mut all = links;
            all.push(file);
            all.sort_by(|a, b| path_order(a, b));
            let first = all[0].clone();
            for name in &all[1..] {
                let kind = ItemKind::HardLink { target: first.clone() };
                self.items.insert(name.clone(), Item { path: name.clone(), mtime: content.mtime, kind });
            }
            content.path = first.clone();
            self.items.insert(first, content);
        }
        Ok(())
    }

    fn file_behind(&self, target: &[u8]) -> Result<Vec<u8>, PackError> {
        let mut path = target;
        for _ in 0..=self.items.len() {
            match self.items.get(path).map(|item| &item.kind) {
                Some(ItemKind::File { .. }) => return Ok(path.to_vec()),
                Some(ItemKind::HardLink { target }) => path = target,
                _ => break,
            }
        }
        Err(self.wrong(format!("{} is a second name of no file", as_path(target).display())))
    }
}

/// The mtime with its fraction, if the tar holds one.
fn pax_mtime(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Option<Mtime>> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(None) };
    for extension in extensions {
        let extension = extension?;
        if let (Ok("mtime"), Ok(value)) = (extension.key(), extension.value()) {
            return Ok(parse_mtime(value));
        }
    }
    Ok(None)
}

fn parse_mtime(text: &str) -> Option<Mtime> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let nanos: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    if whole.starts_with('-') && nanos > 0 {
        return Some(Mtime { seconds: seconds - 1, nanos: 1_000_000_000 - nanos });
    }
    Some(Mtime { seconds, nanos })
}

fn zip_name<R: Read>(entry: &zip::read::ZipFile<'_, R>) -> Vec<u8> {
    let raw = entry.name_raw().to_vec();
    if std::str::from_utf8(&raw).is_ok() {
        return raw;
    }
    // Old zips have names in the PC's first character set, and the crate knows it.
    entry.name().map_or(raw, |name| name.as_bytes().to_vec())
}

fn zip_mtime<R: Read>(entry: &zip::read::ZipFile<'_, R>) -> Mtime {
    let precise = entry.extra_data_fields().find_map(|field| match field {
        ExtraField::ExtendedTimestamp(times) => times.mod_time(),
        _ => None,
    });
    let coarse = || entry.last_modified().map_or(0, |time| dos_seconds(&time));
    Mtime { seconds: precise.map_or_else(coarse, i64::from), nanos: 0 }
}

/// Seconds since the epoch of a DOS time, which knows no zone and is taken for UTC, so that it is the same everywhere.
fn dos_seconds(time: &DateTime) -> i64 {
    let (year, month, day) = (i64::from(time.year()), i64::from(time.month()), i64::from(time.day()));
    // Years from March on, so that the leap day is the last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468;
    ((days * 24 + i64::from(time.hour())) * 60 + i64::from(time.minute())) * 60 + i64::from(time.second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_archives_are_read() {
        for (text, seconds, nanos) in [
            ("1700000000", 1_700_000_000, 0),
            ("1700000000.5", 1_700_000_000, 500_000_000),
            ("12.0123456789", 12, 12_345_678),
            ("-1.25", -2, 750_000_000),
        ] {
            assert_eq!(parse_mtime(text), Some(Mtime { seconds, nanos }), "{text}");
        }
        assert_eq!(parse_mtime("now"), None);
        for (time, seconds) in [
            ((1980, 1, 1, 0, 0, 0), 315_532_800),
            ((2000, 2, 29, 12, 30, 2), 951_827_402),
            ((2026, 12, 31, 23, 59, 58), 1_798_761_598),
        ] {
            let (year, month, day, hour, minute, second) = time;
            let time = DateTime::from_date_and_time(year, month, day, hour, minute, second).unwrap();
            assert_eq!(dos_seconds(&time), seconds);
        }
    }
}
