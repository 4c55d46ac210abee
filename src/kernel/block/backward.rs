//! The way back, tile by tile: the expanded rows are made again, or read where they were kept.

use super::ring::{Ring, new_rows, pieces, ring_rows};
use super::staged::is_staged;
use super::{Block, BlockGradients, FORK_MACS, Input, LayerSums, expand_rows, expanded_from};
use crate::kernel::activation;
use crate::kernel::depthwise::{Band, Mask, Weights, backward_input_rows, backward_weight_rows, forward_rows};
use crate::kernel::gemm::{End, Panels, Rows, product, weight_product};
use crate::kernel::half_float::widen;
use crate::kernel::isa::Isa;
use crate::kernel::shape::Kind;
use crate::kernel::workspace::{Packed, Partial, Pooled, Workspace};
use rayon::prelude::*;
use std::ops::Range;

/// The way back. `y` is the output where it ends in ReLU6, `kept` the expanded tensor where forward kept it.
///
/// # Panics
/// If a buffer's length disagrees with the geometry, or the input gradient of a dense expansion is asked for.
pub fn block_backward(
    isa: Isa,
    block: &Block,
    x: Input,
    y: Option<&[f32]>,
    dy: &[f32],
    kept: Option<&[u16]>,
    out: BlockGradients,
) {
    block.check();
    let d = block.depthwise.geometry;
    assert!(kept.is_none_or(|k| block.expand.is_some() && k.len() == d.input_len()), "kept input of {d:?}");
    let (p, project, input) = (block.plane(), block.project.geometry, *block.input());
    assert_eq!((x.len(), dy.len()), (input.input_len(), project.output_len()), "gradients of {input:?}");
    assert_eq!(y.map(<[f32]>::len), project.relu6.then_some(dy.len()), "the output of {project:?}");
    let BlockGradients { dx, sums } = out;
    assert!(dx.as_ref().is_none_or(|d| d.len() == x.len() && input.kind != Kind::Dense), "input gradient of {input:?}");
    let mut packed = Packed::take();
    let Packed { panels: [large, project_back, small], taps: [taps, taps_back] } = &mut *packed;
    // Expansions of many channels are kept: the third set of panels stays small.
    let (expand, expand_back) = if kept.is_some() { (small, large) } else { (large, small) };
    let wanted = dx.is_some();
    let pack_expand = || {
        if let Some(e) = &block.expand {
            if kept.is_none() {
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
        taps_back.backward(isa, block.depthwise.weight, block.depthwise.scale, p.stride);
    };
    block.together(pack_expand, pack_others);
    let ready = Backward { isa, block, expand, expand_back, project_back, taps, taps_back };
    let n = project.n;
    let (image, image_out, row) = (x.len() / n, dy.len() / n, p.w * input.cin);
    // A dense expansion has another input height than the depthwise layer; it wants no input gradient.
    let staged = kept.is_some() && is_staged(&block.geometries(), rayon::current_num_threads());
    let bands = if staged { (0..n).map(|i| (i, 0..p.h)).collect() } else { block.bands(p.h) };
    let mut pieces = Vec::with_capacity(bands.len());
    let mut rest = dx;
    for (i, rows) in bands {
        let dx = rest.take().map(|d| {
            let (dx, behind) = d.split_at_mut(rows.len() * row);
            rest = Some(behind);
            dx
        });
        let at = i * image_out..(i + 1) * image_out;
        let y = y.map(|y| &y[at.clone()]);
        let kept = kept.map(|k| &k[i * p.h * p.w * p.c..][..p.h * p.w * p.c]);
        pieces.push(Piece { x: x.part(i * image..(i + 1) * image), y, dy: &dy[at], kept, rows, dx });
    }
    if staged {
        let mut sums = sums;
        pieces.into_iter().for_each(|piece| ready.staged(piece, sums.as_mut()));
        return;
    }
    let Some(mut sums) = sums else {
        pieces.into_iter().for_each(|piece| ready.piece(piece, None));
        return;
    };
    let threads = rayon::current_num_threads();
    if threads == 1 || pieces.len() == 1 || block.macs() < FORK_MACS {
        pieces.into_iter().for_each(|piece| ready.piece(piece, Some(&mut sums)));
        return;
    }
    // Each thread sums its share of the pieces; the shares are added in order.
    let share = pieces.len().div_ceil(threads);
    let mut groups: Vec<Vec<Piece>> = Vec::new();
    for piece in pieces {
        match groups.last_mut() {
            Some(group) if group.len() < share => group.push(piece),
            _ => groups.push(vec![piece]),
        }
    }
    let lengths: Vec<[usize; 2]> = sums.iter().map(|s| [s.dw.len(), s.db.len()]).collect();
    let total: usize = lengths.iter().flatten().sum();
    let mut groups = groups.into_iter();
    let own = groups.next().expect("there is a piece");
    let others: Vec<Vec<Piece>> = groups.collect();
    let (_, partials) = rayon::join(
        || own.into_iter().for_each(|piece| ready.piece(piece, Some(&mut sums))),
        || {
            let run = |group: Vec<Piece>| {
                let mut loan = Partial::take();
                let mut rest = loan.sums.first(total);
                rest.fill(0.0);
                let mut partial = Vec::with_capacity(lengths.len());
                for &[w, b] in &lengths {
                    let (dw, behind) = std::mem::take(&mut rest).split_at_mut(w);
                    let (db, behind) = behind.split_at_mut(b);
                    rest = behind;
                    partial.push(LayerSums { dw, db });
                }
                group.into_iter().for_each(|piece| ready.piece(piece, Some(&mut partial)));
                loan
            };
            others.into_par_iter().map(run).collect::<Vec<_>>()
        },
    );
    for partial in partials {
        let mut rest = partial.sums.filled(total);
        for s in &mut sums {
            for to in [&mut *s.dw, &mut *s.db] {
                activation::add(isa, to, &rest[..to.len()]);
                rest = &rest[to.len()..];
            }
        }
    }
}

/// Some input rows of one image on the way back.
pub(super) struct Piece<'a> {
    pub(super) x: Input<'a>,
    pub(super) y: Option<&'a [f32]>,
    pub(super) dy: &'a [f32],
    /// The expanded tensor.
    pub(super) kept: Option<&'a [u16]>,
    /// Rows of the depthwise layer's input.
    rows: Range<usize>,
    /// Those rows of the input gradient.
    pub(super) dx: Option<&'a mut [f32]>,
}

/// A block's numbers made ready for the way back.
#[derive(Clone, Copy)]
pub(super) struct Backward<'a> {
    pub(super) isa: Isa,
    pub(super) block: &'a Block<'a>,
    expand: &'a Panels,
    pub(super) expand_back: &'a Panels,
    pub(super) project_back: &'a Panels,
    pub(super) taps: &'a Weights,
    pub(super) taps_back: &'a Weights,
}

