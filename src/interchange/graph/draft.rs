//! A graph in the making: constants are computed as their nodes arrive.
//!
//! Exporters hide weights behind Constant, Identity, Cast, Transpose, DequantizeLinear and small arithmetic; in a
//! finished graph each of these is a plain array under the name that the convolution reads. The numbers that a hostile
//! file can make out of few bytes are bounded.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::array::ConstantArray;
use super::node::{GraphNode, Op};
use super::{AboutFile, Constant, Graph, GraphInput, StoredTensor};

/// Numbers that constants may be computed into, all together: twelve networks of width 1.
const MOST_COMPUTED: usize = 1 << 26;

/// Stored tensors that are remembered for one constant; a convolution's bias made of batch norm has five.
const MOST_TENSORS: usize = 16;

#[derive(Default)]
pub struct GraphDraft {
    nodes: Vec<GraphNode>,
    constants: HashMap<String, Constant>,
    /// Constants behind a QuantizeLinear: kept as they were, for the DequantizeLinear that follows.
    quantized: HashSet<String>,
    computed: usize,
}

impl GraphDraft {
    /// A tensor that the file stores under `name`, and the range of its type if that holds integers.
    pub fn store(&mut self, name: &str, array: ConstantArray, range: Option<[f32; 2]>) {
        let tensors = Rc::new([StoredTensor { name: name.into(), dims: array.dims.clone() }]);
        self.constants.insert(name.into(), Constant { array: Rc::new(array), tensors, range });
    }

    /// A number or a few that stand in a node and not in a tensor.
    pub fn literal(&mut self, name: &str, array: ConstantArray) {
        self.constants.insert(name.into(), Constant { array: Rc::new(array), tensors: Rc::new([]), range: None });
    }

    pub fn constant(&self, name: &str) -> Option<&Constant> {
        self.constants.get(name)
    }

    /// Adds a node; one that reads constants only becomes a constant where its operator is known.
    pub fn add(&mut self, node: GraphNode) {
        if !self.evaluate(&node) {
            self.nodes.push(node);
        }
    }

    pub fn finish(self, inputs: Vec<GraphInput>, outputs: Vec<String>, about: AboutFile) -> Graph {
        let mut uses = HashMap::new();
        for name in self.nodes.iter().filter(|n| n.op != Op::Shape).flat_map(|n| &n.inputs) {
            *uses.entry(name.clone()).or_default() += 1;
        }
        let inputs = inputs.into_iter().filter(|i| !self.constants.contains_key(&i.name)).collect();
        Graph { nodes: self.nodes, constants: self.constants, inputs, outputs, about, uses }
    }

    /// True if the node's output is constant; it is stored then and the node is done with.
    fn evaluate(&mut self, node: &GraphNode) -> bool {
        let Some(inputs) = self.inputs(node) else { return false };
        let arrays: Vec<Option<&ConstantArray>> = inputs.iter().map(|c| c.as_ref().map(|c| c.array.as_ref())).collect();
        let name = node.output().to_owned();
        let first = node.input(0).unwrap_or_default();
        let passes = match node.op {
            Op::Identity | Op::Cast | Op::Dropout | Op::Quantize => true,
            Op::Dequantize => self.quantized.contains(first),
            _ => false,
        };
        if passes {
            let Some(Some(same)) = inputs.into_iter().next() else { return false };
            if node.op == Op::Quantize || (node.op != Op::Dequantize && self.quantized.contains(first)) {
                self.quantized.insert(name.clone());
            }
            self.constants.insert(name, same);
            return true;
        }
        if self.computed > MOST_COMPUTED {
            return false;
        }
        let Some(array) = computed(node, &arrays) else { return false };
        self.computed += array.data.len().max(1);
        let mut tensors: Vec<StoredTensor> = Vec::new();
        for tensor in inputs.iter().flatten().flat_map(|c| c.tensors.iter()) {
            if tensors.len() < MOST_TENSORS && !tensors.contains(tensor) {
                tensors.push(tensor.clone());
            }
        }
        self.constants.insert(name, Constant { array: Rc::new(array), tensors: tensors.into(), range: None });
        true
    }

    /// The node's inputs if all of them are constant; `None` inside for one left out.
    fn inputs(&self, node: &GraphNode) -> Option<Vec<Option<Constant>>> {
        if node.inputs.is_empty() {
            return None;
        }
        let get = |i| match node.input(i) {
            None => Some(None),
            Some(name) => self.constants.get(name).cloned().map(Some),
        };
        (0..node.inputs.len()).map(get).collect()
    }
}

