//! Ridge regression (Hoerl & Kennard 1970) of a number on features that come a few rows at a time, by folds: what is
//! fitted on all folds but one answers for that one.

use super::cholesky::{decompose, substitute, substitute_back};

/// The remainder of the rows so far.
#[derive(Clone, Debug)]
pub struct Folds {
    width: usize,
    folds: Vec<FoldSums>,
}

/// Of one fold's rows x and targets y.
#[derive(Clone, Debug)]
struct FoldSums {
    /// Lower triangle of the sum of xxᵀ, `[width, width]`.
    products: Vec<f64>,
    /// Sum of xy.
    targets: Vec<f64>,
}

impl Folds {
    pub fn new(width: usize, folds: usize) -> Self {
        Self { width, folds: vec![FoldSums { products: vec![0.0; width * width], targets: vec![0.0; width] }; folds] }
    }

    /// Adds rows `[width]` with their targets to a fold.
    ///
    /// # Panics
    /// If there is no such fold, or a row is too short.
    pub fn add<'a>(&mut self, fold: usize, rows: impl Iterator<Item = (&'a [f32], f32)>) {
        let width = self.width;
        // The few rows that come at once are summed in single precision.
        let (mut products, mut answered) = (vec![0f32; width * width], vec![0f32; width]);
        for (row, y) in rows {
            for (k, v) in row[..width].iter().enumerate() {
                products[k * width..][..=k].iter_mut().zip(row).for_each(|(sum, b)| *sum += v * b);
            }
            answered.iter_mut().zip(row).for_each(|(sum, v)| *sum += y * v);
        }
        let sums = &mut self.folds[fold];
        sums.products.iter_mut().zip(products).for_each(|(sum, v)| *sum += f64::from(v));
        sums.targets.iter_mut().zip(answered).for_each(|(sum, v)| *sum += f64::from(v));
    }

    /// For every fold the coefficients `[width]` that all the others give, with a penalty added to the diagonal of the
    /// features' products.
    pub fn fitted(&self, penalty: f64) -> Vec<Vec<f64>> {
        let width = self.width;
        let others = |fold: usize, part: fn(&FoldSums) -> &[f64]| {
            let mut sums = vec![0f64; part(&self.folds[fold]).len()];
            for (_, other) in self.folds.iter().enumerate().filter(|(i, _)| *i != fold) {
                sums.iter_mut().zip(part(other)).for_each(|(sum, v)| *sum += v);
            }
            sums
        };
        let fit = |fold: usize| {
            let (mut factor, mut solved) = (others(fold, |s| &s.products), others(fold, |s| &s.targets));
            (0..width).for_each(|i| factor[i * width + i] += penalty);
            decompose(&mut factor, width);
            substitute(&factor, &mut solved);
            substitute_back(&factor, &mut solved);
            solved
        };
        (0..self.folds.len()).map(fit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchdog::tests::Noise;

    #[test]
    fn a_fold_is_answered_for_by_the_others() {
        let mut noise = Noise::new(5);
        let mut folds = Folds::new(3, 2);
        // Two folds that follow different rules, and little noise.
        let rules = [[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]];
        for (fold, rule) in rules.iter().enumerate() {
            for _ in 0..20 {
                let rows: Vec<f32> = (0..12).map(|_| noise.normal() as f32).collect();
                let answer = |x: &[f32]| x.iter().zip(rule).map(|(x, c)| x * c).sum::<f32>();
                let targets: Vec<f32> = rows.chunks(3).map(|x| answer(x) + 1e-3 * noise.normal() as f32).collect();
                folds.add(fold, rows.chunks(3).zip(targets));
            }
        }
        let fitted = folds.fitted(1e-6);
        for (fold, rule) in rules.iter().rev().enumerate() {
            let off = fitted[fold].iter().zip(rule).map(|(c, r)| (c - f64::from(*r)).abs()).fold(0.0, f64::max);
            assert!(off < 2e-3, "{fitted:?}");
        }
        let shrunk = folds.fitted(1e9);
        assert!(shrunk.iter().flatten().all(|c| c.abs() < 1e-6), "{shrunk:?}");
    }
}
