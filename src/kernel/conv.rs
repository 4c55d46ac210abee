//! One convolution layer, forward and backward, whatever its kind.

use super::isa::Isa;
use super::shape::{ConvGeometry, Gradients, KernelKind, LayerValues};
use super::{activation, dense, depthwise, pointwise};

/// `y = act(scale·conv(x, w) + bias) + residual`. Overwrites `y`.
///
/// # Panics
/// If a buffer's length disagrees with the geometry, a residual is given to a layer that is not pointwise, or a
/// depthwise kernel has more than 7x7 taps.
pub fn forward(isa: Isa, layer: &LayerValues, x: &[f32], residual: Option<&[f32]>, y: &mut [f32]) {
    let g = layer.geometry;
    check_layer(layer);
    assert_eq!(x.len(), g.input_len(), "input of {g:?}");
    assert_eq!(y.len(), g.output_len(), "output of {g:?}");
    match g.kind {
        KernelKind::Pointwise => {
            assert!(residual.is_none_or(|r| r.len() == y.len()), "residual of {g:?}");
            pointwise::forward(isa, layer, x, residual, y);
        }
        KernelKind::Depthwise => {
            assert!(residual.is_none(), "a depthwise layer takes no residual");
            depthwise::forward(isa, layer, x, y);
        }
        KernelKind::Dense => {
            assert!(residual.is_none(), "a dense layer takes no residual");
            dense::forward(isa, layer, x, y);
        }
    }
}

/// The backward pass. `y` is the layer's output where it ends in ReLU6 (the mask is read off it), `None` where it is
/// linear. `dy` is overwritten with itself behind the ReLU6's mask.
///
/// The gradient of a residual input is `dy` itself: take it before calling.
///
/// # Panics
/// If a buffer's length disagrees with the geometry.
pub fn backward(isa: Isa, layer: &LayerValues, x: &[f32], y: Option<&[f32]>, dy: &mut [f32], out: Gradients) {
    let g = layer.geometry;
    check_layer(layer);
    assert_eq!(x.len(), g.input_len(), "input of {g:?}");
    assert_eq!(dy.len(), g.output_len(), "output gradient of {g:?}");
    assert!(y.is_none_or(|y| y.len() == dy.len()), "output of {g:?}");
    assert_eq!(y.is_some(), g.relu6, "the output is needed exactly where there is a ReLU6: {g:?}");
    let Gradients { dx, dw, db } = out;
    assert!(dx.as_ref().is_none_or(|d| d.len() == g.input_len()), "input gradient of {g:?}");
    assert!(dw.as_ref().is_none_or(|d| d.len() == g.weight_len()), "weight gradient of {g:?}");
    assert!(db.as_ref().is_none_or(|d| d.len() == g.cout), "bias gradient of {g:?}");
    activation::backward(isa, dy, y, db, g.cout);
    match g.kind {
        KernelKind::Pointwise => {
            if let Some(dw) = dw {
                pointwise::backward_weight(isa, layer, x, dy, dw);
            }
            if let Some(dx) = dx {
                pointwise::backward_input(isa, layer, dy, dx);
            }
        }
        KernelKind::Depthwise => {
            if let Some(dw) = dw {
                depthwise::backward_weight(isa, layer, x, dy, dw);
            }
            if let Some(dx) = dx {
                depthwise::backward_input(isa, layer, dy, dx);
            }
        }
        KernelKind::Dense => {
            if let Some(dw) = dw {
                dense::backward_weight(isa, layer, x, dy, dw);
            }
            if let Some(dx) = dx {
                dense::backward_input(isa, layer, dy, dx);
            }
        }
    }
}

fn check_layer(layer: &LayerValues) {
    let g: ConvGeometry = layer.geometry;
    assert_eq!(layer.weight.len(), g.weight_len(), "weight of {g:?}");
    assert_eq!(layer.scale.len(), g.cout, "scale of {g:?}");
    assert_eq!(layer.bias.len(), g.cout, "bias of {g:?}");
    if g.kind == KernelKind::Depthwise {
        assert!(g.kh * g.kw <= depthwise::MAX_TAPS, "a depthwise kernel has at most 7x7 taps: {g:?}");
    }
    if g.kind == KernelKind::Pointwise {
        assert_eq!((g.kh, g.kw, g.stride, g.oh, g.ow), (1, 1, 1, g.h, g.w), "a pointwise layer is 1x1 at stride 1");
    }
}
