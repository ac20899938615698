//! Sizes, rates and durations as users write and read them. `K M G T` are powers of 1024; `kbit mbit gbit` powers of 1000.

use std::time::Duration;

/// Why a quantity could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: expected {expected}")]
pub struct UnitError {
    text: String,
    what: &'static str,
    expected: &'static str,
}

/// Reads a size in bytes: `4096`, `64K`, `1.5M`, `20GiB`.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    binary(text.trim()).ok_or_else(|| UnitError {
        text: text.to_owned(),
        what: "size",
        expected: "bytes, or a number with K, M, G or T, like 64M",
    })
}

/// Reads a rate in bytes a second: `4M`, `4M/s`, `100mbit`.
pub fn parse_rate(text: &str) -> Result<u64, UnitError> {
    let bare = text.trim();
    let bare = bare.strip_suffix("/s").unwrap_or(bare);
    let lower = bare.to_ascii_lowercase();
    let bits = [("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)];
    let value = bits
        .iter()
        .find_map(|(suffix, factor)| lower.strip_suffix(suffix).map(|number| scaled(number, factor / 8.0)))
        .unwrap_or_else(|| binary(bare));
    value.filter(|rate| *rate > 0).ok_or_else(|| UnitError {
        text: text.to_owned(),
        what: "rate",
        expected: "bytes a second, like 4M, or bits, like 100mbit",
    })
}

/// Reads a duration: `10s`, `2m`, `1h30m`, `500ms`; a bare number is seconds.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let wrong =
        || UnitError { text: text.to_owned(), what: "duration", expected: "seconds, or like 10s, 2m, 1h30m" };
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| wrong());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..end] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(wrong()),
            };
        rest = &rest[end..];
    }
    if text.trim().is_empty() {
        Err(wrong())
    } else {
        Duration::try_from_secs_f64(total).map_err(|_| wrong())
    }
}

/// A size in at most seven columns: `0 B`, `12.3 MB`, `412 MB`. The unit is a power of 1024, named the short way.
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = match unit {
        0 => 0,
        _ if value < 9.995 => 2,
        _ if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A rate: `118 MB/s`.
pub fn format_rate(bytes_per_second: u64) -> String {
    format!("{}/s", format_bytes(bytes_per_second))
}

/// A stretch of time as a clock shows it: `0:07`, `2:14`, `1:02:03`.
pub fn format_clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A stretch of time as one says it: `40 ms`, `3.2 s`, `2m 14s`, `1h 02m`.
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 0.9995 => format!("{:.0} ms", s * 1000.0),
        s if s < 59.95 => format!("{s:.1} s"),
        s if s < 3599.5 => {
            let whole = s.round() as u64;
            format!("{}m {:02}s", whole / 60, whole % 60)
        }
        s => {
            let minutes = (s / 60.0).round() as u64;
            format!("{}h {:02}m", minutes / 60, minutes % 60)
        }
    }
}

/// `1 host`, `3 hosts`.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn binary(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let (number, factor) = match lower.chars().last()? {
        'k' => (&lower[..lower.len() - 1], 1u64 << 10),
        'm' => (&lower[..lower.len() - 1], 1 << 20),
        'g' => (&lower[..lower.len() - 1], 1 << 30),
        't' => (&lower[..lower.len() - 1], 1 << 40),
        _ => (lower, 1),
    };
    scaled(number, factor as f64)
}

fn scaled(number: &str, factor: f64) -> Option<u64> {
    let value: f64 = number.trim().parse().ok()?;
    let bytes = value * factor;
    (value.is_finite() && value >= 0.0 && bytes < 2f64.powi(63)).then_some(bytes.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_rates_are_read_as_the_help_says() {
        for (text, bytes) in
            [("4096", 4096), ("64K", 65536), ("1.5M", 1_572_864), ("20GiB", 20 << 30), ("0", 0)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for (text, rate) in
            [("4M", 4 << 20), ("4M/s", 4 << 20), ("100mbit", 12_500_000), ("1gbit", 125_000_000)]
        {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
        for text in ["", "M", "-1", "4X", "1e400", "nan", "0x10"] {
            assert!(parse_size(text).is_err(), "{text:?}");
            assert!(parse_rate(text).is_err(), "{text:?}");
        }
        assert!(parse_rate("0").is_err(), "a rate of nothing would never end");
    }

    #[test]
    fn durations_are_read_as_the_help_says() {
        for (text, ms) in
            [("10s", 10_000), ("2m", 120_000), ("1h30m", 5_400_000), ("500ms", 500), ("7", 7000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "10x", "-3s", "1h30"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn quantities_keep_their_width() {
        for (bytes, text) in
            [(0, "0 B"), (999, "999 B"), (1000, "0.98 KB"), (12_900_000, "12.3 MB"), (432_013_312, "412 MB")]
        {
            assert_eq!(format_bytes(bytes), text);
        }
        for bytes in (0..60).map(|shift| 1u64 << shift) {
            assert!(format_bytes(bytes).len() <= 7, "{}", format_bytes(bytes));
        }
        assert_eq!(format_duration(Duration::from_millis(59_960)), "1m 00s");
        assert_eq!(format_clock(Duration::from_secs(3723)), "1:02:03");
    }
}