/// The output of a node on constants, for the operators that stand between a stored tensor and a convolution.
fn computed(node: &GraphNode, inputs: &[Option<&ConstantArray>]) -> Option<ConstantArray> {
    let input = |i: usize| inputs.get(i).copied().flatten();
    let x = input(0)?;
    match node.op {
        Op::Dequantize => x.dequantized(input(1)?, input(2), node.int("axis").unwrap_or(1)),
        Op::Transpose => {
            let reversed = || (0..x.dims.len() as i64).rev().collect();
            let perm: Vec<i64> = node.ints("perm").map_or_else(reversed, <[i64]>::to_vec);
            x.transposed(&perm.iter().map(|&p| usize::try_from(p).ok()).collect::<Option<Vec<_>>>()?)
        }
        Op::Reshape => x.clone().reshaped(&input(1)?.integers()),
        Op::Squeeze | Op::Unsqueeze => {
            let axes = node.ints("axes").map(<[i64]>::to_vec).or_else(|| input(1).map(ConstantArray::integers));
            with_axes(x, &node.op, axes)
        }
        Op::Add => x.zip(input(1)?, |a, b| a + b),
        Op::Sub => x.zip(input(1)?, |a, b| a - b),
        Op::Mul => x.zip(input(1)?, |a, b| a * b),
        Op::Div => x.zip(input(1)?, |a, b| a / b),
        Op::Neg => Some(x.map(|v| -v)),
        Op::Sqrt => Some(x.map(f32::sqrt)),
        Op::Reciprocal => Some(x.map(f32::recip)),
        _ => None,
    }
}

/// Squeeze or Unsqueeze of a constant.
fn with_axes(x: &ConstantArray, op: &Op, axes: Option<Vec<i64>>) -> Option<ConstantArray> {
    let Some(axes) = axes else {
        let dims = x.dims.iter().copied().filter(|&d| d != 1).collect();
        return (*op == Op::Squeeze).then(|| ConstantArray::new(dims, x.data.clone())).flatten();
    };
    let rank = if *op == Op::Squeeze { x.dims.len() } else { x.dims.len() + axes.len() } as i64;
    let axes = axes.iter().map(|&a| usize::try_from(if a < 0 { a + rank } else { a }).ok());
    let mut axes = axes.collect::<Option<Vec<_>>>()?;
    axes.sort_unstable();
    let mut dims = x.dims.clone();
    if *op == Op::Unsqueeze {
        for a in axes {
            (a <= dims.len()).then(|| dims.insert(a, 1))?;
        }
    } else {
        for a in axes.into_iter().rev() {
            (dims.get(a) == Some(&1)).then(|| dims.remove(a))?;
        }
    }
    ConstantArray::new(dims, x.data.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(dims: &[usize], data: &[f32]) -> ConstantArray {
        ConstantArray::new(dims.to_vec(), data.to_vec()).unwrap()
    }

    #[test]
    fn constants_fold_through_what_exporters_put_around_weights() {
        let mut draft = GraphDraft::default();
        draft.store("q", array(&[2, 1], &[2.0, 4.0]), Some([-128.0, 127.0]));
        draft.store("s", array(&[2], &[0.5, 2.0]), None);
        draft.store("k", array(&[1], &[10.0]), None);
        draft.add(GraphNode::new(Op::Dequantize, &["q", "s"], "d").with("axis", 0i64));
        draft.add(GraphNode::new(Op::Identity, &["d"], "i"));
        draft.add(GraphNode::new(Op::Unsqueeze, &["i"], "u").with("axes", [-1i64]));
        draft.add(GraphNode::new(Op::Transpose, &["u"], "t").with("perm", [1i64, 0, 2]));
        draft.add(GraphNode::new(Op::Mul, &["t", "k"], "m"));
        draft.add(GraphNode::new(Op::Quantize, &["m", "s"], "mq"));
        draft.add(GraphNode::new(Op::Dequantize, &["mq", "s"], "md"));
        draft.add(GraphNode::new(Op::Relu, &["x"], "y"));
        let graph = draft.finish(vec![], vec![], AboutFile::default());
        assert_eq!(graph.nodes.len(), 1, "only the data path is left");
        let m = &graph.constants["m"];
        assert_eq!((m.array.dims.clone(), m.array.data.clone()), (vec![1, 2, 1], vec![10.0, 80.0]));
        assert_eq!(graph.constants["md"].array, m.array, "a float behind a quantise pair stays as it was");
        let names: Vec<&str> = m.tensors.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["q", "s", "k"]);
    }

    #[test]
    fn a_constant_that_doubles_again_and_again_does_not_fill_memory() {
        let mut draft = GraphDraft::default();
        draft.store("v0", array(&[1 << 20], &vec![1.0; 1 << 20]), None);
        for i in 0..200 {
            let (before, after) = (format!("v{i}"), format!("v{}", i + 1));
            draft.add(GraphNode::new(Op::Add, &[&before, &before], &after));
        }
        assert!(draft.computed <= MOST_COMPUTED + (1 << 20));
        assert_eq!(draft.constants["v5"].tensors.len(), 1);
        assert!(draft.finish(vec![], vec![], AboutFile::default()).nodes.len() > 100);
    }
}
