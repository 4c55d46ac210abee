//! The backward pass over some rows of one image, tile by tile: the expanded rows are made again, or read where they
//! were kept.

use super::ring::{Ring, new_rows, ring_rows};
use super::tile::{Tile, tiles};
use super::{BlockInput, BlockLayers, LayerSums, expand_rows, expanded_from};
use crate::kernel::activation;
use crate::kernel::depthwise::{
    Band, Mask, NineTaps, PackedTaps, WeightGradient, backward_input_rows, backward_weight_rows, forward_rows,
};
use crate::kernel::gemm::{GemmEpilogue, MatrixRows, Panels, product, weight_product};
use crate::kernel::half_float::widen;
use crate::kernel::isa::Isa;
use crate::kernel::line_buffer::LineBuffer;
use crate::kernel::shape::LayerValues;
use crate::kernel::workspace::{PackedWeights, Pooled, Workspace};
use std::ops::Range;

/// The tensors that a backward pass reads, of one image or several.
#[derive(Clone, Copy)]
pub(super) struct BackwardTensors<'a> {
    /// The block's input.
    pub(super) x: BlockInput<'a>,
    /// The block's output, where it ends in ReLU6.
    pub(super) y: Option<&'a [f32]>,
    /// The gradient of the output.
    pub(super) dy: &'a [f32],
    /// The expanded tensor, where forward kept it.
    pub(super) kept: Option<&'a [u16]>,
}

impl BackwardTensors<'_> {
    /// The tensors of image `i` of `n`.
    pub(super) fn image(self, i: usize, n: usize) -> Self {
        let of = |len: usize| i * (len / n)..(i + 1) * (len / n);
        Self {
            x: self.x.part(of(self.x.len())),
            y: self.y.map(|y| &y[of(y.len())]),
            dy: &self.dy[of(self.dy.len())],
            kept: self.kept.map(|kept| &kept[of(kept.len())]),
        }
    }
}

/// Some input rows of one image on the backward pass.
pub(super) struct Piece<'a> {
    /// Of the whole image.
    pub(super) tensors: BackwardTensors<'a>,
    /// Rows of the depthwise layer's input.
    pub(super) rows: Range<usize>,
    /// The same rows of the input gradient: overwritten.
    pub(super) dx: Option<&'a mut [f32]>,
}

/// A block's numbers made ready for the backward pass.
#[derive(Clone, Copy)]
pub(super) struct Backward<'a> {
    pub(super) isa: Isa,
    pub(super) block: &'a BlockLayers<'a>,
    expand: &'a Panels,
    pub(super) expand_back: &'a Panels,
    pub(super) project_back: &'a Panels,
    pub(super) taps: &'a PackedTaps,
    pub(super) taps_back: &'a PackedTaps,
}

/// The maps that lie around the depthwise layer, of a tile or of a whole image.
#[derive(Clone, Copy)]
pub(super) struct DepthwiseMaps<'a> {
    /// Its input: the expanded rows.
    pub(super) expanded: Band<'a>,
    /// The gradient of its output.
    pub(super) d_wide: Band<'a>,
    /// A row of zeros, for padding.
    pub(super) zeros: &'a [f32],
}

/// Buffers behind the depthwise layer.
struct Buffers<'a> {
    d_expanded: &'a mut LineBuffer,
    patches: &'a mut LineBuffer,
    /// Takes sums that nobody wants.
    unused: &'a mut LineBuffer,
}

impl<'a> Backward<'a> {
    /// Packs the block's weights, `keeps` where the expanded tensor was kept, `wanted` where the input gradient is
    /// wanted.
    pub(super) fn pack(
        isa: Isa,
        block: &'a BlockLayers<'a>,
        keeps: bool,
        wanted: bool,
        packed: &'a mut PackedWeights,
    ) -> Self {
        let PackedWeights { panels: [large, project_back, small], taps: [taps, taps_back] } = packed;
        // Expansions of many channels are kept: the third set of panels stays small.
        let (expand, expand_back) = if keeps { (small, large) } else { (large, small) };
        let pack_expand = || {
            if let Some(e) = &block.expand {
                if !keeps {
                    expand.pack(isa, e.weight, e.scale, e.bias);
                }
                if wanted {
                    expand_back.pack_transposed(isa, e.weight, e.scale);
                }
            }
        };
        let pack_others = || {
            project_back.pack_transposed(isa, block.project.weight, block.project.scale);
            taps.forward(isa, block.depthwise.weight, block.depthwise.scale, block.depthwise.bias);
            taps_back.backward(isa, block.depthwise.weight, block.depthwise.scale, block.depthwise.geometry.stride);
        };
        block.together(pack_expand, pack_others);
        Self { isa, block, expand, expand_back, project_back, taps, taps_back }
    }

