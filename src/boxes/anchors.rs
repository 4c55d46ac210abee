//! The anchors of a network, all of them: places and shapes that boxes are coded against.
//!
//! Order: map, row, column, anchor of the cell; the order in which the heads' outputs are flattened. TensorFlow's anchors
//! are not clipped to the image: those that stick out match the objects at the border.

use super::anchor_rule::{AnchorError, AnchorRule};
use super::{CenterBox, CornerBox};

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
    /// The anchors of `rule` for feature maps of `[height, width]` cells, largest map first, on an input of
    /// `[height, width]` pixels.
    ///
    /// # Errors
    /// If the rule is not one for so many maps.
    pub fn of(rule: &AnchorRule, maps: &[[usize; 2]], size: [usize; 2]) -> Result<Self, AnchorError> {
        rule.check(maps.len())?;
        let (mut offsets, mut centers) = (vec![0], Vec::new());
        for map in 0..maps.len() {
            centers.extend(rule.of_map(map, maps, size));
            offsets.push(centers.len());
        }
        let per_cell = (0..maps.len()).map(|map| rule.anchors_per_cell(map)).collect();
        let corners = centers.iter().map(CenterBox::corners).collect();
        Ok(Self { maps: maps.to_vec(), offsets, per_cell, centers, corners })
    }

    /// TensorFlow's anchors with a reduced lowest map, on a square input.
    /// Maps of 19, 10, 5, 3, 2 and 1 cells square (a 300 pixel input) give 1917.
    ///
    /// # Panics
    /// If there are fewer than two maps.
    pub fn tf_ssd(maps: &[[usize; 2]]) -> Self {
        Self::of(&AnchorRule::default(), maps, [1, 1]).unwrap_or_else(|e| panic!("{e}"))
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

#[cfg(test)]
mod tests {
    use super::super::CellAnchors;
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

    const MAPS: [[usize; 2]; 6] = [[19, 19], [10, 10], [5, 5], [3, 3], [2, 2], [1, 1]];

    #[test]
    fn anchors_are_square_in_pixels_on_any_input() {
        let maps = [[15, 20], [8, 10], [4, 5], [2, 3], [1, 2], [1, 1]];
        let rule = AnchorRule::Tf { reduced_lowest: true };
        let anchors = Anchors::of(&rule, &maps, [240, 320]).unwrap();
        let first = anchors.centers()[0];
        assert!((first.w * 320.0 - 24.0).abs() < 1e-9 && (first.h * 240.0 - 24.0).abs() < 1e-9, "{first:?}");
        assert_eq!((first.cx, first.cy), (0.5 / 20.0, 0.5 / 15.0));
    }

    #[test]
    fn six_anchors_on_every_map_are_3000() {
        for rule in [AnchorRule::Tf { reduced_lowest: false }, AnchorRule::PytorchSsd] {
            let anchors = Anchors::of(&rule, &MAPS, [300, 300]).unwrap();
            assert_eq!((anchors.len(), anchors.anchors_per_cell(0)), (3000, 6), "{rule}");
        }
    }

    /// Priors as pytorch-ssd's configuration gives them, worked out by hand.
    #[test]
    fn pytorch_ssds_anchors_have_its_sizes() {
        let anchors = Anchors::of(&AnchorRule::PytorchSsd, &MAPS, [300, 300]).unwrap();
        let near = |a: CenterBox, cx: f64, cy: f64, w: f64, h: f64| {
            [a.cx - cx, a.cy - cy, a.w - w, a.h - h].iter().all(|d| d.abs() < 1e-6)
        };
        let all = anchors.centers();
        assert!(near(all[0], 8.0 / 300.0, 8.0 / 300.0, 0.2, 0.2), "{:?}", all[0]);
        assert!(near(all[1], 8.0 / 300.0, 8.0 / 300.0, 0.264_575, 0.264_575), "{:?}", all[1]);
        assert!(near(all[2], 8.0 / 300.0, 8.0 / 300.0, 0.282_843, 0.141_421), "{:?}", all[2]);
        assert!(near(all[3], 8.0 / 300.0, 8.0 / 300.0, 0.141_421, 0.282_843), "{:?}", all[3]);
        // The last column's centre on map 0 lies in the image, at 296 pixels; the last map's largest shape is clamped.
        assert!(near(all[6 * 18], 296.0 / 300.0, 8.0 / 300.0, 0.2, 0.2), "{:?}", all[6 * 18]);
        assert!(near(all[2994 + 1], 0.5, 0.5, 1.0, 1.0), "{:?}", all[2995]);
        assert!(near(all[2994 + 4], 0.5, 0.5, 1.0, 0.548_483), "{:?}", all[2998]);
    }

    #[test]
    fn a_rule_can_be_written_down_and_read_back() {
        let cells = CellAnchors { shapes: vec![[0.1, 0.25], [0.3, 0.2]], step: [1.0, 1.0], offset: [0.5, 0.5] };
        let own = AnchorRule::Cells { maps: vec![cells; 2], clipped: true };
        let anchors = Anchors::of(&own, &[[2, 2], [1, 1]], [300, 200]).unwrap();
        let last = anchors.centers()[9];
        assert!(anchors.len() == 10 && (last.w - 0.3).abs() < 1e-12 && last.cx == 0.5, "{last:?}");
        let named = [true, false].map(|reduced_lowest| AnchorRule::Tf { reduced_lowest });
        for rule in named.into_iter().chain([AnchorRule::PytorchSsd, own]) {
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
        assert!("tf".parse::<AnchorRule>().is_err());
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let refused =
            |rule: &AnchorRule, maps: &[[usize; 2]]| Anchors::of(rule, maps, [300, 300]).unwrap_err().to_string();
        let expected = "anchors: found 5 feature maps, expected 6 for pytorch-ssd's rule";
        assert_eq!(refused(&AnchorRule::PytorchSsd, &MAPS[..5]), expected);
        assert!(refused(&AnchorRule::default(), &MAPS[..1]).contains("two or more"));
        let cells = CellAnchors { shapes: vec![[0.0, 0.25]], step: [1.0, 1.0], offset: [0.5, 0.5] };
        let own = AnchorRule::Cells { maps: vec![cells], clipped: false };
        assert!(refused(&own, &MAPS).contains("expected 1, for which"));
        assert!(refused(&own, &MAPS[..1]).contains("impossible size"));
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
