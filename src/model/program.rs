//! The network as a list of operations on numbered values: what forward runs, and what its memory is planned from.

use super::forward::SsdModel;
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

impl SsdModel {
    /// The operations for images `[N,S,S,3]`, as the layers learn now.
    pub(super) fn program(&self, images: [usize; 4]) -> Program {
        let (mut program, mut maps) = (Program { dims: vec![images], ..Program::default() }, Vec::new());
        let (tree, mut x, mut stem) = (&self.tree, 0, Some(self.tree.stem));
        for (i, block) in tree.blocks.iter().enumerate() {
            let inner = [block.depthwise, block.project];
            if let Some(stem) = stem.take() {
                // The stem is the expansion of a first block that has none.
                if block.expand.is_none() && !block.residual {
                    x = self.block(&mut program, &[stem, inner[0], inner[1]], false, x);
                    continue;
                }
                x = self.single(&mut program, stem, x);
            }
            x = match block.expand {
                Some(expand) if i == tree.tap => {
                    let expanded = self.single(&mut program, expand, x);
                    maps.push(expanded);
                    let out = self.block(&mut program, &inner, false, expanded);
                    if block.residual { program.push(Step::Sum(out, x), program.dims[x]) } else { out }
                }
                Some(expand) => self.block(&mut program, &[expand, inner[0], inner[1]], block.residual, x),
                None => self.block(&mut program, &inner, block.residual, x),
            };
        }
        x = self.single(&mut program, tree.last, x);
        maps.push(x);
        for extra in &tree.extras {
            x = self.block(&mut program, &[extra.reduce, extra.depthwise, extra.expand], false, x);
            maps.push(x);
        }
        for (head, &map) in tree.heads.iter().zip(&maps) {
            let branches = [(head.box_depthwise, head.box_predictor), (head.class_depthwise, head.class_predictor)];
            let values = branches.map(|(depthwise, predictor)| match depthwise {
                Some(depthwise) => self.block(&mut program, &[depthwise, predictor], false, map),
                None => self.single(&mut program, predictor, map),
            });
            program.predictors.push(values);
        }
        program.count_uses();
        program
    }

    fn single(&self, program: &mut Program, position: usize, input: usize) -> usize {
        let g = self.layers[position].spec().geometry(program.dims[input]);
        let step = Step::Fused { positions: vec![position], residual: false, input };
        program.push(step, [g.n, g.oh, g.ow, g.cout])
    }

    /// Layers that follow one another, the last but one of them depthwise, as one operation where there is one for them.
    fn block(&self, program: &mut Program, positions: &[usize], residual: bool, input: usize) -> usize {
        let geometries = self.geometries(positions, program.dims[input]);
        let learns = |&position: &usize| self.layers[position].learns();
        let together = positions.iter().all(|p| learns(p) == learns(&positions[0]));
        let [before @ .., depthwise, project] = &geometries[..] else { panic!("a block has two or three layers") };
        if together && Block::fits(before.first(), depthwise) {
            let step = Step::Fused { positions: positions.to_vec(), residual, input };
            return program.push(step, [project.n, project.oh, project.ow, project.cout]);
        }
        let out = positions.iter().fold(input, |x, &position| self.single(program, position, x));
        if residual { program.push(Step::Sum(out, input), program.dims[input]) } else { out }
    }

    /// Sizes of layers that follow one another on an input of shape `[N,H,W,C]`.
    pub(super) fn geometries(&self, positions: &[usize], mut at: [usize; 4]) -> Vec<ConvGeometry> {
        let next = |&position: &usize| {
            let g = self.layers[position].spec().geometry(at);
            at = [g.n, g.oh, g.ow, g.cout];
            g
        };
        positions.iter().map(next).collect()
    }

    /// Sizes of every layer, in walk order, for one image of `size` pixels.
    pub fn geometries_of_all(&self, size: usize) -> Vec<ConvGeometry> {
        let program = self.program([1, size, size, 3]);
        let mut all: Vec<Option<ConvGeometry>> = vec![None; self.layers.len()];
        for step in &program.steps {
            if let Step::Fused { positions, input, .. } = step {
                for (&position, g) in positions.iter().zip(self.geometries(positions, program.dims[*input])) {
                    all[position] = Some(g);
                }
            }
        }
        all.into_iter().map(|g| g.expect("every layer is part of the program")).collect()
    }
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
