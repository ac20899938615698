use std::path::Path;

use super::DemoError;

/// Per host beside the release: the agent's file (2 to 4 MiB), records, and what folders take.
const HOST_OVERHEAD: u64 = 8 << 20;

/// Kept free for everybody else.
const RESERVE: u64 = 64 << 20;

/// What a deployment of `size` bytes to `hosts` made-up hosts takes at its fullest, bytes: on each host the partial data and
/// the unpacked release, here the payload and its artifact.
pub fn needed_bytes(hosts: usize, size: u64) -> u64 {
    let on_a_host = size.saturating_mul(2).saturating_add(HOST_OVERHEAD);
    (hosts as u64).saturating_mul(on_a_host).saturating_add(size.saturating_mul(2)).saturating_add(RESERVE)
}

/// Whether this user may still write `needed` bytes to the disk of `folder`, which exists.
///
/// # Errors
/// [`DemoError::Space`] if not.
pub fn check_space(folder: &Path, needed: u64) -> Result<(), DemoError> {
    let disk = rustix::fs::statvfs(folder).map_err(|error| DemoError::io("look at", folder)(error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < needed { Err(DemoError::Space { folder: folder.to_owned(), free, needed }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_that_does_not_fit_is_refused_with_both_numbers_and_a_way_out() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check_space(folder.path(), 1).is_ok());
        let message = check_space(folder.path(), u64::MAX).unwrap_err().to_string();
        assert!(
            message.contains("free") && message.contains("--size") && message.contains("TMPDIR"),
            "{message}"
        );
    }

    #[test]
    fn what_is_needed_grows_with_hosts_and_size_and_never_wraps() {
        assert!(needed_bytes(24, 64 << 20) > 24 * 2 * (64 << 20));
        assert!(needed_bytes(25, 64 << 20) > needed_bytes(24, 64 << 20));
        assert_eq!(needed_bytes(usize::MAX, u64::MAX), u64::MAX);
    }
}
