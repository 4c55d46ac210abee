//! The class loss: softmax cross-entropy with hard negative mining, or sigmoid focal loss.

use crate::boxes::ScoreFunction;

/// How the class logits of an image are scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Classification {
    /// Cross-entropy over the matched anchors and the hardest of the others (Liu et al. 2016, section 2.2): of the
    /// softmax, or of a sigmoid for each of the columns 1.., summed; column 0 says nothing then and learns nothing.
    Mining {
        scores: ScoreFunction,
        /// Negatives kept per matched anchor.
        negatives_per_positive: usize,
        /// Negatives kept in an image without objects.
        min_negatives: usize,
    },
    /// Sigmoid focal loss over all anchors and the columns 1.. (Lin et al. 2017).
    Focal { alpha: f64, gamma: f64 },
}

impl Default for Classification {
    fn default() -> Self {
        Self::mining(ScoreFunction::Softmax)
    }
}

/// Weighted class losses of one image, summed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ClassLoss {
    pub total: f64,
    /// Of every matched anchor, in anchor order.
    pub matched: Vec<MatchedClass>,
    /// Mined negatives, in anchor order; empty for a loss that takes all.
    pub negatives: Vec<usize>,
}

/// Class loss of one matched anchor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct MatchedClass {
    pub loss: f64,
    /// The part of it that is about which object it is, not whether there is one: cross-entropy of the label among the
    /// classes, background aside, unweighted.
    pub naming: f64,
}

impl Classification {
    /// Three negatives for every positive.
    pub fn mining(scores: ScoreFunction) -> Self {
        Classification::Mining { scores, negatives_per_positive: 3, min_negatives: 3 }
    }

    /// Losses of an image; `d` `[A,K]` is overwritten with the gradient, `weights` `[K]` multiplies each anchor's loss
    /// by the weight of its label.
    pub(super) fn evaluate(self, logits: &[f32], labels: &[u32], weights: &[f32], d: &mut [f32]) -> ClassLoss {
        match self {
            Classification::Mining { scores, negatives_per_positive, min_negatives } => {
                let positives = labels.iter().filter(|&&l| l > 0).count();
                let wanted = if positives > 0 { negatives_per_positive * positives } else { min_negatives };
                let rows = AnchorRows { logits, labels, weights };
                match scores {
                    ScoreFunction::Softmax => mined(&Softmax::of(rows), rows, wanted, d),
                    ScoreFunction::Sigmoid => mined(&Sigmoids(rows), rows, wanted, d),
                }
            }
            Classification::Focal { alpha, gamma } => focal(logits, labels, weights, alpha, gamma, d),
        }
    }
}

/// `ln Σ exp` of a row.
fn log_sum_exp(row: &[f32]) -> f64 {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f64::from(max) + row.iter().map(|&v| f64::from(v - max).exp()).sum::<f64>().ln()
}

/// The anchors of an image.
#[derive(Clone, Copy)]
struct AnchorRows<'a> {
    logits: &'a [f32],
    labels: &'a [u32],
    weights: &'a [f32],
}

impl<'a> AnchorRows<'a> {
    fn row(&self, anchor: usize) -> &'a [f32] {
        let k = self.weights.len();
        &self.logits[anchor * k..][..k]
    }
}

/// The score that mining ranks by.
trait CrossEntropy {
    /// Of an anchor.
    fn loss(&self, anchor: usize) -> f64;
    /// The derivative of an anchor's loss by one of its logits.
    fn slope(&self, anchor: usize, column: usize) -> f32;
    /// The part of a matched anchor's loss that is about which object it is.
    fn naming(&self, anchor: usize) -> f64;
}

/// Of the softmax over all columns.
struct Softmax<'a> {
    rows: AnchorRows<'a>,
    normalisers: Vec<f64>,
}

impl<'a> Softmax<'a> {
    fn of(rows: AnchorRows<'a>) -> Self {
        Self { rows, normalisers: rows.logits.chunks_exact(rows.weights.len()).map(log_sum_exp).collect() }
    }
}

impl CrossEntropy for Softmax<'_> {
    fn loss(&self, a: usize) -> f64 {
        self.normalisers[a] - f64::from(self.rows.row(a)[self.rows.labels[a] as usize])
    }

    fn slope(&self, a: usize, c: usize) -> f32 {
        let p = (f64::from(self.rows.row(a)[c]) - self.normalisers[a]).exp() as f32;
        p - if c == self.rows.labels[a] as usize { 1.0 } else { 0.0 }
    }

    fn naming(&self, a: usize) -> f64 {
        let row = self.rows.row(a);
        log_sum_exp(&row[1..]) - f64::from(row[self.rows.labels[a] as usize])
    }
}

/// Of a sigmoid for each column but the background's.
struct Sigmoids<'a>(AnchorRows<'a>);

impl CrossEntropy for Sigmoids<'_> {
    fn loss(&self, a: usize) -> f64 {
        let (row, label) = (self.0.row(a), self.0.labels[a] as usize);
        // -ln(1 - sigmoid(z)) is ln(1 + e^z), and -ln sigmoid(z) is z less.
        let none: f64 = row[1..].iter().map(|&z| softplus(f64::from(z))).sum();
        none - if label > 0 { f64::from(row[label]) } else { 0.0 }
    }

    fn slope(&self, a: usize, c: usize) -> f32 {
        if c == 0 {
            return 0.0;
        }
        sigmoid(self.0.row(a)[c]) as f32 - if c == self.0.labels[a] as usize { 1.0 } else { 0.0 }
    }

    fn naming(&self, a: usize) -> f64 {
        naming_of_sigmoids(self.0.row(a), self.0.labels[a])
    }
}

