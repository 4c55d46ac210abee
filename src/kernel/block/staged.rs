//! One image's block on several threads, stage by stage over whole maps: small maps cut into bands would make too much of
//! what lies along the border twice, and their weight gradients are cut by channels rather than summed by everyone.

use super::backward::{Backward, Piece};
use super::forward::Forward;
use super::{Block, FORK_MACS, Input, Keep, LayerSums, expand_rows};
use crate::kernel::ChannelSums;
use crate::kernel::activation;
use crate::kernel::depthwise::{Band, Mask, backward_input_rows, backward_weight_rows, forward_rows};
use crate::kernel::gemm::{End, Rows, product};
use crate::kernel::half_float::{narrow, widen};
use crate::kernel::line_buffer::LineBuffer;
use crate::kernel::pointwise;
use crate::kernel::shape::{ConvGeometry, Kind, Layer};
use crate::kernel::workspace::{Loan, Partial, Pooled, Stages};
use rayon::prelude::*;

/// Numbers of the expanded map up to which stages run over it: a small second-level cache holds as many.
const WHOLE_FLOATS: usize = 300 << 10;

/// Whether such a block (expand, depthwise, project), its expansion kept, runs in stages on so many threads.
pub(super) fn is_staged(layers: &[ConvGeometry], threads: usize) -> bool {
    let [expand, depthwise, project] = layers else { return false };
    let macs: usize = layers.iter().map(ConvGeometry::macs).sum();
    let small = depthwise.h * depthwise.w * depthwise.cin <= WHOLE_FLOATS;
    expand.kind == Kind::Pointwise && project.n < threads && macs >= FORK_MACS && small
}

fn of_one_image<'a>(layer: &Layer<'a>) -> Layer<'a> {
    Layer { geometry: ConvGeometry { n: 1, ..layer.geometry }, ..*layer }
}

/// Rows of a task where `rows` are shared by all threads.
fn task_rows(rows: usize) -> usize {
    rows.div_ceil(rayon::current_num_threads()).max(1)
}

impl Forward<'_> {
    /// One image: all expanded rows, then the rest by output rows. Returns the sums of the inputs of depthwise and project
    /// where `watch`.
    pub(super) fn staged(&self, x: &[f32], y: &mut [f32], keep: Keep, watch: bool) -> [ChannelSums; 2] {
        let (p, block) = (self.block.plane(), self.block);
        let (Some(layer), Some(kept)) = (&block.expand, keep.expansion) else {
            unreachable!("stages keep what they make")
        };
        if let Some(input) = keep.input {
            narrow(self.isa, x, input);
        }
        let (row, row_out, task) = (p.w * p.c, p.ow * block.project.geometry.cout, task_rows(p.h));
        let mut stages = Stages::take();
        let expanded = stages.expanded.first(p.h * row);
        let tasks = expanded.par_chunks_mut(task * row).zip(kept.par_chunks_mut(task * row)).enumerate();
        tasks.for_each(|(i, (to, kept))| {
            let rows = i * task..i * task + to.len() / row;
            expand_rows(self.isa, layer, self.expand, Input::Whole(x), rows, &mut LineBuffer::default(), to);
            narrow(self.isa, to, kept);
        });
        let behind = Block { expand: None, ..*block };
        let rest = Forward { block: &behind, ..*self };
        let (task, expanded) = (task_rows(p.oh), &*expanded);
        let seen: Vec<[ChannelSums; 2]> = y
            .par_chunks_mut(task * row_out)
            .enumerate()
            .map(|(i, y)| rest.band((expanded, x), i * task..i * task + y.len() / row_out, y, watch, Keep::default()))
            .collect();
        let mut all = [ChannelSums::default(), ChannelSums::default()];
        seen.iter().for_each(|seen| all.iter_mut().zip(seen).for_each(|(all, seen)| all.merge(seen)));
        all
    }
}

