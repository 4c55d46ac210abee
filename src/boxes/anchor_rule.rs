//! The rules by which SSD detectors place their anchors: shapes on the cells of every feature map.
//!
//! *TensorFlow's* (`create_ssd_anchors`): M maps get scales `s_k = 0.2 + 0.75·k / (M - 1)`, k = 0..M, and `s_M = 1`. An
//! anchor of scale s and aspect ratio a (width / height) has height `s / √a` and width `s·√a`, in fractions of the
//! image's shorter side, so that it has its aspect in pixels; it is centred on its cell. A cell has six anchors: s_k at
//! aspects 1, 2, 1/2, 3, 1/3, then aspect 1 at `√(s_k · s_k+1)`. Where the lowest map is reduced its cells have three:
//! (0.1, 1), (s_0, 2), (s_0, 1/2).
//!
//! *pytorch-ssd's* (the `mobilenet_v1_ssd_config` of that project, which its MobileNetV2 uses, too): six maps with
//! sizes in pixels of a 300 pixel image; a cell has a square of the smaller size, one of the geometric mean of both
//! sizes, then the smaller size at aspects 2, 1/2, 3, 1/3. Centres step by 16, 32 and 64 pixels on the first three
//! maps, by the image's part per cell on the others. Anchors are clamped to the image side by side: centre and size,
//! each to [0, 1].

use super::CenterBox;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

const MIN_SCALE: f64 = 0.2;
const MAX_SCALE: f64 = 0.95;
/// Scale and aspect of the extra-small first anchor on TensorFlow's reduced map 0.
const SMALLEST: (f64, f64) = (0.1, 1.0);

/// Smaller and larger size of pytorch-ssd's anchors by map, in pixels of an image of [`PYTORCH_SIDE`].
const PYTORCH_SIZES: [[f64; 2]; 6] =
    [[60.0, 105.0], [105.0, 150.0], [150.0, 195.0], [195.0, 240.0], [240.0, 285.0], [285.0, 330.0]];
const PYTORCH_SIDE: f64 = 300.0;
/// Pixels between the anchors' centres on pytorch-ssd's first maps.
const PYTORCH_STEPS: [f64; 3] = [16.0, 32.0, 64.0];

/// Most maps, and most shapes on a cell, that a rule from a file may have.
const MOST_MAPS: usize = 32;
const MOST_SHAPES: usize = 64;

/// The origin of a network's anchors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnchorRule {
    /// TensorFlow's, with three anchors per cell of the lowest map or six: 1917 or 3000 at 300 pixels.
    Tf { reduced_lowest: bool },
    /// pytorch-ssd's: 3000 at 300 pixels.
    PytorchSsd,
    /// Shapes as a file carries them.
    Cells {
        maps: Vec<CellAnchors>,
        /// True if the anchors' corners are clipped to the image.
        clipped: bool,
    },
}

/// The anchors on each cell of one feature map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellAnchors {
    /// Width and height, in fractions of the image.
    pub shapes: Vec<[f64; 2]>,
    /// The centre in cell i along x, then y, is `(i + offset) · step / cells`, in fractions of the image; usually
    /// offset 0.5 and step 1.
    pub step: [f64; 2],
    pub offset: [f64; 2],
}

/// A rule and a network that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("anchors: found {found}, expected {expected}")]
pub struct AnchorError {
    pub found: String,
    pub expected: String,
}

impl Default for AnchorRule {
    fn default() -> Self {
        AnchorRule::Tf { reduced_lowest: true }
    }
}

impl AnchorRule {
    /// Anchors on each cell of map `map`.
    pub fn anchors_per_cell(&self, map: usize) -> usize {
        match self {
            AnchorRule::Tf { reduced_lowest: true } if map == 0 => 3,
            AnchorRule::Tf { .. } | AnchorRule::PytorchSsd => 6,
            AnchorRule::Cells { maps, .. } => maps.get(map).map_or(0, |cells| cells.shapes.len()),
        }
    }

    /// # Errors
    /// If the rule has no anchors for a network of `maps` feature maps, or impossible ones.
    pub(super) fn check(&self, maps: usize) -> Result<(), AnchorError> {
        let wrong = |expected: String| Err(AnchorError { found: format!("{maps} feature maps"), expected });
        match self {
            // The scales are spread between the first and the last.
            AnchorRule::Tf { .. } if maps < 2 => wrong("two or more for TensorFlow's rule".into()),
            AnchorRule::PytorchSsd if maps != PYTORCH_SIZES.len() => {
                wrong(format!("{} for pytorch-ssd's rule", PYTORCH_SIZES.len()))
            }
            AnchorRule::Cells { maps: cells, .. } if cells.len() != maps || maps > MOST_MAPS => {
                wrong(format!("{}, for which the file has shapes", cells.len()))
            }
            AnchorRule::Cells { maps: cells, .. } => cells.iter().enumerate().try_for_each(|(i, c)| c.check(i)),
            _ => Ok(()),
        }
    }

