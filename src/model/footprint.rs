//! Memory of a forward or training pass, computed by walking through the network's program without running it.
//!
//! Counted are values (with what keeps them alive), expansions kept for the backward pass, and gradients on their way.
//! Not counted are the network's numbers and the sums of their gradients.

use super::forward::SsdModel;
use super::program::{Program, ProgramStep, geometries};
use crate::boxes::InputSize;
use crate::kernel::{BlockWorkspace, ConvGeometry, block_workspace};
use crate::ops;

/// Memory of a pass, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Alive at the fullest moment of a training pass, forth and back; the images are among it.
    pub training: usize,
    /// The same of a pass that only looks.
    pub looking: usize,
    /// Buffers that kernels work in, over all threads.
    pub workspace: usize,
}

/// The numbers alive, and the most that were.
#[derive(Debug, Default)]
struct Alive {
    now: usize,
    most: usize,
    /// How many hold each value of the program.
    holders: Vec<usize>,
}

impl Alive {
    fn take(&mut self, numbers: usize) {
        self.now += numbers;
        self.most = self.most.max(self.now);
    }

    fn give(&mut self, numbers: usize) {
        self.now -= numbers;
    }

    fn hold(&mut self, program: &Program, value: usize) {
        if self.holders[value] == 0 {
            self.take(program.numbers(value));
        }
        self.holders[value] += 1;
    }

    fn release(&mut self, program: &Program, value: usize) {
        self.holders[value] -= 1;
        if self.holders[value] == 0 {
            self.give(program.numbers(value));
        }
    }
}

/// The numbers that a step of a training pass keeps for its backward pass.
#[derive(Clone, Debug, Default)]
struct KeptNumbers {
    /// True if anything flows back through it.
    tracked: bool,
    values: Vec<usize>,
    /// Its input and expansion as far as it keeps them in 16 bits, counted as numbers of 32.
    half: usize,
    /// True if its expansion is among that.
    expansion: bool,
}

impl SsdModel {
    /// Memory of a pass over `n` images of `size` pixels with `threads` threads, as the layers learn now.
    pub fn footprint(&self, n: usize, size: impl Into<InputSize>, threads: usize) -> Footprint {
        let size = size.into();
        let program = Program::of(&self.tree, &self.layers, [n, size.height, size.width, 3]);
        let kept = self.kept(&program);
        let mut workspace = BlockWorkspace::default();
        for (step, kept) in program.steps.iter().zip(&kept) {
            if let ProgramStep::Fused { positions, input, .. } = step {
                let geometries = geometries(&self.layers, positions, program.dims[*input]);
                workspace = workspace.max(block_workspace(&geometries, kept.tracked, kept.expansion, threads));
            }
        }
        let nothing = vec![KeptNumbers::default(); kept.len()];
        let [training, looking] = [&kept, &nothing].map(|kept| most(&program, kept) * size_of::<f32>());
        Footprint { training, looking, workspace: workspace.numbers(threads) * size_of::<f32>() }
    }

    /// Sizes of every layer, in walk order, for one image of `size` pixels.
    pub fn geometries_of_all(&self, size: impl Into<InputSize>) -> Vec<ConvGeometry> {
        let InputSize { height, width } = size.into();
        let program = Program::of(&self.tree, &self.layers, [1, height, width, 3]);
        let mut all: Vec<Option<ConvGeometry>> = vec![None; self.layers.len()];
        for step in &program.steps {
            if let ProgramStep::Fused { positions, input, .. } = step {
                for (&position, g) in positions.iter().zip(geometries(&self.layers, positions, program.dims[*input])) {
                    all[position] = Some(g);
                }
            }
        }
        all.into_iter().map(|g| g.expect("every layer is part of the program")).collect()
    }

    /// The numbers that each step keeps in training.
    fn kept(&self, program: &Program) -> Vec<KeptNumbers> {
        let mut kept: Vec<KeptNumbers> = Vec::with_capacity(program.steps.len());
        for (i, step) in program.steps.iter().enumerate() {
            // Nothing flows back into the images.
            let tracked = |value: usize| value > 0 && kept[value - 1].tracked;
            let of_step = match step {
                ProgramStep::Sum(a, b) => KeptNumbers { tracked: tracked(*a) || tracked(*b), ..KeptNumbers::default() },
                ProgramStep::Fused { positions, input, .. } => {
                    let geometries = geometries(&self.layers, positions, program.dims[*input]);
                    let learns = positions.iter().any(|&p| self.layers[p].learns());
                    if learns || tracked(*input) {
                        // The mask of a ReLU6 is read off its output.
                        let output = geometries.last().filter(|g| g.relu6).map(|_| i + 1);
                        let rounds = self.rounds_kept && geometries.len() == 3;
                        let expansion = rounds && learns && ops::keeps_expansion(&geometries[0]);
                        // Who made it keeps it already.
                        let shared = *input > 0 && kept[*input - 1].values.contains(input);
                        let halves = rounds && !shared && ops::halves_input(&geometries[0]);
                        let half = if halves { geometries[0].input_len() } else { 0 }
                            + if expansion { geometries[0].output_len() } else { 0 };
                        let values = (!halves).then_some(*input).into_iter().chain(output).collect();
                        KeptNumbers { tracked: true, values, half: half.div_ceil(2), expansion }
                    } else {
                        KeptNumbers::default()
                    }
                }
            };
            kept.push(of_step);
        }
        kept
    }
}

