//! Expand, depthwise, project as one operation: the inverted residual, and whatever has its shape.
//!
//! The expanded tensor is six times as wide as what goes in and comes out. It only ever exists a few rows at a time, in
//! cache: forward makes it, uses it and forgets it, backward makes it again. A block keeps for its backward pass its
//! input alone.
//!
//! The stem and the first block are one such operation (the stem is its dense expansion), an extra feature map is one
//! (reduce, depthwise, expand), and so is a predictor (depthwise, project). Rows run through in tiles; rows of the
//! expanded tensor that two tiles need are kept from one to the next. Bands of rows go to different threads, which both
//! make the rows along their border; one image's small maps go through in stages instead.

mod backward;
mod forward;
mod kept;
mod memory;
mod piece;
mod ring;
mod staged;
mod staging;
mod tile;

use super::dense;
use super::depthwise::Plane;
use super::gemm::{GemmEpilogue, MatrixRows, Panels, product};
use super::isa::Isa;
use super::line_buffer::LineBuffer;
use super::shape::{ConvGeometry, KernelKind, LayerValues};
use std::ops::Range;

pub use backward::block_backward;
pub use forward::block_forward;
pub use kept::{BlockInput, Keep};
pub use memory::{BlockWorkspace, block_workspace};

/// The layers of a block and how they hang together: `y = project(depthwise(expand(x))) (+ x)`.
#[derive(Clone, Copy, Debug)]
pub struct BlockLayers<'a> {
    /// Pointwise or dense.
    pub expand: Option<LayerValues<'a>>,
    /// 3x3 at stride 1 or 2.
    pub depthwise: LayerValues<'a>,
    pub project: LayerValues<'a>,
    /// True if the input is added to the (linear) output.
    pub residual: bool,
}

/// The destination of the gradient of one layer's numbers: **added**.
#[derive(Debug)]
pub struct LayerSums<'a> {
    pub dw: &'a mut [f32],
    pub db: &'a mut [f32],
}

/// The destination of a block's backward pass.
#[derive(Debug)]
pub struct BlockGradients<'a> {
    /// Overwritten with the gradient of the input; `None` where nothing upstream is trained.
    pub dx: Option<&'a mut [f32]>,
    /// Expand (if there is one), depthwise, project; `None` where the block is frozen.
    pub sums: Option<Vec<LayerSums<'a>>>,
}

/// Numbers that a tile's buffers hold together at most, where a single row does not need more: what fits the
/// second-level cache of a small processor beside the weights.
const TILE_FLOATS: usize = 96 << 10;

/// Multiply-accumulates below which a block is not shared between threads.
const FORK_MACS: usize = 1 << 19;

/// Weights below which one thread packs them all.
const FORK_WEIGHTS: usize = 1 << 15;

