//! The figures to be found: which points of the plane belong to one, and where it stands.
//!
//! Only the four operations and roots are used, which round alike on every machine: a scene's boxes and pixels do
//! not depend on a maths library. Angles come from the rational form of the circle, `((1-t²), 2t) / (1+t²)`.

use rand::Rng;

use crate::data::draw::Draw;

/// A figure around the origin with a radius of about 1, y downwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum SceneShape {
    Disc,
    Square,
    Triangle,
    Ring,
    Star,
    Cross,
    Crescent,
    Arrow,
    HalfDisc,
    Frame,
    Hexagon,
    Tee,
    Ell,
    BowTie,
    Pie,
    Zigzag,
}

/// Outward normals of the regular pentagon's sides.
const PENTAGON: [[f32; 2]; 5] = [
    [0.0, 1.0],
    [0.951_056_5, 0.309_017],
    [0.587_785_25, -0.809_017],
    [-0.587_785_25, -0.809_017],
    [-0.951_056_5, 0.309_017],
];

impl SceneShape {
    pub(super) const ALL: [SceneShape; 16] = [
        SceneShape::Disc,
        SceneShape::Square,
        SceneShape::Triangle,
        SceneShape::Ring,
        SceneShape::Star,
        SceneShape::Cross,
        SceneShape::Crescent,
        SceneShape::Arrow,
        SceneShape::HalfDisc,
        SceneShape::Frame,
        SceneShape::Hexagon,
        SceneShape::Tee,
        SceneShape::Ell,
        SceneShape::BowTie,
        SceneShape::Pie,
        SceneShape::Zigzag,
    ];

    /// No point farther from the origin belongs to any figure.
    const REACH: f32 = 1.15;

    fn contains(self, u: f32, v: f32) -> bool {
        let square = u * u + v * v;
        match self {
            SceneShape::Disc => square <= 1.0,
            SceneShape::Square => u.abs() <= 0.8 && v.abs() <= 0.8,
            SceneShape::Triangle => v <= 0.5 && v >= 1.732_050_8 * u.abs() - 1.0,
            SceneShape::Ring => (0.3..=1.0).contains(&square),
            // a pentagram is what lies behind at least four of the five lines that make it
            SceneShape::Star => PENTAGON.iter().filter(|n| n[0] * u + n[1] * v <= 0.309_017).count() >= 4,
            SceneShape::Cross => u.abs().min(v.abs()) <= 0.3 && u.abs().max(v.abs()) <= 1.0,
            SceneShape::Crescent => square <= 1.0 && (u - 0.45) * (u - 0.45) + v * v > 0.64,
            SceneShape::Arrow => {
                (v.abs() <= 0.25 && (-1.0..=0.1).contains(&u)) || (u >= 0.1 && v.abs() <= 0.9 * (1.0 - u))
            }
            SceneShape::HalfDisc => square <= 1.0 && v <= 0.2,
            SceneShape::Frame => (0.45..=0.8).contains(&u.abs().max(v.abs())),
            SceneShape::Hexagon => u.abs() <= 0.866_025_4 && 0.577_350_27 * u.abs() + v.abs() <= 1.0,
            SceneShape::Tee => {
                (u.abs() <= 0.8 && (-0.8..=-0.3).contains(&v)) || (u.abs() <= 0.25 && (-0.3..=1.0).contains(&v))
            }
            SceneShape::Ell => u.abs().max(v.abs()) <= 0.8 && (u <= -0.3 || v >= 0.3),
            SceneShape::BowTie => u.abs() <= 0.8 && v.abs() <= u.abs(),
            SceneShape::Pie => square <= 1.0 && v.abs() >= u,
            SceneShape::Zigzag => {
                v.abs() <= 0.6 && ((v <= 0.0 && (-0.9..=0.3).contains(&u)) || (v >= 0.0 && (-0.3..=0.9).contains(&u)))
            }
        }
    }
}

/// A figure somewhere in a scene: scaled, stretched and turned. Pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) shape: SceneShape,
    center: [f32; 2],
    radius: [f32; 2],
    /// Cosine and sine.
    turn: [f32; 2],
}

impl Figure {
    /// Somewhere in a scene of `size` pixels, its longest side roughly `length`.
    pub(super) fn draw(shape: SceneShape, length: f32, size: usize, rng: &mut impl Rng) -> Self {
        let stretch = rng.between(0.6, 1.0) as f32;
        let center = [rng.unit() as f32 * size as f32, rng.unit() as f32 * size as f32];
        Self { shape, center, radius: [length / 2.0, length / 2.0 * stretch], turn: draw_turn(rng) }
    }

    pub(super) fn contains(&self, x: f32, y: f32) -> bool {
        let [u, v] = self.local(x, y);
        self.shape.contains(u, v)
    }

    /// The point in the figure's own coordinates.
    pub(super) fn local(&self, x: f32, y: f32) -> [f32; 2] {
        let ([dx, dy], [cos, sin]) = ([x - self.center[0], y - self.center[1]], self.turn);
        [(dx * cos + dy * sin) / self.radius[0], (dy * cos - dx * sin) / self.radius[1]]
    }

    pub(super) fn center(&self) -> [f32; 2] {
        self.center
    }

    /// Half the side of a square around the centre outside which no point belongs to the figure.
    pub(super) fn reach(&self) -> f32 {
        self.radius[0].max(self.radius[1]) * SceneShape::REACH
    }
}

/// Cosine and sine of a random angle, all quarters alike.
pub(super) fn draw_turn(rng: &mut impl Rng) -> [f32; 2] {
    let (t, quarter) = (rng.unit() as f32, rng.below(4));
    let (cos, sin) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
    [[cos, sin], [-sin, cos], [-cos, -sin], [sin, -cos]][quarter]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_shape_reaches_farther_than_stated_and_none_is_thin() {
        for shape in SceneShape::ALL {
            let mut inside = 0;
            for i in 0..200 {
                for j in 0..200 {
                    let (u, v) = ((i as f32 - 99.5) / 66.0, (j as f32 - 99.5) / 66.0);
                    if shape.contains(u, v) {
                        inside += 1;
                        assert!(u * u + v * v <= SceneShape::REACH * SceneShape::REACH, "{shape:?} at {u}, {v}");
                    }
                }
            }
            let area = f64::from(inside) / (66.0 * 66.0);
            assert!((0.8..3.2).contains(&area), "{shape:?} has area {area}");
        }
    }
}
