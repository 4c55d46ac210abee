//! The forward pass, tile by tile.

use super::kept::KeptBand;
use super::ring::{Ring, new_rows, ring_rows};
use super::staging::is_staged;
use super::{BlockInput, BlockLayers, FORK_MACS, Keep, activated, expand_rows};
use crate::kernel::ChannelSums;
use crate::kernel::depthwise::{Band, NineTaps, PackedTaps, forward_rows};
use crate::kernel::gemm::{GemmEpilogue, MatrixRows, Panels, product};
use crate::kernel::isa::Isa;
use crate::kernel::shape::KernelKind;
use crate::kernel::workspace::{PackedWeights, Pooled, Workspace};
use rayon::prelude::*;
use std::ops::Range;

/// `y = project(depthwise(expand(x))) (+ x)`; overwrites `y`. `observed` takes the sums of the inputs of expand (if
/// there is one), depthwise and project.
///
/// # Panics
/// If a buffer's length disagrees with the geometry or the layers do not follow one another.
pub fn block_forward(
    isa: Isa,
    block: &BlockLayers,
    x: &[f32],
    y: &mut [f32],
    observed: Option<&mut [ChannelSums]>,
    keep: Keep,
) {
    block.check();
    let d = block.depthwise.geometry;
    let fits = |kept: &Option<&mut [u16]>, len: usize| kept.as_ref().is_none_or(|k| k.len() == len);
    assert!(fits(&keep.expansion, d.input_len()) && fits(&keep.input, x.len()), "what is kept of {d:?}");
    let pointwise = block.expand.as_ref().is_some_and(|e| e.geometry.kind == KernelKind::Pointwise);
    assert!(
        (pointwise || keep.input.is_none()) && (block.expand.is_some() || keep.expansion.is_none()),
        "kept of {d:?}"
    );
    assert_eq!(x.len(), block.input().input_len(), "input of {:?}", block.input());
    assert_eq!(y.len(), block.project.geometry.output_len(), "output of {:?}", block.project.geometry);
    let mut packed = PackedWeights::take();
    let PackedWeights { panels: [expand, project, _], taps: [taps, _] } = &mut *packed;
    let pack_expand = || {
        if let Some(e) = &block.expand {
            expand.pack(isa, e.weight, e.scale, e.bias);
        }
    };
    let pack_others = || {
        project.pack(isa, block.project.weight, block.project.scale, block.project.bias);
        taps.forward(isa, block.depthwise.weight, block.depthwise.scale, block.depthwise.bias);
    };
    block.together(pack_expand, pack_others);
    let ready = Forward { isa, block, expand, project, taps };
    let (p, image) = (block.plane(), x.len() / block.project.geometry.n);
    let row = p.ow * block.project.geometry.cout;
    let (mut rest, mut keep) = (y, keep);
    let watch = observed.is_some();
    let staged = keep.expansion.is_some() && is_staged(&block.geometries(), rayon::current_num_threads());
    let bands: Vec<_> = if staged { Vec::new() } else { block.bands(p.oh) };
    let bands: Vec<_> = bands
        .into_iter()
        .map(|(i, rows)| {
            let (y, behind) = std::mem::take(&mut rest).split_at_mut(rows.len() * row);
            rest = behind;
            let pixels = p.share(&rows).len() * p.w;
            let keep = keep.take(pixels * block.input().cin, pixels * p.c);
            (&x[i * image..][..image], rows, y, keep)
        })
        .collect();
    let run = |(x, rows, y, keep): BandPart| ready.band((x, x), rows, y, watch, keep);
    let seen: Vec<[ChannelSums; 2]> = if staged {
        let images = x.chunks_exact(image).zip(rest.chunks_exact_mut(p.oh * row));
        images.map(|(x, y)| ready.staged(x, y, keep.take(image, p.h * p.w * p.c), watch)).collect()
    } else if rayon::current_num_threads() > 1 && block.macs() >= FORK_MACS {
        bands.into_par_iter().map(run).collect()
    } else {
        bands.into_iter().map(run).collect()
    };
    if let Some(observed) = observed {
        let inner = observed.len() - 2;
        if inner > 0 {
            observed[0].add(x, block.input().cin);
        }
        for sums in &seen {
            observed[inner].merge(&sums[0]);
            observed[inner + 1].merge(&sums[1]);
        }
    }
}