impl BlockLayers<'_> {
    /// True if this operation can do such layers.
    pub fn fits(expand: Option<&ConvGeometry>, depthwise: &ConvGeometry) -> bool {
        Plane::fits(depthwise) && expand.is_none_or(|e| e.kind != KernelKind::Depthwise)
    }

    fn plane(&self) -> Plane {
        Plane::of(&self.depthwise.geometry)
    }

    fn input(&self) -> &ConvGeometry {
        self.expand.as_ref().map_or(&self.depthwise.geometry, |e| &e.geometry)
    }

    fn check(&self) {
        let (d, p) = (self.depthwise.geometry, self.project.geometry);
        assert!(
            Plane::fits(&d) && d.kind == KernelKind::Depthwise && p.kind == KernelKind::Pointwise,
            "a block of {d:?} and {p:?}"
        );
        assert_eq!((d.n, d.oh, d.ow, d.cout), (p.n, p.h, p.w, p.cin), "a block of {d:?} and {p:?}");
        for layer in self.expand.iter().chain([&self.depthwise, &self.project]) {
            let g = layer.geometry;
            assert_eq!(layer.weight.len(), g.weight_len(), "weight of {g:?}");
            assert_eq!((layer.scale.len(), layer.bias.len()), (g.cout, g.cout), "scale and bias of {g:?}");
        }
        if let Some(e) = &self.expand {
            let e = e.geometry;
            assert_eq!((e.n, e.oh, e.ow, e.cout), (d.n, d.h, d.w, d.cin), "a block of {e:?} and {d:?}");
        }
        let (i, relu6) = (self.input(), p.relu6);
        assert!(!self.residual || !relu6 && i.input_len() == p.output_len(), "a residual over {i:?} and {p:?}");
    }

    fn geometries(&self) -> Vec<ConvGeometry> {
        self.expand.iter().chain([&self.depthwise, &self.project]).map(|l| l.geometry).collect()
    }

    fn macs(&self) -> usize {
        let layers = self.expand.iter().chain([&self.depthwise, &self.project]);
        layers.map(|l| l.geometry.macs()).sum()
    }

    /// Does both, on two threads where the block's weights are many.
    fn together(&self, one: impl FnOnce() + Send, other: impl FnOnce() + Send) {
        let weights: usize = self.expand.iter().chain([&self.project]).map(|l| l.weight.len()).sum();
        if rayon::current_num_threads() > 1 && weights >= FORK_WEIGHTS {
            rayon::join(one, other);
        } else {
            one();
            other();
        }
    }

    /// Output rows worked on together; `copies` counts the buffers of each width.
    fn tile_rows(&self, copies: usize) -> usize {
        tile_rows(&self.geometries(), copies)
    }

    /// Pieces of the work: (image, rows of a map of `height`), and how many of them share a group's sums.
    fn bands(&self, height: usize) -> Vec<(usize, Range<usize>)> {
        let (n, threads) = (self.project.geometry.n, rayon::current_num_threads());
        let fork = threads > 1 && self.macs() >= FORK_MACS;
        let bands = if fork && n < threads { (threads / n).min(height / 4).max(1) } else { 1 };
        let cut = |b: usize| height * b / bands;
        (0..n).flat_map(|i| (0..bands).map(move |b| (i, cut(b)..cut(b + 1)))).collect()
    }
}

/// Output rows that such layers (expand, if there is one, depthwise, project) work on together; `copies` counts the
/// buffers of each width.
fn tile_rows(layers: &[ConvGeometry], copies: usize) -> usize {
    let [expand @ .., depthwise, project] = layers else { panic!("a block has two or three layers") };
    let (p, cin) = (Plane::of(depthwise), depthwise.cin);
    let weights: usize = expand.iter().chain([project]).map(ConvGeometry::weight_len).sum();
    let expanded = if expand.is_empty() { 0 } else { p.w * cin };
    // Where the weights outweigh the map, running through them once is what counts.
    let budget = TILE_FLOATS.max(weights).saturating_sub(copies * 2 * expanded);
    (budget / (copies * (p.stride * expanded + p.ow * cin))).clamp(1, p.oh)
}

/// ReLU6 or nothing.
fn activated(g: &ConvGeometry) -> GemmEpilogue {
    if g.relu6 { GemmEpilogue::Clamp } else { GemmEpilogue::Store }
}

/// Rows `rows` of the expanded tensor of one image.
fn expand_rows(
    isa: Isa,
    layer: &LayerValues,
    panels: &Panels,
    x: BlockInput,
    rows: Range<usize>,
    patches: &mut LineBuffer,
    to: &mut [f32],
) {
    let g = layer.geometry;
    if rows.is_empty() {
        return;
    }
    let (pixels, end) = (rows.len() * g.ow, activated(&g));
    let x = expanded_from(isa, &g, x, rows, patches);
    product(isa, pixels, x, panels, &mut to[..pixels * g.cout], end, None);
}

/// The left operand of those rows of the expanded tensor, one row for each pixel; made in `buffer` where they do not
/// lie in the input as they are.
fn expanded_from<'a>(
    isa: Isa,
    g: &ConvGeometry,
    x: BlockInput<'a>,
    rows: Range<usize>,
    buffer: &'a mut LineBuffer,
) -> MatrixRows<'a> {
    let row = g.w * g.cin;
    match g.kind {
        KernelKind::Dense => {
            MatrixRows { data: dense::unroll(g, x.whole(), rows, buffer), stride: g.kh * g.kw * g.cin }
        }
        _ => MatrixRows { data: x.part(rows.start * row..rows.end * row).wide(isa, buffer), stride: g.cin },
    }
}
