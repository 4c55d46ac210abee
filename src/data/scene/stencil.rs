//! The owner of each point of a scene: figures laid over one another on a fine grid.
//!
//! The grid has [`FINE`] x [`FINE`] points per pixel. From it come both the soft edges of the picture and the boxes,
//! so a box is the extent of what can be seen of its figure, tight to a quarter of a pixel.

use super::shape::Figure;
use crate::boxes::CornerBox;

/// Grid points per pixel and axis.
pub(super) const FINE: usize = 4;

/// Share of a figure that must lie in the picture, and share of that which later figures must leave visible.
const IN_PICTURE: f64 = 0.7;
const UNCOVERED: f64 = 0.6;

/// The fine grid; each point names its owner: 0 the background, i the i-th figure laid.
pub(super) struct Stencil {
    size: usize,
    owners: Vec<u8>,
    /// For each figure, its grid points in the picture when laid, and those still visible.
    points: Vec<(usize, usize)>,
}

impl Stencil {
    /// All background; `size` in pixels.
    pub(super) fn new(size: usize) -> Self {
        Self { size, owners: vec![0; size * FINE * size * FINE], points: Vec::new() }
    }

    /// Lays a figure on top, unless too much of it would be outside or too much of another would be covered.
    /// Returns whether it was laid.
    pub(super) fn lay(&mut self, figure: &Figure) -> bool {
        if self.points.len() == usize::from(u8::MAX) || share_in_picture(figure, self.size) < IN_PICTURE {
            return false;
        }
        let side = self.size * FINE;
        let ([cx, cy], reach) = (figure.center(), figure.reach());
        let span = |c: f32| {
            let fine = |pixels: f32| (pixels.max(0.0) as usize * FINE).min(side);
            fine(c - reach)..fine(c + reach + 1.0)
        };
        let at = |k: usize| (k as f32 + 0.5) / FINE as f32;
        let inside = |j: usize| span(cx).filter(move |&i| figure.contains(at(i), at(j))).map(move |i| j * side + i);
        let covered: Vec<usize> = span(cy).flat_map(inside).collect();
        let mut left_over: Vec<usize> = self.points.iter().map(|&(_, visible)| visible).collect();
        for &point in &covered {
            if let Some(owner) = usize::from(self.owners[point]).checked_sub(1) {
                left_over[owner] -= 1;
            }
        }
        let spoils = |(&(laid, _), &left): (&(usize, usize), &usize)| (left as f64) < laid as f64 * UNCOVERED;
        if covered.is_empty() || self.points.iter().zip(&left_over).any(spoils) {
            return false;
        }
        self.points.iter_mut().zip(left_over).for_each(|(points, left)| points.1 = left);
        self.points.push((covered.len(), covered.len()));
        let owner = self.points.len() as u8;
        covered.into_iter().for_each(|point| self.owners[point] = owner);
        true
    }

    /// Calls `f` with each owner of the pixel and how many of its grid points it has.
    pub(super) fn for_owners(&self, x: usize, y: usize, mut f: impl FnMut(usize, usize)) {
        let row = |j: usize| &self.owners[(y * FINE + j) * self.size * FINE + x * FINE..][..FINE];
        let first = row(0)[0];
        if (0..FINE).all(|j| row(j) == [first; FINE]) {
            f(usize::from(first), FINE * FINE);
        } else {
            (0..FINE).for_each(|j| row(j).iter().for_each(|&owner| f(usize::from(owner), 1)));
        }
    }

    /// The extent of what can be seen of each figure, in fractions of the picture.
    pub(super) fn boxes(&self) -> Vec<CornerBox> {
        let side = self.size * FINE;
        let mut bounds = vec![[side, side, 0, 0]; self.points.len()];
        for (y, row) in self.owners.chunks_exact(side).enumerate() {
            for (x, &owner) in row.iter().enumerate() {
                if let Some(i) = usize::from(owner).checked_sub(1) {
                    let b = &mut bounds[i];
                    *b = [b[0].min(x), b[1].min(y), b[2].max(x + 1), b[3].max(y + 1)];
                }
            }
        }
        let part = |v: usize| v as f64 / side as f64;
        bounds.into_iter().map(|b| CornerBox::new(part(b[0]), part(b[1]), part(b[2]), part(b[3]))).collect()
    }
}

/// Share of a figure that lies in the picture, by one point per pixel.
fn share_in_picture(figure: &Figure, size: usize) -> f64 {
    let ([cx, cy], reach) = (figure.center(), figure.reach());
    let span = |c: f32| (c - reach).floor() as i64..=(c + reach).floor() as i64;
    let seen = 0..size as i64;
    let (mut all, mut inside) = (0, 0);
    for y in span(cy) {
        for x in span(cx).filter(|&x| figure.contains(x as f32 + 0.5, y as f32 + 0.5)) {
            all += 1;
            inside += i32::from(seen.contains(&x) && seen.contains(&y));
        }
    }
    f64::from(inside) / f64::from(all.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::draw::{Draw, generator};
    use crate::data::scene::shape::SceneShape;

    #[test]
    fn boxes_touch_their_visible_figure_on_all_four_sides() {
        let mut rng = generator(1, 0, 0);
        let mut stencil = Stencil::new(80);
        let mut laid = 0;
        for _ in 0..200 {
            let figure = Figure::draw(SceneShape::ALL[rng.below(8)], rng.between(8.0, 50.0) as f32, 80, &mut rng);
            laid += usize::from(stencil.lay(&figure));
        }
        let boxes = stencil.boxes();
        assert!(laid >= 5 && boxes.len() == laid, "{laid} laid");
        let side = 80 * FINE;
        let owner = |x: usize, y: usize| usize::from(stencil.owners[y * side + x]);
        for (i, b) in boxes.iter().enumerate() {
            let at = |v: f64| (v * side as f64).round() as usize;
            let (x0, y0, x1, y1) = (at(b.x0), at(b.y0), at(b.x1), at(b.y1));
            assert!((x0..x1).any(|x| owner(x, y0) == i + 1) && (x0..x1).any(|x| owner(x, y1 - 1) == i + 1));
            assert!((y0..y1).any(|y| owner(x0, y) == i + 1) && (y0..y1).any(|y| owner(x1 - 1, y) == i + 1));
            let outside = |x: usize, y: usize| !(x0..x1).contains(&x) || !(y0..y1).contains(&y);
            assert!((0..side * side).all(|k| owner(k % side, k / side) != i + 1 || !outside(k % side, k / side)));
            let visible = (0..side * side).filter(|k| owner(k % side, k / side) == i + 1).count();
            assert_eq!(visible, stencil.points[i].1);
            assert!(visible as f64 >= UNCOVERED * stencil.points[i].0 as f64);
        }
    }
}
