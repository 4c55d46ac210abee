//! The tail that turns raw heads into what jetson-inference reads: `scores` and decoded `boxes`.
//!
//! [`BoxCoder::decode`] as a graph: `cx = tx/wx·w_a + cx_a`, `w = exp(tw/ww)·w_a`, and `x1, x2 = cx ∓ w/2`; y alike.
//! One operator per arithmetic step on `[N, A, 1]` columns, because every runtime has these.

use super::builder::{Builder, int};
use super::export::{BOX_ENCODINGS, CLASS_LOGITS};
use super::tensor;
use crate::boxes::{BoxCoder, CenterBox};

pub(super) const SCORES: &str = "scores";
pub(super) const BOXES: &str = "boxes";

/// Anchors and variances along one axis of the image.
struct Axis<'a> {
    name: &'a str,
    center: Vec<f32>,
    length: Vec<f64>,
    center_variance: f64,
    length_variance: f64,
}

/// Adds softmax and decoding to a graph with both outputs of the raw heads.
pub(super) fn tail(graph: &mut Builder, anchors: &[CenterBox], coder: &BoxCoder) {
    graph.node("Softmax", SCORES, &[CLASS_LOGITS], SCORES.into(), vec![int("axis", 2)]);
    let columns = ["ty", "tx", "th", "tw"].map(|c| format!("decode/{c}"));
    graph.split("decode/split", BOX_ENCODINGS, &columns);
    let [ty, tx, th, tw] = &columns;
    let [vy, vx, vh, vw] = coder.weights.map(f64::recip);
    let y = Axis {
        name: "y",
        center: anchors.iter().map(|a| a.cy as f32).collect(),
        length: anchors.iter().map(|a| a.h).collect(),
        center_variance: vy,
        length_variance: vh,
    };
    let x = Axis {
        name: "x",
        center: anchors.iter().map(|a| a.cx as f32).collect(),
        length: anchors.iter().map(|a| a.w).collect(),
        center_variance: vx,
        length_variance: vw,
    };
    let [y1, y2] = y.decode(graph, ty, th);
    let [x1, x2] = x.decode(graph, tx, tw);
    graph.node("Concat", BOXES, &[&x1, &y1, &x2, &y2], BOXES.into(), vec![int("axis", 2)]);
}

impl Axis<'_> {
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
