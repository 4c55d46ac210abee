//! The class part of the loss.

/// How the class logits of an image are scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Classification {
    /// Softmax cross-entropy over the matched anchors and the hardest of the others (Liu et al. 2016, section 2.2).
    Mining {
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
        Classification::Mining { negatives_per_positive: 3, min_negatives: 3 }
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
    /// Losses of an image; `d` `[A,K]` is overwritten with the gradient, `weights` `[K]` multiplies each anchor's loss
    /// by the weight of its label.
    pub(super) fn evaluate(self, logits: &[f32], labels: &[u32], weights: &[f32], d: &mut [f32]) -> ClassLoss {
        match self {
            Classification::Mining { negatives_per_positive, min_negatives } => {
                let positives = labels.iter().filter(|&&l| l > 0).count();
                let wanted = if positives > 0 { negatives_per_positive * positives } else { min_negatives };
                mined(logits, labels, weights, wanted, d)
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

fn mined(logits: &[f32], labels: &[u32], weights: &[f32], wanted: usize, d: &mut [f32]) -> ClassLoss {
    let k = weights.len();
    let normalisers: Vec<f64> = logits.chunks_exact(k).map(log_sum_exp).collect();
    let loss_of = |a: usize| normalisers[a] - f64::from(logits[a * k + labels[a] as usize]);
    let mut negatives: Vec<(f64, usize)> =
        labels.iter().enumerate().filter(|(_, l)| **l == 0).map(|(a, _)| (loss_of(a), a)).collect();
    // Hardest first; the lower anchor first among equals.
    negatives.sort_unstable_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
    negatives.truncate(wanted);
    let mut mined: Vec<usize> = negatives.into_iter().map(|(_, a)| a).collect();
    mined.sort_unstable();
    d.fill(0.0);
    let positives = labels.iter().enumerate().filter(|(_, l)| **l > 0).map(|(a, _)| a);
    let (mut total, mut matched) = (0.0, Vec::new());
    for a in positives.chain(mined.iter().copied()) {
        let label = labels[a] as usize;
        let weight = weights[label];
        let loss = f64::from(weight) * loss_of(a);
        total += loss;
        if label > 0 {
            let row = &logits[a * k..][..k];
            let naming = log_sum_exp(&row[1..]) - f64::from(row[label]);
            matched.push(MatchedClass { loss, naming });
        }
        for (c, (d, &logit)) in d[a * k..][..k].iter_mut().zip(&logits[a * k..][..k]).enumerate() {
            let p = (f64::from(logit) - normalisers[a]).exp() as f32;
            *d = weight * (p - if c == label { 1.0 } else { 0.0 });
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
            let score = |z: f32| 1.0 / (1.0 + (-f64::from(z)).exp());
            let naming = (row[1..].iter().map(|&z| score(z)).sum::<f64>() / score(row[label as usize])).ln();
            matched.push(MatchedClass { loss: of_anchor, naming });
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
        for kind in [Classification::default(), Classification::Focal { alpha: 0.25, gamma: 2.0 }] {
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
    fn an_image_without_objects_keeps_the_three_hardest_negatives() {
        let logits = [1.0f32, 0.0, 0.0, 3.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.5];
        let mut d = [0.0; 10];
        let found = Classification::default().evaluate(&logits, &[0; 5], &[1.0, 1.0], &mut d);
        assert_eq!((found.negatives, found.matched), (vec![1, 2, 4], vec![]));
    }
}
