//! The arithmetic of an optimiser step over one parameter, each in a single pass.

use super::isa::{Isa, fma, per_isa};

/// One step of AdamW (Loshchilov & Hutter 2019, decoupled weight decay), bias corrections already worked in.
#[derive(Clone, Copy, Debug)]
pub struct AdamwStep {
    /// Multiplies the raw gradient: clipping and the window's normaliser.
    pub gradient_scale: f32,
    pub beta1: f32,
    pub beta2: f32,
    /// `lr / (1 - beta1^t)`.
    pub step_size: f32,
    /// `1 / sqrt(1 - beta2^t)`.
    pub root_correction: f32,
    pub epsilon: f32,
    /// `1 - lr·weight_decay`.
    pub keep: f32,
}

/// What an average follows its parameter with: `average += (number - average)·weight`.
#[derive(Debug)]
pub struct Average<'a> {
    pub numbers: &'a mut [f32],
    pub weight: f32,
}

/// A parameter and what AdamW knows of it; all of the same length.
#[derive(Debug)]
pub struct AdamwParameter<'a> {
    /// Updated in place.
    pub w: &'a mut [f32],
    pub g: &'a [f32],
    /// Running first moment.
    pub m: &'a mut [f32],
    /// Running second moment.
    pub v: &'a mut [f32],
    pub average: Option<Average<'a>>,
}

/// Numbers of a parameter that one task moves: below, a fork costs more than it gains.
const TASK_FLOATS: usize = 1 << 15;

/// Numbers that are moved and averaged while they are near: all there is of them fits the first-level cache.
const NEAR_FLOATS: usize = 1 << 10;

impl AdamwParameter<'_> {
    /// The first `at` numbers and the others.
    fn split_at(self, at: usize) -> [Self; 2] {
        let ([w, w_rest], (g, g_rest)) = (halves(self.w, at), self.g.split_at(at));
        let ([m, m_rest], [v, v_rest]) = (halves(self.m, at), halves(self.v, at));
        let [average, average_rest] = match self.average {
            Some(Average { numbers, weight }) => halves(numbers, at).map(|numbers| Some(Average { numbers, weight })),
            None => [None, None],
        };
        [Self { w, g, m, v, average }, Self { w: w_rest, g: g_rest, m: m_rest, v: v_rest, average: average_rest }]
    }
}

fn halves(numbers: &mut [f32], at: usize) -> [&mut [f32]; 2] {
    numbers.split_at_mut(at).into()
}

/// One step, and the average behind it. Threads share what is long; each number's arithmetic is its own, so that the
/// result does not depend on them.
///
/// # Panics
/// If anything is shorter than the parameter.
pub fn adamw(isa: Isa, step: AdamwStep, mut parameter: AdamwParameter) {
    if rayon::current_num_threads() > 1 && parameter.w.len() >= 2 * TASK_FLOATS {
        let half = parameter.w.len() / 2;
        let [one, other] = parameter.split_at(half);
        rayon::join(|| adamw(isa, step, one), || adamw(isa, step, other));
        return;
    }
    loop {
        let near = parameter.w.len().min(NEAR_FLOATS);
        let [AdamwParameter { w, g, m, v, average }, rest] = parameter.split_at(near);
        adamw_piece(isa, step, w, g, m, v);
        if let Some(Average { numbers, weight }) = average {
            lerp(isa, numbers, w, weight);
        }
        if rest.w.is_empty() {
            return;
        }
        parameter = rest;
    }
}

per_isa! {
    fn adamw_piece(step: AdamwStep, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) = adamw_body
}

#[inline(always)]
fn adamw_body<const FUSED: bool>(step: AdamwStep, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
    let n = w.len();
    let (g, m, v) = (&g[..n], &mut m[..n], &mut v[..n]);
    for i in 0..n {
        let d = g[i] * step.gradient_scale;
        m[i] = fma::<FUSED>(step.beta1, m[i] - d, d);
        v[i] = fma::<FUSED>(step.beta2, v[i], (1.0 - step.beta2) * d * d);
        let root = fma::<FUSED>(v[i].sqrt(), step.root_correction, step.epsilon);
        w[i] = w[i] * step.keep - step.step_size * m[i] / root;
    }
}