    /// Overwrites the piece's rows of the input gradient and adds its share of the weight gradients to `sums`: expand
    /// (if there is one), depthwise, project.
    pub(super) fn piece(&self, piece: Piece, mut sums: Option<&mut Vec<LayerSums>>) {
        let (block, p, mut workspace) = (self.block, self.block.plane(), Workspace::take());
        let Workspace { expanded, wide, d_wide, d_expanded, masked, patches, zeros, unused, .. } = &mut *workspace;
        let Piece { tensors, rows, mut dx } = piece;
        let (height, row, row_out) = (block.tile_rows(2), p.w * p.c, p.ow * block.project.geometry.cin);
        let (row_in, relu6) = (p.w * block.input().cin, block.depthwise.geometry.relu6);
        let zeros = &*zeros.first(row.max(row_out));
        let ring = ring_rows(&p, height);
        let made_again = if block.expand.is_some() { ring * row } else { 0 };
        let mut ring = Ring { data: expanded.first(made_again), rows: ring };
        // Two rows of the last tile reach into the input rows of the next.
        let mut d_ring = Ring { data: d_wide.first((height + 2) * row_out), rows: height + 2 };
        let (mut made, mut done) = (0..0, rows.start);
        for tile in tiles(&p, &rows, height) {
            done = tile.ready.end;
            let expanded = match &block.expand {
                None => Band::whole(tensors.x.whole(), p.h),
                Some(layer) => {
                    assert!(tile.need.len() <= ring.rows, "the ring holds {} rows, a tile needs {tile:?}", ring.rows);
                    self.refill(layer, &mut ring, new_rows(&mut made, tile.need.clone()), tensors, patches);
                    ring.band()
                }
            };
            let wide = wide.first(tile.out.len() * row_out);
            let taps = NineTaps { plane: &p, weights: self.taps, zeros };
            forward_rows(self.isa, taps, expanded, tile.out.clone(), wide, relu6);
            let g = self.output_gradient(tensors, &tile.out, masked);
            self.through_project(&tile.out, g, wide, &mut d_ring);
            let maps = DepthwiseMaps { expanded, d_wide: d_ring.band(), zeros };
            if let Some(sums) = &mut sums {
                self.weight_gradients(&tile, g, wide, maps, sums);
            }
            if tile.ready.is_empty() {
                continue;
            }
            let place = (tile.ready.start - rows.start) * row_in;
            let to = dx.as_mut().map(|dx| &mut dx[place..][..tile.ready.len() * row_in]);
            let buffers = Buffers { d_expanded, patches, unused };
            match (&block.expand, to) {
                (None, None) => {}
                (None, Some(to)) => self.through_depthwise(tile.ready, maps, tensors.dy, to),
                (Some(_), None) if sums.is_none() => {}
                (Some(layer), to) => {
                    let sums = sums.as_mut().map(|sums| &mut sums[0]);
                    self.through_expand(layer, tile.ready, maps, tensors, (to, sums), buffers);
                }
            }
        }
        // Rows that no output reads, where padding is odd.
        if let (Some(dx), true) = (&mut dx, done < rows.end) {
            dx[(done - rows.start) * row_in..].fill(0.0);
        }
    }

    /// Puts the expanded rows `new` into the ring: widened where they were kept, else made again.
    fn refill(
        &self,
        layer: &LayerValues,
        ring: &mut Ring,
        new: Range<usize>,
        tensors: BackwardTensors,
        patches: &mut LineBuffer,
    ) {
        let p = self.block.plane();
        let row = p.w * p.c;
        for piece in ring.pieces(new) {
            let to = &mut ring.data[piece.start % ring.rows * row..];
            match tensors.kept {
                Some(kept) => {
                    let kept = &kept[piece.start * row..piece.end * row];
                    widen(self.isa, kept, &mut to[..kept.len()]);
                }
                None => expand_rows(self.isa, layer, self.expand, tensors.x, piece, patches, to),
            }
        }
    }

