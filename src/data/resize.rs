//! Resampling 8-bit RGB images, and turning them into the network's numbers.
//!
//! Each axis follows its own rule: where it shrinks, an output pixel is the mean of the source interval it covers,
//! partly covered pixels counting by the covered part (OpenCV's `INTER_AREA`); where it grows, it is the linear
//! interpolation between the two nearest source pixels (`INTER_LINEAR`, edge pixels repeated).
//!
//! Both axes are a weighted sum over a short run of source pixels, so the work is separable: first the rows that one
//! output row needs are summed (unit stride, vectorises over the whole row), then that one row is resampled.
//! An intermediate image never exists; the extra memory is one row.
//!
//! Why not a library: those that are fast offer a box filter of whole pixels, which at the ratios met here (1 to 2)
//! takes one source pixel for some outputs and two for others, an irregular shift of up to half a pixel.

use super::RgbImage;

/// A rectangle of whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

impl Rect {
    /// The whole of `image`.
    pub fn of(image: &RgbImage) -> Self {
        Self { x: 0, y: 0, width: image.width, height: image.height }
    }

    pub fn area(&self) -> usize {
        self.width * self.height
    }

    fn is_within(&self, image: &RgbImage) -> bool {
        self.x + self.width <= image.width && self.y + self.height <= image.height
    }
}

/// `image` at another size.
///
/// # Panics
/// If either image has no pixels.
pub fn resize(image: &RgbImage, width: usize, height: usize) -> RgbImage {
    let mut out = RgbImage { width, height, pixels: vec![0; width * height * 3] };
    let target = Rect::of(&out);
    resize_into(image, Rect::of(image), &mut out, target);
    out
}

/// Resamples the `source` part of `image` into the `target` part of `canvas`; the rest of the canvas stays.
/// Pixels outside `source` have no influence.
///
/// # Panics
/// If a rectangle is empty or leaves its image.
pub fn resize_into(image: &RgbImage, source: Rect, canvas: &mut RgbImage, target: Rect) {
    assert!(source.is_within(image) && source.area() > 0, "source {source:?}");
    assert!(target.is_within(canvas) && target.area() > 0, "target {target:?}");
    let columns = ResizeTaps::new(source.width, target.width);
    let rows = ResizeTaps::new(source.height, target.height);
    let stride = image.width * 3;
    let row_of = |y: usize| &image.pixels[(source.y + y) * stride + source.x * 3..][..source.width * 3];
    // one element more, so that the last pixel too can be read as four values
    let mut sum = vec![0.0f32; source.width * 3 + 1];
    for y in 0..target.height {
        let (first, weights) = rows.of(y);
        sum_rows(&mut sum[..source.width * 3], weights, |k| row_of(first + k));
        let start = ((target.y + y) * canvas.width + target.x) * 3;
        resample_row(&sum, &columns, &mut canvas.pixels[start..][..target.width * 3]);
    }
}

/// The network's input for a pixel's channel.
fn normal(value: u8) -> f32 {
    f32::from(value) / 127.5 - 1.0
}

/// Network input from pixels: `u8 / 127.5 - 1`, overwriting `out` (`[H, W, 3]`).
///
/// # Panics
/// If `out` does not have the image's size.
pub fn normalise(image: &RgbImage, out: &mut [f32]) {
    assert_eq!(image.pixels.len(), out.len(), "one value per pixel and channel");
    out.iter_mut().zip(&image.pixels).for_each(|(value, &pixel)| *value = normal(pixel));
}

/// As [`normalise`], for the pixels of any number of images.
pub fn normalised(pixels: Vec<u8>) -> Vec<f32> {
    pixels.into_iter().map(normal).collect()
}

/// For each output pixel of one axis, the source pixels it is made of and their weights, which sum to 1.
/// All have the same number of weights, some of them zero.
struct ResizeTaps {
    first: Vec<usize>,
    weights: Vec<f32>,
    window: usize,
}

impl ResizeTaps {
    fn new(source: usize, target: usize) -> Self {
        if source > target { Self::area(source, target) } else { Self::linear(source, target) }
    }

