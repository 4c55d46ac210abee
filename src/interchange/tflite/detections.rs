//! TFLite's own operator for detections: its options are a small map of their own (`options`).

use tract_tflite::tflite::Operator;

use super::options;
use crate::interchange::graph::node::{GraphNode, Op};

/// The operator's name.
pub const NAME: &str = "TFLite_Detection_PostProcess";

/// The node for `operator`. Without readable options it is an operator like any other: nothing is assumed of it.
pub fn node(operator: &Operator, inputs: &[String], output: &str) -> GraphNode {
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let options = operator.custom_options().and_then(|o| options::numbers(o.bytes())).unwrap_or_default();
    let number = |key: &str| options.get(key).filter(|n| n.is_finite()).map(|&n| n as f32);
    let weights: Option<Vec<f32>> =
        ["y_scale", "x_scale", "h_scale", "w_scale"].into_iter().map(|key| number(key).filter(|w| *w > 0.0)).collect();
    let Some(weights) = weights else { return GraphNode::new(Op::Other(NAME.into()), &inputs, output) };
    let node = GraphNode::new(Op::DetectionOutput, &inputs, output).with("weights", weights).with("order", "yx");
    match number("num_classes") {
        Some(classes) => node.with("classes", classes as i64),
        None => node,
    }
}
