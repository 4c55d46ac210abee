//! Sums of squares, which norms are made of.

use super::isa::{Isa, per_isa};

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
