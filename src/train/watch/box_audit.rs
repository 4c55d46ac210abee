//! Box audit before the first step: a ridge regression on the network's feature maps learns what is inside labelled
//! boxes, and is then asked about photos that it was not fitted to (held-out predictions).

use crate::boxes::{CornerBox, HeatMap, coverage};
use crate::data::{DataError, Record, normalised, plain};
use crate::model::SsdModel;
use crate::ops;
use crate::train::records::Records;
use crate::watchdog::{Folds, Presence, median};

/// Side in pixels of the photos shown. At 160 objects of 30 pixels are told less surely.
const SIDE: usize = 224;

/// Pixels to a value, each way, of the maps that are looked at: the finer says where, the coarser what.
const STRIDES: [usize; 2] = [8, 16];

/// Photos looked at.
const PHOTOS: usize = 400;

/// Folds, each of photos that follow each other: those may be of one scene.
const FOLDS: usize = 8;

/// Penalty of the regression; ten times more or less ranks as well.
const PENALTY: f64 = 30.0;

/// The constant among the features.
const CONSTANT: f32 = 0.5;

/// Looks at the boxes of a split; `None` where the network has no such maps or there is too little to compare.
///
/// # Errors
/// If a record cannot be read.
pub fn presence(model: &SsdModel, training: &Records) -> Result<Option<Presence>, DataError> {
    let Some(blocks) = STRIDES.iter().map(|&s| model.last_block_of_stride(s)).collect::<Option<Vec<usize>>>() else {
        return Ok(None);
    };
    let chosen = (0..training.len()).step_by(training.len().div_ceil(PHOTOS).max(1));
    let mut seen = SeenPhotos { photos: Vec::new(), maps: Vec::new() };
    for index in chosen.clone() {
        let record = training.get(index)?;
        let boxes = judged(&record);
        if !boxes.is_empty() {
            seen.add(model, &record, &blocks, chosen.len());
            seen.photos.push(AuditedPhoto { index: index as u32, boxes });
        }
    }
    if seen.photos.len() < Presence::FEWEST {
        return Ok(None);
    }
    let scales: Vec<ChannelScale> = seen.maps.iter().map(ChannelScale::of).collect();
    let first = seen.margins(&scales, |_| true);
    // Once more, learned from the photos whose boxes are where something is.
    let agreed: Vec<bool> = first.iter().map(|m| m.is_some_and(|margin| margin > 0.0)).collect();
    let enough = agreed.iter().filter(|a| **a).count() >= Presence::FEWEST;
    let second = if enough { seen.margins(&scales, |at| agreed[at]) } else { first };
    let of_photo = seen.photos.iter().zip(second).filter_map(|(photo, margin)| Some((photo.index, margin?)));
    Ok(Some(Presence::of(&of_photo.collect::<Vec<_>>())))
}

/// The boxes of a photo, as far as they are inside.
fn judged(record: &Record) -> Vec<CornerBox> {
    record.objects.iter().map(|o| o.bbox.clipped()).filter(|b| b.area() > 0.0).collect()
}

/// A photo's place in the split and its boxes.
struct AuditedPhoto {
    index: u32,
    boxes: Vec<CornerBox>,
}

/// Square feature maps of all photos, one behind the other, cell by cell, in half the memory: the upper halves of the
/// numbers (bfloat16).
struct AuditMaps {
    side: usize,
    channels: usize,
    values: Vec<u16>,
}

impl AuditMaps {
    fn of(&self, photo: usize) -> &[u16] {
        let len = self.side * self.side * self.channels;
        &self.values[photo * len..][..len]
    }
}

fn value(half: &u16) -> f32 {
    f32::from_bits(u32::from(*half) << 16)
}

/// Photos as the network sees them.
struct SeenPhotos {
    photos: Vec<AuditedPhoto>,
    /// Finest first.
    maps: Vec<AuditMaps>,
}

