//! Ridge regression (Hoerl & Kennard 1970) of classes on features, each row predicted from all groups but its own.

use super::cholesky::{decompose, dot, substitute, substitute_back};

/// Rows of features and what they belong to.
#[derive(Clone, Copy, Debug)]
pub struct FeatureRows<'a> {
    /// `[n, width]`.
    pub features: &'a [f32],
    pub width: usize,
    /// Ascending.
    pub groups: &'a [u32],
    /// Each in 0..`classes`.
    pub labels: &'a [usize],
    pub classes: usize,
    /// How much each row counts, positive.
    pub weights: &'a [f32],
}

impl FeatureRows<'_> {
    fn row(&self, i: usize) -> &[f32] {
        &self.features[i * self.width..][..self.width]
    }

    fn target(&self, row: usize, class: usize) -> f64 {
        f64::from(u8::from(self.labels[row] == class)) - 1.0 / self.classes as f64
    }

    /// Lower triangle of XᵀWX over the rows of trusted groups.
    fn products(&self, trusted: &impl Fn(u32) -> bool) -> Vec<f64> {
        let mut sums = vec![0f64; self.width * self.width];
        for i in (0..self.groups.len()).filter(|&i| trusted(self.groups[i])) {
            let (row, weight) = (self.row(i), f64::from(self.weights[i]));
            for (k, &v) in row.iter().enumerate() {
                let v = weight * f64::from(v);
                sums[k * self.width..][..=k].iter_mut().zip(row).for_each(|(sum, &b)| *sum += v * f64::from(b));
            }
        }
        sums
    }

    /// The answers with one penalty.
    fn answers(&self, products: &[f64], penalty: f64, trusted: &impl Fn(u32) -> bool) -> Vec<f64> {
        let FeatureRows { width, groups, classes, .. } = *self;
        let mut factor = products.to_vec();
        (0..width).for_each(|i| factor[i * width + i] += penalty);
        decompose(&mut factor, width);
        // Rows of √W X L⁻ᵀ: their products are the elements of the hat matrix of √W y.
        let root = |i: usize| f64::from(self.weights[i]).sqrt();
        let scaled = |i: usize| self.row(i).iter().map(move |v| root(i) * f64::from(*v));
        let mut rows: Vec<f64> = (0..groups.len()).flat_map(scaled).collect();
        rows.chunks_exact_mut(width).for_each(|row| substitute(&factor, row));
        let row = |i: usize| &rows[i * width..][..width];
        let mut sums = vec![0f64; classes * width];
        for i in (0..groups.len()).filter(|&i| trusted(groups[i])) {
            for (class, sums) in sums.chunks_exact_mut(width).enumerate() {
                let y = root(i) * self.target(i, class);
                sums.iter_mut().zip(row(i)).for_each(|(sum, v)| *sum += y * v);
            }
        }
        let fitted = |i: usize, class: usize| dot(row(i), &sums[class * width..][..width]);
        let mut answers = vec![0f64; groups.len() * classes];
        let mut begin = 0;
        for group in groups.chunk_by(|a, b| a == b) {
            let own = begin..begin + group.len();
            begin = own.end;
            let mut left = Vec::new();
            if trusted(group[0]) {
                let pairs = own.clone().flat_map(|i| own.clone().map(move |j| (i, j)));
                left.extend(pairs.map(|(i, j)| f64::from(u8::from(i == j)) - dot(row(i), row(j))));
                decompose(&mut left, group.len());
            }
            for class in 0..classes {
                let mut out = |i: usize, answer: f64| answers[i * classes + class] = answer;
                if left.is_empty() {
                    own.clone().for_each(|i| out(i, fitted(i, class) / root(i)));
                    continue;
                }
                let residual = |i: usize| root(i) * self.target(i, class) - fitted(i, class);
                let mut residuals: Vec<f64> = own.clone().map(residual).collect();
                substitute(&left, &mut residuals);
                substitute_back(&left, &mut residuals);
                own.clone().zip(residuals).for_each(|(i, r)| out(i, self.target(i, class) - r / root(i)));
            }
        }
        answers
    }

    /// Share of the weighted variance of the targets of trusted rows that the answers explain.
    fn explained(&self, answers: &[f64], trusted: &impl Fn(u32) -> bool) -> f64 {
        let (mut off, mut varied) = (0.0, 0.0);
        for class in 0..self.classes {
            let (mut total, mut sum, mut square) = (0.0, 0.0, 0.0);
            for i in (0..self.groups.len()).filter(|&i| trusted(self.groups[i])) {
                let (weight, y) = (f64::from(self.weights[i]), self.target(i, class));
                (total, sum, square) = (total + weight, sum + weight * y, square + weight * y * y);
                off += weight * (answers[i * self.classes + class] - y).powi(2);
            }
            varied += if total > 0.0 { square - sum * sum / total } else { 0.0 };
        }
        if varied > 0.0 { 1.0 - off / varied } else { 0.0 }
    }
}

/// A regression's predictions for rows that it was not fitted on.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOutPredictions {
    /// For every class, `[n, classes]`, around 0: targets are 1 for the row's class and 0 for the others, less
    /// 1 / classes.
    pub answers: Vec<f64>,
    /// The one of the penalties that was best.
    pub penalty: f64,
    /// Share of the targets' variance that the answers explain, over the trusted: 1 at best, below 0 at worst.
    pub explained: f64,
}

