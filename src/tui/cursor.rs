/// A row that is selected, and the part of a list that is seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The selected row.
    pub(super) index: usize,
    /// The first row that is seen.
    pub(super) offset: usize,
    /// Rows that are seen.
    pub(super) height: usize,
    /// Rows in all.
    pub(super) len: usize,
}

impl Cursor {
    /// Brings it in line with a list of `len` rows of which `height` are seen.
    pub(super) fn fit(&mut self, len: usize, height: usize) {
        self.len = len;
        self.height = height;
        self.go(self.index);
    }

    /// Selects a row, the nearest there is, and lets it be seen.
    pub(super) fn go(&mut self, index: usize) {
        self.index = index.min(self.len.saturating_sub(1));
        self.offset = self.offset.min(self.len.saturating_sub(self.height));
        if self.index < self.offset {
            self.offset = self.index;
        } else if self.height > 0 && self.index >= self.offset + self.height {
            self.offset = self.index + 1 - self.height;
        }
    }

    /// The first row is gone: the others have moved up by one.
    pub(super) fn scroll_off(&mut self) {
        self.index = self.index.saturating_sub(1);
        self.offset = self.offset.saturating_sub(1);
    }

    /// Selects the row so many below, above if negative.
    pub(super) fn step(&mut self, by: isize) {
        self.go(self.index.saturating_add_signed(by));
    }

    /// Selects the row, and leaves it on the line of the screen where it was: rows moved, the eye did not.
    pub(super) fn hold(&mut self, index: usize) {
        let line = self.index.saturating_sub(self.offset);
        self.offset = index.saturating_sub(line);
        self.go(index);
    }

    /// Rows of a page, less one for the eye.
    pub(super) fn page(&self) -> isize {
        isize::try_from(self.height.saturating_sub(1).max(1)).unwrap_or(1)
    }

    /// Positions that are seen.
    pub(super) fn seen(&self) -> std::ops::Range<usize> {
        self.offset..self.len.min(self.offset.saturating_add(self.height))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_selected_row_is_always_seen(steps in prop::collection::vec((-50isize..50, 0usize..60, 0usize..30), 1..40)) {
            let mut cursor = Cursor::default();
            for (step, len, height) in steps {
                cursor.fit(len, height);
                cursor.step(step);
                prop_assert!(len == 0 || cursor.index < len);
                prop_assert!(len == 0 || height == 0 || cursor.seen().contains(&cursor.index));
                cursor.hold(len / 2);
                prop_assert!(len == 0 || height == 0 || cursor.seen().contains(&cursor.index));
            }
        }
    }
}
