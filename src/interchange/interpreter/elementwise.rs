//! Sums and changes of scale of 8-bit numbers, as TensorFlow Lite's reference kernels compute them.

use super::fixed_point::Factor;

/// `real = scale · (q - zero)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorScale {
    pub scale: f32,
    pub zero: i32,
}

/// Bits that summands are raised by, so that rounding them to a common scale loses nothing.
const RAISED: u32 = 20;

/// `a + b`, each of its own scale, in a third.
pub struct Sum {
    zeros: [i32; 2],
    factors: [Factor; 2],
    output: Factor,
    output_zero: i32,
}

impl Sum {
    pub fn new(inputs: [TensorScale; 2], output: TensorScale) -> Self {
        let twice = 2.0 * f64::from(inputs[0].scale.max(inputs[1].scale));
        Self {
            zeros: inputs.map(|s| s.zero),
            factors: inputs.map(|s| Factor::of(f64::from(s.scale) / twice)),
            output: Factor::of(twice / (f64::from(1 << RAISED) * f64::from(output.scale))),
            output_zero: output.zero,
        }
    }

    pub fn run(&self, a: &[i8], b: &[i8]) -> Vec<i8> {
        let raised = |q: i8, i: usize| self.factors[i].times((i32::from(q) - self.zeros[i]) << RAISED);
        let sum = |(&a, &b): (&i8, &i8)| {
            let sum = self.output.times(raised(a, 0) + raised(b, 1)).saturating_add(self.output_zero);
            sum.clamp(-128, 127) as i8
        };
        a.iter().zip(b).map(sum).collect()
    }
}

/// Pixel values to 8 bits with a sign, and from one scale to another.
pub struct Rescaled {
    input_zero: i32,
    factor: Factor,
    output_zero: i32,
}

impl Rescaled {
    pub fn new(input: TensorScale, output: TensorScale) -> Self {
        let factor = Factor::of(f64::from(input.scale) / f64::from(output.scale));
        Self { input_zero: input.zero, factor, output_zero: output.zero }
    }

    pub fn run(&self, q: impl Iterator<Item = i32>) -> Vec<i8> {
        q.map(|q| self.factor.times(q - self.input_zero).saturating_add(self.output_zero).clamp(-128, 127) as i8)
            .collect()
    }
}

impl TensorScale {
    pub fn real(self, q: &[i8]) -> Vec<f32> {
        q.iter().map(|&q| self.scale * (i32::from(q) - self.zero) as f32).collect()
    }

    /// The 8-bit number of a real one.
    pub fn step(self, real: f32) -> i32 {
        ((real / self.scale).round() as i32).saturating_add(self.zero)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_within_a_step_of_the_real_ones() {
        let [a, b, out] = [(0.02, -5), (0.05, 10), (0.06, 3)].map(|(scale, zero)| TensorScale { scale, zero });
        let sum = Sum::new([a, b], out);
        for x in (-128..=127).step_by(5) {
            for y in (-128..=127).step_by(7) {
                let real = a.real(&[x as i8])[0] + b.real(&[y as i8])[0];
                let expected = (real / out.scale + out.zero as f32).clamp(-128.0, 127.0);
                let found = f32::from(sum.run(&[x as i8], &[y as i8])[0]);
                assert!((found - expected).abs() <= 0.51, "{x} + {y}: {found} is not {expected}");
            }
        }
    }

    #[test]
    fn a_pixel_becomes_itself_less_128() {
        let [from, to] = [128, 0].map(|zero| TensorScale { scale: 1.0 / 127.5, zero });
        let all: Vec<i8> = Rescaled::new(from, to).run(0..256);
        assert!(all.iter().zip(-128..).all(|(&q, expected)| i32::from(q) == expected));
    }
}
