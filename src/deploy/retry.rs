/// The wait before the second attempt, milliseconds.
const FIRST_MS: u64 = 1_000;

/// No wait is longer, milliseconds: a person is watching.
const LONGEST_MS: u64 = 30_000;

/// How long to wait after so many attempts, in milliseconds: 1, 3, 9, 27 s, then 30 s.
pub(super) fn backoff_ms(attempts: u32) -> u64 {
    FIRST_MS.saturating_mul(3u64.saturating_pow(attempts.saturating_sub(1))).min(LONGEST_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_and_is_bounded() {
        let waits: Vec<u64> = (1..8).map(backoff_ms).collect();
        assert_eq!(waits, [1_000, 3_000, 9_000, 27_000, 30_000, 30_000, 30_000]);
    }
}
