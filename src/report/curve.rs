/// More buckets than this are merged in pairs: finer than a chart can show.
const MOST_BUCKETS: usize = 600;

/// A rate over time, kept as the amount that passed in buckets of equal length. However long it runs, it stays small, and
/// nothing that passed is lost.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    bucket_ms: u64,
    amounts: Vec<f64>,
}

impl Default for Curve {
    fn default() -> Self {
        Self { bucket_ms: 250, amounts: Vec::new() }
    }
}

impl Curve {
    /// Adds `rate` (a second) from `from` to `to`, milliseconds since the beginning.
    pub(super) fn add(&mut self, from: u64, to: u64, rate: f64) {
        if to <= from || rate <= 0.0 {
            return;
        }
        while to > self.bucket_ms * MOST_BUCKETS as u64 {
            self.halve();
        }
        let last = ((to - 1) / self.bucket_ms) as usize;
        if self.amounts.len() <= last {
            self.amounts.resize(last + 1, 0.0);
        }
        let first = (from / self.bucket_ms) as usize;
        for index in first..=last {
            let start = index as u64 * self.bucket_ms;
            let within = to.min(start + self.bucket_ms) - from.max(start);
            self.amounts[index] += rate * within as f64 / 1000.0;
        }
    }

    /// Start of each bucket in seconds, and the mean rate in it.
    pub(super) fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        let seconds = self.bucket_ms as f64 / 1000.0;
        self.amounts.iter().enumerate().map(move |(index, amount)| (index as f64 * seconds, amount / seconds))
    }

    /// The same with buckets of at least `seconds`.
    pub(super) fn smoothed(&self, seconds: f64) -> Self {
        let mut coarse = self.clone();
        while (coarse.bucket_ms as f64) < seconds * 1000.0 {
            coarse.halve();
        }
        coarse
    }

    /// The highest mean rate of a bucket.
    pub(super) fn peak(&self) -> f64 {
        self.points().map(|(_, rate)| rate).fold(0.0, f64::max)
    }

    /// Length of a bucket in seconds.
    pub(super) fn step(&self) -> f64 {
        self.bucket_ms as f64 / 1000.0
    }

    fn halve(&mut self) {
        self.amounts = self.amounts.chunks(2).map(|pair| pair.iter().sum()).collect();
        self.bucket_ms *= 2;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_passed_is_what_the_curve_holds(
            stretches in prop::collection::vec((0u64..5_000_000, 1u64..100_000, 0u32..1000), 0..50),
        ) {
            let mut curve = Curve::default();
            let mut passed = 0.0;
            for (from, length, rate) in stretches {
                curve.add(from, from + length, f64::from(rate));
                passed += f64::from(rate) * length as f64 / 1000.0;
            }
            for curve in [curve.smoothed(1.0), curve.smoothed(60.0), curve] {
                let held: f64 = curve.points().map(|(_, rate)| rate * curve.step()).sum();
                prop_assert!((held - passed).abs() <= passed * 1e-9 + 1e-6, "{} {}", held, passed);
                prop_assert!(curve.amounts.len() <= MOST_BUCKETS);
            }
        }
    }

    #[test]
    fn a_steady_rate_is_a_flat_curve() {
        let mut curve = Curve::default();
        curve.add(0, 2000, 8.0);
        curve.add(5, 5, 9.0);
        let rates: Vec<f64> = curve.smoothed(1.0).points().map(|(_, rate)| rate).collect();
        assert_eq!(rates, [8.0, 8.0]);
        assert_eq!(curve.peak(), 8.0);
    }
}
