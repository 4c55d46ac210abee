//! Patterns that fill backgrounds and figures: a value in `[0, 1]` for every point.

use rand::Rng;

use super::shape::draw_turn;
use crate::data::draw::Draw;

/// A pattern of the plane, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) enum Texture {
    /// A ramp; `step` is its change per pixel, 0.5 at the scene's middle.
    Gradient {
        step: [f32; 2],
        middle: f32,
    },
    /// Value noise of several octaves, the coarsest `cell` pixels wide.
    Clouds {
        seed: u32,
        cell: f32,
        octaves: u32,
    },
    /// `axis` has the stripes per pixel as its length; `edge` is the steepness of their flanks.
    Stripes {
        axis: [f32; 2],
        edge: f32,
    },
    Checks {
        axis: [f32; 2],
        edge: f32,
    },
    /// Round dots with a radius in cells, at most 0.5.
    Dots {
        axis: [f32; 2],
        radius: f32,
    },
}

impl Texture {
    /// Any of them, at a scale that shows in a patch of `extent` pixels.
    pub(super) fn draw(extent: f32, rng: &mut impl Rng) -> Self {
        let [cos, sin] = draw_turn(rng);
        let mut axis = |fewest: f64, most: f64| {
            let per_pixel = rng.between(fewest, most) as f32 / extent;
            [cos * per_pixel, sin * per_pixel]
        };
        let (coarse, fine) = (axis(0.5, 1.2), axis(2.0, 12.0));
        let edge = rng.between(0.7, 6.0) as f32;
        match rng.below(6) {
            0 => Texture::Gradient { step: coarse, middle: extent / 2.0 },
            1 | 2 => Texture::Clouds {
                seed: rng.next_u32(),
                cell: (extent * rng.between(0.04, 0.5) as f32).max(2.0),
                octaves: 1 + rng.below(5) as u32,
            },
            3 => Texture::Stripes { axis: fine, edge },
            4 => Texture::Checks { axis: fine, edge },
            _ => Texture::Dots { axis: fine, radius: rng.between(0.15, 0.45) as f32 },
        }
    }

    pub(super) fn at(&self, x: f32, y: f32) -> f32 {
        match *self {
            Texture::Gradient { step, middle } => {
                (0.5 + (x - middle) * step[0] + (y - middle) * step[1]).clamp(0.0, 1.0)
            }
            Texture::Clouds { seed, cell, octaves } => clouds(x / cell, y / cell, seed, octaves),
            Texture::Stripes { axis, edge } => flank(wave(x * axis[0] + y * axis[1]), edge),
            Texture::Checks { axis, edge } => {
                let (a, b) = (wave(x * axis[0] + y * axis[1]) - 0.5, wave(y * axis[0] - x * axis[1]) - 0.5);
                flank(a * b * 4.0 + 0.5, edge)
            }
            Texture::Dots { axis, radius } => {
                let (a, b) = (fraction(x * axis[0] + y * axis[1]) - 0.5, fraction(y * axis[0] - x * axis[1]) - 0.5);
                flank(0.5 + radius - (a * a + b * b).sqrt(), 6.0)
            }
        }
    }
}

/// `f32::floor` for values that fit an `i32`, without the library call that baseline x86-64 needs for it.
fn floor(x: f32) -> f32 {
    let whole = x as i32 as f32;
    if whole > x { whole - 1.0 } else { whole }
}

fn fraction(x: f32) -> f32 {
    x - floor(x)
}

/// A triangle wave of period 1.
fn wave(phase: f32) -> f32 {
    (fraction(phase) * 2.0 - 1.0).abs()
}

fn flank(value: f32, steepness: f32) -> f32 {
    ((value - 0.5) * steepness + 0.5).clamp(0.0, 1.0)
}

fn clouds(x: f32, y: f32, seed: u32, octaves: u32) -> f32 {
    let (mut sum, mut total, mut weight, mut frequency) = (0.0, 0.0, 1.0, 1.0);
    for octave in 0..octaves {
        sum += weight * lattice_noise(x * frequency, y * frequency, seed.wrapping_add(octave));
        total += weight;
        weight *= 0.55;
        frequency *= 2.0;
    }
    // the mean of octaves crowds around a half; spread it again
    flank(sum / total, 1.6)
}

/// Random values at whole points, blended smoothly between them.
fn lattice_noise(x: f32, y: f32, seed: u32) -> f32 {
    let (left, top) = (floor(x), floor(y));
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (u, v) = (smooth(x - left), smooth(y - top));
    let (i, j) = (left as i32 as u32, top as i32 as u32);
    let at = |di: u32, dj: u32| hash(i.wrapping_add(di), j.wrapping_add(dj), seed);
    let upper = at(0, 0) + (at(1, 0) - at(0, 0)) * u;
    let lower = at(0, 1) + (at(1, 1) - at(0, 1)) * u;
    upper + (lower - upper) * v
}

fn hash(i: u32, j: u32, seed: u32) -> f32 {
    let mut h = i.wrapping_mul(0x9E37_79B1) ^ j.wrapping_mul(0x85EB_CA77) ^ seed.wrapping_mul(0xC2B2_AE3D);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    ((h ^ (h >> 15)) >> 8) as f32 / (1 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::draw::generator;

    #[test]
    fn every_pattern_stays_in_range_and_varies() {
        for seed in 0..60 {
            let texture = Texture::draw(128.0, &mut generator(seed, 0, 0));
            let values: Vec<f32> =
                (0..128 * 128).map(|i| texture.at((i % 128) as f32 + 0.5, (i / 128) as f32 + 0.5)).collect();
            assert!(values.iter().all(|v| (0.0..=1.0).contains(v)), "{texture:?}");
            let (low, high) = values.iter().fold((1.0f32, 0.0f32), |(l, h), &v| (l.min(v), h.max(v)));
            assert!(high - low > 0.2, "{texture:?} spans {low} to {high}");
        }
    }
}