/// Predicts the classes of every row. Groups that are not `trusted` are predicted, but nothing is learned from them.
///
/// A penalty is added to the diagonal of the features' products; of several the one is taken whose answers explain
/// most. No group is fitted anew: with the hat matrix `H = X (XᵀX + λ)⁻¹ Xᵀ` the answer without group g is
/// `y - (1 - H_gg)⁻¹ (y - H y)` (the PRESS residual, Allen 1974, by blocks).
///
/// # Panics
/// If the lengths do not fit, or there is no penalty.
pub fn held_out(x: FeatureRows, penalties: &[f64], trusted: impl Fn(u32) -> bool) -> HeldOutPredictions {
    let n = x.groups.len();
    assert!(x.features.len() == n * x.width && [x.labels.len(), x.weights.len()] == [n; 2], "{n} rows of {}", x.width);
    let products = x.products(&trusted);
    let found = penalties.iter().map(|&penalty| {
        let answers = x.answers(&products, penalty, &trusted);
        HeldOutPredictions { explained: x.explained(&answers, &trusted), answers, penalty }
    });
    found.max_by(|a, b| a.explained.total_cmp(&b.explained)).expect("a penalty is given")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchdog::tests::Noise;

    /// Solves the normal equations of some rows by Gauss's elimination, and predicts a row.
    fn fitted_anew(x: FeatureRows, y: &[f64], penalty: f64, row: usize, learned: impl Fn(u32) -> bool) -> f64 {
        let width = x.width;
        let mut system = vec![vec![0.0; width + 1]; width];
        for k in (0..y.len()).filter(|&k| learned(x.groups[k])) {
            let at = |i: usize| f64::from(x.weights[k]).sqrt() * f64::from(x.features[k * width + i]);
            for (i, equation) in system.iter_mut().enumerate() {
                (0..width).for_each(|j| equation[j] += at(i) * at(j));
                equation[width] += at(i) * f64::from(x.weights[k]).sqrt() * y[k];
            }
        }
        (0..width).for_each(|i| system[i][i] += penalty);
        for i in 0..width {
            let pivot = system[i].clone();
            for (_, equation) in system.iter_mut().enumerate().filter(|(k, _)| *k != i) {
                let times = equation[i] / pivot[i];
                equation.iter_mut().zip(&pivot).for_each(|(e, p)| *e -= times * p);
            }
        }
        (0..width).map(|i| system[i][width] / system[i][i] * f64::from(x.features[row * width + i])).sum()
    }

    #[test]
    fn a_group_is_predicted_as_if_it_had_never_been_seen() {
        let mut noise = Noise::new(1);
        let (n, width, classes, penalty) = (23, 5, 3, 0.7);
        let features: Vec<f32> = (0..n * width).map(|_| noise.normal() as f32).collect();
        let groups: Vec<u32> = (0..n as u32).map(|i| if i < 4 { 0 } else { i / 2 }).collect();
        let labels: Vec<usize> = (0..n).map(|i| (i * i) % classes).collect();
        let weights: Vec<f32> = labels.iter().map(|&label| 0.5 + label as f32).collect();
        let x =
            FeatureRows { features: &features, width, groups: &groups, labels: &labels, classes, weights: &weights };
        for doubted in [99, 0, 3] {
            let trusted = |group| group != doubted;
            let answers = held_out(x, &[penalty], trusted).answers;
            for class in 0..classes {
                let y: Vec<f64> = labels.iter().map(|&l| f64::from(u8::from(l == class)) - 1.0 / 3.0).collect();
                for row in 0..n {
                    let anew = fitted_anew(x, &y, penalty, row, |group| trusted(group) && group != groups[row]);
                    let found = answers[row * classes + class];
                    assert!((found - anew).abs() < 1e-9, "row {row}, class {class}: {found} and {anew}");
                }
            }
        }
    }

    #[test]
    fn features_that_say_nothing_predict_nothing() {
        let (groups, weights) = ([0, 1, 2, 3], [1.0; 4]);
        let x = FeatureRows {
            features: &[0.0; 8],
            width: 2,
            groups: &groups,
            labels: &[0, 1, 0, 1],
            classes: 2,
            weights: &weights,
        };
        let HeldOutPredictions { answers, explained, .. } = held_out(x, &[1.0], |_| true);
        assert!(explained == 0.0 && answers.iter().all(|a| a.abs() < 1e-12), "{answers:?}");
        let none = FeatureRows { features: &[], groups: &[], labels: &[], weights: &[], ..x };
        assert!(held_out(none, &[1.0], |_| true).answers.is_empty());
    }

    #[test]
    fn noise_asks_for_a_larger_penalty() {
        let mut noise = Noise::new(2);
        let (n, width) = (60, 30);
        let (groups, weights): (Vec<u32>, Vec<f32>) = ((0..n).collect(), vec![1.0; n as usize]);
        let labels: Vec<usize> = (0..n as usize).map(|i| i % 2).collect();
        let mut chosen = |share: f64| {
            let features: Vec<f32> = labels
                .iter()
                .flat_map(|&l| (0..width).map(move |_| l as f64 - 0.5))
                .map(|v| (v + share * noise.normal()) as f32)
                .collect();
            let x = FeatureRows {
                features: &features,
                width,
                groups: &groups,
                labels: &labels,
                classes: 2,
                weights: &weights,
            };
            held_out(x, &[0.1, 10.0, 1000.0], |_| true).penalty
        };
        assert!(chosen(0.01) < chosen(20.0));
    }
}