impl SeenPhotos {
    /// Adds the maps of the next photo, of `most` at most.
    fn add(&mut self, model: &SsdModel, record: &Record, blocks: &[usize], most: usize) {
        let image = ops::tensor(normalised(plain(record, SIDE).image.pixels), [1, SIDE, SIDE, 3]);
        let outputs = model.block_outputs(image, blocks);
        if self.maps.is_empty() {
            // In one piece each, which training can use when it is free again.
            self.maps.extend(outputs.iter().map(|out| {
                let [_, side, _, channels] = out.dims();
                AuditMaps { side, channels, values: Vec::with_capacity(most * side * side * channels) }
            }));
        }
        for (maps, out) in self.maps.iter_mut().zip(outputs) {
            ops::read(&out, |x| maps.values.extend(x.iter().map(|v| (v.to_bits() >> 16) as u16)));
        }
    }

    fn side(&self) -> usize {
        self.maps[0].side
    }

    /// The margins of photos, by what was learned from the others among those that `taught` says.
    fn margins(&self, scales: &[ChannelScale], taught: impl Fn(usize) -> bool) -> Vec<Option<f64>> {
        let (side, width) = (self.side(), scales.iter().map(ChannelScale::len).sum::<usize>() + 1);
        let fold = |at: usize| at * FOLDS / self.photos.len();
        let mut folds = Folds::new(width, FOLDS);
        for (at, photo) in self.photos.iter().enumerate().filter(|(at, _)| taught(*at)) {
            let (rows, inside) = (self.rows(at, scales), coverage(&photo.boxes, side));
            let cells = rows.chunks_exact(width).zip(inside).enumerate();
            // Neighbouring cells say much the same: every second one, as on a chessboard.
            let chosen = cells.filter(|(cell, _)| (cell / side + cell % side).is_multiple_of(2));
            folds.add(fold(at), chosen.map(|(_, cell)| cell));
        }
        let fitted = folds.fitted(PENALTY);
        let margin = |(at, photo): (usize, &AuditedPhoto)| {
            let coefficients: Vec<f32> = fitted[fold(at)].iter().map(|c| *c as f32).collect();
            let answer = |row: &[f32]| row.iter().zip(&coefficients).map(|(v, c)| v * c).sum::<f32>();
            let heat: Vec<f32> = self.rows(at, scales).chunks_exact(width).map(answer).collect();
            photo.margin(&heat, side)
        };
        self.photos.iter().enumerate().map(margin).collect()
    }

    /// All maps of a photo at the size of the finest, standardised, each map weighing the same, and a constant:
    /// `[cells, width]`.
    fn rows(&self, at: usize, scales: &[ChannelScale]) -> Vec<f32> {
        let side = self.side();
        let parts: Vec<Vec<f32>> =
            self.maps.iter().zip(scales).map(|(m, scale)| scale.enlarged(m.of(at), m.side, side)).collect();
        let mut rows = Vec::with_capacity(side * side * (scales.iter().map(ChannelScale::len).sum::<usize>() + 1));
        for cell in 0..side * side {
            for (part, scale) in parts.iter().zip(scales) {
                rows.extend_from_slice(&part[cell * scale.len()..][..scale.len()]);
            }
            rows.push(CONSTANT);
        }
        rows
    }
}

impl AuditedPhoto {
    /// Of the object in most doubt: contrast of its box less the largest beside it in `heat` `[side, side]`. Boxes of
    /// other objects are no place for this one. `None` where all boxes are smaller than a cell.
    fn margin(&self, heat: &[f32], side: usize) -> Option<f64> {
        let cell = 1.0 / side as f64;
        let middle = median(&heat.iter().map(|v| f64::from(*v)).collect::<Vec<_>>()) as f32;
        let margin = |(at, own): (usize, &CornerBox)| {
            if own.width() < cell || own.height() < cell {
                return None;
            }
            let others = self.boxes.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, b)| b);
            let (others, mine) = (coverage(others, side), coverage([own], side));
            let left = heat.iter().zip(others.iter().zip(mine)).map(|(v, (other, mine))| {
                let taken = (other - mine).max(0.0);
                v + taken * (middle - v)
            });
            let map = HeatMap::new(&left.collect::<Vec<f32>>(), side);
            Some(map.contrast(own)? - map.contrast_beside(own)?)
        };
        self.boxes.iter().enumerate().filter_map(margin).reduce(f64::min)
    }
}

/// Mean of every channel over all photos, and what its numbers are multiplied with.
struct ChannelScale(Vec<(f32, f32)>);

