//! Finds whose rule the padding numbers of a file follow, so that a network keeps its meaning at other sizes.

use super::layers::{Conv, Pads};
use crate::model::{ConvSpec, ConvWeights, Padding, Ssd};

/// A size at which TensorFlow's rule differs from PyTorch's on every strided layer of this network.
const EVEN: [usize; 2] = [64, 64];

/// A convolution's padding as numbers, if it has them or can have them at this input size.
pub fn numbers(conv: &Conv, size: Option<[usize; 2]>) -> Option<[usize; 4]> {
    match (conv.pads, size) {
        (Pads::Numbers(pads), _) => Some(pads),
        (_, Some(size)) => Some(conv.padding(size)),
        // Any size will do where it does not matter.
        (Pads::SameUpper | Pads::SameLower, None) if conv.strides == [1, 1] => Some(conv.padding(EVEN)),
        (Pads::SameUpper, None) => Some(conv.padding(EVEN)),
        (Pads::SameLower, None) => None,
    }
}

/// TensorFlow's rule where the numbers read what the rule reads at this size, else the numbers. Rows behind the last
/// place of the kernel do not count: nobody reads them.
pub fn rule(spec: &ConvSpec, [top, left, bottom, right]: [usize; 4], size: Option<[usize; 2]>) -> Padding {
    // At stride 1 the rule does not depend on the size, and at stride 2 an even one is the common case.
    let [h, w] = size.unwrap_or(EVEN);
    let ([kh, kw], same) = (spec.kernel, Padding::TfSame);
    let reads = |(before, after): (usize, usize), (rule, _): (usize, usize), n: usize, k: usize| {
        let out = (n + before + after).checked_sub(k).map(|room| room / spec.stride + 1);
        before == rule && out == Some(n.div_ceil(spec.stride))
    };
    let vertical = reads((top, bottom), same.vertical(h, kh, spec.stride), h, kh);
    if vertical && reads((left, right), same.horizontal(w, kw, spec.stride), w, kw) {
        same
    } else {
        Padding::Explicit { top, left, bottom, right }
    }
}

/// One network has one rule. Where a strided layer departs from TensorFlow's, numbers that equal it on an odd map by
/// chance, such as PyTorch's (1, 1, 1, 1), stay numbers. Where the file leaves its size open nothing can be compared, but
/// more rows after than before is TensorFlow's alone.
pub fn settle(network: &mut Ssd<ConvWeights>, pads: &[[usize; 4]], sized: bool) {
    let mut strided = network.convs_mut();
    let strided: Vec<_> = strided.iter_mut().map(|(_, c)| c).zip(pads).filter(|(c, _)| c.spec.stride > 1).collect();
    let same = if sized {
        strided.iter().all(|(c, _)| c.spec.padding == Padding::TfSame)
    } else {
        strided.iter().any(|(_, [top, left, bottom, right])| (top, left) < (bottom, right))
    };
    for (conv, &[top, left, bottom, right]) in strided {
        conv.spec.padding = if same { Padding::TfSame } else { Padding::Explicit { top, left, bottom, right } };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Activation, ConvKind};

    #[test]
    fn what_is_never_read_does_not_count() {
        let spec = ConvSpec {
            kind: ConvKind::Depthwise,
            kernel: [3, 3],
            stride: 2,
            padding: Padding::TfSame,
            in_channels: 8,
            out_channels: 8,
            activation: Activation::Relu6,
        };
        // A 1x1 kernel at stride 2 widened again: the rule on two cells says (0, 1).
        assert_eq!(rule(&spec, [0, 0, 2, 2], Some([2, 2])), Padding::TfSame);
        assert_eq!(rule(&spec, [0, 0, 1, 1], Some([300, 300])), Padding::TfSame);
        assert_eq!(rule(&spec, [1, 1, 1, 1], Some([19, 19])), Padding::TfSame);
        assert!(matches!(rule(&spec, [1, 1, 1, 1], Some([20, 20])), Padding::Explicit { .. }));
        assert!(matches!(rule(&spec, [0, 0, 0, 0], Some([20, 20])), Padding::Explicit { .. }));
        assert!(matches!(rule(&spec, [0, 0, 3, 3], Some([20, 20])), Padding::Explicit { .. }));
    }
}
