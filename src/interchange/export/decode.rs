//! Scores and decoded boxes: the part of a graph behind the raw heads that every form with boxes has.
//!
//! [`BoxCoder::decode`] as a graph: `cx = tx/wx·w_a + cx_a`, `w = exp(tw/ww)·w_a`, and `x1, x2 = cx ∓ w/2`; y alike.
//! One operator per arithmetic step on `[N, A, 1]` columns, because every runtime has these.

use super::{BOX_ENCODINGS, CLASS_LOGITS};
use crate::boxes::{BoxCoder, CenterBox, ScoreFunction};
use crate::interchange::onnx::builder::{Builder, int};
use crate::interchange::onnx::tensor;

/// Anchors and variances along one axis of the image.
struct AnchorAxis<'a> {
    name: &'a str,
    center: Vec<f32>,
    length: Vec<f64>,
    center_variance: f64,
    length_variance: f64,
}

/// Adds `output` `[N, A, K]`, the scores of the raw class logits.
pub fn scores(graph: &mut Builder, function: ScoreFunction, output: &str) {
    match function {
        ScoreFunction::Sigmoid => graph.node("Sigmoid", output, &[CLASS_LOGITS], output.into(), vec![]),
        ScoreFunction::Softmax => graph.node("Softmax", output, &[CLASS_LOGITS], output.into(), vec![int("axis", 2)]),
    };
}

/// Adds the decoded boxes and returns the names of x1, y1, x2, y2, each `[N, A, 1]`, in fractions of the image.
pub fn corners(graph: &mut Builder, anchors: &[CenterBox], coder: &BoxCoder) -> [String; 4] {
    let columns = ["ty", "tx", "th", "tw"].map(|c| format!("decode/{c}"));
    graph.split("decode/split", 2, &[1; 4], BOX_ENCODINGS, &columns);
    let [ty, tx, th, tw] = &columns;
    let [vy, vx, vh, vw] = coder.weights.map(f64::recip);
    let axis = |name, variances: [f64; 2], side: fn(&CenterBox) -> [f64; 2]| AnchorAxis {
        name,
        center: anchors.iter().map(|a| side(a)[0] as f32).collect(),
        length: anchors.iter().map(|a| side(a)[1]).collect(),
        center_variance: variances[0],
        length_variance: variances[1],
    };
    let y = axis("y", [vy, vh], |a| [a.cy, a.h]);
    let x = axis("x", [vx, vw], |a| [a.cx, a.w]);
    let [y1, y2] = y.decode(graph, ty, th);
    let [x1, x2] = x.decode(graph, tx, tw);
    [x1, y1, x2, y2]
}

impl AnchorAxis<'_> {
    /// The names of the two ends along this axis, each `[N, A, 1]`.
    fn decode(&self, graph: &mut Builder, center: &str, length: &str) -> [String; 2] {
        let name = |part: &str| format!("decode/{}_{part}", self.name);
        let shape = [1, self.length.len(), 1];
        let scaled = |by: f64| -> Vec<f32> { self.length.iter().map(|l| (l * by) as f32).collect() };
        graph.initializer(tensor::floats(&name("step"), &shape, &scaled(self.center_variance)));
        graph.initializer(tensor::floats(&name("anchor"), &shape, &self.center));
        graph.initializer(tensor::floats(&name("half_anchor"), &shape, &scaled(0.5)));
        graph.initializer(tensor::floats(&name("variance"), &[1], &[self.length_variance as f32]));
        let mut step = |op: &str, part: &str, a: &str, b: &[&str]| {
            let inputs: Vec<&str> = std::iter::once(a).chain(b.iter().copied()).collect();
            graph.node(op, &name(part), &inputs, name(part), vec![])
        };
        let offset = step("Mul", "offset", center, &[&name("step")]);
        let middle = step("Add", "center", &offset, &[&name("anchor")]);
        let exponent = step("Mul", "exponent", length, &[&name("variance")]);
        let growth = step("Exp", "growth", &exponent, &[]);
        let half = step("Mul", "half", &growth, &[&name("half_anchor")]);
        [step("Sub", "low", &middle, &[&half]), step("Add", "high", &middle, &[&half])]
    }
}