impl ChannelScale {
    fn of(maps: &AuditMaps) -> Self {
        let mut sums = vec![[0f64; 2]; maps.channels];
        for cell in maps.values.chunks_exact(maps.channels) {
            for (v, [sum, square]) in cell.iter().map(|half| f64::from(value(half))).zip(&mut sums) {
                (*sum, *square) = (*sum + v, *square + v * v);
            }
        }
        let cells = (maps.values.len() / maps.channels) as f64;
        let share = (STRIDES.len() * maps.channels) as f64;
        let scale = |[sum, square]: [f64; 2]| {
            let mean = sum / cells;
            let deviation = (square / cells - mean * mean).max(0.0).sqrt() + 1e-6;
            (mean as f32, (1.0 / (deviation * share.sqrt())) as f32)
        };
        Self(sums.into_iter().map(scale).collect())
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    /// A map of `from` x `from` cells, standardised, at another size (between cells' middles linearly).
    fn enlarged(&self, map: &[u16], from: usize, side: usize) -> Vec<f32> {
        let (channels, last) = (self.len(), from - 1);
        let scaled = map.iter().map(value).zip(self.0.iter().cycle()).map(|(v, (mean, scale))| (v - mean) * scale);
        let scaled: Vec<f32> = scaled.collect();
        if from == side {
            return scaled;
        }
        let place = |cell: usize| {
            let at = ((cell as f32 + 0.5) * from as f32 / side as f32 - 0.5).clamp(0.0, last as f32);
            let first = at as usize;
            (first, (first + 1).min(last), at - first as f32)
        };
        let mut out = Vec::with_capacity(side * side * channels);
        for y in 0..side {
            let (top, bottom, down) = place(y);
            for x in 0..side {
                let (left, right, along) = place(x);
                let cell = |y: usize, x: usize| &scaled[(y * from + x) * channels..][..channels];
                let corners = cell(top, left)
                    .iter()
                    .zip(cell(top, right))
                    .zip(cell(bottom, left).iter().zip(cell(bottom, right)));
                out.extend(corners.map(|((a, b), (c, d))| {
                    let (above, below) = (a + along * (b - a), c + along * (d - c));
                    above + down * (below - above)
                }));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_standardised_and_enlarged_between_the_middles() {
        let numbers = [0.0f32, 1.0, 2.0, 1.0, 0.0, 1.0, 2.0, 1.0];
        let values = numbers.iter().map(|v| (v.to_bits() >> 16) as u16).collect();
        let maps = AuditMaps { side: 2, channels: 2, values };
        let scale = ChannelScale::of(&maps);
        // The second channel is constant; the first goes from -1 to 1 from left to right.
        let unit = 1.0 / (STRIDES.len() as f32 * 2.0).sqrt();
        let large = scale.enlarged(maps.of(0), 2, 4);
        let row: Vec<f32> = large[..8].iter().step_by(2).map(|v| v / unit).collect();
        for (found, expected) in row.iter().zip([-1.0, -0.5, 0.5, 1.0]) {
            assert!((found - expected).abs() < 1e-4, "{row:?}");
        }
        assert!(large.iter().skip(1).step_by(2).all(|v| *v == 0.0) && large[24..] == large[..8]);
        assert_eq!(scale.enlarged(maps.of(0), 2, 2).len(), 8);
    }

    #[test]
    fn an_object_is_looked_for_beside_its_own_label_only() {
        let side = 28;
        let boxes = vec![CornerBox::new(0.1, 0.4, 0.3, 0.6), CornerBox::new(0.35, 0.4, 0.55, 0.6)];
        let margin =
            |boxes: &[CornerBox], heat: &[f32]| AuditedPhoto { index: 0, boxes: boxes.to_vec() }.margin(heat, side);
        let heat = coverage(&boxes, side);
        assert!(margin(&boxes, &heat).unwrap() > 0.4, "two neighbours");
        let moved = CornerBox::new(0.1, 0.55, 0.3, 0.75);
        assert!(margin(&[boxes[1], moved], &heat).unwrap() < -0.4, "elsewhere");
        assert!(margin(&[CornerBox::new(0.5, 0.5, 0.51, 0.9)], &heat).is_none(), "thinner than a cell");
    }
}
