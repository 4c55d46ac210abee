//! Random initialisation of layers that no file provides.
//!
//! He-normal by fan-in for layers that end in ReLU6 (He et al. 2015), normal with deviation 0.01 for the predictors,
//! biases 0.

use super::convention::Convention;
use super::mobilenet_v2::{extras, head};
use super::ssd::Ssd;
use super::weights::{Activation, ConvSpec, ConvWeights};
use crate::boxes::ScoreFunction;
use rand::Rng;

/// Deviation of a predictor's fresh weights.
const PREDICTOR_STD: f64 = 0.01;

/// Draws fresh numbers for one convolution; `scale` 1, `bias` 0.
pub fn initialise(spec: &ConvSpec, rng: &mut impl Rng) -> ConvWeights {
    let std = match spec.activation {
        Activation::Relu6 => (2.0 / spec.fan_in() as f64).sqrt(),
        Activation::Linear => PREDICTOR_STD,
    };
    ConvWeights {
        spec: *spec,
        weight: (0..spec.weight_len()).map(|_| (normal(rng) * std) as f32).collect(),
        scale: vec![1.0; spec.out_channels],
        bias: vec![0.0; spec.out_channels],
    }
}

/// Draws a whole network. Linear layers of the backbone are He-normal too, for they carry the signal.
pub fn initialise_network(specs: &Ssd<ConvSpec>, rng: &mut impl Rng) -> Ssd<ConvWeights> {
    specs.map(|stage, spec| {
        let carries = ConvSpec { activation: Activation::Relu6, ..*spec };
        let drawn = initialise(if stage.is_backbone() { &carries } else { spec }, rng);
        ConvWeights { spec: *spec, ..drawn }
    })
}