/// One step of SGD with momentum, as PyTorch writes it: `v = momentum·v + g + decay·w`, `w -= lr·v`.
#[derive(Clone, Copy, Debug)]
pub struct SgdStep {
    pub gradient_scale: f32,
    pub momentum: f32,
    pub lr: f32,
    pub weight_decay: f32,
}

per_isa! {
    pub fn sgd(step: SgdStep, w: &mut [f32], g: &[f32], v: &mut [f32]) = sgd_body
}

#[inline(always)]
fn sgd_body<const FUSED: bool>(step: SgdStep, w: &mut [f32], g: &[f32], v: &mut [f32]) {
    let n = w.len();
    let (g, v) = (&g[..n], &mut v[..n]);
    for i in 0..n {
        let d = fma::<FUSED>(step.weight_decay, w[i], g[i] * step.gradient_scale);
        v[i] = fma::<FUSED>(step.momentum, v[i], d);
        w[i] = fma::<FUSED>(-step.lr, v[i], w[i]);
    }
}

per_isa! {
    /// `average += (value - average)·weight`.
    pub fn lerp(average: &mut [f32], value: &[f32], weight: f32) = lerp_body
}

#[inline(always)]
fn lerp_body<const FUSED: bool>(average: &mut [f32], value: &[f32], weight: f32) {
    for (a, &v) in average.iter_mut().zip(value) {
        *a = fma::<FUSED>(v - *a, weight, *a);
    }
}

/// `Σ x²` in `f64`, eight interleaved partial sums. The square of an `f32` is exact in `f64`, so that fused or not is the
/// same, and the result does not depend on the machine.
pub fn squared_sum(x: &[f32]) -> f64 {
    let mut sums = [0f64; 8];
    let chunks = x.chunks_exact(8);
    let tail: f64 = chunks.remainder().iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    add_squares(Isa::best(), &x[..x.len() - chunks.remainder().len()], &mut sums);
    sums.iter().sum::<f64>() + tail
}

/// As [`squared_sum`], of `before` and of what is left of it when `after` is taken away, in one pass.
///
/// # Panics
/// If the lengths differ.
pub fn squared_sums(before: &[f32], after: &[f32]) -> [f64; 2] {
    assert_eq!(before.len(), after.len(), "numbers before and after");
    let mut sums = [[0f64; 8]; 2];
    add_both_squares(Isa::best(), before, after, &mut sums);
    sums.map(|sums| sums.iter().sum())
}

per_isa! {
    fn add_both_squares(before: &[f32], after: &[f32], sums: &mut [[f64; 8]; 2]) = both_squares_body
}

#[inline(always)]
fn both_squares_body<const FUSED: bool>(before: &[f32], after: &[f32], sums: &mut [[f64; 8]; 2]) {
    let [mut of_before, mut of_moves] = *sums;
    for (before, after) in before.chunks(8).zip(after.chunks(8)) {
        for (((old, new), square), moved) in before.iter().zip(after).zip(&mut of_before).zip(&mut of_moves) {
            let (v, m) = (f64::from(*old), f64::from(*old - *new));
            (*square, *moved) = (v * v + *square, m * m + *moved);
        }
    }
    *sums = [of_before, of_moves];
}

per_isa! {
    fn add_squares(x: &[f32], sums: &mut [f64; 8]) = squares_body
}

#[inline(always)]
fn squares_body<const FUSED: bool>(x: &[f32], sums: &mut [f64; 8]) {
    let mut own = *sums;
    for chunk in x.chunks_exact(8) {
        for (sum, &v) in own.iter_mut().zip(chunk) {
            let v = f64::from(v);
            *sum = if FUSED { v.mul_add(v, *sum) } else { v * v + *sum };
        }
    }
    *sums = own;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_before_and_of_the_move_are_those_of_two_passes() {
        for len in [0, 1, 7, 8, 100, 1003] {
            let before: Vec<f32> = (0..len).map(|i| ((i * 37 % 101) as f32 - 50.0) / 7.0).collect();
            let after: Vec<f32> = before.iter().map(|v| v * 0.99 + 0.01).collect();
            let moved: Vec<f32> = before.iter().zip(&after).map(|(b, a)| b - a).collect();
            let wanted = [squared_sum(&before), squared_sum(&moved)];
            for (found, wanted) in squared_sums(&before, &after).iter().zip(wanted) {
                assert!((found - wanted).abs() <= 1e-12 * wanted, "{len}: {found} and {wanted}");
            }
        }
    }
}