/// The most numbers alive at once, where each step keeps this.
fn most(program: &Program, kept: &[KeptNumbers]) -> usize {
    let mut alive = Alive { holders: vec![0; program.dims.len()], ..Alive::default() };
    alive.hold(program, 0);
    for (i, (step, kept)) in program.steps.iter().zip(kept).enumerate() {
        alive.take(kept.half);
        alive.hold(program, i + 1);
        kept.values.iter().for_each(|&value| alive.hold(program, value));
        for value in step.inputs().into_iter().filter(|&value| program.last_use[value] == i) {
            alive.release(program, value);
        }
    }
    // The predictions, joined from their parts; in training their gradient and the product that the backward pass starts from.
    let predictors: Vec<usize> = program.predictors.iter().flatten().copied().collect();
    let joined: usize = predictors.iter().map(|&value| program.numbers(value)).sum();
    let learning = kept.iter().any(|k| k.tracked);
    alive.take(if learning { 3 * joined } else { joined });
    predictors.iter().for_each(|&value| alive.release(program, value));
    if learning {
        alive.give(2 * joined);
        back(program, kept, &mut alive, &predictors);
    }
    alive.most
}

/// How many steps lead from the images to each value, at most.
fn depths(program: &Program) -> Vec<usize> {
    let mut depths = vec![0; program.dims.len()];
    for (i, step) in program.steps.iter().enumerate() {
        depths[i + 1] = 1 + step.inputs().into_iter().map(|value| depths[value]).max().unwrap_or(0);
    }
    depths
}

/// The backward pass: a step takes the gradient of its output and what it kept, and leaves the gradient of its input.
/// As burn does, the deepest steps go first: a head's turn comes with that of the layers beside it.
fn back(program: &Program, kept: &[KeptNumbers], alive: &mut Alive, predictors: &[usize]) {
    let tracked = |value: usize| value > 0 && kept[value - 1].tracked;
    let mut flowing = vec![false; program.dims.len()];
    let mut flow = |alive: &mut Alive, value: usize| {
        if !tracked(value) {
            return;
        }
        alive.take(program.numbers(value));
        if std::mem::replace(&mut flowing[value], true) {
            // Added to the one that is there.
            alive.give(program.numbers(value));
        }
    };
    for &value in predictors {
        flow(&mut *alive, value);
    }
    let depths = depths(program);
    let mut steps: Vec<(usize, &ProgramStep)> =
        program.steps.iter().enumerate().filter(|(i, _)| kept[*i].tracked).collect();
    steps.sort_by_key(|(i, _)| std::cmp::Reverse(depths[i + 1]));
    for (i, step) in steps {
        for value in step.inputs() {
            flow(&mut *alive, value);
        }
        // Whatever learns from a step's output has left its gradient by now.
        alive.give(program.numbers(i + 1) + kept[i].half);
        for &value in &kept[i].values {
            alive.release(program, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{initialise_network, ssdlite_mobilenet_v2};
    use rand::SeedableRng;
    use rand_pcg::Pcg64Mcg;

    fn model(learns: impl Fn(bool) -> bool) -> SsdModel {
        let network = initialise_network(&ssdlite_mobilenet_v2(0.35, 3, false), &mut Pcg64Mcg::seed_from_u64(3));
        SsdModel::new(&network, |stage| match learns(stage.is_backbone()) {
            true => crate::model::LayerTraining::Trained,
            false => crate::model::LayerTraining::Frozen,
        })
    }

    #[test]
    fn a_pass_ends_with_the_predictions_alone() {
        let model = model(|_| true);
        let program = Program::of(&model.tree, &model.layers, [2, 96, 96, 3]);
        let kept = model.kept(&program);
        let joined: usize = program.predictors.iter().flatten().map(|&value| program.numbers(value)).sum();
        let mut alive = Alive { holders: vec![0; program.dims.len()], ..Alive::default() };
        // Forward holds at its end: all kept values, and the predictors' outputs.
        let mut halves = 0;
        for k in &kept {
            k.values.iter().for_each(|&value| alive.hold(&program, value));
            alive.take(k.half);
            halves += k.half;
        }
        assert!(halves > 0 && kept.iter().any(|k| k.expansion), "a small micro-batch keeps expansions");
        let predictors: Vec<usize> = program.predictors.iter().flatten().copied().collect();
        back(&program, &kept, &mut alive, &predictors);
        assert_eq!((alive.now, alive.holders.iter().sum::<usize>()), (0, 0), "all is let go in the backward pass");
        assert!(alive.most > joined);
    }

    #[test]
    fn what_does_not_learn_keeps_nothing() {
        let footprint = |learns: &dyn Fn(bool) -> bool| model(learns).footprint(2, 96, 1);
        let [all, heads, none] = [footprint(&|_| true), footprint(&|backbone| !backbone), footprint(&|_| false)];
        // A small network's heads keep less than its first block passes on.
        assert!(all.training > 4 * heads.training && heads.training >= none.training, "{all:?} {heads:?} {none:?}");
        assert_eq!([all.looking, heads.looking], [none.looking; 2]);
        assert_eq!(none.training, none.looking);
        // The widest moment of looking: an image and the first block's output, while the one is made from the other.
        let images = 2 * 96 * 96 * 3 * size_of::<f32>();
        assert!(none.looking > images && none.looking < 3 * images, "{none:?}");
    }

    #[test]
    fn images_cost_alike() {
        let model = model(|_| true);
        let [one, two, three] = [1, 2, 3].map(|n| model.footprint(n, 96, 1).training);
        assert_eq!([two, three], [2 * one, 3 * one]);
    }
}
