//! The network as a list of operations on numbered values: the forward pass runs it, and the memory plan reads it.
//! Units of the wiring become one operation where there is one for them.

use super::layer::ConvLayer;
use super::ssd::Ssd;
use super::wiring::Wiring;
use crate::kernel::{BlockLayers, ConvGeometry};

/// One operation; its output is the value after those before it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ProgramStep {
    /// Layers (by position) as one operation on the value `input`.
    Fused {
        positions: Vec<usize>,
        residual: bool,
        input: usize,
    },
    Sum(usize, usize),
}

/// The operations in order. Value 0 is the images, value i + 1 the output of step i.
#[derive(Clone, Debug, Default)]
pub(super) struct Program {
    pub steps: Vec<ProgramStep>,
    /// `[N,H,W,C]` of each value.
    pub dims: Vec<[usize; 4]>,
    /// The step that uses each value last; beyond all steps for what predictors put out.
    pub last_use: Vec<usize>,
    /// Values of the box and class predictors of each feature map.
    pub predictors: Vec<[usize; 2]>,
}

/// A program under construction for layers at their positions.
struct ProgramBuilder<'a> {
    layers: &'a [ConvLayer],
    program: Program,
}

impl Program {
    /// The operations for images `[N,S,S,3]` through the network that `tree` describes by its layers' positions, as the
    /// layers learn now.
    pub(super) fn of(tree: &Ssd<usize>, layers: &[ConvLayer], images: [usize; 4]) -> Self {
        let mut builder = ProgramBuilder { layers, program: Program { dims: vec![images], ..Program::default() } };
        let (wiring, mut values) = (Wiring::of(tree), vec![0]);
        for unit in &wiring.units {
            let added = unit.added.map(|value| values[value]);
            values.push(builder.unit(&unit.positions, values[unit.input], added));
        }
        builder.program.predictors = wiring.predictors.iter().map(|pair| pair.map(|value| values[value])).collect();
        builder.program.count_uses();
        builder.program
    }
}

impl ProgramBuilder<'_> {
    /// The layers of a unit as one operation where there is one for them, or else one by one.
    fn unit(&mut self, positions: &[usize], input: usize, added: Option<usize>) -> usize {
        let geometries = geometries(self.layers, positions, self.program.dims[input]);
        let (out, added) = match &geometries[..] {
            [before @ .., depthwise, last]
                if self.learn_alike(positions) && BlockLayers::fits(before.first(), depthwise) =>
            {
                let residual = added == Some(input);
                let step = ProgramStep::Fused { positions: positions.to_vec(), residual, input };
                (self.program.push(step, [last.n, last.oh, last.ow, last.cout]), added.filter(|_| !residual))
            }
            _ => (positions.iter().fold(input, |x, &position| self.single(position, x)), added),
        };
        added.map_or(out, |added| self.sum(out, added))
    }

    /// True if all of these layers learn, or none does.
    fn learn_alike(&self, positions: &[usize]) -> bool {
        let learns = |position: &usize| self.layers[*position].learns();
        positions.iter().all(|p| learns(p) == learns(&positions[0]))
    }

    fn single(&mut self, position: usize, input: usize) -> usize {
        let g = self.layers[position].spec().geometry(self.program.dims[input]);
        let step = ProgramStep::Fused { positions: vec![position], residual: false, input };
        self.program.push(step, [g.n, g.oh, g.ow, g.cout])
    }

    fn sum(&mut self, a: usize, b: usize) -> usize {
        self.program.push(ProgramStep::Sum(a, b), self.program.dims[b])
    }
}

/// Sizes of layers that follow one another on an input of shape `[N,H,W,C]`.
pub(super) fn geometries(layers: &[ConvLayer], positions: &[usize], mut at: [usize; 4]) -> Vec<ConvGeometry> {
    let next = |&position: &usize| {
        let g = layers[position].spec().geometry(at);
        at = [g.n, g.oh, g.ow, g.cout];
        g
    };
    positions.iter().map(next).collect()
}

impl Program {
    fn push(&mut self, step: ProgramStep, dims: [usize; 4]) -> usize {
        self.steps.push(step);
        self.dims.push(dims);
        self.dims.len() - 1
    }

    fn count_uses(&mut self) {
        self.last_use = vec![usize::MAX; self.dims.len()];
        for (i, step) in self.steps.iter().enumerate() {
            step.inputs().into_iter().for_each(|value| self.last_use[value] = i);
        }
    }

    /// Numbers of a value.
    pub(super) fn numbers(&self, value: usize) -> usize {
        self.dims[value].iter().product()
    }
}

impl ProgramStep {
    /// The values it works on.
    pub(super) fn inputs(&self) -> Vec<usize> {
        match *self {
            ProgramStep::Fused { input, .. } => vec![input],
            ProgramStep::Sum(a, b) => vec![a, b],
        }
    }
}
