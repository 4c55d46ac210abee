//! The network as a list of operations on numbered values: the forward pass runs it, and the memory plan reads it.

use super::layer::ConvLayer;
use super::ssd::Ssd;
use crate::kernel::{Block, ConvGeometry};

/// One operation; its output is the value after those before it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
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
    pub steps: Vec<Step>,
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
        builder.walk(tree);
        builder.program.count_uses();
        builder.program
    }
}

impl ProgramBuilder<'_> {
    fn walk(&mut self, tree: &Ssd<usize>) {
        let mut maps = Vec::new();
        let (mut x, mut stem) = (0, Some(tree.stem));
        for (i, block) in tree.blocks.iter().enumerate() {
            let inner = [block.depthwise, block.project];
            if let Some(stem) = stem.take() {
                // The stem is the expansion of a first block that has none.
                if block.expand.is_none() && !block.residual {
                    x = self.block(&[stem, inner[0], inner[1]], false, x);
                    continue;
                }
                x = self.single(stem, x);
            }
            x = match block.expand {
                Some(expand) if i == tree.tap => {
                    let expanded = self.single(expand, x);
                    maps.push(expanded);
                    let out = self.block(&inner, false, expanded);
                    if block.residual { self.sum(out, x) } else { out }
                }
                Some(expand) => self.block(&[expand, inner[0], inner[1]], block.residual, x),
                None => self.block(&inner, block.residual, x),
            };
        }
        x = self.single(tree.last, x);
        maps.push(x);
        for extra in &tree.extras {
            x = match extra.expand {
                Some(expand) => self.block(&[extra.reduce, extra.spatial, expand], false, x),
                None => extra.layers().fold(x, |x, &position| self.single(position, x)),
            };
            maps.push(x);
        }
        for (head, &map) in tree.heads.iter().zip(&maps) {
            let branches = [(head.box_depthwise, head.box_predictor), (head.class_depthwise, head.class_predictor)];
            let values = branches.map(|(depthwise, predictor)| match depthwise {
                Some(depthwise) => self.block(&[depthwise, predictor], false, map),
                None => self.single(predictor, map),
            });
            self.program.predictors.push(values);
        }
    }

    fn single(&mut self, position: usize, input: usize) -> usize {
        let g = self.layers[position].spec().geometry(self.program.dims[input]);
        let step = Step::Fused { positions: vec![position], residual: false, input };
        self.program.push(step, [g.n, g.oh, g.ow, g.cout])
    }

    /// Layers that follow one another, the last but one of them depthwise, as one operation where there is one for them.
    fn block(&mut self, positions: &[usize], residual: bool, input: usize) -> usize {
        let geometries = geometries(self.layers, positions, self.program.dims[input]);
        let learns = |&position: &usize| self.layers[position].learns();
        let together = positions.iter().all(|p| learns(p) == learns(&positions[0]));
        let [before @ .., depthwise, project] = &geometries[..] else { panic!("a block has two or three layers") };
        if together && Block::fits(before.first(), depthwise) {
            let step = Step::Fused { positions: positions.to_vec(), residual, input };
            return self.program.push(step, [project.n, project.oh, project.ow, project.cout]);
        }
        let out = positions.iter().fold(input, |x, &position| self.single(position, x));
        if residual { self.sum(out, input) } else { out }
    }

    fn sum(&mut self, a: usize, b: usize) -> usize {
        self.program.push(Step::Sum(a, b), self.program.dims[b])
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
    fn push(&mut self, step: Step, dims: [usize; 4]) -> usize {
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

impl Step {
    /// The values it works on.
    pub(super) fn inputs(&self) -> Vec<usize> {
        match *self {
            Step::Fused { input, .. } => vec![input],
            Step::Sum(a, b) => vec![a, b],
        }
    }
}
