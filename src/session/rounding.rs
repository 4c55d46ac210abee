//! The difference that two right computations of one network may have.

use crate::boxes::InputSize;
use crate::interchange::Difference;
use crate::model::{Predictions, SsdModel};
use crate::ops;

/// Largest difference that two engines' rounding makes of a usual network, with room: 1e-5 to 1e-4 was seen.
const USUAL: f32 = 1e-3;

/// The bound for a usual network; [`allowed_difference`] finds that of any other.
pub const USUAL_DIFFERENCE: Difference = Difference { logits: USUAL, deltas: USUAL };

/// A change of a pixel, which lies in [-1, 1], that single precision hardly tells from none.
const NUDGE: f32 = 1.0 / (1 << 22) as f32;

/// Largest difference that rounding explains between the outputs for these images, `count` of `size`, NHWC.
///
/// A network whose weights are random, or whose batch norm has wild statistics, makes a large difference of a small
/// one, so that two right engines disagree in the third digit. The measure of that is the network itself: how far its
/// outputs move where every pixel moves by 2⁻²².
pub fn allowed_difference(
    model: &SsdModel,
    images: &[f32],
    count: usize,
    size: InputSize,
    of: &Predictions,
) -> Difference {
    let nudged = images.iter().enumerate().map(|(i, v)| v + if is_raised(i) { NUDGE } else { -NUDGE }).collect();
    let moved = model.forward(ops::tensor(nudged, [count, size.height, size.width, 3]));
    let most = |a, b| ops::read(a, |a| ops::read(b, |b| largest(a, b)));
    Difference {
        logits: USUAL.max(most(&of.logits, &moved.logits)),
        deltas: USUAL.max(most(&of.deltas, &moved.deltas)),
    }
}

/// A fixed pattern without a period that a map's width could meet (Knuth's multiplicative hash).
fn is_raised(i: usize) -> bool {
    (i as u32).wrapping_mul(2_654_435_761) >> 31 == 0
}

/// NaN is passed over, unlike in the comparison of a file: it must not widen what is allowed.
fn largest(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0f32, |most, (a, b)| most.max((a - b).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{initialise_network, ssdlite_mobilenet_v2};
    use rand::SeedableRng;
    use rand_pcg::Pcg64Mcg;

    #[test]
    fn a_network_that_amplifies_is_allowed_more() {
        let size = InputSize::square(96);
        let specs = ssdlite_mobilenet_v2(0.35, 4, true);
        let mut network = initialise_network(&specs, &mut Pcg64Mcg::seed_from_u64(7));
        let images: Vec<f32> = (0..size.numbers()).map(|i| (i as f32 * 0.37).sin()).collect();
        let allowed = |network: &_| {
            let model = SsdModel::for_inference(network);
            let of = model.forward(ops::tensor(images.clone(), [1, 96, 96, 3]));
            allowed_difference(&model, &images, 1, size, &of)
        };
        assert_eq!(allowed(&network), Difference { logits: USUAL, deltas: USUAL });
        for head in &mut network.heads {
            head.box_predictor.weight.iter_mut().for_each(|w| *w *= 1e6);
        }
        let wild = allowed(&network);
        assert!(wild.deltas > USUAL && wild.logits == USUAL, "{wild:?}");
    }
}
