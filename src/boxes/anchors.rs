//! The SSD anchor generator in TensorFlow's dialect.
//!
//! M feature maps get scales `s_k = 0.2 + 0.75·k / (M - 1)`, k = 0..M, and `s_M = 1`. An anchor of scale s and aspect
//! ratio a (width / height) has height `s / √a` and width `s·√a`, in fractions of the image, and is centred on
//! its cell. Map 0 has three anchors per cell, (0.1, 1), (s_0, 2), (s_0, 1/2); every other map six: s_k at aspects
//! 1, 2, 1/2, 3, 1/3, then aspect 1 at `√(s_k · s_k+1)`.
//!
//! Order: map, row, column, anchor of the cell; the order in which the heads' outputs are flattened. Anchors are not
//! clipped to the image: those that stick out match the objects at the border.

use super::{CenterBox, CornerBox};

const MIN_SCALE: f64 = 0.2;
const MAX_SCALE: f64 = 0.95;
/// Scale and aspect of the extra-small first anchor on map 0.
const SMALLEST: (f64, f64) = (0.1, 1.0);

/// All anchors of a network with given feature maps, in head order.
#[derive(Clone, Debug, PartialEq)]
pub struct Anchors {
    maps: Vec<[usize; 2]>,
    /// First anchor of every map, and the number of anchors as the last entry.
    offsets: Vec<usize>,
    per_cell: Vec<usize>,
    centers: Vec<CenterBox>,
    corners: Vec<CornerBox>,
}

impl Anchors {
    /// The anchors for feature maps of `[height, width]` cells, largest map first.
    /// Maps of 19, 10, 5, 3, 2 and 1 cells square (a 300 pixel input) give 1917.
    ///
    /// # Panics
    /// If there are fewer than two maps: the scales are spread between the first and the last.
    pub fn tf_ssd(maps: &[[usize; 2]]) -> Self {
        assert!(maps.len() >= 2, "SSD anchors need at least two feature maps, got {}", maps.len());
        let mut offsets = vec![0];
        let mut per_cell = Vec::with_capacity(maps.len());
        let mut centers = Vec::new();
        for (k, &[rows, columns]) in maps.iter().enumerate() {
            let shapes = cell_shapes(k, maps.len());
            for y in 0..rows {
                for x in 0..columns {
                    let cy = (y as f64 + 0.5) / rows as f64;
                    let cx = (x as f64 + 0.5) / columns as f64;
                    centers.extend(shapes.iter().map(|&(scale, aspect)| {
                        let root = aspect.sqrt();
                        CenterBox { cx, cy, w: scale * root, h: scale / root }
                    }));
                }
            }
            per_cell.push(shapes.len());
            offsets.push(centers.len());
        }
        let corners = centers.iter().map(CenterBox::corners).collect();
        Self { maps: maps.to_vec(), offsets, per_cell, centers, corners }
    }

    /// Number of anchors A.
    pub fn len(&self) -> usize {
        self.centers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.centers.is_empty()
    }

    /// `[A]`, in centre form.
    pub fn centers(&self) -> &[CenterBox] {
        &self.centers
    }

    /// `[A]`, the same anchors in corner form, reaching beyond the image where they do.
    pub fn corners(&self) -> &[CornerBox] {
        &self.corners
    }

    /// `[height, width]` in cells of every feature map.
    pub fn maps(&self) -> &[[usize; 2]] {
        &self.maps
    }

    /// `[M + 1]`: map m owns the anchors `offsets[m]..offsets[m + 1]`.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Anchors on each cell of `map`.
    ///
    /// # Panics
    /// If there is no such map.
    pub fn anchors_per_cell(&self, map: usize) -> usize {
        self.per_cell[map]
    }

    /// The feature map that `anchor` stands on.
    ///
    /// # Panics
    /// If `anchor` is not below [`Anchors::len`].
    pub fn map_of(&self, anchor: usize) -> usize {
        assert!(anchor < self.len(), "anchor {anchor} of {}", self.len());
        self.offsets.partition_point(|&first| first <= anchor) - 1
    }
}

/// Scale and aspect ratio of the anchors on one cell of map `k` of `maps`.
fn cell_shapes(k: usize, maps: usize) -> Vec<(f64, f64)> {
    let scale = |k: usize| {
        if k == maps { 1.0 } else { MIN_SCALE + (MAX_SCALE - MIN_SCALE) * k as f64 / (maps - 1) as f64 }
    };
    let s = scale(k);
    if k == 0 {
        return vec![SMALLEST, (s, 2.0), (s, 0.5)];
    }
    let mut shapes: Vec<_> = [1.0, 2.0, 0.5, 3.0, 1.0 / 3.0].map(|aspect| (s, aspect)).into();
    shapes.push(((s * scale(k + 1)).sqrt(), 1.0));
    shapes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_need_not_be_square_nor_six() {
        let anchors = Anchors::tf_ssd(&[[2, 3], [1, 2]]);
        assert_eq!(anchors.len(), 2 * 3 * 3 + 2 * 6);
        assert_eq!(anchors.offsets(), [0, 18, 30]);
        assert_eq!((anchors.anchors_per_cell(0), anchors.anchors_per_cell(1)), (3, 6));
        let second_cell = anchors.centers()[3];
        assert_eq!((second_cell.cx, second_cell.cy), (0.5, 0.25));
        assert_eq!(anchors.centers()[18].w, 0.95);
        assert_eq!(anchors.centers()[23].w, 0.95f64.sqrt());
    }

    #[test]
    fn every_anchor_is_on_the_map_whose_range_holds_it() {
        let anchors = Anchors::tf_ssd(&[[3, 3], [2, 2], [0, 5], [1, 1]]);
        for map in 0..anchors.maps().len() {
            for anchor in anchors.offsets()[map]..anchors.offsets()[map + 1] {
                assert_eq!(anchors.map_of(anchor), map);
            }
        }
    }
}