/// Standard normal by Box and Muller (1958).
fn normal(rng: &mut impl Rng) -> f64 {
    let u: f64 = 1.0 - rng.random::<f64>();
    let v: f64 = rng.random();
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

impl Ssd<ConvWeights> {
    /// Replaces extras and heads by fresh ones with `classes` columns, background included. Their shapes stay; where
    /// there are none (a backbone alone) they are the standard ones.
    pub fn renew_extras_and_heads(&mut self, classes: usize, rng: &mut impl Rng) {
        if self.heads.is_empty() {
            let specs = extras(self.last.spec.out_channels);
            let tapped = self.blocks[self.tap].depthwise.spec.in_channels;
            let maps = [tapped, self.last.spec.out_channels].into_iter();
            let maps = maps.chain(specs.iter().map(|e| e.output().out_channels));
            let anchors = &Convention::default().anchors;
            let heads: Vec<_> =
                maps.enumerate().map(|(i, channels)| head(channels, anchors.anchors_per_cell(i), classes)).collect();
            self.extras = specs.iter().map(|e| e.map_layers(&mut |spec| initialise(spec, rng))).collect();
            self.heads = heads.iter().map(|h| h.map_layers(&mut |spec| initialise(spec, rng))).collect();
            self.classes = classes;
            self.convention = Convention::default();
            return;
        }
        let backbone = self.backbone_len();
        for (_, conv) in self.convs_mut().into_iter().skip(backbone) {
            *conv = initialise(&conv.spec, rng);
        }
        self.renew_class_predictors(classes, rng);
    }

    /// Replaces the class predictors by fresh ones with `classes` columns, background included.
    pub fn renew_class_predictors(&mut self, classes: usize, rng: &mut impl Rng) {
        for head in &mut self.heads {
            let spec = ConvSpec { out_channels: head.anchors_per_cell * classes, ..head.class_predictor.spec };
            head.class_predictor = initialise(&spec, rng);
        }
        self.classes = classes;
    }

    /// Sets the class predictors' biases so that the background starts at `share` of the probability and the other
    /// columns share the rest. Where each column has a sigmoid of its own, each starts at that part (Lin et al. 2017,
    /// section 3.3).
    pub fn set_background_prior(&mut self, share: f64) {
        let classes = self.classes;
        let each = (1.0 - share) / (classes.max(2) - 1) as f64;
        let [background, object] = match self.convention.scores {
            ScoreFunction::Softmax => [(share / each).ln() as f32, 0.0],
            ScoreFunction::Sigmoid => [0.0, -((1.0 - each) / each).ln() as f32],
        };
        for head in &mut self.heads {
            for (column, bias) in head.class_predictor.bias.iter_mut().enumerate() {
                *bias = if column % classes == 0 { background } else { object };
            }
        }
    }

    /// Makes class predictors that were trained for one score function fit the other. Softmax and sigmoid of a class
    /// against the background alone are one: the sigmoid of the difference of both logits. One difference remains: the
    /// classes exclude each other under softmax only.
    pub fn convert_scores(&mut self, to: ScoreFunction) {
        let (classes, from) = (self.classes, std::mem::replace(&mut self.convention.scores, to));
        if from == to {
            return;
        }
        for head in &mut self.heads {
            let conv = &mut head.class_predictor;
            conv.fold();
            let rows = conv.weight.chunks_exact_mut(conv.spec.out_channels).chain([conv.bias.as_mut_slice()]);
            for columns in rows.flat_map(|row| row.chunks_exact_mut(classes)) {
                match to {
                    // The sigmoid's logits are against a background of 0.
                    ScoreFunction::Softmax => columns[0] = 0.0,
                    ScoreFunction::Sigmoid => {
                        let background = std::mem::take(&mut columns[0]);
                        columns[1..].iter_mut().for_each(|c| *c -= background);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mobilenet_v2::ssdlite_mobilenet_v2;
    use super::*;
    use rand::SeedableRng;
    use rand_pcg::Pcg64Mcg;

    #[test]
    fn the_background_starts_at_its_share() {
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        let mut network = initialise_network(&ssdlite_mobilenet_v2(0.35, 4, true), &mut rng);
        network.set_background_prior(0.75);
        let bias = &network.heads[1].class_predictor.bias[..4];
        let total: f32 = bias.iter().map(|b| b.exp()).sum();
        assert!((bias[0].exp() / total - 0.75).abs() < 1e-6);
    }

    #[test]
    fn every_sigmoid_starts_at_its_part() {
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        let mut network = initialise_network(&ssdlite_mobilenet_v2(0.35, 4, true), &mut rng);
        network.convention.scores = ScoreFunction::Sigmoid;
        network.set_background_prior(0.75);
        let bias = &network.heads[1].class_predictor.bias[1..4];
        assert!(bias.iter().all(|b| (1.0 / (1.0 + (-b).exp()) - 0.25 / 3.0).abs() < 1e-6), "{bias:?}");
    }

    /// For one class the two functions say the same of converted logits.
    #[test]
    fn a_class_alone_keeps_its_score() {
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        let mut network = initialise_network(&ssdlite_mobilenet_v2(0.35, 2, true), &mut rng);
        network.set_background_prior(0.9);
        let column = |network: &Ssd<ConvWeights>| -> Vec<[f32; 2]> {
            let head = &network.heads[2].class_predictor;
            head.weight.iter().chain(&head.bias).copied().collect::<Vec<_>>().as_chunks().0.to_vec()
        };
        let before = column(&network);
        network.convert_scores(ScoreFunction::Sigmoid);
        for ([background, object], after) in before.iter().zip(column(&network)) {
            assert_eq!(after, [0.0, object - background]);
        }
        let sigmoid = column(&network);
        network.convert_scores(ScoreFunction::Softmax);
        assert_eq!(column(&network), sigmoid, "against a background of 0 a softmax of two is that sigmoid");
    }

    #[test]
    fn a_backbone_alone_gets_the_standard_heads() {
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        let whole = initialise_network(&ssdlite_mobilenet_v2(1.0, 91, false), &mut rng);
        let mut bare = Ssd { extras: vec![], heads: vec![], ..whole.clone() };
        bare.renew_extras_and_heads(91, &mut rng);
        assert_eq!(bare.map(|_, w| w.spec), whole.map(|_, w| w.spec));
    }
}
