//! Robust location and scale (Hampel 1974): half of the values may be anything.

/// Makes the median absolute deviation estimate the standard deviation of a normal sample.
const CONSISTENCY: f64 = 1.4826;

/// Median; 0 for nothing.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The `q` quantile, linear between order statistics; 0 for nothing.
pub fn quantile(values: &[f64], q: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = q.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (low, part) = (at.floor() as usize, at.fract());
    match sorted.get(low + 1) {
        Some(next) if part > 0.0 => sorted[low] + part * (next - sorted[low]),
        _ => sorted[low],
    }
}

/// Median absolute deviation from the median, times 1.4826.
pub fn deviation(values: &[f64]) -> f64 {
    let centre = median(values);
    CONSISTENCY * median(&values.iter().map(|v| (v - centre).abs()).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_values_may_be_anything() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(quantile(&[0.0, 1.0, 2.0, 3.0, 4.0], 0.25), 1.0);
        assert_eq!(deviation(&[1.0, 2.0, 3.0, 1e9, 2.0]), CONSISTENCY);
        assert_eq!((median(&[]), deviation(&[])), (0.0, 0.0));
    }
}
