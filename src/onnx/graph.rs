//! A model file as a graph of nodes over named values, everything constant already evaluated.
//!
//! Exporters hide weights behind Constant, Identity, Cast, Transpose, DequantizeLinear and small arithmetic;
//! after [`Graph::read`] each of these is a plain array under the name that the convolution reads.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dimension;
use tract_onnx::pb::{GraphProto, ModelProto, ValueInfoProto, type_proto};

use super::OnnxError;
use super::array::Array;
use super::node::{Node, Op};
use super::{file, tensor};

/// An input of the graph that is no initializer.
pub(super) struct Input {
    pub name: String,
    /// `None` where the dimension is symbolic.
    pub dims: Vec<Option<usize>>,
}

/// The nodes that compute on data, in the file's order, and the constants they read.
pub(super) struct Graph {
    pub nodes: Vec<Node>,
    pub constants: HashMap<String, Constant>,
    pub inputs: Vec<Input>,
    pub outputs: Vec<String>,
    pub metadata: HashMap<String, String>,
    /// How many node inputs read each value; asking for its shape does not count.
    pub uses: HashMap<String, usize>,
}

/// A constant and the stored tensors it was computed from.
#[derive(Clone)]
pub(super) struct Constant {
    pub array: Rc<Array>,
    pub tensors: Rc<[(String, Vec<usize>)]>,
}

impl Graph {
    /// # Errors
    /// If the file is not ONNX, or a tensor in it is damaged.
    pub fn read(path: &Path) -> Result<Self, OnnxError> {
        Self::new(path, file::read(path)?)
    }

    pub fn new(path: &Path, model: ModelProto) -> Result<Self, OnnxError> {
        let metadata = model.metadata_props.into_iter().map(|entry| (entry.key, entry.value)).collect();
        let GraphProto { node, initializer, input, output, .. } = model.graph.unwrap_or_default();
        let mut fold = Fold { path, constants: HashMap::new(), quantized: HashSet::new() };
        for t in initializer {
            let name = t.name.clone();
            fold.store(name, t)?;
        }
        let inputs = input.into_iter().filter(|i| !fold.constants.contains_key(&i.name)).map(Input::parse).collect();
        let mut nodes = Vec::with_capacity(node.len());
        for node in node {
            let mut node = Node::parse(node);
            if !fold.evaluate(&mut node)? {
                nodes.push(node);
            }
        }
        let mut uses = HashMap::new();
        for name in nodes.iter().filter(|n| n.op != Op::Shape).flat_map(|n| &n.inputs) {
            *uses.entry(name.clone()).or_default() += 1;
        }
        let outputs = output.into_iter().map(|o| o.name).collect();
        Ok(Self { nodes, constants: fold.constants, inputs, outputs, metadata, uses })
    }

    /// The constant that input `i` of `node` reads.
    pub fn constant(&self, node: &Node, i: usize) -> Option<&Constant> {
        self.constants.get(node.input(i)?)
    }

    /// The values that an operator takes as attribute in old opsets and as input `i` in new ones.
    pub fn integers(&self, node: &Node, attribute: &str, i: usize) -> Option<Vec<i64>> {
        node.ints(attribute).map(<[i64]>::to_vec).or_else(|| Some(self.constant(node, i)?.array.integers()))
    }

    /// As [`Graph::integers`], for one number.
    pub fn number(&self, node: &Node, attribute: &str, i: usize) -> Option<f32> {
        node.float(attribute).or_else(|| self.constant(node, i)?.array.single())
    }
}

impl Input {
    fn parse(info: ValueInfoProto) -> Self {
        let shape = info.r#type.and_then(|t| t.value).and_then(|type_proto::Value::TensorType(t)| t.shape);
        let dims = shape.unwrap_or_default().dim.into_iter().map(|d| match d.value {
            Some(Dimension::DimValue(v)) if v > 0 => usize::try_from(v).ok(),
            _ => None,
        });
        Self { name: info.name, dims: dims.collect() }
    }
}

/// Constant folding, node by node in the file's order.
struct Fold<'a> {
    path: &'a Path,
    constants: HashMap<String, Constant>,
    /// Constants behind a QuantizeLinear: kept as they were, for the DequantizeLinear that follows.
    quantized: HashSet<String>,
}