impl Backward<'_> {
    /// Output rows whose share of the weight gradients belongs to these input rows: those that have the middle of their
    /// window among them.
    pub(super) fn owned(&self, rows: &Range<usize>) -> Range<usize> {
        let p = self.block.plane();
        let owner = |o: usize| (o * p.stride + 1).saturating_sub(p.top).min(p.h - 1);
        let mut own = (0..p.oh).filter(|&o| rows.contains(&owner(o)));
        own.next().map_or(0..0, |begin| begin..own.next_back().unwrap_or(begin) + 1)
    }

    fn piece(&self, piece: Piece, mut sums: Option<&mut Vec<LayerSums>>) {
        let (isa, block, p, mut workspace) = (self.isa, self.block, self.block.plane(), Workspace::take());
        let Workspace { expanded, wide, d_wide, d_expanded, masked, patches, zeros, unused, .. } = &mut *workspace;
        let Piece { x, y, dy, kept, rows, mut dx } = piece;
        let (input, project) = (*block.input(), block.project.geometry);
        let (cin, cout, row, row_out) = (project.cin, project.cout, p.w * p.c, p.ow * project.cin);
        let zeros = zeros.first(row.max(row_out));
        let inner = usize::from(block.expand.is_some());
        let own = self.owned(&rows);
        let touched = p.outputs(rows.clone());
        let all = if own.is_empty() { touched } else { touched.start.min(own.start)..touched.end.max(own.end) };
        let (height, mut made, mut done) = (block.tile_rows(2), 0..0, rows.start);
        let ring_e = ring_rows(&p, height);
        let ring = if inner == 0 { 0 } else { ring_e * row };
        let ring = Ring { data: expanded.first(ring), rows: ring_e };
        // Two rows of the last tile reach into the input rows of the next.
        let ring_d = height + 2;
        let d_wide = d_wide.first(ring_d * row_out);
        for start in all.clone().step_by(height) {
            let out = start..(start + height).min(all.end);
            // Input rows that no later output reaches.
            let next = if out.end == all.end { rows.end } else { (out.end * p.stride).saturating_sub(p.top) };
            let ready = done..next.clamp(done, rows.end);
            done = ready.end;
            let band = match (&block.expand, kept) {
                (None, _) => Band::whole(x.whole(), p.h),
                (Some(layer), kept) => {
                    let need = p.inputs(out.clone());
                    let need = need.start.min(ready.start)..need.end.max(ready.end);
                    assert!(need.len() <= ring_e, "the ring holds {ring_e} rows, a tile needs {}", need.len());
                    for piece in ring.pieces(new_rows(&mut made, need)) {
                        let to = &mut ring.data[piece.start % ring_e * row..];
                        match kept {
                            Some(kept) => {
                                let kept = &kept[piece.start * row..piece.end * row];
                                widen(isa, kept, &mut to[..kept.len()]);
                            }
                            None => expand_rows(isa, layer, self.expand, x, piece, patches, to),
                        }
                    }
                    ring.band()
                }
            };
            let pixels = out.len() * p.ow;
            let wide = wide.first(pixels * cin);
            forward_rows(isa, &p, band, self.taps, zeros, out.clone(), wide, block.depthwise.geometry.relu6);
            let mut g = &dy[start * p.ow * cout..][..pixels * cout];
            if let Some(y) = y {
                let masked = masked.first(g.len());
                activation::mask(isa, masked, g, &y[start * p.ow * cout..][..g.len()]);
                g = masked;
            }
            for piece in pieces(out.clone(), ring_d) {
                let (skip, pixels) = ((piece.start - out.start) * p.ow, piece.len() * p.ow);
                let fresh = &mut d_wide[piece.start % ring_d * row_out..][..pixels * cin];
                let (end, aux) = match block.depthwise.geometry.relu6 {
                    true => (End::Mask, Some(&wide[skip * cin..])),
                    false => (End::Store, None),
                };
                let g = Rows { data: &g[skip * cout..], stride: cout };
                product(isa, pixels, g, self.project_back, fresh, end, aux);
            }
            let d_band = Band { data: d_wide, rows: ring_d };
            if let Some(sums) = &mut sums {
                let mine = out.start.max(own.start)..out.end.min(own.end);
                if !mine.is_empty() {
                    let (skip, rows) = ((mine.start - out.start) * p.ow, mine.len() * p.ow);
                    let g = &g[skip * cout..][..rows * cout];
                    let LayerSums { dw, db } = &mut sums[inner + 1];
                    let (left, right) =
                        (Rows { data: &wide[skip * cin..], stride: cin }, Rows { data: g, stride: cout });
                    weight_product(isa, [rows, cin, cout], left, right, block.project.scale, dw);
                    activation::sum_rows(isa, g, db);
                    let LayerSums { dw, db } = &mut sums[inner];
                    backward_weight_rows(isa, &p, band, d_band, zeros, mine, block.depthwise.scale, dw, db);
                }
            }
            if ready.is_empty() || (dx.is_none() && (block.expand.is_none() || sums.is_none())) {
                continue;
            }
            let place = (ready.start - rows.start) * p.w * input.cin;
            let Some(layer) = &block.expand else {
                if let Some(dx) = &mut dx {
                    let to = &mut dx[place..][..ready.len() * row];
                    backward_input_rows(isa, &p, d_band, self.taps_back, zeros, ready.clone(), to, None);
                    if block.residual {
                        activation::add(isa, to, &dy[ready.start * row..][..ready.len() * row]);
                    }
                }
                continue;
            };
            let pixels = ready.len() * p.w;
            let d_expanded = d_expanded.first(pixels * p.c);
            let db = sums.as_mut().map(|s| &mut *s[0].db);
            if layer.geometry.relu6 {
                // A frozen layer's sums go nowhere.
                let sums = db.unwrap_or_else(|| unused.first(p.c));
                let mask = Some(Mask { outputs: band, sums });
                backward_input_rows(isa, &p, d_band, self.taps_back, zeros, ready.clone(), d_expanded, mask);
            } else {
                backward_input_rows(isa, &p, d_band, self.taps_back, zeros, ready.clone(), d_expanded, None);
                if let Some(db) = db {
                    activation::sum_rows(isa, d_expanded, db);
                }
            }
            let d = Rows { data: d_expanded, stride: p.c };
            if let Some(sums) = &mut sums {
                let g = layer.geometry;
                let depth = g.kh * g.kw * g.cin;
                let x = expanded_from(isa, &g, x, ready.clone(), patches);
                weight_product(isa, [pixels, depth, g.cout], x, d, layer.scale, sums[0].dw);
            }
            if let Some(dx) = &mut dx {
                let to = &mut dx[place..][..pixels * input.cin];
                let (end, aux) = match block.residual {
                    true => (End::Add, Some(&dy[ready.start * p.ow * cout..])),
                    false => (End::Store, None),
                };
                product(isa, pixels, d, self.expand_back, to, end, aux);
            }
        }
        // Rows that no output reads, where padding is odd.
        if let (Some(dx), true) = (&mut dx, done < rows.end) {
            dx[(done - rows.start) * p.w * input.cin..].fill(0.0);
        }
    }
}
