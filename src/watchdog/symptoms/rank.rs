//! Comparisons by rank: is one sample higher than another (Mann & Whitney 1947), and how well does a score part two
//! groups (the same statistic as a share of pairs: the area under the ROC curve, Hanley & McNeil 1982).

use super::tail::normal_tail;

/// Share of pairs (one of each group) that a score puts in the right order; ties count half.
pub type AreaUnderCurve = f64;

/// `scores` with whether each belongs to the group that should score higher; `None` if a group is empty.
pub fn auc(scores: &[(f64, bool)]) -> Option<AreaUnderCurve> {
    let (high, low): (Vec<_>, Vec<_>) = scores.iter().partition(|(_, is_high)| *is_high);
    if high.is_empty() || low.is_empty() {
        return None;
    }
    let values = |group: Vec<(f64, bool)>| group.into_iter().map(|(v, _)| v).collect::<Vec<_>>();
    let (high, low) = (values(high), values(low));
    Some(wins(&low, &high) / (high.len() * low.len()) as f64)
}

/// Pairs in which the second is greater, ties half.
fn wins(a: &[f64], b: &[f64]) -> f64 {
    let mut sorted = a.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    b.iter()
        .map(|v| {
            let below = sorted.partition_point(|a| a < v);
            let not_above = sorted.partition_point(|a| a <= v);
            (below + not_above) as f64 / 2.0
        })
        .sum()
}

/// Chance of `after` ranking as high above `before` if both were one distribution. Normal approximation: level kept from
/// eight values each on; 1 where either has fewer than four.
pub fn higher(before: &[f64], after: &[f64]) -> f64 {
    let (m, n) = (before.len() as f64, after.len() as f64);
    if m < 4.0 || n < 4.0 {
        return 1.0;
    }
    let z = (wins(before, after) - m * n / 2.0 - 0.5) / (m * n * (m + n + 1.0) / 12.0).sqrt();
    normal_tail(z)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchdog::tests::Noise;

    #[test]
    fn areas_are_shares_of_pairs() {
        let scores = [(1.0, false), (2.0, true), (2.0, false), (3.0, true)];
        assert_eq!(auc(&scores), Some(3.5 / 4.0));
        assert_eq!(auc(&scores[..1]), None);
    }

    #[test]
    fn the_stated_level_is_kept() {
        let mut noise = Noise::new(1);
        let mut draw = |n: usize, at: f64| (0..n).map(|_| at + noise.normal()).collect::<Vec<f64>>();
        let alarms = (0..5000).filter(|_| higher(&draw(8, 0.0), &draw(12, 0.0)) < 0.01).count();
        assert!(alarms < 75, "{alarms} of 5000, expected about 50");
        assert!(higher(&draw(20, 0.0), &draw(20, 3.0)) < 1e-5);
        assert_eq!(higher(&[1.0; 3], &[2.0; 9]), 1.0);
    }
}
