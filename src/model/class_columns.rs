//! Class predictors for other classes than the file's: rows of known classes stay, new ones join them.
//!
//! A class predictor has one row of weights for each anchor of a cell and each class column, the background first. A
//! row that is kept gives the same logit as before. A new row begins as the mean of the file's class rows: it then says
//! how much a place looks like any object that the file knows, at the level of its other logits. Softmax and sigmoid
//! both need that level: a row near zero is a score of one half for a sigmoid, and the file's background logits are
//! meant to be weighed against classes as confident as its own.

use super::ssd::Ssd;
use super::weights::{ConvSpec, ConvWeights};

impl Ssd<ConvWeights> {
    /// Gives the class predictors the background and one column for each of `classes`: `Some(i)` is the file's class
    /// `i` (column `i + 1`), `None` a new one.
    ///
    /// # Panics
    /// If a class is not one of the file's, or the file has none.
    pub fn rearrange_classes(&mut self, classes: &[Option<usize>]) {
        let before = self.classes;
        assert!(before > 1 && classes.iter().flatten().all(|&i| i + 1 < before), "{classes:?} of {before} columns");
        for head in &mut self.heads {
            let columns = |anchor: usize| AnchorColumns { first: anchor * before, count: before };
            let new = (0..head.anchors_per_cell).flat_map(|anchor| columns(anchor).chosen(classes)).collect::<Vec<_>>();
            head.class_predictor = of_columns(&head.class_predictor, &new);
        }
        self.classes = classes.len() + 1;
    }
}

/// The class columns of one anchor among a predictor's output channels.
#[derive(Clone, Copy)]
struct AnchorColumns {
    first: usize,
    count: usize,
}

/// The source of a new output channel.
enum ColumnSource {
    Channel(usize),
    /// The mean of channels `from..to`.
    Mean(usize, usize),
}

impl AnchorColumns {
    fn chosen(self, classes: &[Option<usize>]) -> Vec<ColumnSource> {
        let mean = || ColumnSource::Mean(self.first + 1, self.first + self.count);
        let of = |class: &Option<usize>| class.map_or_else(mean, |i| ColumnSource::Channel(self.first + 1 + i));
        [ColumnSource::Channel(self.first)].into_iter().chain(classes.iter().map(of)).collect()
    }
}

/// A convolution with the output channels `sources`. The output channel stands last in every layout of weights.
fn of_columns(conv: &ConvWeights, sources: &[ColumnSource]) -> ConvWeights {
    let out = conv.spec.out_channels;
    let row = |values: &[f32], scale: &dyn Fn(usize) -> f32| -> Vec<f32> {
        let value = |source: &ColumnSource| match *source {
            ColumnSource::Channel(c) => values[c],
            ColumnSource::Mean(from, to) => (from..to).map(|c| values[c] * scale(c)).sum::<f32>() / (to - from) as f32,
        };
        sources.iter().map(value).collect()
    };
    let mut weight = Vec::with_capacity(conv.weight.len() / out * sources.len());
    for taps in conv.weight.chunks_exact(out) {
        // A mean is of what the channels compute, so their scales go into it and it has none of its own.
        weight.extend(row(taps, &|c| conv.scale[c]));
    }
    let scale = sources.iter().map(|source| match *source {
        ColumnSource::Channel(c) => conv.scale[c],
        ColumnSource::Mean(..) => 1.0,
    });
    ConvWeights {
        spec: ConvSpec { out_channels: sources.len(), ..conv.spec },
        weight,
        scale: scale.collect(),
        bias: row(&conv.bias, &|_| 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SsdModel, initialise_network, ssdlite_mobilenet_v2};
    use super::*;
    use crate::ops;
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    const FILE_CLASSES: usize = 4;
    const SIDE: usize = 64;

    fn network() -> Ssd<ConvWeights> {
        let mut rng = Pcg64Mcg::seed_from_u64(3);
        let mut network = initialise_network(&ssdlite_mobilenet_v2(0.35, FILE_CLASSES + 1, true), &mut rng);
        for head in &mut network.heads {
            head.class_predictor.bias.iter_mut().for_each(|b| *b = rng.random_range(-3.0..3.0));
            // Some files come with scales.
            head.class_predictor.scale.iter_mut().for_each(|s| *s = rng.random_range(0.5..2.0));
        }
        network
    }

    /// `[anchors][columns]` logits on some image.
    fn logits(network: &Ssd<ConvWeights>) -> Vec<Vec<f32>> {
        let mut rng = Pcg64Mcg::seed_from_u64(4);
        let image = (0..SIDE * SIDE * 3).map(|_| rng.random_range(-1.0..1.0)).collect();
        let predictions = SsdModel::for_inference(network).forward(ops::tensor(image, [1, SIDE, SIDE, 3]));
        ops::read(&predictions.logits, |l| l.chunks_exact(network.classes).map(<[f32]>::to_vec).collect())
    }

    #[test]
    fn kept_rows_give_the_logits_that_they_gave() {
        let network = network();
        let before = logits(&network);
        assert!(before.iter().flatten().any(|l| l.abs() > 0.5), "the network says something");
        let sets: [(&str, &[Option<usize>]); 6] = [
            ("the same", &[Some(0), Some(1), Some(2), Some(3)]),
            ("another order", &[Some(3), Some(1), Some(0), Some(2)]),
            ("fewer", &[Some(2), Some(0)]),
            ("more", &[None, Some(0), Some(1), None, Some(2), Some(3)]),
            ("one twice", &[Some(1), Some(1)]),
            ("others", &[None, None, None]),
        ];
        for (name, classes) in sets {
            let mut changed = network.clone();
            changed.rearrange_classes(classes);
            assert_eq!(changed.classes, classes.len() + 1, "{name}");
            let after = logits(&changed);
            assert_eq!(after.len(), before.len(), "{name}");
            for (old, new) in before.iter().zip(&after) {
                assert_eq!(old[0], new[0], "{name}: background");
                let mean = old[1..].iter().sum::<f32>() / FILE_CLASSES as f32;
                for (class, logit) in classes.iter().zip(&new[1..]) {
                    match class {
                        Some(i) => assert_eq!(old[i + 1], *logit, "{name}: class {i}"),
                        None => assert!((mean - logit).abs() < 1e-5, "{name}: {logit} is not the mean {mean}"),
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "of 5 columns")]
    fn a_class_that_the_file_does_not_have_is_a_bug() {
        network().rearrange_classes(&[Some(FILE_CLASSES)]);
    }
}
