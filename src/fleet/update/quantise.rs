//! Whole numbers with a scale per output channel, in place of real ones.
//!
//! `int2` chooses the scale of least squares for its codes. The error is then smaller than the numbers, whatever they are:
//! that is what error feedback needs to converge (Karimireddy et al. 2019, assumption A).

/// Numbers of an array of `[O, ...]`: `(code + offset) * scale` of its output channel.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantisedArray {
    pub codes: Vec<i8>,
    /// `[O]`.
    pub scales: Vec<f32>,
    pub offset: f32,
}

/// The levels of `int2` in scales, by code.
pub fn levels() -> [f32; 4] {
    [0, 1, 2, 3].map(|code| code as f32 + OFFSET)
}

const OFFSET: f32 = -1.5;

/// Scale of the first codes, in root mean squares: the best four levels for normally distributed numbers are as far apart
/// (Max 1960, table 2).
const FIRST: f32 = 0.9957;

/// Rounds of choosing codes and scales in turn.
const ROUNDS: usize = 3;

impl QuantisedArray {
    /// Codes -127 to 127; the largest number of a channel is its 127 scales.
    ///
    /// # Panics
    /// If the numbers do not divide into `channels`.
    pub fn int8(values: &[f32], channels: usize) -> Self {
        let (mut codes, mut scales) = (Vec::with_capacity(values.len()), Vec::with_capacity(channels));
        for channel in chunks(values, channels) {
            let largest = channel.iter().fold(0f32, |most, v| most.max(v.abs()));
            let scale = largest / 127.0;
            // Also where the scale is too small for a float: the channel is as good as zero.
            let inverse = if scale >= f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 };
            codes.extend(channel.iter().map(|v| (v * inverse).round().clamp(-127.0, 127.0) as i8));
            scales.push(if inverse > 0.0 { scale } else { 0.0 });
        }
        Self { codes, scales, offset: 0.0 }
    }

    /// Codes 0 to 3.
    ///
    /// # Panics
    /// If the numbers do not divide into `channels`.
    pub fn int2(values: &[f32], channels: usize) -> Self {
        let (mut codes, mut scales) = (Vec::with_capacity(values.len()), Vec::with_capacity(channels));
        for channel in chunks(values, channels) {
            let square: f64 = channel.iter().map(|&v| f64::from(v).powi(2)).sum();
            let mut scale = FIRST * (square / channel.len() as f64).sqrt() as f32;
            let first = codes.len();
            codes.resize(first + channel.len(), 0);
            for _ in 0..ROUNDS {
                scale = refit(channel, scale, &mut codes[first..]);
            }
            scales.push(scale);
        }
        Self { codes, scales, offset: OFFSET }
    }

    /// The numbers that a reader makes of it.
    pub fn values(&self) -> Vec<f32> {
        let per = self.codes.len() / self.scales.len().max(1);
        let scale = |i: usize| self.scales[i / per.max(1)];
        self.codes.iter().enumerate().map(|(i, &code)| (f32::from(code) + self.offset) * scale(i)).collect()
    }

    /// Four codes of `int2` to a byte, the first in its lowest bits.
    pub fn packed(&self) -> Vec<i8> {
        let byte = |codes: &[i8]| codes.iter().enumerate().fold(0u8, |byte, (i, &code)| byte | (code as u8) << (2 * i));
        self.codes.chunks(4).map(|codes| byte(codes) as i8).collect()
    }

    /// `count` codes of `int2` from their bytes.
    pub fn unpacked(packed: &[i8], count: usize, scales: Vec<f32>) -> Self {
        let codes = (0..count).map(|i| (packed[i / 4] as u8 >> (2 * (i % 4)) & 3) as i8).collect();
        Self { codes, scales, offset: OFFSET }
    }
}

fn chunks(values: &[f32], channels: usize) -> std::slice::ChunksExact<'_, f32> {
    assert!(channels > 0 && !values.is_empty() && values.len().is_multiple_of(channels), "{channels} channels");
    values.chunks_exact(values.len() / channels)
}

/// Chooses the nearest codes at a scale, and returns the scale that fits them best.
fn refit(values: &[f32], scale: f32, codes: &mut [i8]) -> f32 {
    let inverse = if scale >= f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 };
    let (mut product, mut square) = (0f64, 0f64);
    for (code, &value) in codes.iter_mut().zip(values) {
        let nearest = (value * inverse - OFFSET).round().clamp(0.0, 3.0);
        *code = nearest as i8;
        let level = f64::from(nearest + OFFSET);
        product += f64::from(value) * level;
        square += level * level;
    }
    if inverse > 0.0 { (product / square) as f32 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_smaller_than_the_numbers_whatever_they_are() {
        let mut spike = vec![0.0; 100];
        spike[7] = 5.0;
        let cases = [spike, vec![1e-3; 64], vec![-2.0], vec![1.0, -1.0, 1e-9], vec![f32::MIN_POSITIVE; 9]];
        for values in cases {
            let square = |v: &[f32]| v.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
            for coarse in [QuantisedArray::int2(&values, 1), QuantisedArray::int8(&values, 1)] {
                let read = coarse.values();
                assert!(read.iter().all(|v| v.is_finite()));
                let left: Vec<f32> = values.iter().zip(read).map(|(v, r)| v - r).collect();
                assert!(square(&left) <= square(&values), "{values:?} leaves {left:?}");
            }
        }
    }

    #[test]
    fn a_channel_of_zeros_stays_one() {
        for coarse in [QuantisedArray::int2(&[0.0; 12], 3), QuantisedArray::int8(&[0.0; 12], 3)] {
            assert_eq!(coarse.values(), [0.0; 12]);
        }
    }

    #[test]
    fn four_codes_share_a_byte() {
        let coarse = QuantisedArray { codes: vec![0, 1, 2, 3, 3], scales: vec![2.0], offset: OFFSET };
        let packed = coarse.packed();
        assert_eq!(packed, [0b1110_0100u8 as i8, 3]);
        assert_eq!(QuantisedArray::unpacked(&packed, 5, vec![2.0]), coarse);
        assert_eq!(coarse.values(), [-3.0, -1.0, 1.0, 3.0, 3.0]);
        assert_eq!(levels(), [-1.5, -0.5, 0.5, 1.5]);
    }

    #[test]
    fn eight_bits_keep_the_largest_of_each_channel() {
        let coarse = QuantisedArray::int8(&[127.0, -3.0, 0.2, 0.1], 2);
        assert_eq!(coarse.codes, [127, -3, 127, 64]);
        assert_eq!(coarse.scales[0], 1.0);
    }
}
