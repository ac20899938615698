use std::fs;
use std::io;
use std::path::Path;

/// In a run's folder, the word of another process that its barrier is to be opened.
const WORD: &str = "activate";

/// Tells a run that is held at its barrier, by its folder, to go on. It hears it within a moment while it is held, or as soon
/// as it is.
///
/// # Errors
/// When the folder cannot be written.
pub fn open_barrier(folder: &Path) -> io::Result<()> {
    fs::write(folder.join(WORD), "")
}

/// Whether that was said; it is taken, so that it counts once.
pub(super) fn was_told(folder: &Path) -> bool {
    fs::remove_file(folder.join(WORD)).is_ok()
}