    /// The anchors of map `k` of `maps`, in head order: row, column, anchor of the cell.
    pub(super) fn of_map(&self, k: usize, maps: &[[usize; 2]], size: [usize; 2]) -> Vec<CenterBox> {
        let [rows, columns] = maps[k];
        let sides = size.map(|side| side as f64);
        let middle = |at: usize, cells: usize| (at as f64 + 0.5) / cells as f64;
        match self {
            AnchorRule::Tf { reduced_lowest } => {
                let shapes = tf_shapes(k, maps.len(), *reduced_lowest);
                // 1 and 1 where the input is square.
                let [high, wide] = sides.map(|side| sides[0].min(sides[1]) / side);
                on_cells([rows, columns], middle, middle, |cx, cy| {
                    let shape = |&(scale, aspect): &(f64, f64)| {
                        let root = aspect.sqrt();
                        CenterBox { cx, cy, w: scale * root * wide, h: scale / root * high }
                    };
                    shapes.iter().map(shape).collect()
                })
            }
            AnchorRule::PytorchSsd => {
                let shapes = pytorch_shapes(k);
                let [h, w] = sides;
                let shortest = h.min(w);
                let centre = |at: usize, cells: usize, side: f64| match PYTORCH_STEPS.get(k) {
                    Some(step) => (at as f64 + 0.5) * step / side,
                    None => middle(at, cells),
                };
                let [x, y] = [w, h].map(|side| move |at: usize, cells: usize| centre(at, cells, side));
                on_cells([rows, columns], x, y, |cx, cy| {
                    let shape = |&[width, height]: &[f64; 2]| CenterBox {
                        cx: cx.clamp(0.0, 1.0),
                        cy: cy.clamp(0.0, 1.0),
                        w: (width * shortest / w).clamp(0.0, 1.0),
                        h: (height * shortest / h).clamp(0.0, 1.0),
                    };
                    shapes.iter().map(shape).collect()
                })
            }
            AnchorRule::Cells { maps, clipped } => {
                let CellAnchors { shapes, step, offset } = &maps[k];
                let centre =
                    |axis: usize| move |at: usize, cells: usize| (at as f64 + offset[axis]) * step[axis] / cells as f64;
                on_cells([rows, columns], centre(0), centre(1), |cx, cy| {
                    let anchors = shapes.iter().map(|&[w, h]| CenterBox { cx, cy, w, h });
                    anchors.map(|a| if *clipped { a.corners().clipped().center() } else { a }).collect()
                })
            }
        }
    }
}

impl CellAnchors {
    fn check(&self, map: usize) -> Result<(), AnchorError> {
        let numbers = self.step.iter().chain(&self.offset).chain(self.shapes.iter().flatten());
        let sides = self.shapes.iter().flatten().chain(&self.step);
        if self.shapes.is_empty() || self.shapes.len() > MOST_SHAPES {
            let found = format!("{} shapes on map {map}", self.shapes.len());
            return Err(AnchorError { found, expected: format!("1 to {MOST_SHAPES}") });
        }
        if numbers.clone().any(|n| !n.is_finite() || n.abs() > 1e3) || sides.clone().any(|&side| side <= 0.0) {
            let found = format!("a shape, step or offset on map {map} of impossible size");
            return Err(AnchorError { found, expected: "sides above 0 in fractions of the image".into() });
        }
        Ok(())
    }
}

/// `anchors` at every cell's centre, row by row.
fn on_cells(
    [rows, columns]: [usize; 2],
    x: impl Fn(usize, usize) -> f64,
    y: impl Fn(usize, usize) -> f64,
    anchors: impl Fn(f64, f64) -> Vec<CenterBox>,
) -> Vec<CenterBox> {
    let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    cells.flat_map(|(row, column)| anchors(x(column, columns), y(row, rows))).collect()
}

/// Scale and aspect ratio of TensorFlow's anchors on one cell of map `k` of `maps`.
fn tf_shapes(k: usize, maps: usize, reduced_lowest: bool) -> Vec<(f64, f64)> {
    let scale = |k: usize| {
        if k == maps { 1.0 } else { MIN_SCALE + (MAX_SCALE - MIN_SCALE) * k as f64 / (maps - 1) as f64 }
    };
    let s = scale(k);
    if k == 0 && reduced_lowest {
        return vec![SMALLEST, (s, 2.0), (s, 0.5)];
    }
    let mut shapes: Vec<_> = [1.0, 2.0, 0.5, 3.0, 1.0 / 3.0].map(|aspect| (s, aspect)).into();
    shapes.push(((s * scale(k + 1)).sqrt(), 1.0));
    shapes
}

/// Width and height of pytorch-ssd's anchors on one cell of map `k`, in fractions of a square image.
fn pytorch_shapes(k: usize) -> Vec<[f64; 2]> {
    let [small, large] = PYTORCH_SIZES[k].map(|pixels| pixels / PYTORCH_SIDE);
    let mean = (small * large).sqrt();
    let mut shapes = vec![[small; 2], [mean; 2]];
    for aspect in [2.0f64, 3.0] {
        let root = aspect.sqrt();
        shapes.extend([[small * root, small / root], [small / root, small * root]]);
    }
    shapes
}

impl fmt::Display for AnchorRule {
    /// A name that [`AnchorRule::from_str`] reads back; JSON for shapes of a file's own.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            AnchorRule::Tf { reduced_lowest: true } => f.write_str("tf-ssd"),
            AnchorRule::Tf { reduced_lowest: false } => f.write_str("tf-ssd-six"),
            AnchorRule::PytorchSsd => f.write_str("pytorch-ssd"),
            AnchorRule::Cells { .. } => f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?),
        }
    }
}

impl FromStr for AnchorRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tf-ssd" => Ok(AnchorRule::Tf { reduced_lowest: true }),
            "tf-ssd-six" => Ok(AnchorRule::Tf { reduced_lowest: false }),
            "pytorch-ssd" => Ok(AnchorRule::PytorchSsd),
            other => serde_json::from_str(other)
                .map_err(|e| format!("found {e}, expected tf-ssd, tf-ssd-six, pytorch-ssd or shapes as JSON")),
        }
    }
}
