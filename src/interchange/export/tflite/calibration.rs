//! The real numbers that the values of a network take on photos. 8-bit scales are chosen from them.

use std::collections::HashMap;
use std::path::Path;

use super::{TfliteNumbers, TfliteOptions, TfliteOutputs, tflite_bytes};
use crate::boxes::ScoreFunction;
use crate::interchange::InterchangeError;
use crate::interchange::export::layout::{ExportStep, Layout};
use crate::interchange::interpreter::Interpreter;
use crate::interchange::outputs::Outputs;
use crate::model::{ConvWeights, Ssd};

/// The rule for the ends of a value's range: what lies beyond becomes the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clipping {
    /// This share of the numbers, 0 to 1, lies inside.
    Percentile(f64),
    /// The mean squared error of rounding and clipping is least.
    LeastError,
}

/// The ranges and means of a layout's values on photos, in its order.
#[derive(Clone, Debug)]
pub struct Calibration {
    ranges: Vec<[f32; 2]>,
    /// The mean of each channel.
    means: Vec<Vec<f32>>,
}

/// Bins of a histogram on either side of 0.
const HALF: usize = 1024;
/// The first width of a bin; it doubles until all numbers fit.
const WIDTH: f32 = 1.0 / 512.0;
/// Steps of an 8-bit number.
const STEPS: f64 = 255.0;

/// Anchors with a score above this show which range box encodings need.
const SURE: f64 = 0.1;
/// Fewer numbers of such anchors say nothing: the range is then that of all.
const FEWEST: u64 = 200;

/// How often numbers occurred, in bins of equal width around 0.
#[derive(Clone)]
struct Histogram {
    width: f32,
    bins: Vec<u64>,
}

impl Histogram {
    fn new() -> Self {
        Self { width: WIDTH, bins: vec![0; 2 * HALF] }
    }

    fn add(&mut self, numbers: &[f32]) {
        let most = numbers.iter().fold(0f32, |most, v| most.max(v.abs()));
        while most.is_finite() && most >= self.width * HALF as f32 {
            self.double();
        }
        for &v in numbers.iter().filter(|v| v.is_finite()) {
            let bin = (v / self.width).floor() as i64 + HALF as i64;
            self.bins[bin.clamp(0, 2 * HALF as i64 - 1) as usize] += 1;
        }
    }

    /// Bins of twice the width: pairs fall together, the inner half stays.
    fn double(&mut self) {
        let mut wider = vec![0; 2 * HALF];
        for (i, pair) in self.bins.chunks_exact(2).enumerate() {
            wider[HALF / 2 + i] = pair[0] + pair[1];
        }
        (self.width, self.bins) = (2.0 * self.width, wider);
    }

    fn count(&self) -> u64 {
        self.bins.iter().sum()
    }

    fn absorb(&mut self, other: &Histogram) {
        let mut other = other.clone();
        while other.width < self.width {
            other.double();
        }
        while self.width < other.width {
            self.double();
        }
        self.bins.iter_mut().zip(&other.bins).for_each(|(a, b)| *a += b);
    }

    /// The lower end of bin `i`.
    fn edge(&self, i: usize) -> f64 {
        (i as f64 - HALF as f64) * f64::from(self.width)
    }

    fn range(&self, clipping: Clipping) -> [f32; 2] {
        let used = |i: &usize| self.bins[*i] > 0;
        let (Some(first), Some(last)) = ((0..self.bins.len()).find(used), (0..self.bins.len()).rfind(used)) else {
            return [0.0; 2];
        };
        let whole = [self.edge(first).min(0.0), self.edge(last + 1).max(0.0)];
        let [low, high] = match clipping {
            Clipping::Percentile(share) => self.percentile(share, whole),
            Clipping::LeastError => self.least_error(whole),
        };
        [low as f32, high as f32]
    }

