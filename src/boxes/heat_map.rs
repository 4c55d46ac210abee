//! A map of values over an image, and how much a box stands out in it.

use super::CornerBox;

/// Width of the rim around a box that its inside is compared with, in the box's width and height.
const RIM: f64 = 0.35;

/// Share of a box's sides that must lie inside the image.
const INSIDE: f64 = 0.4;

/// Places that are tried beside a box: from -1 to 1 of its width and height in so many steps, and so far from its own.
const STEPS: i32 = 8;
const APART: f64 = 0.4;

/// Cells of equal size, row by row.
#[derive(Clone, Debug)]
pub struct HeatMap {
    side: usize,
    /// Of all cells above and to the left of each corner, `[side + 1, side + 1]` (a summed-area table, Crow 1984).
    sums: Vec<f64>,
}

impl HeatMap {
    /// From `values` `[side, side]`.
    ///
    /// # Panics
    /// If the values do not fit.
    pub fn new(values: &[f32], side: usize) -> Self {
        assert_eq!(values.len(), side * side, "a map of {side} x {side}");
        let row = side + 1;
        let mut sums = vec![0.0; row * row];
        for (y, values) in values.chunks_exact(side.max(1)).enumerate() {
            let mut sum = 0.0;
            for (x, value) in values.iter().enumerate() {
                sum += f64::from(*value);
                sums[(y + 1) * row + x + 1] = sums[y * row + x + 1] + sum;
            }
        }
        Self { side, sums }
    }

    /// By how much the mean inside the box exceeds that of the rim around it; `None` where most of the box is outside the
    /// image.
    pub fn contrast(&self, bbox: &CornerBox) -> Option<f64> {
        let (inside, w, h) = (bbox.clipped(), bbox.width(), bbox.height());
        if inside.width() < INSIDE * w || inside.height() < INSIDE * h || inside.area() <= 0.0 {
            return None;
        }
        let (rw, rh) = (RIM * w, RIM * h);
        let around = CornerBox::new(bbox.x0 - rw, bbox.y0 - rh, bbox.x1 + rw, bbox.y1 + rh).clipped();
        let sum = self.sum(&inside);
        let rim = (self.sum(&around) - sum) / (around.area() - inside.area()).max(1e-9);
        Some(sum / inside.area() - rim)
    }

    /// The largest contrast of the box moved by up to its own size, but not by less than four tenths of it; `None` where
    /// there is no such place.
    pub fn contrast_beside(&self, bbox: &CornerBox) -> Option<f64> {
        let at = |step: i32| 2.0 * f64::from(step) / f64::from(STEPS) - 1.0;
        let places = (0..=STEPS).flat_map(|y| (0..=STEPS).map(move |x| (at(x), at(y))));
        let contrasts = places.filter(|(x, y)| x.hypot(*y) > APART).filter_map(|(x, y)| {
            let (dx, dy) = (x * bbox.width(), y * bbox.height());
            self.contrast(&CornerBox::new(bbox.x0 + dx, bbox.y0 + dy, bbox.x1 + dx, bbox.y1 + dy))
        });
        contrasts.reduce(f64::max)
    }

    /// Integral over a box inside the image, whose area is 1.
    fn sum(&self, bbox: &CornerBox) -> f64 {
        let row = self.side + 1;
        let at = |x: f64, y: f64| {
            let split = |v: f64| {
                let v = v * self.side as f64;
                let cell = (v as usize).min(self.side.saturating_sub(1));
                (cell, v - cell as f64)
            };
            let ((x, right), (y, down)) = (split(x), split(y));
            let [above, below] = [y, y + 1].map(|y| {
                let [left, next] = [x, x + 1].map(|x| self.sums[y * row + x]);
                left + right * (next - left)
            });
            above + down * (below - above)
        };
        let whole = at(bbox.x1, bbox.y1) - at(bbox.x0, bbox.y1) - at(bbox.x1, bbox.y0) + at(bbox.x0, bbox.y0);
        whole / (self.side * self.side) as f64
    }
}

/// Share of every cell, `[side, side]`, that the box which covers most of it covers.
pub fn coverage<'a>(boxes: impl IntoIterator<Item = &'a CornerBox>, side: usize) -> Vec<f32> {
    let mut shares = vec![0f32; side * side];
    let covered = |from: f64, to: f64, cell: usize| {
        let (begin, end) = (cell as f64, cell as f64 + 1.0);
        ((to * side as f64).min(end) - (from * side as f64).max(begin)).max(0.0)
    };
    for bbox in boxes {
        for y in 0..side {
            let height = covered(bbox.y0, bbox.y1, y);
            if height <= 0.0 {
                continue;
            }
            for (x, share) in shares[y * side..][..side].iter_mut().enumerate() {
                *share = share.max((height * covered(bbox.x0, bbox.x1, x)) as f32);
            }
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_stands_out_where_the_heat_is() {
        let hot = CornerBox::new(0.3, 0.4, 0.55, 0.7);
        let map = HeatMap::new(&coverage([&hot], 20), 20);
        assert!((map.contrast(&hot).unwrap() - 1.0).abs() < 1e-6);
        assert!(map.contrast_beside(&hot).unwrap() < 0.5);
        // Moved by three quarters of its width: the place where the heat is lies beside it.
        let moved = CornerBox::new(hot.x0 + 0.1875, hot.y0, hot.x1 + 0.1875, hot.y1);
        assert!(map.contrast(&moved).unwrap() < 0.2);
        assert!((map.contrast_beside(&moved).unwrap() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn sums_are_those_of_the_cells() {
        let side = 7;
        let values: Vec<f32> = (0..side * side).map(|i| ((i * 37) % 11) as f32).collect();
        let map = HeatMap::new(&values, side);
        for bbox in [
            CornerBox::new(0.0, 0.0, 1.0, 1.0),
            CornerBox::new(0.13, 0.21, 0.14, 0.93),
            CornerBox::new(0.5, 0.37, 1.0, 0.6),
        ] {
            let shares = coverage([&bbox], side);
            let expected: f64 = shares.iter().zip(&values).map(|(s, v)| f64::from(*s) * f64::from(*v)).sum();
            let found = map.sum(&bbox) * (side * side) as f64;
            assert!((found - expected).abs() < 1e-4, "{bbox:?}: {found} and {expected}");
        }
    }

    #[test]
    fn what_is_mostly_outside_has_no_contrast() {
        let map = HeatMap::new(&[1.0; 16], 4);
        assert_eq!(map.contrast(&CornerBox::new(0.8, 0.1, 1.4, 0.5)), None);
        assert_eq!(map.contrast(&CornerBox::new(0.5, 0.5, 0.5, 0.5)), None);
        let whole = CornerBox::new(0.0, 0.0, 1.0, 1.0);
        // There is no rim: the mean stands for itself. Half of it moved out is still inside enough.
        assert!(map.contrast(&whole).is_some_and(|c| (c - 1.0).abs() < 1e-9) && map.contrast_beside(&whole).is_some());
    }

    #[test]
    fn cells_are_covered_by_shares() {
        let boxes = [CornerBox::new(0.0, 0.0, 0.375, 0.5), CornerBox::new(0.25, 0.0, 0.5, 0.25)];
        assert_eq!(
            coverage(&boxes, 4),
            [1.0, 1.0, 0.0, 0.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        );
    }
}
