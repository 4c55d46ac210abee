//! One image's block on several threads, stage by stage over whole maps: small maps cut into bands would make too much
//! of what lies along the border twice, and their weight gradients are cut by channels rather than summed by everyone.

use super::forward::Forward;
use super::piece::{Backward, BackwardTensors, DepthwiseMaps, Piece};
use super::tile::owned;
use super::{BlockInput, BlockLayers, Keep, LayerSums, expand_rows};
use crate::kernel::ChannelSums;
use crate::kernel::activation;
use crate::kernel::depthwise::{
    Band, Mask, NineTaps, WeightGradient, backward_input_rows, backward_weight_rows, forward_rows,
};
use crate::kernel::gemm::{GemmEpilogue, MatrixRows, product};
use crate::kernel::half_float::{narrow, widen};
use crate::kernel::line_buffer::LineBuffer;
use crate::kernel::pointwise;
use crate::kernel::shape::{ConvGeometry, LayerValues};
use crate::kernel::workspace::{Loan, Partial, Pooled, Stages};
use rayon::prelude::*;

fn of_one_image<'a>(layer: &LayerValues<'a>) -> LayerValues<'a> {
    LayerValues { geometry: ConvGeometry { n: 1, ..layer.geometry }, ..*layer }
}

/// Rows of a task where `rows` are shared by all threads.
fn task_rows(rows: usize) -> usize {
    rows.div_ceil(rayon::current_num_threads()).max(1)
}