    /// Each end leaves out half of what may lie outside.
    fn percentile(&self, share: f64, whole: [f64; 2]) -> [f64; 2] {
        let total = self.count();
        let outside = ((1.0 - share.clamp(0.0, 1.0)) / 2.0 * total as f64) as u64;
        let end = |mut bins: Box<dyn Iterator<Item = usize>>| {
            let mut seen = 0;
            bins.find(|&i| {
                seen += self.bins[i];
                seen > outside
            })
        };
        let low = end(Box::new(0..self.bins.len())).map_or(whole[0], |i| self.edge(i));
        let high = end(Box::new((0..self.bins.len()).rev())).map_or(whole[1], |i| self.edge(i + 1));
        [low.min(0.0), high.max(0.0)]
    }

    /// The range whole or shrunk, both ends alike, whichever errs least.
    fn least_error(&self, whole: [f64; 2]) -> [f64; 2] {
        let shrunk = (20..=100).map(|percent| whole.map(|end| end * f64::from(percent) / 100.0));
        let best = shrunk.map(|range| (self.error(range), range)).min_by(|a, b| a.0.total_cmp(&b.0));
        best.map_or(whole, |(_, range)| range)
    }

    /// Sum of squares: a step's variance inside the range, the distance to its end outside.
    fn error(&self, [low, high]: [f64; 2]) -> f64 {
        let rounding = ((high - low) / STEPS).powi(2) / 12.0;
        let each = self.bins.iter().enumerate().filter(|(_, n)| **n > 0).map(|(i, &n)| {
            let v = self.edge(i) + f64::from(self.width) / 2.0;
            let beyond = (low - v).max(v - high).max(0.0);
            n as f64 * if beyond > 0.0 { beyond * beyond } else { rounding }
        });
        each.sum()
    }
}

/// Sums over the cells of maps `[H, W, C]`.
struct MapSums {
    sums: Vec<f64>,
    cells: u64,
}

impl MapSums {
    fn new(channels: usize) -> Self {
        Self { sums: vec![0.0; channels], cells: 0 }
    }

    fn add(&mut self, map: &[f32]) {
        for cell in map.chunks_exact(self.sums.len().max(1)) {
            self.sums.iter_mut().zip(cell).for_each(|(sum, v)| *sum += f64::from(*v));
            self.cells += 1;
        }
    }

    fn means(&self) -> Vec<f32> {
        self.sums.iter().map(|sum| (sum / self.cells.max(1) as f64) as f32).collect()
    }
}

impl Calibration {
    /// Shows `photos`, each `[H, W, 3]` pixel values, to the network in real numbers.
    ///
    /// # Errors
    /// If the network cannot be written as asked.
    pub fn of(
        network: &Ssd<ConvWeights>,
        path: &Path,
        options: &TfliteOptions,
        clipping: Clipping,
        photos: impl Iterator<Item = Vec<u8>>,
    ) -> Result<Self, InterchangeError> {
        let real = TfliteOptions { numbers: TfliteNumbers::Float32, detections: TfliteOutputs::Raw, ..*options };
        let interpreter = Interpreter::load(path, &tflite_bytes(network, path, &real)?)?;
        let layout = Layout::of(network, options.size.dims(), path)?;
        let places: HashMap<&str, usize> =
            layout.values.iter().enumerate().map(|(i, v)| (v.name.as_str(), i)).collect();
        let mut seen = vec![Histogram::new(); layout.values.len()];
        let mut sums: Vec<MapSums> = layout.values.iter().map(|v| MapSums::new(v.channels)).collect();
        let mut sure = Histogram::new();
        for photo in photos {
            let outputs = interpreter.run_observed(&photo, &mut |name, numbers| {
                if let Some(&place) = places.get(name) {
                    seen[place].add(numbers);
                    sums[place].add(numbers);
                }
            });
            let image: Vec<f32> = photo.iter().map(|&p| f32::from(p) / 127.5 - 1.0).collect();
            sums[0].add(&image);
            sure.add(&sure_deltas(&outputs, network.convention.scores, network.classes));
        }
        if sure.count() >= FEWEST {
            layout.boxes.iter().for_each(|branch| seen[branch.value] = sure.clone());
        }
        let means = sums.iter().map(MapSums::means).collect();
        Ok(Self { ranges: ranges(&layout, seen, clipping), means })
    }