    /// The gradient before the block's last activation, of output rows `out`.
    fn output_gradient<'b>(
        &self,
        tensors: BackwardTensors<'b>,
        out: &Range<usize>,
        masked: &'b mut LineBuffer,
    ) -> &'b [f32] {
        let row = self.block.plane().ow * self.block.project.geometry.cout;
        let of = out.start * row..out.end * row;
        let g = &tensors.dy[of.clone()];
        let Some(y) = tensors.y else { return g };
        let masked = masked.first(g.len());
        activation::mask(self.isa, masked, g, &y[of]);
        masked
    }

    /// Puts the gradient of the depthwise layer's output, before its activation, into the ring. `g` and `wide` are
    /// output gradient and depthwise output of rows `out`.
    fn through_project(&self, out: &Range<usize>, g: &[f32], wide: &[f32], ring: &mut Ring) {
        let (p, project) = (self.block.plane(), self.block.project.geometry);
        let row = p.ow * project.cin;
        for piece in ring.pieces(out.clone()) {
            let (skip, pixels) = ((piece.start - out.start) * p.ow, piece.len() * p.ow);
            let fresh = &mut ring.data[piece.start % ring.rows * row..][..pixels * project.cin];
            let (end, aux) = match self.block.depthwise.geometry.relu6 {
                true => (GemmEpilogue::Mask, Some(&wide[skip * project.cin..])),
                false => (GemmEpilogue::Store, None),
            };
            let g = MatrixRows { data: &g[skip * project.cout..], stride: project.cout };
            product(self.isa, pixels, g, self.project_back, fresh, end, aux);
        }
    }

    /// Adds the share of the tile's own rows to the weight gradients of project and depthwise.
    fn weight_gradients(&self, tile: &Tile, g: &[f32], wide: &[f32], maps: DepthwiseMaps, sums: &mut [LayerSums]) {
        let (isa, block, p, own) = (self.isa, self.block, self.block.plane(), tile.own.clone());
        if own.is_empty() {
            return;
        }
        let (cin, cout) = (block.project.geometry.cin, block.project.geometry.cout);
        let inner = usize::from(block.expand.is_some());
        let (skip, pixels) = ((own.start - tile.out.start) * p.ow, own.len() * p.ow);
        let g = &g[skip * cout..][..pixels * cout];
        let LayerSums { dw, db } = &mut sums[inner + 1];
        let (left, right) =
            (MatrixRows { data: &wide[skip * cin..], stride: cin }, MatrixRows { data: g, stride: cout });
        weight_product(isa, [pixels, cin, cout], left, right, block.project.scale, dw);
        activation::sum_rows(isa, g, db);
        let LayerSums { dw, db } = &mut sums[inner];
        let to = WeightGradient { scale: block.depthwise.scale, dw, db };
        backward_weight_rows(isa, &p, maps.expanded, maps.d_wide, maps.zeros, own, to);
    }

    /// The input gradient of a block without expansion: rows `ready` into `to`.
    fn through_depthwise(&self, ready: Range<usize>, maps: DepthwiseMaps, dy: &[f32], to: &mut [f32]) {
        let p = self.block.plane();
        let taps = NineTaps { plane: &p, weights: self.taps_back, zeros: maps.zeros };
        backward_input_rows(self.isa, taps, maps.d_wide, ready.clone(), to, None);
        if self.block.residual {
            activation::add(self.isa, to, &dy[ready.start * p.w * p.c..][..to.len()]);
        }
    }

    /// Rows `ready` through depthwise layer and expansion: their input gradient and the expansion's share of the weight
    /// gradients, each where it is wanted.
    fn through_expand(
        &self,
        layer: &LayerValues,
        ready: Range<usize>,
        maps: DepthwiseMaps,
        tensors: BackwardTensors,
        (to, sums): (Option<&mut [f32]>, Option<&mut LayerSums>),
        buffers: Buffers,
    ) {
        let (isa, block, p) = (self.isa, self.block, self.block.plane());
        let pixels = ready.len() * p.w;
        let d_expanded = buffers.d_expanded.first(pixels * p.c);
        let (dw, db) = sums.map_or((None, None), |sums| (Some(&mut *sums.dw), Some(&mut *sums.db)));
        let taps = NineTaps { plane: &p, weights: self.taps_back, zeros: maps.zeros };
        if layer.geometry.relu6 {
            // A frozen layer's sums go nowhere.
            let sums = db.unwrap_or_else(|| buffers.unused.first(p.c));
            let mask = Some(Mask { outputs: maps.expanded, sums });
            backward_input_rows(isa, taps, maps.d_wide, ready.clone(), d_expanded, mask);
        } else {
            backward_input_rows(isa, taps, maps.d_wide, ready.clone(), d_expanded, None);
            if let Some(db) = db {
                activation::sum_rows(isa, d_expanded, db);
            }
        }
        let d = MatrixRows { data: d_expanded, stride: p.c };
        if let Some(dw) = dw {
            let g = layer.geometry;
            let x = expanded_from(isa, &g, tensors.x, ready.clone(), buffers.patches);
            weight_product(isa, [pixels, g.kh * g.kw * g.cin, g.cout], x, d, layer.scale, dw);
        }
        if let Some(to) = to {
            let (end, aux) = match block.residual {
                true => (GemmEpilogue::Add, Some(&tensors.dy[ready.start * p.ow * block.project.geometry.cout..])),
                false => (GemmEpilogue::Store, None),
            };
            product(isa, pixels, d, self.expand_back, to, end, aux);
        }
    }
}
