//! The choice of blocks that run in stages over whole maps.

use super::FORK_MACS;
use crate::kernel::shape::{ConvGeometry, KernelKind};

/// Numbers of the expanded map up to which stages run over it: a small second-level cache holds as many.
const WHOLE_FLOATS: usize = 300 << 10;

/// True if such a block (expand, depthwise, project), its expansion kept, runs in stages on so many threads.
pub(super) fn is_staged(layers: &[ConvGeometry], threads: usize) -> bool {
    let [expand, depthwise, project] = layers else { return false };
    let macs: usize = layers.iter().map(ConvGeometry::macs).sum();
    let small = depthwise.h * depthwise.w * depthwise.cin <= WHOLE_FLOATS;
    expand.kind == KernelKind::Pointwise && project.n < threads && macs >= FORK_MACS && small
}
