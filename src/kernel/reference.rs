//! The obvious loops in `f64`: what every kernel is proven against.

use super::shape::{ConvGeometry, KernelKind, LayerValues};

/// Calls `f(output index, input index, weight index)` for every multiply-accumulate of the convolution.
fn each_mac(g: &ConvGeometry, mut f: impl FnMut(usize, usize, usize)) {
    for n in 0..g.n {
        for (oy, ox) in (0..g.oh).flat_map(|y| (0..g.ow).map(move |x| (y, x))) {
            for (i, j) in (0..g.kh).flat_map(|i| (0..g.kw).map(move |j| (i, j))) {
                let (y, x) = (oy * g.stride + i, ox * g.stride + j);
                if y < g.top || x < g.left || y - g.top >= g.h || x - g.left >= g.w {
                    continue;
                }
                let out = ((n * g.oh + oy) * g.ow + ox) * g.cout;
                let input = ((n * g.h + y - g.top) * g.w + x - g.left) * g.cin;
                let tap = i * g.kw + j;
                for co in 0..g.cout {
                    match g.kind {
                        KernelKind::Depthwise => f(out + co, input + co, tap * g.cout + co),
                        KernelKind::Pointwise | KernelKind::Dense => {
                            (0..g.cin).for_each(|ci| f(out + co, input + ci, (tap * g.cin + ci) * g.cout + co));
                        }
                    }
                }
            }
        }
    }
}

/// `act(scale·conv(x, w) + bias) + residual`.
pub fn forward(layer: &LayerValues, x: &[f32], residual: Option<&[f32]>) -> Vec<f64> {
    let g = layer.geometry;
    let mut y = vec![0f64; g.output_len()];
    each_mac(&g, |o, i, w| y[o] += f64::from(x[i]) * f64::from(layer.weight[w]));
    for (o, y) in y.iter_mut().enumerate() {
        let c = o % g.cout;
        *y = *y * f64::from(layer.scale[c]) + f64::from(layer.bias[c]);
        if g.relu6 {
            *y = y.clamp(0.0, 6.0);
        }
        *y += residual.map_or(0.0, |r| f64::from(r[o]));
    }
    y
}

/// Gradients of the input, the weight and the bias: `[dx, dw, db]`. `y` decides the ReLU6 mask.
pub fn backward(layer: &LayerValues, x: &[f32], y: &[f32], dy: &[f32]) -> [Vec<f64>; 3] {
    let g = layer.geometry;
    let masked: Vec<f64> =
        y.iter().zip(dy).map(|(&y, &dy)| if !g.relu6 || (y > 0.0 && y < 6.0) { f64::from(dy) } else { 0.0 }).collect();
    let mut db = vec![0f64; g.cout];
    masked.iter().enumerate().for_each(|(o, d)| db[o % g.cout] += d);
    let scaled: Vec<f64> = masked.iter().enumerate().map(|(o, d)| d * f64::from(layer.scale[o % g.cout])).collect();
    let (mut dx, mut dw) = (vec![0f64; g.input_len()], vec![0f64; g.weight_len()]);
    each_mac(&g, |o, i, w| {
        dx[i] += scaled[o] * f64::from(layer.weight[w]);
        dw[w] += scaled[o] * f64::from(x[i]);
    });
    [dx, dw, db]
}
