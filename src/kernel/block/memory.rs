//! How much memory a block's kernels work in, from its sizes alone.

use super::ring::ring_rows;
use super::tile_rows;
use crate::kernel::depthwise::Plane;
use crate::kernel::gemm::Panels;
use crate::kernel::isa::Isa;
use crate::kernel::shape::{ConvGeometry, Kind};

/// Numbers in workspaces. Buffers only grow, so that of all blocks of a network is the largest of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockWorkspace {
    /// Packed weights, once.
    pub shared: usize,
    /// Tiles, on every thread.
    pub per_thread: usize,
}

impl BlockWorkspace {
    /// The larger of both, part by part.
    pub fn max(self, other: Self) -> Self {
        Self { shared: self.shared.max(other.shared), per_thread: self.per_thread.max(other.per_thread) }
    }
}

/// The workspace of these layers: one of its own, or depthwise and project, with expand before them or without.
/// `backward` counts the way back too.
pub fn block_workspace(layers: &[ConvGeometry], backward: bool) -> BlockWorkspace {
    let isa = Isa::best();
    let packed = |g: &ConvGeometry| match g.kind {
        Kind::Depthwise => 0,
        // Forward and, transposed, to the input.
        _ => Panels::len_of(isa, g.weight_len() / g.cout, g.cout) * if backward { 2 } else { 1 },
    };
    let shared = layers.iter().map(packed).sum();
    let [expand @ .., depthwise, project] = layers else { return BlockWorkspace { shared, per_thread: 0 } };
    let p = Plane::of(depthwise);
    let height = tile_rows(layers, if backward { 2 } else { 1 });
    let (row, row_out) = (p.w * p.c, p.ow * p.c);
    let rows = height * p.stride + 2;
    let ring = if expand.is_empty() { 0 } else { ring_rows(&p, height) * row };
    let patches = expand.iter().filter(|e| e.kind == Kind::Dense).map(|e| rows * e.ow * e.weight_len() / e.cout);
    let back = if backward { (height + 2) * row_out + rows * row + height * p.ow * project.cout } else { 0 };
    let partial = if backward { layers.iter().map(|g| g.weight_len() + g.cout).sum() } else { 0 };
    BlockWorkspace { shared, per_thread: ring + height * row_out + back + partial + row + patches.sum::<usize>() }
}
