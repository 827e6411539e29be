//! Medians, ratios, and how figures are written.

use super::race::Sample;

/// The middle of some figures; between the two middle ones where their number is even. `None` of
/// nothing.
pub(super) fn median(figures: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() % 2 {
        _ if figures.is_empty() => None,
        0 => Some(f64::midpoint(figures[middle - 1], figures[middle])),
        _ => Some(figures[middle]),
    }
}

/// The median of the ratios of `times` to `other` in the same round, so that what disturbed a whole
/// round disturbs no ratio.
pub(super) fn paired_ratio(times: &[Sample], other: &[Sample]) -> Option<f64> {
    median(
        times
            .iter()
            .zip(other)
            .map(|(mine, its)| mine.seconds / its.seconds),
    )
}

/// `0.123 s`.
pub(super) fn seconds(seconds: f64) -> String {
    format!("{seconds:.3} s")
}

/// `12.3 MiB`.
pub(super) fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

/// `2.34×`, or `0.123×` below one.
pub(super) fn times(ratio: f64) -> String {
    match ratio < 1.0 {
        true => format!("{ratio:.3}×"),
        false => format!("{ratio:.2}×"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Sample, mebibytes, median, paired_ratio, seconds, times};

    fn samples<const N: usize>(seconds: [f64; N]) -> Vec<Sample> {
        seconds
            .map(|seconds| Sample {
                seconds,
                ..Sample::default()
            })
            .to_vec()
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    /// Rounds two and three were disturbed, for both alike: the ratio of the medians would be 4.
    #[test]
    fn a_ratio_is_taken_within_rounds() {
        let slow = samples([2.0, 80.0, 8.0]);
        let fast = samples([1.0, 40.0, 2.0]);
        assert_eq!(paired_ratio(&slow, &fast), Some(2.0));
        assert_eq!(paired_ratio(&fast, &fast), Some(1.0));
        assert_eq!(paired_ratio(&slow, &[]), None);
    }

    #[test]
    fn figures_have_units() {
        assert_eq!(seconds(0.0456), "0.046 s");
        assert_eq!(mebibytes(1_572_864.0), "1.5 MiB");
        assert_eq!(times(2.0), "2.00×");
        assert_eq!(times(0.0456), "0.046×");
    }
}
