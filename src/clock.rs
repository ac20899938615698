//! The wall clock, and moments as people write them. Always UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the epoch, by this machine's clock.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A moment as RFC 3339 in UTC with milliseconds: `2026-11-23T15:01:46.123Z`. `ms` since the epoch.
pub fn rfc3339(ms: u64) -> String {
    let (year, month, day) = date(ms);
    let (hour, minute, second) = time(ms);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

/// A moment to the minute: `2026-11-23 15:01 UTC`. `ms` since the epoch.
pub fn minute(ms: u64) -> String {
    let (year, month, day) = date(ms);
    let (hour, minute, _) = time(ms);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// A moment as part of a name, in UTC: `20261123-150146`. `ms` since the epoch.
pub fn compact(ms: u64) -> String {
    let (year, month, day) = date(ms);
    let (hour, minute, second) = time(ms);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

fn time(ms: u64) -> (u64, u64, u64) {
    let second = ms / 1000 % 86_400;
    (second / 3600, second / 60 % 60, second % 60)
}

/// Year, month and day of the Gregorian calendar. The year is taken to begin in March, so that the leap day is its last.
fn date(ms: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    // Days from 0000-03-01 to 1970-01-01.
    let days = ms / 86_400_000 + 719_468;
    let era = days / DAYS_OF_400_YEARS;
    let of_era = days % DAYS_OF_400_YEARS;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_the_calendar_has_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_795_446_106_123, "2026-11-23T15:01:46.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(ms), text);
        }
        assert_eq!(compact(1_795_446_106_123), "20261123-150146");
        assert_eq!(minute(1_795_446_106_123), "2026-11-23 15:01 UTC");
    }
}
