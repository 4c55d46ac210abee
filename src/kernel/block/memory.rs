//! The memory that a block's kernels work in, from its sizes alone.

use super::ring::ring_rows;
use super::staging::is_staged;
use super::tile_rows;
use crate::kernel::dense;
use crate::kernel::depthwise::Plane;
use crate::kernel::gemm::Panels;
use crate::kernel::isa::Isa;
use crate::kernel::shape::{ConvGeometry, KernelKind};

/// Numbers in workspaces, buffer by buffer. Buffers only grow, so that of all blocks of a network is the largest of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockWorkspace {
    /// Packed weights, once.
    packed: [usize; 3],
    /// Rings, tiles and their gradients, on every thread.
    tiles: [usize; 6],
    /// Whole maps of a block in stages, and a dense layer's patches, once.
    stages: [usize; 7],
    /// A share of the weight gradients, or of a dense layer's output, on every thread but one.
    partial: usize,
}

impl BlockWorkspace {
    /// The larger of both, part by part.
    pub fn max(self, other: Self) -> Self {
        Self {
            packed: std::array::from_fn(|i| self.packed[i].max(other.packed[i])),
            tiles: std::array::from_fn(|i| self.tiles[i].max(other.tiles[i])),
            stages: std::array::from_fn(|i| self.stages[i].max(other.stages[i])),
            partial: self.partial.max(other.partial),
        }
    }

    /// All of it, for so many threads.
    pub fn numbers(&self, threads: usize) -> usize {
        let [packed, tiles] = [self.packed.iter().sum::<usize>(), self.tiles.iter().sum()];
        packed + threads * tiles + self.stages.iter().sum::<usize>() + threads.saturating_sub(1) * self.partial
    }
}

/// The workspace of these layers: one of its own, or depthwise and project, with expand before them or without.
/// `backward` counts the backward pass too, `kept` says that it finds the expansion kept; `threads` share the work.
pub fn block_workspace(layers: &[ConvGeometry], backward: bool, kept: bool, threads: usize) -> BlockWorkspace {
    let isa = Isa::best();
    // As packed for the forward pass and, transposed, for the gradient of the input: about the same.
    let panels = |g: &ConvGeometry| match g.kind {
        KernelKind::Depthwise => 0,
        _ => Panels::len_of(isa, g.weight_len() / g.cout, g.cout),
    };
    if let [layer] = layers
        && layer.kind == KernelKind::Dense
    {
        let dense::DenseWorkspace { packed, tile, patches, piece } = dense::workspace(isa, layer, backward, threads);
        let (packed, tiles) = ([packed, 0, 0], [tile, 0, 0, 0, 0, 0]);
        return BlockWorkspace { packed, tiles, stages: [0, 0, 0, 0, 0, 0, patches], partial: piece };
    }
    let [expand @ .., depthwise, project] = layers else {
        let packed = [layers.iter().map(panels).sum(), 0, 0];
        return BlockWorkspace { packed, ..BlockWorkspace::default() };
    };
    let p = Plane::of(depthwise);
    let (row, row_out) = (p.w * p.c, p.ow * p.c);
    let expansion: usize = expand.iter().map(panels).sum();
    let packed = [expansion, panels(project), if backward && !kept { expansion } else { 0 }];
    // Forward works on higher tiles, backward on more of them.
    let of_pass = |copies: usize| {
        let height = tile_rows(layers, copies);
        let rows = height * p.stride + 2;
        let back = |numbers: usize| if copies == 2 { numbers } else { 0 };
        let ring = if expand.is_empty() { 0 } else { ring_rows(&p, height) * row };
        // The input of an expansion: unrolled, or made wide.
        let patches = expand.iter().map(|e| match e.kind {
            KernelKind::Dense => rows * e.ow * e.weight_len() / e.cout,
            _ => back(rows * e.w * e.cin),
        });
        let masked = if project.relu6 { height * p.ow * project.cout } else { 0 };
        let d_expanded = if expand.is_empty() { 0 } else { rows * row };
        let tiles = [
            ring + patches.sum::<usize>(),
            height * row_out,
            back((height + 2) * row_out),
            back(d_expanded),
            back(masked),
            row.max(row_out),
        ];
        BlockWorkspace { packed, tiles, ..BlockWorkspace::default() }
    };
    if !backward {
        return of_pass(1);
    }
    let partial = layers.iter().map(|g| g.weight_len() + g.cout).sum();
    let whole = |numbers: usize| if kept && is_staged(layers, threads) { numbers } else { 0 };
    let (outputs, inputs) = (whole(p.oh * row_out), whole(p.h * row));
    let masked = if project.relu6 { whole(p.oh * p.ow * project.cout) } else { 0 };
    let input = expand.iter().map(|e| whole(e.input_len() / e.n)).sum();
    let stages = [inputs, outputs, outputs, inputs, masked, input, 0];
    BlockWorkspace { stages, partial, ..of_pass(1).max(of_pass(2)) }
}
