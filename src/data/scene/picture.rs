//! Painting a scene: background, strokes that mean nothing, figures, light, blur and noise.

use rand::Rng;

use super::shape::{Figure, draw_turn};
use super::stencil::{FINE, Stencil};
use super::texture::Texture;
use crate::data::RgbImage;
use crate::data::draw::Draw;
use crate::data::resize::nearest_byte;

/// Red, green and blue in `[0, 255]`.
type Color = [f32; 3];

/// Figures differ from the ground below them by at least this, summed over the channels.
const CONTRAST: f32 = 110.0;

/// Two colours and the pattern that blends them.
struct Paint {
    colors: [Color; 2],
    texture: Texture,
}

impl Paint {
    fn at(&self, x: f32, y: f32) -> Color {
        blend(self.colors[0], self.colors[1], self.texture.at(x, y))
    }
}

/// The finished picture of the figures on `stencil`, in the order in which they were laid.
pub(super) fn paint(size: usize, stencil: &Stencil, figures: &[Figure], rng: &mut impl Rng) -> RgbImage {
    let mut ground = draw_ground(size, rng);
    (0..rng.below(9)).for_each(|_| draw_stroke(&mut ground, size, rng));
    let paints: Vec<Paint> = figures.iter().map(|figure| draw_paint(figure, &ground, size, rng)).collect();
    let mut pixels = Vec::with_capacity(size * size);
    for y in 0..size {
        for x in 0..size {
            let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
            let mut color = [0.0; 3];
            stencil.for_owners(x, y, |owner, points| {
                let part = match owner.checked_sub(1) {
                    None => ground[y * size + x],
                    Some(i) => paints[i].at_figure(&figures[i], px, py),
                };
                let share = points as f32 / (FINE * FINE) as f32;
                (0..3).for_each(|c| color[c] += share * part[c]);
            });
            pixels.push(color);
        }
    }
    light(&mut pixels, size, rng);
    for _ in 0..[0, 0, 1, 2][rng.below(4)] {
        blur(&mut pixels, size);
    }
    let noise = rng.between(0.0, 10.0) as f32;
    RgbImage { width: size, height: size, pixels: pixels.iter().flat_map(|&color| grain(color, noise, rng)).collect() }
}

impl Paint {
    /// The pattern turns and scales with the figure.
    fn at_figure(&self, figure: &Figure, x: f32, y: f32) -> Color {
        let [u, v] = figure.local(x, y);
        self.at((u + 1.0) * FIGURE_EXTENT / 2.0, (v + 1.0) * FIGURE_EXTENT / 2.0)
    }
}

/// Units across a figure in which its texture is drawn.
const FIGURE_EXTENT: f32 = 64.0;

fn draw_color(rng: &mut impl Rng) -> Color {
    [0; 3].map(|_| rng.between(0.0, 255.0) as f32)
}

fn blend(a: Color, b: Color, t: f32) -> Color {
    std::array::from_fn(|c| a[c] + (b[c] - a[c]) * t)
}

fn distance(a: Color, b: Color) -> f32 {
    (0..3).map(|c| (a[c] - b[c]).abs()).sum()
}

/// Two patterns over each other.
fn draw_ground(size: usize, rng: &mut impl Rng) -> Vec<Color> {
    let base = draw_color(rng);
    let reach = rng.between(0.1, 0.8) as f32;
    let paint = |rng: &mut _| Paint {
        colors: [base, blend(base, draw_color(rng), reach)],
        texture: Texture::draw(size as f32, rng),
    };
    let (below, above) = (paint(rng), paint(rng));
    let share = rng.between(0.0, 0.6) as f32;
    let at = |i: usize| {
        let (x, y) = ((i % size) as f32 + 0.5, (i / size) as f32 + 0.5);
        blend(below.at(x, y), above.at(x, y), share)
    };
    (0..size * size).map(at).collect()
}