impl Fold<'_> {
    fn store(&mut self, name: String, proto: tract_onnx::pb::TensorProto) -> Result<(), OnnxError> {
        if let Some(array) = tensor::array(self.path, &name, proto)? {
            let tensors = Rc::new([(name.clone(), array.dims.clone())]);
            self.constants.insert(name, Constant { array: Rc::new(array), tensors });
        }
        Ok(())
    }

    /// Whether the node's output is constant; it is stored then and the node is done with.
    fn evaluate(&mut self, node: &mut Node) -> Result<bool, OnnxError> {
        if node.op == Op::Constant {
            let name = node.output().to_owned();
            if let Some(tensor) = node.take_tensor("value") {
                self.store(name, tensor)?;
            } else if let Some(array) = literal(node) {
                self.constants.insert(name, Constant { array: Rc::new(array), tensors: Rc::new([]) });
            }
            return Ok(true);
        }
        let Some(inputs) = self.inputs(node) else { return Ok(false) };
        let arrays: Vec<Option<&Array>> = inputs.iter().map(|c| c.as_ref().map(|c| c.array.as_ref())).collect();
        let name = node.output().to_owned();
        let first = node.input(0).unwrap_or_default();
        let passes = match node.op {
            Op::Identity | Op::Cast | Op::Dropout | Op::Quantize => true,
            Op::Dequantize => self.quantized.contains(first),
            _ => false,
        };
        if passes {
            let Some(Some(same)) = inputs.into_iter().next() else { return Ok(false) };
            if node.op == Op::Quantize || (node.op != Op::Dequantize && self.quantized.contains(first)) {
                self.quantized.insert(name.clone());
            }
            self.constants.insert(name, same);
            return Ok(true);
        }
        let Some(array) = computed(node, &arrays) else { return Ok(false) };
        let tensors = inputs.iter().flatten().flat_map(|c| c.tensors.iter().cloned()).collect();
        self.constants.insert(name, Constant { array: Rc::new(array), tensors });
        Ok(true)
    }

    /// The node's inputs if all of them are constant; `None` inside for one left out.
    fn inputs(&self, node: &Node) -> Option<Vec<Option<Constant>>> {
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

/// The value of a Constant node that carries numbers instead of a tensor.
fn literal(node: &Node) -> Option<Array> {
    if let Some(v) = node.float("value_float") {
        return Array::new(vec![], vec![v]);
    }
    if let Some(v) = node.int("value_int") {
        return Array::new(vec![], vec![v as f32]);
    }
    if let Some(v) = node.floats("value_floats") {
        return Array::new(vec![v.len()], v.to_vec());
    }
    let v = node.ints("value_ints")?;
    Array::new(vec![v.len()], v.iter().map(|&i| i as f32).collect())
}

/// The output of a node on constants, for the operators that stand between a stored tensor and a convolution.
fn computed(node: &Node, inputs: &[Option<&Array>]) -> Option<Array> {
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
            let axes = node.ints("axes").map(<[i64]>::to_vec).or_else(|| input(1).map(Array::integers));
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
fn with_axes(x: &Array, op: &Op, axes: Option<Vec<i64>>) -> Option<Array> {
    let Some(axes) = axes else {
        let dims = x.dims.iter().copied().filter(|&d| d != 1).collect();
        return (*op == Op::Squeeze).then(|| Array::new(dims, x.data.clone())).flatten();
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
    Array::new(dims, x.data.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::{AttributeProto, NodeProto};

    fn node(op: &str, inputs: &[&str], output: &str, ints: Option<(&str, &[i64])>) -> NodeProto {
        let attribute =
            ints.map(|(name, v)| AttributeProto { name: name.into(), ints: v.into(), ..Default::default() });
        NodeProto {
            op_type: op.into(),
            input: inputs.iter().map(|&s| s.into()).collect(),
            output: vec![output.into()],
            attribute: attribute.into_iter().collect(),
            ..Default::default()
        }
    }

    #[test]
    fn constants_fold_through_what_exporters_put_around_weights() {
        let graph = GraphProto {
            initializer: vec![
                tensor::floats("q", &[2, 1], &[2.0, 4.0]),
                tensor::floats("s", &[2], &[0.5, 2.0]),
                tensor::floats("k", &[1], &[10.0]),
            ],
            node: vec![
                node("DequantizeLinear", &["q", "s"], "d", Some(("axis", &[]))),
                node("Identity", &["d"], "i", None),
                node("Unsqueeze", &["i"], "u", Some(("axes", &[-1]))),
                node("Transpose", &["u"], "t", Some(("perm", &[1, 0, 2]))),
                node("Mul", &["t", "k"], "m", None),
                node("QuantizeLinear", &["m", "s"], "mq", None),
                node("DequantizeLinear", &["mq", "s"], "md", None),
                node("Relu", &["x"], "y", None),
            ],
            ..Default::default()
        };
        let graph = Graph::new(Path::new("m.onnx"), ModelProto { graph: Some(graph), ..Default::default() }).unwrap();
        assert_eq!(graph.nodes.len(), 1, "only the data path is left");
        let m = &graph.constants["m"];
        assert_eq!((m.array.dims.clone(), m.array.data.clone()), (vec![1, 2, 1], vec![10.0, 80.0]));
        assert_eq!(graph.constants["md"].array, m.array, "a float behind a quantise pair stays as it was");
        let names: Vec<&str> = m.tensors.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["q", "s", "k"]);
    }
}