/// `ln(1 + e^z)`, which is `z` where that is large.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

fn sigmoid(z: f32) -> f64 {
    1.0 / (1.0 + (-f64::from(z)).exp())
}

fn naming_of_sigmoids(row: &[f32], label: u32) -> f64 {
    (row[1..].iter().map(|&z| sigmoid(z)).sum::<f64>() / sigmoid(row[label as usize])).ln()
}

fn mined(entropy: &impl CrossEntropy, rows: AnchorRows, wanted: usize, d: &mut [f32]) -> ClassLoss {
    let AnchorRows { labels, weights, .. } = rows;
    let mut negatives: Vec<(f64, usize)> =
        labels.iter().enumerate().filter(|(_, l)| **l == 0).map(|(a, _)| (entropy.loss(a), a)).collect();
    // Hardest first; the lower anchor first among equals.
    negatives.sort_unstable_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
    negatives.truncate(wanted);
    let mut mined: Vec<usize> = negatives.into_iter().map(|(_, a)| a).collect();
    mined.sort_unstable();
    d.fill(0.0);
    let positives = labels.iter().enumerate().filter(|(_, l)| **l > 0).map(|(a, _)| a);
    let (mut total, mut matched) = (0.0, Vec::new());
    for a in positives.chain(mined.iter().copied()) {
        let weight = weights[labels[a] as usize];
        let loss = f64::from(weight) * entropy.loss(a);
        total += loss;
        if labels[a] > 0 {
            matched.push(MatchedClass { loss, naming: entropy.naming(a) });
        }
        let k = weights.len();
        for (c, d) in d[a * k..][..k].iter_mut().enumerate() {
            *d = weight * entropy.slope(a, c);
        }
    }
    ClassLoss { total, matched, negatives: mined }
}

fn focal(logits: &[f32], labels: &[u32], weights: &[f32], alpha: f64, gamma: f64, d: &mut [f32]) -> ClassLoss {
    let k = weights.len();
    let (mut total, mut matched) = (0.0, Vec::new());
    for ((row, d), &label) in logits.chunks_exact(k).zip(d.chunks_exact_mut(k)).zip(labels) {
        d[0] = 0.0;
        let mut of_anchor = 0.0;
        let weight = f64::from(weights[label as usize]);
        for c in 1..k {
            let z = f64::from(row[c]);
            // With s = ±1 for target or not, p_t = sigmoid(s·z) and the loss is -a·(1 - p_t)^gamma·ln p_t.
            let (sign, balance) = if c == label as usize { (1.0, alpha) } else { (-1.0, 1.0 - alpha) };
            let p = 1.0 / (1.0 + (-sign * z).exp());
            let ln_p = -(-sign * z).exp().ln_1p();
            let ln_p = if ln_p.is_finite() { ln_p } else { sign * z };
            let loss = weight * balance * (1.0 - p).powf(gamma) * -ln_p;
            total += loss;
            of_anchor += loss;
            let slope = (1.0 - p).powf(gamma) * (gamma * p * ln_p - (1.0 - p));
            d[c] = (weight * balance * sign * slope) as f32;
        }
        if label > 0 {
            matched.push(MatchedClass { loss: of_anchor, naming: naming_of_sigmoids(row, label) });
        }
    }
    ClassLoss { total, matched, negatives: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_those_of_central_differences() {
        let labels = [0u32, 2, 0, 1];
        let weights = [1.0f32, 2.0, 0.5];
        let logits: Vec<f32> = (0..12).map(|i| ((i * 7 % 5) as f32 - 2.0) * 0.7).collect();
        let mining = [ScoreFunction::Softmax, ScoreFunction::Sigmoid].map(Classification::mining);
        for kind in mining.into_iter().chain([Classification::Focal { alpha: 0.25, gamma: 2.0 }]) {
            let mut d = vec![f32::NAN; 12];
            kind.evaluate(&logits, &labels, &weights, &mut d);
            for i in 0..12 {
                let at = |step: f32| {
                    let mut moved = logits.clone();
                    moved[i] += step;
                    kind.evaluate(&moved, &labels, &weights, &mut [0.0; 12]).total
                };
                let numeric = (at(1e-3) - at(-1e-3)) / 2e-3;
                assert!((numeric - f64::from(d[i])).abs() < 1e-4, "{kind:?} column {i}: {numeric} and {}", d[i]);
            }
        }
    }

    #[test]
    fn sigmoids_leave_the_background_column_alone_and_are_mined_by_their_own_loss() {
        // By the softmax the last anchor is easier than the first: its background column is high.
        let logits = [0.0f32, 0.5, 0.0, 9.0, 1.0, 1.0];
        let mut d = [f32::NAN; 6];
        let hardest =
            Classification::Mining { scores: ScoreFunction::Sigmoid, negatives_per_positive: 3, min_negatives: 1 };
        let found = hardest.evaluate(&logits, &[0; 2], &[1.0; 3], &mut d);
        assert_eq!(found.negatives, [1]);
        let wanted = 2.0 * (1.0 + 1f64.exp()).ln();
        assert!((found.total - wanted).abs() < 1e-12, "{} is not {wanted}", found.total);
        let p = (1.0 / (1.0 + (-1f64).exp())) as f32;
        assert_eq!(d, [0.0, 0.0, 0.0, 0.0, p, p]);
    }

    #[test]
    fn an_image_without_objects_keeps_the_three_hardest_negatives() {
        let logits = [1.0f32, 0.0, 0.0, 3.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.5];
        let mut d = [0.0; 10];
        let found = Classification::default().evaluate(&logits, &[0; 5], &[1.0, 1.0], &mut d);
        assert_eq!((found.negatives, found.matched), (vec![1, 2, 4], vec![]));
    }
}
