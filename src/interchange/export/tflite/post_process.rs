//! `TFLite_Detection_PostProcess`: decoding and non-maximum suppression as one operator of TensorFlow Lite.

use tract_tflite::tflite::TensorType;

use super::draft::{Operator, POST_PROCESS, TfliteDraft};
use super::flexbuffer::{self, FlexValue};
use crate::boxes::{BoxCoder, CenterBox};
use crate::interchange::export::suppression::{IOU_THRESHOLD, ROWS, SCORE_THRESHOLD};

/// The file's four outputs, all float: boxes `[1, ROWS, 4]` (y1, x1, y2, x2 in fractions of the image), classes
/// `[1, ROWS]` (from 0, without the background), scores `[1, ROWS]`, highest first, and their number `[1]`.
///
/// `boxes` `[1, A, 4]` and `scores` `[1, A, K]` are values of the draft, float.
pub fn add(
    draft: &mut TfliteDraft,
    [boxes, scores]: [i32; 2],
    anchors: &[CenterBox],
    classes: usize,
    coder: &BoxCoder,
) {
    let numbers: Vec<f32> = anchors.iter().flat_map(|a| [a.cy, a.cx, a.h, a.w]).map(|v| v as f32).collect();
    let anchors = draft.floats("anchors", &[anchors.len(), 4], &numbers);
    let shapes: [&[usize]; 4] = [&[1, ROWS, 4], &[1, ROWS], &[1, ROWS], &[1]];
    let outputs: Vec<i32> = shapes
        .iter()
        .enumerate()
        .map(|(i, shape)| {
            let name = if i == 0 { POST_PROCESS.into() } else { format!("{POST_PROCESS}:{i}") };
            draft.value(&name, shape, TensorType::FLOAT32, None)
        })
        .collect();
    draft.node(Operator::PostProcess(options(classes, coder)), &[boxes, scores, anchors], &outputs);
    draft.outputs = outputs;
}

/// The operator's options. Regular suppression runs class by class, as ours does; the fast one keeps one class a box.
fn options(classes: usize, coder: &BoxCoder) -> Vec<u8> {
    let [y, x, h, w] = coder.weights.map(|w| FlexValue::Float(w as f32));
    flexbuffer::map(&[
        ("max_detections", FlexValue::Int(ROWS as i32)),
        ("max_classes_per_detection", FlexValue::Int(1)),
        ("detections_per_class", FlexValue::Int(ROWS as i32)),
        ("num_classes", FlexValue::Int(classes as i32 - 1)),
        ("use_regular_nms", FlexValue::Bool(true)),
        ("nms_score_threshold", FlexValue::Float(SCORE_THRESHOLD)),
        ("nms_iou_threshold", FlexValue::Float(IOU_THRESHOLD)),
        ("y_scale", y),
        ("x_scale", x),
        ("h_scale", h),
        ("w_scale", w),
    ])
}
