//! Photometric distortion: brightness, contrast, saturation and hue, drawn once and applied to all pixels.
//!
//! Saturation and hue are those of the HSV hexcone, but HSV itself is never stored. With V the largest channel,
//! C = V - min the chroma and h in sextants, saturation S = C / V is scaled by scaling C (at most to V), and
//! each channel is `V - C · clamp(min(k, 4 - k), 0, 1)` with `k = (n + h) mod 6`, n = 5, 3, 1 for R, G, B.
//! Without a turn of the hue this shortens to `V - (V - channel) · factor`. No branch depends on a pixel, and
//! pixels are handled in blocks of planes, so that the compiler vectorises it. Brightness and contrast act on each
//! channel alone: a table of the 256 levels.

use rand::Rng;

use super::AugmentOptions;
use crate::data::draw::Draw;
use crate::data::resize::nearest_byte;

/// One drawn change of colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Distortion {
    /// Added to each channel, of 255.
    brightness: f32,
    /// Multiplies each channel before saturation and hue change.
    contrast_before: f32,
    saturation: f32,
    /// In sextants: 60 degrees are 1.
    hue: f32,
    /// Multiplies each channel after saturation and hue changed.
    contrast_after: f32,
}

const NONE: Distortion =
    Distortion { brightness: 0.0, contrast_before: 1.0, saturation: 1.0, hue: 0.0, contrast_after: 1.0 };

/// Pixels per block: three planes of it stay in the first-level cache.
const BLOCK: usize = 128;

impl Distortion {
    pub(super) fn draw(options: &AugmentOptions, rng: &mut impl Rng) -> Self {
        let mut drawn = NONE;
        if rng.coin(options.brightness_probability) {
            drawn.brightness = rng.between(-options.brightness, options.brightness) as f32;
        }
        let first = rng.coin(0.5);
        if rng.coin(options.contrast_probability) {
            let factor = rng.between(options.contrast[0], options.contrast[1]) as f32;
            *(if first { &mut drawn.contrast_before } else { &mut drawn.contrast_after }) = factor;
        }
        if rng.coin(options.color_probability) {
            if rng.coin(options.saturation_probability) {
                drawn.saturation = rng.between(options.saturation[0], options.saturation[1]) as f32;
            }
            if rng.coin(options.hue_probability) {
                let limit = options.hue_degrees.clamp(0.0, 180.0);
                drawn.hue = (rng.between(-limit, limit) / 60.0) as f32;
            }
        }
        drawn
    }

    /// Changes RGB triples in place.
    pub(super) fn apply(&self, rgb: &mut [u8]) {
        if *self == NONE {
            return;
        }
        let before = table(|v| (v + self.brightness) * self.contrast_before);
        if self.hue == 0.0 && self.saturation == 1.0 {
            let both: [u8; 256] = before.map(|v| nearest_byte((v * self.contrast_after).clamp(0.0, 255.0)));
            rgb.iter_mut().for_each(|v| *v = both[usize::from(*v)]);
            return;
        }
        for pixels in rgb.chunks_mut(BLOCK * 3) {
            let mut planes = [[0.0f32; BLOCK]; 3];
            for (i, pixel) in pixels.chunks_exact(3).enumerate() {
                for c in 0..3 {
                    planes[c][i] = before[usize::from(pixel[c])];
                }
            }
            if self.hue != 0.0 {
                turn_hue(&mut planes, self.hue, self.saturation);
            } else {
                saturate(&mut planes, self.saturation);
            }
            for (i, pixel) in pixels.chunks_exact_mut(3).enumerate() {
                for c in 0..3 {
                    pixel[c] = nearest_byte((planes[c][i] * self.contrast_after).min(255.0));
                }
            }
        }
    }
}

/// The new value of each level of a channel, held in `[0, 255]`.
fn table(f: impl Fn(f32) -> f32) -> [f32; 256] {
    std::array::from_fn(|level| f(level as f32).clamp(0.0, 255.0))
}

/// Scales the saturation of values in `[0, 255]`.
fn saturate([r, g, b]: &mut [[f32; BLOCK]; 3], factor: f32) {
    for ((r, g), b) in r.iter_mut().zip(g).zip(b) {
        let value = max(max(*r, *g), *b);
        let chroma = value - min(min(*r, *g), *b);
        let factor = min(factor, value / max(chroma, TINY));
        *r = value - (value - *r) * factor;
        *g = value - (value - *g) * factor;
        *b = value - (value - *b) * factor;
    }
}

/// Turns the hue of values in `[0, 255]` by `turn` sextants in `[-3, 3]` and scales the saturation.
fn turn_hue([r, g, b]: &mut [[f32; BLOCK]; 3], turn: f32, saturation: f32) {
    for ((r, g), b) in r.iter_mut().zip(g).zip(b) {
        let value = max(max(*r, *g), *b);
        let chroma = value - min(min(*r, *g), *b);
        let unit = 1.0 / max(chroma, TINY);
        let from_red = (*g - *b) * unit;
        let from_green = (*b - *r) * unit + 2.0;
        let from_blue = (*r - *g) * unit + 4.0;
        let from_value = if *r == value {
            from_red
        } else if *g == value {
            from_green
        } else {
            from_blue
        };
        // -1..=5 from the definition and -3..=3 from the turn
        let hue = from_value + turn;
        let hue = wrap(if hue < 0.0 { hue + 6.0 } else { hue });
        let chroma = min(chroma * saturation, value);
        *r = value - chroma * ramp(hue + 5.0);
        *g = value - chroma * ramp(hue + 3.0);
        *b = value - chroma * ramp(hue + 1.0);
    }
}

