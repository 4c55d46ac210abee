//! Anchors, box coder, matcher and NMS against the PyTorch reference.

use crate::shared::{json, shared};
use fieldtune::boxes::{Anchors, BoxCoder, CenterBox, CornerBox, Matcher, nms};
use serde_json::Value;

pub fn list(v: &Value) -> &[Value] {
    v.as_array().expect("an array")
}

pub fn numbers(v: &Value) -> Vec<f64> {
    list(v).iter().map(|n| n.as_f64().expect("a number")).collect()
}

fn index(v: &Value) -> usize {
    v.as_u64().expect("an index") as usize
}

/// From the reference's order ymin, xmin, ymax, xmax.
pub fn corner(yx: &[f64]) -> CornerBox {
    CornerBox::new(yx[1], yx[0], yx[3], yx[2])
}

pub fn ssd300() -> Anchors {
    Anchors::tf_ssd(&[19, 10, 5, 3, 2, 1].map(|n| [n, n]))
}

fn columns(c: &CenterBox) -> [f64; 4] {
    [c.cy, c.cx, c.h, c.w]
}

#[track_caller]
fn assert_close(got: f64, want: f64, tolerance: f64, what: &str) {
    assert!((got - want).abs() <= tolerance, "{what}: {got}, reference {want}");
}

#[test]
fn anchors_equal_the_reference() {
    let Some(path) = shared("reference/golden/anchors.json") else { return };
    let golden = json(&path);
    let anchors = ssd300();
    assert_eq!(anchors.len(), index(&golden["n"]));
    let offsets: Vec<usize> = list(&golden["offsets"]).iter().map(index).collect();
    assert_eq!(anchors.offsets(), offsets);
    for sample in list(&golden["samples"]) {
        let sample = numbers(sample);
        let anchor = columns(&anchors.centers()[sample[0] as usize]);
        for (got, want) in anchor.iter().zip(&sample[1..]) {
            assert_close(*got, *want, 1e-15, &format!("anchor {}", sample[0]));
        }
    }
    for (column, want) in numbers(&golden["col_sums"]).into_iter().enumerate() {
        assert_close(anchors.centers().iter().map(|c| columns(c)[column]).sum(), want, 1e-9, "column sum");
    }
    for (column, want) in numbers(&golden["col_l2"]).into_iter().enumerate() {
        let squares: f64 = anchors.centers().iter().map(|c| columns(c)[column].powi(2)).sum();
        assert_close(squares.sqrt(), want, 1e-9, "column norm");
    }
}

#[test]
fn anchors_equal_those_of_the_weight_file() {
    let Some(path) = shared("weights/ssd_anchors_300_1917.npy") else { return };
    let bytes = std::fs::read(path).expect("readable fixture");
    let anchors = ssd300();
    let values = &bytes[bytes.len() - anchors.len() * 16..];
    let values: Vec<f32> = values.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    for (anchor, row) in anchors.centers().iter().zip(values.chunks_exact(4)) {
        for (got, want) in columns(anchor).iter().zip(row) {
            assert_close(*got, f64::from(*want), 1e-6, "anchor");
        }
    }
}

#[test]
fn matching_and_targets_equal_the_reference() {
    let Some(path) = shared("reference/golden/loss_grad.json") else { return };
    let golden = json(&path);
    let (anchors, coder) = (ssd300(), BoxCoder::default());
    for (truth, matching) in list(&golden["gt"]).iter().zip(list(&golden["matching"])) {
        let objects: Vec<CornerBox> = list(truth).iter().map(|row| corner(&numbers(row))).collect();
        let assignment = Matcher::default().assign(&anchors, &objects);
        let expected = list(&matching["pos"]);
        assert_eq!(assignment.positive_count(), index(&matching["n_pos"]));
        let pairs: Vec<(usize, usize)> = expected.iter().map(|p| (index(&p["anchor"]), index(&p["gt"]))).collect();
        assert_eq!(assignment.positives().collect::<Vec<_>>(), pairs);
        for ((a, g), positive) in pairs.into_iter().zip(expected) {
            let iou = anchors.corners()[a].iou(&objects[g]);
            assert_close(iou, positive["iou"].as_f64().expect("a number"), 1e-12, "IoU");
            let target = coder.encode(&anchors.centers()[a], &objects[g]);
            for (got, want) in target.iter().zip(numbers(&positive["target"])) {
                assert_close(*got, want, 1e-12, "target");
            }
        }
    }
}

#[test]
fn decoded_boxes_equal_the_reference() {
    let Some(path) = shared("reference/golden/nms.json") else { return };
    let (anchors, coder) = (ssd300(), BoxCoder::default());
    let golden = json(&path);
    assert_eq!(list(&golden["decode"]).len(), 8);
    for case in list(&golden["decode"]) {
        let deltas: [f64; 4] = numbers(&case["enc"]).try_into().expect("four deltas");
        let got = coder.decode(&anchors.centers()[index(&case["anchor"])], deltas);
        let want = corner(&numbers(&case["box"]));
        for (got, want) in [(got.x0, want.x0), (got.y0, want.y0), (got.x1, want.x1), (got.y1, want.y1)] {
            assert_close(got, want, 1e-12, "corner");
        }
    }
}

#[test]
fn suppression_equals_the_reference() {
    let Some(path) = shared("reference/golden/nms.json") else { return };
    let golden = json(&path);
    assert_eq!(list(&golden["nms"]).len(), 7);
    for case in list(&golden["nms"]) {
        let boxes: Vec<CornerBox> = list(&case["boxes"]).iter().map(|b| corner(&numbers(b))).collect();
        let keep = nms(&boxes, &numbers(&case["scores"]), case["iou_threshold"].as_f64().expect("a number"));
        assert_eq!(keep, list(&case["keep"]).iter().map(index).collect::<Vec<_>>(), "{}", case["name"]);
    }
}
