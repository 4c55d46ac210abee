//! What the network that a run begins with sees where the labels are: a regression on its feature maps learns what is
//! inside labelled boxes, and is asked about photos that it did not learn from.

use super::records::Records;
use crate::boxes::{CornerBox, HeatMap, coverage};
use crate::data::{DataError, Record, normalised, plain};
use crate::model::SsdModel;
use crate::ops;
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
    let mut seen = Vec::new();
    for index in (0..training.len()).step_by(training.len().div_ceil(PHOTOS).max(1)) {
        let record = training.get(index)?;
        let boxes = judged(&record);
        if !boxes.is_empty() {
            seen.push(Photo { index: index as u32, maps: Map::of(model, &record, &blocks), boxes });
        }
    }
    if seen.len() < Presence::FEWEST {
        return Ok(None);
    }
    let scales: Vec<Scale> = (0..blocks.len()).map(|map| Scale::of(seen.iter().map(|p| &p.maps[map]))).collect();
    let first = margins(&seen, &scales, |_| true);
    // Once more, learned from the photos whose boxes are where something is.
    let agreed: Vec<bool> = first.iter().map(|m| m.is_some_and(|margin| margin > 0.0)).collect();
    let enough = agreed.iter().filter(|a| **a).count() >= Presence::FEWEST;
    let second = if enough { margins(&seen, &scales, |at| agreed[at]) } else { first };
    let of_photo = seen.iter().zip(second).filter_map(|(photo, margin)| Some((photo.index, margin?)));
    Ok(Some(Presence::of(&of_photo.collect::<Vec<_>>())))
}

/// The margins of photos, by what was learned from the others among those that `taught` says.
fn margins(photos: &[Photo], scales: &[Scale], taught: impl Fn(usize) -> bool) -> Vec<Option<f64>> {
    let fold = |at: usize| at * FOLDS / photos.len();
    let mut folds = Folds::new(scales.iter().map(Scale::len).sum::<usize>() + 1, FOLDS);
    for (at, photo) in photos.iter().enumerate().filter(|(at, _)| taught(*at)) {
        let (rows, inside, side) = (photo.rows(scales), coverage(&photo.boxes, photo.side()), photo.side());
        let cells = rows.chunks_exact(rows.len() / inside.len()).zip(inside).enumerate();
        // Neighbouring cells say much the same: every second one, as on a chessboard.
        let chosen = cells.filter(|(cell, _)| (cell / side + cell % side).is_multiple_of(2));
        folds.add(fold(at), chosen.map(|(_, cell)| cell));
    }
    let fitted = folds.fitted(PENALTY);
    let margin = |(at, photo): (usize, &Photo)| {
        let coefficients: Vec<f32> = fitted[fold(at)].iter().map(|c| *c as f32).collect();
        let answer = |row: &[f32]| row.iter().zip(&coefficients).map(|(v, c)| v * c).sum::<f32>();
        let heat: Vec<f32> = photo.rows(scales).chunks_exact(coefficients.len()).map(answer).collect();
        photo.margin(&heat)
    };
    photos.iter().enumerate().map(margin).collect()
}

/// The boxes of a photo, as far as they are inside.
fn judged(record: &Record) -> Vec<CornerBox> {
    record.objects.iter().map(|o| o.bbox.clipped()).filter(|b| b.area() > 0.0).collect()
}

/// A photo as the network sees it.
struct Photo {
    index: u32,
    /// Finest first.
    maps: Vec<Map>,
    boxes: Vec<CornerBox>,
}

impl Photo {
    fn side(&self) -> usize {
        self.maps[0].side
    }

    /// All maps at the size of the finest, standardised, each map weighing the same, and a constant: `[cells, width]`.
    fn rows(&self, scales: &[Scale]) -> Vec<f32> {
        let side = self.side();
        let parts: Vec<Vec<f32>> = self.maps.iter().zip(scales).map(|(map, scale)| scale.enlarged(map, side)).collect();
        let mut rows = Vec::with_capacity(side * side * (scales.iter().map(Scale::len).sum::<usize>() + 1));
        for cell in 0..side * side {
            for (part, scale) in parts.iter().zip(scales) {
                rows.extend_from_slice(&part[cell * scale.len()..][..scale.len()]);
            }
            rows.push(CONSTANT);
        }
        rows
    }

    /// Of the object in most doubt: contrast of its box less the largest beside it. What is labelled as another object is
    /// no place for this one. `None` where all boxes are smaller than a cell.
    fn margin(&self, heat: &[f32]) -> Option<f64> {
        let cell = 1.0 / self.side() as f64;
        let middle = median(&heat.iter().map(|v| f64::from(*v)).collect::<Vec<_>>()) as f32;
        let margin = |(at, own): (usize, &CornerBox)| {
            if own.width() < cell || own.height() < cell {
                return None;
            }
            let others = self.boxes.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, b)| b);
            let (others, mine) = (coverage(others, self.side()), coverage([own], self.side()));
            let left = heat.iter().zip(others.iter().zip(mine)).map(|(v, (other, mine))| {
                let taken = (other - mine).max(0.0);
                v + taken * (middle - v)
            });
            let map = HeatMap::new(&left.collect::<Vec<f32>>(), self.side());
            Some(map.contrast(own)? - map.contrast_beside(own)?)
        };
        self.boxes.iter().enumerate().filter_map(margin).reduce(f64::min)
    }
}