/// Chroma of a grey pixel, in place of the zero that cannot divide.
const TINY: f32 = 1e-6;

/// `min(k, 4 - k)` held in `[0, 1]`, k in `[0, 12)` taken modulo 6.
fn ramp(k: f32) -> f32 {
    let k = wrap(k);
    max(min(min(k, 4.0 - k), 1.0), 0.0)
}

fn wrap(sextants: f32) -> f32 {
    if sextants >= 6.0 { sextants - 6.0 } else { sextants }
}

// `f32::max` and `min` treat NaN specially, which costs instructions; no NaN arises from pixels
fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

fn min(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::draw::generator;

    /// The textbook way there and back: RGB to HSV, change, HSV to RGB by the six cases.
    fn oracle(d: &Distortion, rgb: [u8; 3]) -> [f64; 3] {
        let [r, g, b] =
            rgb.map(|v| ((f64::from(v) + f64::from(d.brightness)) * f64::from(d.contrast_before)).clamp(0.0, 255.0));
        let (v, low) = (r.max(g).max(b), r.min(g).min(b));
        let c = v - low;
        let h = match c {
            0.0 => 0.0,
            _ if v == r => 60.0 * ((g - b) / c),
            _ if v == g => 60.0 * ((b - r) / c + 2.0),
            _ => 60.0 * ((r - g) / c + 4.0),
        };
        let h = (h + 60.0 * f64::from(d.hue)).rem_euclid(360.0);
        let s = if v > 0.0 { (c / v * f64::from(d.saturation)).min(1.0) } else { 0.0 };
        let c = v * s;
        let x = c * (1.0 - ((h / 60.0) % 2.0 - 1.0).abs());
        let rgb = match h as usize / 60 {
            0 => [c, x, 0.0],
            1 => [x, c, 0.0],
            2 => [0.0, c, x],
            3 => [0.0, x, c],
            4 => [x, 0.0, c],
            _ => [c, 0.0, x],
        };
        rgb.map(|u| ((u + v - c) * f64::from(d.contrast_after)).clamp(0.0, 255.0))
    }

    #[test]
    fn it_agrees_with_the_textbook_to_half_a_level() {
        let mut rng = generator(3, 0, 0);
        let wild = AugmentOptions { hue_degrees: 180.0, saturation: [0.0, 3.0], ..AugmentOptions::default() };
        for options in [AugmentOptions::default(), wild] {
            for _ in 0..300 {
                let distortion = Distortion::draw(&options, &mut rng);
                let mut pixels: Vec<u8> = (0..200 * 3).map(|_| rng.below(256) as u8).collect();
                pixels[..15].copy_from_slice(&[0, 0, 0, 255, 255, 255, 9, 9, 9, 255, 0, 0, 0, 0, 255]);
                let before = pixels.clone();
                distortion.apply(&mut pixels);
                for (before, after) in before.chunks(3).zip(pixels.chunks(3)) {
                    let want = oracle(&distortion, [before[0], before[1], before[2]]);
                    for c in 0..3 {
                        let error = (f64::from(after[c]) - want[c]).abs();
                        assert!(error < 0.51, "{distortion:?} {before:?}: {after:?} for {want:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_drawn_changes_nothing() {
        let options = AugmentOptions::default().without_photometric();
        for seed in 0..20 {
            assert_eq!(Distortion::draw(&options, &mut generator(seed, 0, 0)), NONE);
        }
        let mut pixels: Vec<u8> = (0..=255).flat_map(|v| [v, 255 - v, v / 2]).collect();
        let before = pixels.clone();
        // the arithmetic too is exact where the numbers are neutral
        Distortion { brightness: 1e-30, ..NONE }.apply(&mut pixels);
        Distortion { saturation: 1.0 + f32::EPSILON, ..NONE }.apply(&mut pixels);
        Distortion { hue: 1e-30, ..NONE }.apply(&mut pixels);
        assert_eq!(pixels, before);
    }

    #[test]
    fn every_part_is_drawn_about_as_often_as_asked() {
        let drawn: Vec<Distortion> =
            (0..4000).map(|s| Distortion::draw(&AugmentOptions::default(), &mut generator(s, 7, 0))).collect();
        let share = |f: fn(&Distortion) -> bool| drawn.iter().filter(|d| f(d)).count() as f64 / 4000.0;
        for (name, got, want) in [
            ("brightness", share(|d| d.brightness != 0.0), 0.5),
            ("contrast before", share(|d| d.contrast_before != 1.0), 0.25),
            ("contrast after", share(|d| d.contrast_after != 1.0), 0.25),
            ("saturation", share(|d| d.saturation != 1.0), 0.375),
            ("hue", share(|d| d.hue != 0.0), 0.375),
        ] {
            assert!((got - want).abs() < 0.03, "{name}: {got} for {want}");
        }
    }
}