/// A line that belongs to no class, so that not every edge is a figure's.
fn draw_stroke(ground: &mut [Color], size: usize, rng: &mut impl Rng) {
    let side = size as f32;
    let [cos, sin] = draw_turn(rng);
    let (x, y) = (rng.unit() as f32 * side, rng.unit() as f32 * side);
    let (half, width) = (rng.between(0.03, 0.4) as f32 * side, rng.between(0.5, 3.0) as f32);
    let color = draw_color(rng);
    for (i, pixel) in ground.iter_mut().enumerate() {
        let (dx, dy) = ((i % size) as f32 + 0.5 - x, (i / size) as f32 + 0.5 - y);
        let along = (dx * cos + dy * sin).abs() - half;
        let across = (dy * cos - dx * sin).abs() - width;
        let cover = (0.5 - along.max(across)).clamp(0.0, 1.0);
        if cover > 0.0 {
            *pixel = blend(*pixel, color, cover);
        }
    }
}

/// A paint that stands out from what lies around the figure's centre.
fn draw_paint(figure: &Figure, ground: &[Color], size: usize, rng: &mut impl Rng) -> Paint {
    let around = mean_around(figure, ground, size);
    let mut color = draw_color(rng);
    for _ in 0..30 {
        if distance(color, around) >= CONTRAST {
            break;
        }
        color = draw_color(rng);
    }
    let second = draw_color(rng);
    let other = blend(color, second, rng.between(0.0, 0.5) as f32);
    // a second colour like the ground would dissolve the figure
    let other = if distance(other, around) >= CONTRAST / 2.0 { other } else { color };
    Paint { colors: [color, other], texture: Texture::draw(FIGURE_EXTENT, rng) }
}

fn mean_around(figure: &Figure, ground: &[Color], size: usize) -> Color {
    let ([cx, cy], reach) = (figure.center(), figure.reach());
    let span = |c: f32| ((c - reach).max(0.0) as usize).min(size - 1)..((c + reach) as usize + 1).min(size);
    let mut sum = [0.0; 3];
    let mut count = 0.0;
    for y in span(cy) {
        for color in &ground[y * size..][span(cx)] {
            (0..3).for_each(|c| sum[c] += color[c]);
            count += 1.0;
        }
    }
    sum.map(|s| s / count)
}

/// One side of the scene is brighter than the other.
fn light(pixels: &mut [Color], size: usize, rng: &mut impl Rng) {
    let [cos, sin] = draw_turn(rng);
    let (strength, level) = (rng.between(0.0, 0.5) as f32 / size as f32, rng.between(0.7, 1.1) as f32);
    let middle = size as f32 / 2.0;
    for (i, pixel) in pixels.iter_mut().enumerate() {
        let (dx, dy) = ((i % size) as f32 - middle, (i / size) as f32 - middle);
        let factor = level + (dx * cos + dy * sin) * strength;
        *pixel = pixel.map(|v| v * factor);
    }
}

/// Binomial 1-2-1 along both axes; edge pixels count twice.
fn blur(pixels: &mut [Color], size: usize) {
    let soften =
        |before: Color, at: Color, after: Color| std::array::from_fn(|c| (before[c] + 2.0 * at[c] + after[c]) / 4.0);
    for row in pixels.chunks_exact_mut(size) {
        let mut before = row[0];
        for x in 0..size {
            let at = row[x];
            row[x] = soften(before, at, row[(x + 1).min(size - 1)]);
            before = at;
        }
    }
    for x in 0..size {
        let mut before = pixels[x];
        for y in 0..size {
            let at = pixels[y * size + x];
            pixels[y * size + x] = soften(before, at, pixels[(y + 1).min(size - 1) * size + x]);
            before = at;
        }
    }
}

/// The colour in whole levels after bell-shaped noise with a standard deviation of about half of `strength`.
fn grain(color: Color, strength: f32, rng: &mut impl Rng) -> [u8; 3] {
    let bits = rng.next_u64();
    std::array::from_fn(|c| {
        // three 7-bit numbers, together -1..=1
        let sum: u64 = (0..3).map(|k| bits >> (21 * c + 7 * k) & 127).sum();
        let noise = (sum as f32 - 190.5) / 190.5;
        nearest_byte((color[c] + noise * 1.5 * strength).clamp(0.0, 255.0))
    })
}