/// A square feature map in half the memory: the upper halves of its numbers (bfloat16), cell by cell.
struct Map {
    side: usize,
    values: Vec<u16>,
}

impl Map {
    fn of(model: &SsdModel, record: &Record, blocks: &[usize]) -> Vec<Self> {
        let image = ops::tensor(normalised(plain(record, SIDE).image.pixels), [1, SIDE, SIDE, 3]);
        let keep = |out: &burn::tensor::Tensor<4>| Self {
            side: out.dims()[1],
            values: ops::read(out, |x| x.iter().map(|v| (v.to_bits() >> 16) as u16).collect()),
        };
        model.block_outputs(image, blocks).iter().map(keep).collect()
    }

    fn channels(&self) -> usize {
        self.values.len() / (self.side * self.side)
    }

    fn values(&self) -> impl Iterator<Item = f32> + '_ {
        self.values.iter().map(|v| f32::from_bits(u32::from(*v) << 16))
    }
}

/// Mean of every channel over all photos, and what its numbers are multiplied with.
struct Scale(Vec<(f32, f32)>);

impl Scale {
    fn of<'a>(maps: impl Iterator<Item = &'a Map>) -> Self {
        let (mut sums, mut cells) = (Vec::new(), 0.0);
        for map in maps {
            let channels = map.channels();
            sums.resize(channels, [0f64; 2]);
            for (i, v) in map.values().map(f64::from).enumerate() {
                let [sum, square] = &mut sums[i % channels];
                (*sum, *square) = (*sum + v, *square + v * v);
            }
            cells += (map.side * map.side) as f64;
        }
        let share = (STRIDES.len() * sums.len()) as f64;
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

    /// The map, standardised, at another size (between cells' middles linearly).
    fn enlarged(&self, map: &Map, side: usize) -> Vec<f32> {
        let (channels, last) = (self.len(), map.side - 1);
        let scaled = map.values().zip(self.0.iter().cycle()).map(|(v, (mean, scale))| (v - mean) * scale);
        let scaled: Vec<f32> = scaled.collect();
        if map.side == side {
            return scaled;
        }
        let place = |cell: usize| {
            let at = ((cell as f32 + 0.5) * map.side as f32 / side as f32 - 0.5).clamp(0.0, last as f32);
            let first = at as usize;
            (first, (first + 1).min(last), at - first as f32)
        };
        let mut out = Vec::with_capacity(side * side * channels);
        for y in 0..side {
            let (top, bottom, down) = place(y);
            for x in 0..side {
                let (left, right, along) = place(x);
                let cell = |y: usize, x: usize| &scaled[(y * map.side + x) * channels..][..channels];
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

    fn map(side: usize, values: &[f32]) -> Map {
        Map { side, values: values.iter().map(|v| (v.to_bits() >> 16) as u16).collect() }
    }

    #[test]
    fn maps_are_standardised_and_enlarged_between_the_middles() {
        let maps = [map(2, &[0.0, 1.0, 2.0, 1.0, 0.0, 1.0, 2.0, 1.0])];
        let scale = Scale::of(maps.iter());
        // The second channel is the same everywhere and says nothing; the first goes from -1 to 1 from left to right.
        let unit = 1.0 / (STRIDES.len() as f32 * 2.0).sqrt();
        let large = scale.enlarged(&maps[0], 4);
        let row: Vec<f32> = large[..8].iter().step_by(2).map(|v| v / unit).collect();
        for (found, expected) in row.iter().zip([-1.0, -0.5, 0.5, 1.0]) {
            assert!((found - expected).abs() < 1e-4, "{row:?}");
        }
        assert!(large.iter().skip(1).step_by(2).all(|v| *v == 0.0) && large[24..] == large[..8]);
        assert_eq!(scale.enlarged(&maps[0], 2).len(), 8);
    }

    #[test]
    fn an_object_is_looked_for_beside_its_own_label_only() {
        let side = 28;
        let boxes = vec![CornerBox::new(0.1, 0.4, 0.3, 0.6), CornerBox::new(0.35, 0.4, 0.55, 0.6)];
        let photo = |boxes: &[CornerBox]| Photo {
            index: 0,
            maps: vec![map(side, &vec![0.0; side * side])],
            boxes: boxes.to_vec(),
        };
        let heat = coverage(&boxes, side);
        assert!(photo(&boxes).margin(&heat).unwrap() > 0.4, "two neighbours");
        let moved = CornerBox::new(0.1, 0.55, 0.3, 0.75);
        assert!(photo(&[boxes[1], moved]).margin(&heat).unwrap() < -0.4, "elsewhere");
        assert!(photo(&[CornerBox::new(0.5, 0.5, 0.51, 0.9)]).margin(&heat).is_none(), "thinner than a cell");
    }
}
