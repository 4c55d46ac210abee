//! Axes of charts: ranges that fit the values, round ticks, short figures.

pub fn range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)])
}

/// Wide enough to divide by.
pub fn padded([low, high]: [f64; 2]) -> [f64; 2] {
    if high > low { [low, high] } else { [low - 0.5, high + 0.5] }
}

/// The range without rare peaks, which would press everything else flat: one value in fifty may be cut off.
pub fn robust(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values[0], values[values.len() - 1]);
    let usual = values[(values.len() - 1) * 49 / 50];
    let middle = values[values.len() / 2];
    let cut = values.len() >= 50 && high - low > 3.0 * (usual - low) && usual > middle;
    [low, if cut { usual } else { high }]
}

/// From zero where nothing is below it, up to a whole step.
pub fn rounded([low, high]: [f64; 2]) -> [f64; 2] {
    let low = if low >= 0.0 { 0.0 } else { low };
    let [low, high] = padded([low, high]);
    let step = step((high - low) / 5.0);
    [(low / step).floor() * step, (high / step).ceil() * step]
}

/// 1, 2 or 5 times a power of ten, not below `least`.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].map(|n| n * power).into_iter().find(|s| *s >= least * 0.999).unwrap_or(10.0 * power)
}

/// Round values inside `range`, about `count` of them.
pub fn ticks([low, high]: [f64; 2], count: usize) -> Vec<f64> {
    let width = high - low;
    if !(width > 0.0 && width.is_finite()) {
        return vec![low];
    }
    let step = step(width / count as f64);
    let first = (low / step - 1e-9).ceil() as i64;
    (first..).map(|i| i as f64 * step).take_while(|v| *v <= high + 1e-9 * width).take(4 * count).collect()
}

/// At most four digits, thousands as k and millions as M.
pub fn short(value: f64) -> String {
    let size = value.abs();
    let trimmed = |text: String| {
        let Some((whole, part)) = text.split_once('.') else { return text };
        let part = part.trim_end_matches('0');
        if part.is_empty() { whole.to_string() } else { format!("{whole}.{part}") }
    };
    match size {
        _ if size == 0.0 => "0".into(),
        _ if !value.is_finite() => "–".into(),
        _ if size >= 1e6 => trimmed(format!("{:.2}", value / 1e6)) + "M",
        _ if size >= 1e4 => trimmed(format!("{:.1}", value / 1e3)) + "k",
        _ if size >= 100.0 => format!("{value:.0}"),
        _ if size >= 0.01 => trimmed(format!("{value:.3}")),
        _ if size >= 0.001 => trimmed(format!("{value:.4}")),
        _ => {
            let power = size.log10().floor();
            trimmed(format!("{:.2}", value / 10f64.powf(power))) + &format!("e{power}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks([0.0, 1.0], 5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks([1.0, 12.0], 6), [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
        for range in [[0.0, 1e-9], [-3.0, 1e12], [5.0, 5.0], [f64::NAN, 1.0], [0.0, f64::INFINITY]] {
            assert!(ticks(range, 5).len() <= 20, "{range:?}");
        }
        assert_eq!(
            [0.0, 0.5, 0.000125, 12345.0, 2.5e6, 150.4, -1.0].map(short),
            ["0", "0.5", "1.25e-4", "12.3k", "2.5M", "150", "-1"]
        );
    }

    #[test]
    fn one_wild_step_does_not_press_the_others_flat() {
        let mut values: Vec<f64> = (0..100).map(|i| 2.0 + 0.01 * f64::from(i)).collect();
        values.push(900.0);
        assert!(robust(values)[1] < 4.0);
        assert_eq!(robust(vec![1.0, 900.0])[1], 900.0);
    }
}