impl Backward<'_> {
    /// One image: back to the depthwise layer's output by output rows, to the block's input by input rows, then the large
    /// weight gradients by channels.
    pub(super) fn staged(&self, piece: Piece, mut sums: Option<&mut Vec<LayerSums>>) {
        let (isa, block, p, mut stages) = (self.isa, self.block, self.block.plane(), Stages::take());
        let Stages { expanded, wide, d_wide, d_expanded, masked, input: input_wide, zeros } = &mut *stages;
        let Piece { x, y, dy, kept, dx, .. } = piece;
        let (Some(kept), Some(layer)) = (kept, &block.expand) else { unreachable!("the stages read what was kept") };
        let (input, project) = (layer.geometry, block.project.geometry);
        let (cout, row, row_out) = (project.cout, p.w * p.c, p.ow * project.cin);
        let zeros = &*zeros.first(row.max(row_out));
        let expanded = expanded.first(p.h * row);
        let task = task_rows(p.h) * row;
        expanded.par_chunks_mut(task).zip(kept.par_chunks(task)).for_each(|(to, kept)| widen(isa, kept, to));
        let band = Band::whole(expanded, p.h);
        let (wide, d_wide) = (wide.first(p.oh * row_out), d_wide.first(p.oh * row_out));

        let dy_masked = y.map(|y| {
            let masked = masked.first(dy.len());
            activation::mask(isa, masked, dy, y);
            &*masked
        });
        let g = dy_masked.unwrap_or(dy);
        let task = task_rows(p.oh);
        let outputs = wide.par_chunks_mut(task * row_out).zip(d_wide.par_chunks_mut(task * row_out));
        outputs.enumerate().for_each(|(i, (wide, d_wide))| {
            let (start, rows) = (i * task, wide.len() / row_out);
            let relu6 = block.depthwise.geometry.relu6;
            forward_rows(isa, &p, band, self.taps, zeros, start..start + rows, wide, relu6);
            let (end, aux) = if relu6 { (End::Mask, Some(&*wide)) } else { (End::Store, None) };
            let g = Rows { data: &g[start * p.ow * cout..], stride: cout };
            product(isa, rows * p.ow, g, self.project_back, d_wide, end, aux);
        });
        let (wide, d_wide) = (&*wide, &*d_wide);

        let d_band = Band::whole(d_wide, p.oh);
        let d_expanded = d_expanded.first(p.h * row);
        let (task, learns) = (task_rows(p.h), sums.is_some());
        let dx_rows: Vec<Option<&mut [f32]>> = match dx {
            Some(dx) => dx.chunks_mut(task * p.w * input.cin).map(Some).collect(),
            None => (0..p.h.div_ceil(task)).map(|_| None).collect(),
        };
        let inputs = d_expanded.par_chunks_mut(task * row).zip(dx_rows).enumerate();
        let partials: Vec<Loan<Partial>> = inputs
            .map(|(i, (d_expanded, dx))| {
                let rows = i * task..i * task + d_expanded.len() / row;
                // Of the expansion's bias, the depthwise weight and its bias.
                let mut loan = Partial::take();
                let mine = loan.sums.first(11 * p.c);
                mine.fill(0.0);
                let (db, depthwise) = mine.split_at_mut(p.c);
                if layer.geometry.relu6 {
                    let mask = Some(Mask { outputs: band, sums: db });
                    backward_input_rows(isa, &p, d_band, self.taps_back, zeros, rows.clone(), d_expanded, mask);
                } else {
                    backward_input_rows(isa, &p, d_band, self.taps_back, zeros, rows.clone(), d_expanded, None);
                    activation::sum_rows(isa, d_expanded, db);
                }
                if let Some(dx) = dx {
                    let (end, aux) = match block.residual {
                        true => (End::Add, Some(&dy[rows.start * p.ow * cout..])),
                        false => (End::Store, None),
                    };
                    let d = Rows { data: d_expanded, stride: p.c };
                    product(isa, rows.len() * p.w, d, self.expand_back, dx, end, aux);
                }
                let own = self.owned(&rows);
                if learns && !own.is_empty() {
                    let (dw, db) = depthwise.split_at_mut(9 * p.c);
                    backward_weight_rows(isa, &p, band, d_band, zeros, own, block.depthwise.scale, dw, db);
                }
                loan
            })
            .collect();
        let Some(sums) = &mut sums else { return };
        let [expand, depthwise, last] = &mut sums[..] else { unreachable!("a block of three layers") };
        for partial in &partials {
            let (db, rest) = partial.sums.filled(11 * p.c).split_at(p.c);
            let (dw, own_db) = rest.split_at(9 * p.c);
            for (to, from) in [(&mut *expand.db, db), (&mut *depthwise.dw, dw), (&mut *depthwise.db, own_db)] {
                activation::add(isa, to, from);
            }
        }
        activation::sum_rows(isa, g, last.db);

        let d_expanded = &*d_expanded;
        let [expand_layer, last_layer] = [layer, &block.project].map(of_one_image);
        rayon::join(
            || pointwise::backward_weight(isa, &last_layer, wide, g, last.dw),
            || pointwise::backward_weight(isa, &expand_layer, x.wide(isa, input_wide), d_expanded, expand.dw),
        );
    }
}