    fn area(source: usize, target: usize) -> Self {
        let scale = source as f64 / target as f64;
        let window = (scale.ceil() as usize + 1).min(source);
        let mut taps = Self::zero(target, window);
        for (i, (first, weights)) in taps.first.iter_mut().zip(taps.weights.chunks_exact_mut(window)).enumerate() {
            let (from, to) = (i as f64 * scale, (i + 1) as f64 * scale);
            *first = (from as usize).min(source - window);
            for (k, weight) in weights.iter_mut().enumerate() {
                let pixel = (*first + k) as f64;
                *weight = ((to.min(pixel + 1.0) - from.max(pixel)).max(0.0) / scale) as f32;
            }
        }
        taps
    }

    fn linear(source: usize, target: usize) -> Self {
        let scale = source as f64 / target as f64;
        let window = source.min(2);
        let mut taps = Self::zero(target, window);
        for (i, (first, weights)) in taps.first.iter_mut().zip(taps.weights.chunks_exact_mut(window)).enumerate() {
            let center = ((i as f64 + 0.5) * scale - 0.5).clamp(0.0, (source - 1) as f64);
            *first = (center as usize).min(source - window);
            let right = (center - *first as f64) as f32;
            weights[0] = 1.0 - right;
            if let Some(weight) = weights.get_mut(1) {
                *weight = right;
            }
        }
        taps
    }

    fn zero(target: usize, window: usize) -> Self {
        Self { first: vec![0; target], weights: vec![0.0; target * window], window }
    }

    fn of(&self, i: usize) -> (usize, &[f32]) {
        (self.first[i], &self.weights[i * self.window..][..self.window])
    }
}

/// `sum = Σ weights[k] · row(k)`, overwriting. Rows are taken in pairs, which halves the traffic on `sum`.
fn sum_rows<'a>(sum: &mut [f32], weights: &[f32], row: impl Fn(usize) -> &'a [u8]) {
    for (pair, w) in weights.chunks(2).enumerate() {
        let (a, wa) = (row(2 * pair), w[0]);
        let (b, wb) = if w.len() > 1 { (row(2 * pair + 1), w[1]) } else { (a, 0.0) };
        let values = sum.iter_mut().zip(a).zip(b);
        if pair == 0 {
            values.for_each(|((s, &a), &b)| *s = wa * f32::from(a) + wb * f32::from(b));
        } else {
            values.for_each(|((s, &a), &b)| *s += wa * f32::from(a) + wb * f32::from(b));
        }
    }
}

/// One output row from one summed row of RGB triples followed by one spare element.
/// Pixels are taken as four values of which the fourth is ignored: that is one vector.
fn resample_row(row: &[f32], columns: &ResizeTaps, out: &mut [u8]) {
    let weights = columns.weights.chunks_exact(columns.window);
    for ((out, &first), weights) in out.chunks_exact_mut(3).zip(&columns.first).zip(weights) {
        let run = &row[first * 3..][..weights.len() * 3 + 1];
        let mut sum = [0.0f32; 4];
        for (k, &w) in weights.iter().enumerate() {
            let pixel = &run[k * 3..k * 3 + 4];
            for c in 0..4 {
                sum[c] += w * pixel[c];
            }
        }
        let bytes = sum.map(nearest_byte);
        out.copy_from_slice(&bytes[..3]);
    }
}

