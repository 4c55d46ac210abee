//! A model file as a graph of nodes over named values, everything constant already evaluated: the one form that every
//! reader makes and that recognition works on.

pub mod array;
pub mod attribute;
pub mod draft;
pub mod node;

use std::collections::HashMap;
use std::rc::Rc;

use self::array::ConstantArray;
use self::node::GraphNode;

/// An input of the graph that is no constant.
#[derive(Clone, Debug)]
pub struct GraphInput {
    pub name: String,
    /// `None` where the dimension is left open.
    pub dims: Vec<Option<usize>>,
    /// For a file that says what the graph sees for a pixel's byte p: `factor·p + offset`.
    pub pixels: Option<[f64; 2]>,
}

/// A constant and the stored tensors it was computed from.
#[derive(Clone, Debug)]
pub struct Constant {
    pub array: Rc<ConstantArray>,
    pub tensors: Rc<[StoredTensor]>,
    /// Least and greatest number of its type in the file, where that is an integer type.
    pub range: Option<[f32; 2]>,
}

/// A tensor as the file stores it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTensor {
    pub name: String,
    /// In ONNX's order: OIHW for a weight.
    pub dims: Vec<usize>,
}

impl std::fmt::Display for StoredTensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dims: Vec<String> = self.dims.iter().map(usize::to_string).collect();
        write!(f, "{} [{}]", self.name, dims.join(", "))
    }
}

/// The statements of a file about itself beside its nodes.
#[derive(Clone, Debug, Default)]
pub struct AboutFile {
    /// The kind of file and what made it, e.g. `ONNX opset 13 by pytorch 2.1`.
    pub dialect: String,
    /// Keys and values that describe an ONNX model, and those of Fieldtune in a TFLite file.
    pub entries: HashMap<String, String>,
    /// Class names that come with the model, background included where the file lists one.
    pub labels: Option<Vec<String>>,
}

/// The nodes that compute on data, each behind those it reads, and the constants they read.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub nodes: Vec<GraphNode>,
    pub constants: HashMap<String, Constant>,
    pub inputs: Vec<GraphInput>,
    pub outputs: Vec<String>,
    pub about: AboutFile,
    /// How many node inputs read each value; asking for its shape does not count.
    pub uses: HashMap<String, usize>,
}

impl Graph {
    /// The constant that input `i` of `node` reads.
    pub fn constant(&self, node: &GraphNode, i: usize) -> Option<&Constant> {
        self.constants.get(node.input(i)?)
    }

    /// The values that an operator takes as attribute in old opsets and as input `i` in new ones.
    pub fn integers(&self, node: &GraphNode, attribute: &str, i: usize) -> Option<Vec<i64>> {
        node.ints(attribute).map(<[i64]>::to_vec).or_else(|| Some(self.constant(node, i)?.array.integers()))
    }

    /// As [`Graph::integers`], for one number.
    pub fn number(&self, node: &GraphNode, attribute: &str, i: usize) -> Option<f32> {
        node.float(attribute).or_else(|| self.constant(node, i)?.array.single())
    }
}