/// A band's image, output rows, where they go, and where its share is kept.
type BandPart<'a> = (&'a [f32], Range<usize>, &'a mut [f32], Keep<'a>);

/// A block's numbers made ready for the forward pass.
#[derive(Clone, Copy)]
pub(super) struct Forward<'a> {
    pub(super) isa: Isa,
    pub(super) block: &'a BlockLayers<'a>,
    pub(super) expand: &'a Panels,
    pub(super) project: &'a Panels,
    pub(super) taps: &'a PackedTaps,
}

impl Forward<'_> {
    /// Some output rows of one image, and what its residual adds. Returns the sums of the inputs of depthwise and
    /// project where `watch`.
    pub(super) fn band(
        &self,
        (x, added): (&[f32], &[f32]),
        rows: Range<usize>,
        y: &mut [f32],
        watch: bool,
        keep: Keep,
    ) -> [ChannelSums; 2] {
        let (block, p, mut workspace) = (self.block, self.block.plane(), Workspace::take());
        let Workspace { expanded, wide, patches, zeros, .. } = &mut *workspace;
        let project = block.project.geometry;
        let (cin, cout, row) = (project.cin, project.cout, p.w * p.c);
        let zeros = zeros.first(row);
        let (height, mut made, mut seen) = (block.tile_rows(1), 0..0, [ChannelSums::default(), ChannelSums::default()]);
        let own = p.share(&rows);
        let ring = match block.expand {
            None => Ring { data: &mut [], rows: p.h },
            Some(_) => Ring { rows: ring_rows(&p, height), data: expanded.first(ring_rows(&p, height) * row) },
        };
        let mut kept = KeptBand { isa: self.isa, keep, own: own.clone(), x, row_in: p.w * block.input().cin, row };
        let mut counted = own.start;
        for start in rows.clone().step_by(height) {
            let out = start..(start + height).min(rows.end);
            let need = p.inputs(out.clone());
            if let Some(layer) = &block.expand {
                for piece in ring.pieces(new_rows(&mut made, need.clone())) {
                    let to = &mut ring.data[piece.start % ring.rows * row..];
                    expand_rows(self.isa, layer, self.expand, BlockInput::Whole(x), piece.clone(), patches, to);
                    kept.take(piece, to);
                }
            }
            let band = if block.expand.is_some() { ring.band() } else { Band::whole(x, p.h) };
            if watch && counted < need.end.min(own.end) {
                for piece in ring.pieces(counted..need.end.min(own.end)) {
                    seen[0].add(&band.data[piece.start % band.rows * row..][..piece.len() * row], p.c);
                    counted = piece.end;
                }
            }
            let pixels = out.len() * p.ow;
            let wide = wide.first(pixels * cin);
            let taps = NineTaps { plane: &p, weights: self.taps, zeros };
            forward_rows(self.isa, taps, band, out.clone(), wide, block.depthwise.geometry.relu6);
            if watch {
                seen[1].add(wide, cin);
            }
            let at = (start - rows.start) * p.ow * cout;
            let (end, aux) = match block.residual {
                true => (GemmEpilogue::Add, Some(&added[start * p.ow * cout..])),
                false => (activated(&project), None),
            };
            let wide = MatrixRows { data: wide, stride: cin };
            product(self.isa, pixels, wide, self.project, &mut y[at..][..pixels * cout], end, aux);
        }
        // Rows that no output reads, where padding is odd: kept all the same, and part of the layer's input.
        if let (Some(layer), true) = (&block.expand, counted_to(&made, &own) < own.end && (watch || kept.wants())) {
            for y in counted_to(&made, &own)..own.end {
                let to = &mut ring.data[y % ring.rows * row..];
                expand_rows(self.isa, layer, self.expand, BlockInput::Whole(x), y..y + 1, patches, to);
                if watch {
                    seen[0].add(&to[..row], p.c);
                }
                kept.take(y..y + 1, to);
            }
        } else if watch && block.expand.is_none() && counted < own.end {
            seen[0].add(&x[counted * row..own.end * row], p.c);
        }
        seen
    }
}

/// The first of a band's own rows that it has not made.
fn counted_to(made: &Range<usize>, own: &Range<usize>) -> usize {
    made.end.max(own.start)
}