/// The nearest integer to a value that lies in `[0, 255]` up to rounding.
///
/// Adding 2^23 leaves an `f32` no fraction bits, so that the integer stands in the low bits of the sum: two cheap
/// instructions that vectorise, where a cast would also have to test for values out of range.
pub(super) fn nearest_byte(value: f32) -> u8 {
    (value + 8_388_608.0).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::draw::{Draw, generator};

    fn noise(width: usize, height: usize, seed: u64) -> RgbImage {
        let mut rng = generator(seed, 0, 0);
        RgbImage { width, height, pixels: (0..width * height * 3).map(|_| rng.below(256) as u8).collect() }
    }

    #[test]
    fn a_constant_image_stays_constant_at_every_size() {
        for (w, h, tw, th) in
            [(7, 5, 3, 2), (7, 5, 20, 31), (1, 1, 9, 9), (9, 9, 1, 1), (512, 3, 300, 300), (2, 90, 3, 7)]
        {
            let image = RgbImage { width: w, height: h, pixels: vec![201; w * h * 3] };
            assert!(resize(&image, tw, th).pixels.iter().all(|&p| p == 201), "{w}x{h} to {tw}x{th}");
        }
    }

    #[test]
    fn the_same_size_is_the_same_image() {
        let image = noise(31, 17, 1);
        assert_eq!(resize(&image, 31, 17), image);
    }

    #[test]
    fn halving_takes_the_mean_of_two_by_two() {
        let image = noise(12, 8, 2);
        let half = resize(&image, 6, 4);
        for (i, &got) in half.pixels.iter().enumerate() {
            let (c, x, y) = (i % 3, i / 3 % 6, i / 18);
            let at = |dx: usize, dy: usize| u32::from(image.pixels[((2 * y + dy) * 12 + 2 * x + dx) * 3 + c]);
            let mean = (at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1)) as f64 / 4.0;
            assert!((f64::from(got) - mean).abs() <= 0.5, "{got} for {mean}");
        }
    }

    #[test]
    fn partly_covered_pixels_count_by_the_covered_part() {
        let image = RgbImage { width: 3, height: 1, pixels: vec![0, 0, 0, 90, 90, 90, 240, 240, 240] };
        // each output pixel covers one and a half source pixels
        assert_eq!(resize(&image, 2, 1).pixels, [30, 30, 30, 190, 190, 190]);
    }

    #[test]
    fn growing_interpolates_linearly_and_repeats_the_edge() {
        let image = RgbImage { width: 2, height: 1, pixels: vec![0, 0, 0, 100, 100, 100] };
        let grown: Vec<u8> = resize(&image, 4, 1).pixels.chunks(3).map(|p| p[0]).collect();
        assert_eq!(grown, [0, 25, 75, 100]);
    }

    #[test]
    fn a_part_is_resized_as_if_it_were_cut_out_and_the_rest_of_the_canvas_stays() {
        let image = noise(40, 30, 3);
        let source = Rect { x: 5, y: 7, width: 20, height: 11 };
        let cut = RgbImage {
            width: 20,
            height: 11,
            pixels: (7..18).flat_map(|y| image.pixels[(y * 40 + 5) * 3..][..60].to_vec()).collect(),
        };
        let mut canvas = RgbImage { width: 33, height: 33, pixels: vec![9; 33 * 33 * 3] };
        resize_into(&image, source, &mut canvas, Rect { x: 2, y: 4, width: 13, height: 25 });
        let alone = resize(&cut, 13, 25);
        for y in 0..33 {
            for x in 0..33 {
                let got = &canvas.pixels[(y * 33 + x) * 3..][..3];
                let inside = (2..15).contains(&x) && (4..29).contains(&y);
                let want = if inside { &alone.pixels[((y - 4) * 13 + x - 2) * 3..][..3] } else { &[9, 9, 9][..] };
                assert_eq!(got, want, "at {x}, {y}");
            }
        }
    }

    #[test]
    fn the_nearest_byte_is_the_rounded_value() {
        for i in 0..=25_500 {
            let value = i as f32 / 100.0;
            assert_eq!(nearest_byte(value), value.round_ties_even() as u8, "{value}");
        }
        assert_eq!((nearest_byte(-1e-4), nearest_byte(255.001)), (0, 255));
    }

    #[test]
    fn normalised_values_span_minus_one_to_one() {
        let image = RgbImage { width: 1, height: 1, pixels: vec![0, 51, 255] };
        let mut out = [9.0; 3];
        normalise(&image, &mut out);
        assert_eq!(out, [-1.0, 51.0 / 127.5 - 1.0, 1.0]);
    }
}
