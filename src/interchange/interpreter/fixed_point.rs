//! Multiplication of whole numbers by a real factor, as TensorFlow Lite's reference kernels round it.
//!
//! A factor is `m · 2^(shift - 31)`, m of 31 bits. The product is rounded twice: to 32 bits after the multiplication,
//! halves upwards (gemmlowp's `SaturatingRoundingDoublingHighMul`), then by the shift, halves away from zero
//! (`RoundingDivideByPOT`).

/// A real factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor {
    mantissa: i32,
    shift: i32,
}

impl Factor {
    /// The nearest one; factors below 2^-31 are 0, those of 2^30 and more are the largest: no file of ours has them.
    ///
    /// # Panics
    /// If `real` is negative or NaN.
    pub fn of(real: f64) -> Self {
        assert!(real >= 0.0, "the factor {real}");
        let real = real.min(f64::from((1 << 30) - 1));
        if real == 0.0 {
            return Self { mantissa: 0, shift: 0 };
        }
        // real = fraction · 2^shift with a fraction from 1/2 to 1.
        let mut shift = real.log2().floor() as i32 + 1;
        let mut mantissa = (real * 2f64.powi(31 - shift)).round() as i64;
        // The logarithm may be a step off next to a power of two, and rounding may reach the next one.
        while mantissa >= 1 << 31 {
            shift += 1;
            mantissa = (real * 2f64.powi(31 - shift)).round() as i64;
        }
        while mantissa < 1 << 30 {
            shift -= 1;
            mantissa = (real * 2f64.powi(31 - shift)).round() as i64;
        }
        if shift < -31 {
            return Self { mantissa: 0, shift: 0 };
        }
        Self { mantissa: mantissa as i32, shift }
    }

    /// `x` times the factor, rounded.
    pub fn times(self, x: i32) -> i32 {
        let raised = if self.shift > 0 { x.wrapping_mul(1 << self.shift) } else { x };
        let product = i64::from(raised) * i64::from(self.mantissa);
        // Truncating division of what is half a step further out; the 1 keeps negative halves from going further.
        let half = if product >= 0 { 1 << 30 } else { 1 - (1 << 30) };
        let high = ((product + half) / (1 << 31)) as i32;
        divided_by_power(high, (-self.shift).max(0))
    }
}

/// `x / 2^power`, half away from zero.
fn divided_by_power(x: i32, power: i32) -> i32 {
    let mask = ((1i64 << power) - 1) as i32;
    let rest = x & mask;
    let threshold = (mask >> 1) + i32::from(x < 0);
    (x >> power) + i32::from(rest > threshold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_within_one_of_the_real_ones() {
        for real in [1e-6, 0.003_921_57, 0.25, 0.5, 0.999_999_999_9, 1.0, 1.5, 3.999] {
            let factor = Factor::of(real);
            for x in [-4_000_000, -12_345, -3, -2, -1, 0, 1, 2, 3, 777, 98_765, 4_000_000] {
                let exact = f64::from(x) * real;
                assert!((f64::from(factor.times(x)) - exact).abs() <= 1.0, "{x} times {real}");
            }
        }
        assert_eq!(Factor::of(1e-12).times(i32::MAX), 0);
    }

    #[test]
    fn halves_are_rounded_as_the_reference_does() {
        let half = Factor::of(0.5);
        assert_eq!([-3, -1, 1, 3, 4].map(|x| half.times(x)), [-1, 0, 1, 2, 2]);
        assert_eq!([-6, -2, 2, 6].map(|x| divided_by_power(x, 2)), [-2, -1, 1, 2]);
        assert_eq!([-5, 5, 6, -6].map(|x| Factor::of(1.0).times(x)), [-5, 5, 6, -6]);
    }
}
