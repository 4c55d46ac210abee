//! The wiring of the layers, as a list of steps on numbered values: the one walk over the network. The forward pass
//! and the memory plan make their program of it; calibration and every written form follow it layer by layer.

use super::ssd::Ssd;

/// Layers that follow one another and may run as one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Positions of the layers in walk order, each reading the one before.
    pub positions: Vec<usize>,
    /// The value that the first of them reads.
    pub input: usize,
    /// The value that is added to the output of the last: the residual.
    pub added: Option<usize>,
}

/// The units in walk order. Value 0 is the images, value i + 1 the output of unit i.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wiring {
    pub units: Vec<Unit>,
    /// The values that the heads read, in their order.
    pub maps: Vec<usize>,
    /// Values of the box and class predictors of each feature map.
    pub predictors: Vec<[usize; 2]>,
}

impl Wiring {
    /// The wiring of a network whose layers are given by their positions in walk order.
    pub(super) fn of(tree: &Ssd<usize>) -> Self {
        let mut wiring = Self::default();
        let (mut x, mut stem) = (0, Some(tree.stem));
        for (i, block) in tree.blocks.iter().enumerate() {
            let inner = [block.depthwise, block.project];
            if let Some(stem) = stem.take() {
                // The stem is the expansion of a first block that has none.
                if block.expand.is_none() && !block.residual {
                    x = wiring.push(&[stem, inner[0], inner[1]], x, None);
                    continue;
                }
                x = wiring.push(&[stem], x, None);
            }
            let added = block.residual.then_some(x);
            x = match block.expand {
                Some(expand) if i == tree.tap => {
                    let expanded = wiring.push(&[expand], x, None);
                    wiring.maps.push(expanded);
                    wiring.push(&inner, expanded, added)
                }
                Some(expand) => wiring.push(&[expand, inner[0], inner[1]], x, added),
                None => wiring.push(&inner, x, added),
            };
        }
        x = wiring.push(&[tree.last], x, None);
        wiring.maps.push(x);
        for extra in &tree.extras {
            x = match extra.expand {
                Some(expand) => wiring.push(&[extra.reduce, extra.spatial, expand], x, None),
                None => extra.layers().fold(x, |x, &position| wiring.push(&[position], x, None)),
            };
            wiring.maps.push(x);
        }
        for (head, map) in tree.heads.iter().zip(wiring.maps.clone()) {
            let branches = [(head.box_depthwise, head.box_predictor), (head.class_depthwise, head.class_predictor)];
            let values = branches.map(|(depthwise, predictor)| match depthwise {
                Some(depthwise) => wiring.push(&[depthwise, predictor], map, None),
                None => wiring.push(&[predictor], map, None),
            });
            wiring.predictors.push(values);
        }
        wiring
    }

    fn push(&mut self, positions: &[usize], input: usize, added: Option<usize>) -> usize {
        self.units.push(Unit { positions: positions.to_vec(), input, added });
        self.units.len()
    }
}

/// One layer, or a sum, of values `V`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerStep<V> {
    /// The layer at a position in walk order.
    Layer { position: usize, input: V },
    /// The output of a block's last layer, and the block's input.
    Sum([V; 2]),
}

/// The network layer by layer, in walk order. Value 0 is the images, value i + 1 the output of step i.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerWalk {
    pub steps: Vec<LayerStep<usize>>,
    /// The values that the heads read, in their order.
    pub maps: Vec<usize>,
    /// Values of the box and class predictors of each feature map.
    pub predictors: Vec<[usize; 2]>,
}

impl LayerWalk {
    /// The walk over any network, whatever stands at its convolutions.
    pub fn of<L>(network: &Ssd<L>) -> Self {
        let wiring = Wiring::of(&network.positions());
        let (mut steps, mut values) = (Vec::new(), vec![0]);
        for unit in &wiring.units {
            let mut at = values[unit.input];
            for &position in &unit.positions {
                steps.push(LayerStep::Layer { position, input: at });
                at = steps.len();
            }
            if let Some(added) = unit.added {
                steps.push(LayerStep::Sum([at, values[added]]));
                at = steps.len();
            }
            values.push(at);
        }
        let maps = wiring.maps.iter().map(|&v| values[v]).collect();
        Self { steps, maps, predictors: wiring.predictors.iter().map(|p| p.map(|v| values[v])).collect() }
    }

    /// Runs the steps one after the other and returns what the box and class predictors of each feature map put out. A
    /// value is let go with its last use.
    pub fn run<V: Clone>(&self, images: V, mut run: impl FnMut(LayerStep<V>) -> V) -> Vec<[V; 2]> {
        let mut uses = vec![0; self.steps.len() + 1];
        let inputs = self.steps.iter().flat_map(|step| match *step {
            LayerStep::Layer { input, .. } => vec![input],
            LayerStep::Sum(inputs) => inputs.to_vec(),
        });
        inputs.chain(self.predictors.iter().flatten().copied()).for_each(|value| uses[value] += 1);
        let mut values = vec![Some(images)];
        let mut read = |values: &mut Vec<Option<V>>, at: usize| {
            uses[at] -= 1;
            let value = if uses[at] == 0 { values[at].take() } else { values[at].clone() };
            value.expect("a value lives until its last use")
        };
        for step in &self.steps {
            let step = match *step {
                LayerStep::Layer { position, input } => LayerStep::Layer { position, input: read(&mut values, input) },
                LayerStep::Sum(inputs) => LayerStep::Sum(inputs.map(|at| read(&mut values, at))),
            };
            values.push(Some(run(step)));
        }
        self.predictors.iter().map(|p| p.map(|at| read(&mut values, at))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ssd_mobilenet_v2, ssdlite_mobilenet_v2};

    #[test]
    fn every_layer_is_walked_once_and_in_order() {
        for network in [ssdlite_mobilenet_v2(0.35, 4, true), ssd_mobilenet_v2(1.0, 4)] {
            let walk = LayerWalk::of(&network);
            let positions: Vec<usize> = walk
                .steps
                .iter()
                .filter_map(|step| if let LayerStep::Layer { position, .. } = step { Some(*position) } else { None })
                .collect();
            assert_eq!(positions, (0..network.convs().len()).collect::<Vec<_>>());
            let residuals = network.blocks.iter().filter(|b| b.residual).count();
            assert_eq!(walk.steps.len(), positions.len() + residuals);
            assert_eq!((walk.maps.len(), walk.predictors.len()), (network.heads.len(), network.heads.len()));
        }
    }

    #[test]
    fn a_walk_carries_values_of_any_kind() {
        let network = ssdlite_mobilenet_v2(0.35, 4, true);
        // The number of layers on the longest way from the image.
        let depths = LayerWalk::of(&network).run(0, |step| match step {
            LayerStep::Layer { input, .. } => input + 1,
            LayerStep::Sum([a, b]) => std::cmp::max(a, b),
        });
        // The stem, 13 blocks (the first has no expansion), the tapped expansion, and two layers of the head.
        assert_eq!(depths[0], [1 + 2 + 12 * 3 + 1 + 2; 2]);
        assert_eq!(depths[1], [1 + 2 + 16 * 3 + 1 + 2; 2]);
    }
}
