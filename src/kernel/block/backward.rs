//! The backward pass of a block: cut into pieces that go to the threads.

use super::piece::{Backward, BackwardTensors, Piece};
use super::staging::is_staged;
use super::{BlockGradients, BlockInput, BlockLayers, FORK_MACS, LayerSums};
use crate::kernel::activation;
use crate::kernel::isa::Isa;
use crate::kernel::shape::KernelKind;
use crate::kernel::workspace::{Loan, PackedWeights, Partial, Pooled};
use rayon::prelude::*;

/// The backward pass. `y` is the output where it ends in ReLU6, `kept` the expanded tensor where forward kept it.
///
/// # Panics
/// If a buffer's length disagrees with the geometry, or the input gradient of a dense expansion is asked for.
pub fn block_backward(
    isa: Isa,
    block: &BlockLayers,
    x: BlockInput,
    y: Option<&[f32]>,
    dy: &[f32],
    kept: Option<&[u16]>,
    out: BlockGradients,
) {
    block.check();
    let (d, project, input) = (block.depthwise.geometry, block.project.geometry, *block.input());
    assert!(kept.is_none_or(|k| block.expand.is_some() && k.len() == d.input_len()), "kept input of {d:?}");
    assert_eq!((x.len(), dy.len()), (input.input_len(), project.output_len()), "gradients of {input:?}");
    assert_eq!(y.map(<[f32]>::len), project.relu6.then_some(dy.len()), "the output of {project:?}");
    let BlockGradients { dx, sums } = out;
    assert!(
        dx.as_ref().is_none_or(|d| d.len() == x.len() && input.kind != KernelKind::Dense),
        "input gradient of {input:?}"
    );
    let mut packed = PackedWeights::take();
    let ready = Backward::pack(isa, block, kept.is_some(), dx.is_some(), &mut packed);
    let staged = kept.is_some() && is_staged(&block.geometries(), rayon::current_num_threads());
    let pieces = cut(block, BackwardTensors { x, y, dy, kept }, dx, staged);
    match sums {
        mut sums if staged => pieces.into_iter().for_each(|piece| ready.staged(piece, sums.as_mut())),
        None => pieces.into_iter().for_each(|piece| ready.piece(piece, None)),
        Some(sums) => ready.shared(pieces, sums),
    }
}

/// The pieces of the work: whole images where it is `staged`, else bands of their rows.
fn cut<'a>(
    block: &BlockLayers,
    tensors: BackwardTensors<'a>,
    dx: Option<&'a mut [f32]>,
    staged: bool,
) -> Vec<Piece<'a>> {
    let (p, n, input) = (block.plane(), block.project.geometry.n, block.input());
    // A dense expansion has another input height than the depthwise layer; it wants no input gradient.
    let row = p.w * input.cin;
    let bands = if staged { (0..n).map(|i| (i, 0..p.h)).collect() } else { block.bands(p.h) };
    let mut rest = dx;
    bands
        .into_iter()
        .map(|(i, rows)| {
            let dx = rest.take().map(|d| {
                let (dx, behind) = d.split_at_mut(rows.len() * row);
                rest = Some(behind);
                dx
            });
            Piece { tensors: tensors.image(i, n), rows, dx }
        })
        .collect()
}

impl Backward<'_> {
    /// Takes the pieces on all threads. Each thread sums its share of them; the shares are added in order.
    fn shared(&self, pieces: Vec<Piece>, mut sums: Vec<LayerSums>) {
        let threads = rayon::current_num_threads();
        if threads == 1 || pieces.len() == 1 || self.block.macs() < FORK_MACS {
            pieces.into_iter().for_each(|piece| self.piece(piece, Some(&mut sums)));
            return;
        }
        let share = pieces.len().div_ceil(threads);
        let mut groups: Vec<Vec<Piece>> = Vec::new();
        for piece in pieces {
            match groups.last_mut() {
                Some(group) if group.len() < share => group.push(piece),
                _ => groups.push(vec![piece]),
            }
        }
        let lengths: Vec<[usize; 2]> = sums.iter().map(|s| [s.dw.len(), s.db.len()]).collect();
        let mut groups = groups.into_iter();
        let own = groups.next().expect("there is a piece");
        let others: Vec<Vec<Piece>> = groups.collect();
        let (_, partials) = rayon::join(
            || own.into_iter().for_each(|piece| self.piece(piece, Some(&mut sums))),
            || others.into_par_iter().map(|group| self.partial(group, &lengths)).collect::<Vec<_>>(),
        );
        let total = lengths.iter().flatten().sum();
        for partial in partials {
            let mut rest = partial.sums.filled(total);
            for s in &mut sums {
                for to in [&mut *s.dw, &mut *s.db] {
                    activation::add(self.isa, to, &rest[..to.len()]);
                    rest = &rest[to.len()..];
                }
            }
        }
    }

    /// One thread's share of the weight gradients, one layer's after another; `lengths` are those of weights and biases.
    fn partial(&self, pieces: Vec<Piece>, lengths: &[[usize; 2]]) -> Loan<Partial> {
        let mut loan = Partial::take();
        let mut rest = loan.sums.first(lengths.iter().flatten().sum());
        rest.fill(0.0);
        let mut sums = Vec::with_capacity(lengths.len());
        for &[weights, biases] in lengths {
            let (dw, behind) = std::mem::take(&mut rest).split_at_mut(weights);
            let (db, behind) = behind.split_at_mut(biases);
            rest = behind;
            sums.push(LayerSums { dw, db });
        }
        pieces.into_iter().for_each(|piece| self.piece(piece, Some(&mut sums)));
        loan
    }
}