    /// Lowest and highest number of a layout's value.
    pub fn range(&self, value: usize) -> [f32; 2] {
        self.ranges[value]
    }

    /// The mean of each channel of a layout's value.
    pub fn means(&self, value: usize) -> &[f32] {
        &self.means[value]
    }

    pub fn values(&self) -> usize {
        self.ranges.len()
    }
}

/// Box encodings of anchors that may become detections. The others, most of all, answer for nothing: their encodings
/// reach ten times as far, and would take the steps away from those that count.
fn sure_deltas(outputs: &Outputs, function: ScoreFunction, columns: usize) -> Vec<f32> {
    let mut scores = vec![0.0; columns];
    let rows = outputs.logits.chunks_exact(columns.max(1)).zip(outputs.deltas.chunks_exact(4));
    let sure = rows.filter(|(logits, _)| {
        function.scores(logits, &mut scores);
        scores.iter().skip(1).any(|&s| s > SURE)
    });
    sure.flat_map(|(_, deltas)| deltas).copied().collect()
}

/// One range a value; the predictors of all maps share one, because they are joined to one tensor.
fn ranges(layout: &Layout, mut seen: Vec<Histogram>, clipping: Clipping) -> Vec<[f32; 2]> {
    for branches in [&layout.boxes, &layout.classes] {
        let mut all = Histogram::new();
        branches.iter().for_each(|branch| all.absorb(&seen[branch.value]));
        branches.iter().for_each(|branch| seen[branch.value] = all.clone());
    }
    let mut ranges: Vec<[f32; 2]> = seen.iter().map(|histogram| histogram.range(clipping)).collect();
    for step in &layout.steps {
        if let ExportStep::Conv { conv, output, .. } = step
            && conv.spec.activation == crate::model::Activation::Relu6
        {
            // A bin's end may lie beyond what the activation gives.
            ranges[*output] = ranges[*output].map(|end| end.clamp(0.0, 6.0));
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_widen_until_all_numbers_fit_and_lose_none() {
        let mut h = Histogram::new();
        h.add(&[-0.5, 0.5, 1.0]);
        h.add(&[40.0, -100.0, f32::NAN]);
        assert_eq!(h.bins.iter().sum::<u64>(), 5);
        let [low, high] = h.range(Clipping::Percentile(1.0));
        assert!((-100.3..=-100.0).contains(&low) && (40.0..=40.3).contains(&high), "{low} {high}");
        let mut narrow = Histogram::new();
        narrow.add(&[0.25; 3]);
        narrow.absorb(&h);
        assert_eq!((narrow.width, narrow.bins.iter().sum::<u64>()), (h.width, 8));
    }

    #[test]
    fn only_anchors_with_a_score_say_how_far_boxes_reach() {
        let logits = vec![0.0, -9.0, -9.0, 0.0, 1.0, -9.0, 0.0, -9.0, -1.0];
        let deltas = vec![-80.0, 80.0, 70.0, -70.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let outputs = Outputs { logits, deltas };
        let expected = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        assert_eq!(sure_deltas(&outputs, ScoreFunction::Sigmoid, 3), expected);
        assert_eq!(sure_deltas(&outputs, ScoreFunction::Softmax, 3), expected);
    }

    #[test]
    fn a_lonely_number_does_not_set_the_range() {
        let mut h = Histogram::new();
        let many: Vec<f32> = (0..100_000).map(|i| (i % 1000) as f32 / 1000.0).collect();
        h.add(&many);
        h.add(&[4.0]);
        let [_, high] = h.range(Clipping::Percentile(0.9999));
        assert!((0.99..1.1).contains(&high), "{high}");
        let [_, high] = h.range(Clipping::LeastError);
        assert!((0.9..3.9).contains(&high), "{high}");
        assert!(h.range(Clipping::Percentile(1.0))[1] >= 4.0);
        assert_eq!(Histogram::new().range(Clipping::LeastError), [0.0, 0.0]);
    }
}
