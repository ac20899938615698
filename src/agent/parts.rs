use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Something too long for a line, as its parts come.
#[derive(Default)]
pub(super) struct Parts {
    bytes: Vec<u8>,
    total: usize,
}

impl Parts {
    /// Takes the next part of what has `total` bytes; what is whole or of another length begins anew. `false` if it is broken or
    /// longer than `most`.
    pub(super) fn add(&mut self, total: u64, data: &str, most: usize) -> bool {
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        if self.total != total || self.bytes.len() >= total {
            self.bytes.clear();
            self.total = total;
        }
        match STANDARD.decode(data) {
            Ok(part) if total <= most && self.bytes.len() + part.len() <= total => {
                self.bytes.extend(part);
                true
            }
            _ => false,
        }
    }

    /// What came, once all of it is here.
    pub(super) fn take_whole(&mut self) -> Option<Vec<u8>> {
        (self.bytes.len() == self.total).then(|| self.take())
    }

    /// What came so far.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_the_whole_and_what_is_broken_is_refused() {
        let mut parts = Parts::default();
        assert!(parts.add(5, &STANDARD.encode("abc"), 10));
        assert_eq!(parts.take_whole(), None);
        assert!(parts.add(5, &STANDARD.encode("de"), 10));
        assert_eq!(parts.take_whole(), Some(b"abcde".to_vec()));
        assert!(parts.add(5, &STANDARD.encode("abc"), 10));
        assert!(parts.add(2, &STANDARD.encode("xy"), 10), "another begins");
        assert_eq!(parts.take_whole(), Some(b"xy".to_vec()));
        assert!(!parts.add(11, &STANDARD.encode("abc"), 10), "too long");
        assert!(!parts.add(2, &STANDARD.encode("abc"), 10), "more than was said");
        assert!(!parts.add(2, "?", 10), "no base64");
    }
}