impl Forward<'_> {
    /// One image: all expanded rows, then the rest by output rows. Returns the sums of the inputs of depthwise and
    /// project where `watch`.
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
            expand_rows(self.isa, layer, self.expand, BlockInput::Whole(x), rows, &mut LineBuffer::default(), to);
            narrow(self.isa, to, kept);
        });
        let behind = BlockLayers { expand: None, ..*block };
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
    /// One image: back to the depthwise layer's output by output rows, to the block's input by input rows, then the
    /// large weight gradients by channels.
    pub(super) fn staged(&self, piece: Piece, sums: Option<&mut Vec<LayerSums>>) {
        let (isa, block, p, mut stages) = (self.isa, self.block, self.block.plane(), Stages::take());
        let Stages { expanded, wide, d_wide, d_expanded, masked, input, zeros, .. } = &mut *stages;
        let Piece { tensors: BackwardTensors { x, y, dy, kept }, dx, .. } = piece;
        let (Some(kept), Some(layer)) = (kept, &block.expand) else { unreachable!("the stages read what was kept") };
        let (row, row_out) = (p.w * p.c, p.ow * block.project.geometry.cin);
        let zeros = &*zeros.first(row.max(row_out));
        let expanded = expanded.first(p.h * row);
        let task = task_rows(p.h) * row;
        expanded.par_chunks_mut(task).zip(kept.par_chunks(task)).for_each(|(to, kept)| widen(isa, kept, to));
        let expanded = Band::whole(expanded, p.h);
        let dy_masked = y.map(|y| {
            let masked = masked.first(dy.len());
            activation::mask(isa, masked, dy, y);
            &*masked
        });
        let g = dy_masked.unwrap_or(dy);
        let (wide, d_wide) = (wide.first(p.oh * row_out), d_wide.first(p.oh * row_out));
        self.staged_outputs(expanded, zeros, g, wide, d_wide);
        let maps = DepthwiseMaps { expanded, d_wide: Band::whole(d_wide, p.oh), zeros };
        let d_expanded = d_expanded.first(p.h * row);
        let partials = self.staged_inputs(layer, maps, dy, d_expanded, dx, sums.is_some());
        let Some(sums) = sums else { return };
        let [expand, depthwise, last] = &mut sums[..] else { unreachable!("a block of three layers") };
        for partial in &partials {
            let (db, rest) = partial.sums.filled(11 * p.c).split_at(p.c);
            let (dw, own_db) = rest.split_at(9 * p.c);
            for (to, from) in [(&mut *expand.db, db), (&mut *depthwise.dw, dw), (&mut *depthwise.db, own_db)] {
                activation::add(isa, to, from);
            }
        }
        activation::sum_rows(isa, g, last.db);
        let (wide, d_expanded) = (&*wide, &*d_expanded);
        let [expand_layer, last_layer] = [layer, &block.project].map(of_one_image);
        rayon::join(
            || pointwise::backward_weight(isa, &last_layer, wide, g, last.dw),
            || pointwise::backward_weight(isa, &expand_layer, x.wide(isa, input), d_expanded, expand.dw),
        );
    }

    /// By output rows: the depthwise layer's output `wide` again, and the gradient before its activation, `d_wide`.
    fn staged_outputs(&self, expanded: Band, zeros: &[f32], g: &[f32], wide: &mut [f32], d_wide: &mut [f32]) {
        let (isa, block, p) = (self.isa, self.block, self.block.plane());
        let (cout, row_out) = (block.project.geometry.cout, p.ow * block.project.geometry.cin);
        let task = task_rows(p.oh);
        let outputs = wide.par_chunks_mut(task * row_out).zip(d_wide.par_chunks_mut(task * row_out));
        outputs.enumerate().for_each(|(i, (wide, d_wide))| {
            let (start, rows) = (i * task, wide.len() / row_out);
            let relu6 = block.depthwise.geometry.relu6;
            let taps = NineTaps { plane: &p, weights: self.taps, zeros };
            forward_rows(isa, taps, expanded, start..start + rows, wide, relu6);
            let (end, aux) = if relu6 { (GemmEpilogue::Mask, Some(&*wide)) } else { (GemmEpilogue::Store, None) };
            let g = MatrixRows { data: &g[start * p.ow * cout..], stride: cout };
            product(isa, rows * p.ow, g, self.project_back, d_wide, end, aux);
        });
    }

    /// By input rows: the gradient before the expansion's activation, `d_expanded`, and from it the input gradient
    /// where it is wanted. Returns each task's sums: the gradient of the expansion's bias and, where the block
    /// `learns`, of the depthwise weight and bias.
    fn staged_inputs(
        &self,
        layer: &LayerValues,
        maps: DepthwiseMaps,
        dy: &[f32],
        d_expanded: &mut [f32],
        dx: Option<&mut [f32]>,
        learns: bool,
    ) -> Vec<Loan<Partial>> {
        let (isa, block, p) = (self.isa, self.block, self.block.plane());
        let DepthwiseMaps { expanded, d_wide, zeros } = maps;
        let (cout, row, task) = (block.project.geometry.cout, p.w * p.c, task_rows(p.h));
        let dx_rows: Vec<Option<&mut [f32]>> = match dx {
            Some(dx) => dx.chunks_mut(task * p.w * layer.geometry.cin).map(Some).collect(),
            None => (0..p.h.div_ceil(task)).map(|_| None).collect(),
        };
        let inputs = d_expanded.par_chunks_mut(task * row).zip(dx_rows).enumerate();
        let run = |(i, (d_expanded, dx)): (usize, (&mut [f32], Option<&mut [f32]>))| {
            let rows = i * task..i * task + d_expanded.len() / row;
            let mut loan = Partial::take();
            let mine = loan.sums.first(11 * p.c);
            mine.fill(0.0);
            let (db, depthwise) = mine.split_at_mut(p.c);
            let taps = NineTaps { plane: &p, weights: self.taps_back, zeros };
            if layer.geometry.relu6 {
                let mask = Some(Mask { outputs: expanded, sums: db });
                backward_input_rows(isa, taps, d_wide, rows.clone(), d_expanded, mask);
            } else {
                backward_input_rows(isa, taps, d_wide, rows.clone(), d_expanded, None);
                activation::sum_rows(isa, d_expanded, db);
            }
            if let Some(dx) = dx {
                let (end, aux) = match block.residual {
                    true => (GemmEpilogue::Add, Some(&dy[rows.start * p.ow * cout..])),
                    false => (GemmEpilogue::Store, None),
                };
                let d = MatrixRows { data: d_expanded, stride: p.c };
                product(isa, rows.len() * p.w, d, self.expand_back, dx, end, aux);
            }
            let own = owned(&p, &rows);
            if learns && !own.is_empty() {
                let (dw, db) = depthwise.split_at_mut(9 * p.c);
                let to = WeightGradient { scale: block.depthwise.scale, dw, db };
                backward_weight_rows(isa, &p, expanded, d_wide, zeros, own, to);
            }
            loan
        };
        inputs.map(run).collect()
    }
}
