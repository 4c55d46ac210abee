//! The image that a network expects, brought to Fieldtune's `p / 127.5 - 1` by changing the first convolution.

use super::conventions::Descent;
use super::layers::{LayerId, LayerKind, Layers};
use crate::boxes::AnchorRule;
use crate::interchange::imported::{Normalisation, Scope};
use crate::interchange::metadata::Metadata;
use crate::model::ConvWeights;

/// Mean and standard deviation of ImageNet's pixels in 0..1, which PyTorch's classifiers are trained with.
const IMAGENET: [[f64; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

/// Fieldtune's own: [-1, 1].
const OURS: Normalisation = Normalisation { factor: [1.0 / 127.5; 3], offset: [-1.0; 3], stated: true };

/// pytorch-ssd's own.
const PYTORCH_SSD: Normalisation =
    Normalisation { factor: [1.0 / 128.0; 3], offset: [-127.0 / 128.0; 3], stated: false };

/// Numbers beyond which a normalised pixel cannot lie.
const WIDEST: f64 = 20.0;

/// The input of the stem, and a few words for an assumption where the file does not say it.
pub fn normalisation(
    layers: &Layers,
    stem: LayerId,
    metadata: &Metadata,
    descent: Descent,
    scope: &Scope,
    anchors: &AnchorRule,
) -> (Normalisation, Option<&'static str>) {
    if let Some(stated) = stated(layers, stem) {
        return (stated, None);
    }
    if metadata.normalisation.is_some() {
        return (OURS, None);
    }
    match (descent, scope) {
        (_, Scope::Detector) if *anchors == AnchorRule::PytorchSsd => {
            (PYTORCH_SSD, Some("an image as (p - 127) / 128"))
        }
        (Descent::PyTorch, Scope::Backbone { .. }) => {
            let [mean, deviation] = IMAGENET;
            let factor = deviation.map(|d| 1.0 / (255.0 * d));
            let offset = std::array::from_fn(|c| -mean[c] / deviation[c]);
            (
                Normalisation { factor, offset, stated: false },
                Some("an image normalised by ImageNet's mean and deviation"),
            )
        }
        // [-1, 1] is TensorFlow's rule for this network, and the one that people follow who give no other.
        _ => (Normalisation { stated: false, ..OURS }, Some("an image in [-1, 1]")),
    }
}

/// The graph's own steps on the image, or the type of its input.
fn stated(layers: &Layers, stem: LayerId) -> Option<Normalisation> {
    let &input = layers.all[stem].inputs.first()?;
    let LayerKind::Image { scale, bias, pixels } = &layers.all[input].kind else { return None };
    let (scale, bias): ([f64; 3], [f64; 3]) = (scale.as_slice().try_into().ok()?, bias.as_slice().try_into().ok()?);
    if let Some([factor, offset]) = *pixels {
        let offset = std::array::from_fn(|c| scale[c] * offset + bias[c]);
        return Some(Normalisation { factor: scale.map(|s| s * factor), offset, stated: true });
    }
    if scale == [1.0; 3] && bias == [0.0; 3] {
        return None;
    }
    // The arithmetic tells what it was made for: bytes, or numbers in 0..1.
    let bytes = (0..3).all(|c| (255.0 * scale[c] + bias[c]).abs() <= WIDEST || bias[c].abs() > WIDEST);
    let factor = if bytes { scale } else { scale.map(|s| s / 255.0) };
    Some(Normalisation { factor, offset: bias, stated: true })
}

impl Normalisation {
    /// Changes the stem so that it computes on `p / 127.5 - 1` what it computed on its own input; where zeros are
    /// padded, they mean another colour afterwards. Returns whether there was anything to change.
    pub fn fold(&self, stem: &mut ConvWeights) -> bool {
        let slope = self.factor.map(|f| f * 127.5);
        let middle: [f64; 3] = std::array::from_fn(|c| slope[c] + self.offset[c]);
        let same = |c: usize| (slope[c] - 1.0).abs() < 1e-6 && middle[c].abs() < 1e-6;
        if (0..3).all(same) {
            return false;
        }
        let out = stem.spec.out_channels;
        let mut bias: Vec<f64> = stem.bias.iter().map(|&b| f64::from(b)).collect();
        for (i, row) in stem.weight.chunks_exact_mut(out).enumerate() {
            let channel = i % 3;
            for (w, b) in row.iter_mut().zip(&mut bias) {
                *b += f64::from(*w) * middle[channel];
                *w = (f64::from(*w) * slope[channel]) as f32;
            }
        }
        stem.bias = bias.into_iter().map(|b| b as f32).collect();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, ConvKind, ConvSpec, Padding};

    #[test]
    fn the_stem_computes_on_our_input_what_it_did_on_its_own() {
        let spec = ConvSpec {
            kind: ConvKind::Dense,
            kernel: [1, 1],
            stride: 2,
            padding: Padding::TfSame,
            in_channels: 3,
            out_channels: 2,
            activation: Activation::Relu6,
        };
        let weight = vec![0.5, -1.0, 0.25, 2.0, 1.5, 0.125];
        let before = ConvWeights { spec, weight, scale: vec![1.0; 2], bias: vec![0.1, -0.2] };
        let [mean, deviation] = IMAGENET;
        let own = Normalisation {
            factor: deviation.map(|d| 1.0 / (255.0 * d)),
            offset: std::array::from_fn(|c| -mean[c] / deviation[c]),
            stated: true,
        };
        let mut after = before.clone();
        assert!(own.fold(&mut after));
        for pixel in [[0.0, 0.0, 0.0], [255.0, 10.0, 130.0]] {
            let output = |conv: &ConvWeights, seen: [f64; 3], o: usize| {
                (0..3).map(|c| f64::from(conv.weight[c * 2 + o]) * seen[c]).sum::<f64>() + f64::from(conv.bias[o])
            };
            let theirs = std::array::from_fn(|c| own.factor[c] * pixel[c] + own.offset[c]);
            let ours = pixel.map(|p| p / 127.5 - 1.0);
            for o in 0..2 {
                assert!((output(&before, theirs, o) - output(&after, ours, o)).abs() < 1e-5);
            }
        }
        let same = after.clone();
        assert!(!OURS.fold(&mut after) && after == same);
    }
}
