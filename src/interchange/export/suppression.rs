//! Non-maximum suppression as a graph: the rows that remain, highest score first, filled up to a fixed number.
//!
//! The result is that of `eval::Detector`: boxes are clipped to the image, those without area are left out, suppression
//! runs class by class, the highest remain. One image at a time.

use crate::interchange::onnx::builder::{Builder, int, ints};
use crate::interchange::onnx::tensor;

/// Rows of the result.
pub const ROWS: usize = 100;
/// A score must be greater.
pub const SCORE_THRESHOLD: f32 = 0.01;
/// Of two boxes of a class whose IoU is greater, the lower goes.
pub const IOU_THRESHOLD: f32 = 0.5;

/// Names of what remains: `ROWS` rows, those without a detection behind the others.
pub struct RowNames {
    /// `[ROWS, 4]`: y1, x1, y2, x2 in fractions of the image; 0 where no detection is.
    pub boxes: String,
    /// `[ROWS]`; 0 where no detection is.
    pub scores: String,
    /// `[ROWS]`, float, counted from 0 without the background; -1 where no detection is.
    pub classes: String,
}

/// Adds suppression behind `scores` `[1, A, K]` and the columns x1, y1, x2, y2, `[1, A, 1]` each.
pub fn rows(
    graph: &mut Builder,
    scores: &str,
    [x1, y1, x2, y2]: &[String; 4],
    anchors: usize,
    classes: usize,
) -> RowNames {
    let joined = graph.node("Concat", "nms/corners", &[y1, x1, y2, x2], "nms/corners".into(), vec![int("axis", 2)]);
    let boxes = graph.clip("nms/boxes", &joined, [0.0, 1.0], "nms/boxes".into());
    let candidates = candidates(graph, scores, &boxes, classes);
    graph.list("nms/limit", &[ROWS as i64]);
    graph.initializer(tensor::floats("nms/iou_threshold", &[1], &[IOU_THRESHOLD]));
    graph.initializer(tensor::floats("nms/score_threshold", &[1], &[SCORE_THRESHOLD]));
    let inputs = [&boxes, candidates.as_str(), "nms/limit", "nms/iou_threshold", "nms/score_threshold"];
    let kept = graph.node("NonMaxSuppression", "nms/suppress", &inputs, "nms/kept".into(), vec![]);
    let columns = ["image", "class", "box"].map(|c| format!("nms/kept_{c}"));
    graph.split("nms/kept_columns", 1, &[1; 3], &kept, &columns);
    let flat = graph.list("nms/flat", &[-1]);
    let class = graph.node("Reshape", "nms/class", &[&columns[1], &flat], "nms/class".into(), vec![]);
    let anchor = graph.node("Reshape", "nms/anchor", &[&columns[2], &flat], "nms/anchor".into(), vec![]);

    // Candidates are class-major: class · A + anchor is a score's place.
    graph.list("nms/anchors", &[anchors as i64]);
    let row = graph.node("Mul", "nms/class_row", &[&class, "nms/anchors"], "nms/class_row".into(), vec![]);
    let place = graph.node("Add", "nms/place", &[&row, &anchor], "nms/place".into(), vec![]);
    let all = graph.node("Reshape", "nms/all_scores", &[&candidates, &flat], "nms/all_scores".into(), vec![]);
    let score =
        graph.node("Gather", "nms/kept_scores", &[&all, &place], "nms/kept_scores".into(), vec![int("axis", 0)]);
    let quads = graph.list("nms/quads", &[-1, 4]);
    let all = graph.node("Reshape", "nms/all_boxes", &[&boxes, &quads], "nms/all_boxes".into(), vec![]);
    let quad = graph.node("Gather", "nms/kept_boxes", &[&all, &anchor], "nms/kept_boxes".into(), vec![int("axis", 0)]);
    let float = vec![int("to", 1)];
    let class = graph.node("Cast", "nms/class_number", &[&class], "nms/class_number".into(), float);

    graph.initializer(tensor::floats("nms/no_score", &[ROWS], &[0.0; ROWS]));
    graph.initializer(tensor::floats("nms/no_box", &[ROWS, 4], &[0.0; 4 * ROWS]));
    graph.initializer(tensor::floats("nms/no_class", &[ROWS], &[-1.0; ROWS]));
    let mut fill = |kept: &str, none: &str, name: &str| {
        graph.node("Concat", name, &[kept, none], name.into(), vec![int("axis", 0)])
    };
    let score = fill(&score, "nms/no_score", "nms/filled_scores");
    let quad = fill(&quad, "nms/no_box", "nms/filled_boxes");
    let class = fill(&class, "nms/no_class", "nms/filled_classes");
    let best = ["nms/best_scores", "nms/best"].map(String::from);
    graph.node_of("TopK", "nms/top", &[&score, "nms/limit"], &best, vec![int("axis", 0)]);
    let [scores, best] = best;
    let mut pick =
        |from: &str, name: &str| graph.node("Gather", name, &[from, &best], name.into(), vec![int("axis", 0)]);
    let boxes = pick(&quad, "nms/best_boxes");
    let classes = pick(&class, "nms/best_classes");
    RowNames { boxes, scores, classes }
}

/// `[1, K - 1, A]`: scores without the background's, 0 for boxes without area.
fn candidates(graph: &mut Builder, scores: &str, boxes: &str, classes: usize) -> String {
    let parts = ["nms/background", "nms/foreground"].map(String::from);
    graph.split("nms/columns", 2, &[1, classes as i64 - 1], scores, &parts);
    let sides = ["y1", "x1", "y2", "x2"].map(|side| format!("nms/{side}"));
    graph.split("nms/sides", 2, &[1; 4], boxes, &sides);
    let [y1, x1, y2, x2] = &sides;
    let height = graph.node("Sub", "nms/height", &[y2, y1], "nms/height".into(), vec![]);
    let width = graph.node("Sub", "nms/width", &[x2, x1], "nms/width".into(), vec![]);
    let area = graph.node("Mul", "nms/area", &[&height, &width], "nms/area".into(), vec![]);
    graph.initializer(tensor::floats("nms/nothing", &[1], &[0.0]));
    let inside = graph.node("Greater", "nms/inside", &[&area, "nms/nothing"], "nms/inside".into(), vec![]);
    let inside = graph.node("Cast", "nms/inside_number", &[&inside], "nms/inside_number".into(), vec![int("to", 1)]);
    let kept = graph.node("Mul", "nms/scores", &[&parts[1], &inside], "nms/scores".into(), vec![]);
    let turned = "nms/candidates";
    graph.node("Transpose", turned, &[&kept], turned.into(), vec![ints("perm", &[0, 2, 1])])
}

/// `detection_boxes` `[1, ROWS, 4]` (y1, x1, y2, x2), `detection_scores` and `detection_classes` `[1, ROWS]` (classes
/// from 1), `num_detections` `[1]`, the outputs of TensorFlow's detection API.
pub const DETECTIONS: [&str; 4] = ["detection_boxes", "detection_scores", "detection_classes", "num_detections"];

pub fn detections(graph: &mut Builder, rows: &RowNames) {
    let [boxes, scores, classes, count] = DETECTIONS;
    let (list, table) = (graph.list("nms/list", &[1, -1]), graph.list("nms/table", &[1, -1, 4]));
    graph.node("Reshape", boxes, &[&rows.boxes, &table], boxes.into(), vec![]);
    graph.node("Reshape", scores, &[&rows.scores, &list], scores.into(), vec![]);
    graph.initializer(tensor::floats("nms/one", &[1], &[1.0]));
    let from_one = graph.node("Add", "nms/from_one", &[&rows.classes, "nms/one"], "nms/from_one".into(), vec![]);
    graph.node("Reshape", classes, &[&from_one, &list], classes.into(), vec![]);
    let found = graph.node("Greater", "nms/found", &[&rows.scores, "nms/nothing"], "nms/found".into(), vec![]);
    let found = graph.node("Cast", "nms/found_number", &[&found], "nms/found_number".into(), vec![int("to", 1)]);
    graph.total(count, &found);
}

/// `detection_out` `[1, 1, ROWS, 7]`: image (-1 where no detection is), class from 1, score, x1, y1, x2, y2 in fractions
/// of the image, the layout of Caffe's and OpenVINO's DetectionOutput.
pub const SSD: &str = "detection_out";

pub fn ssd(graph: &mut Builder, rows: &RowNames) {
    graph.initializer(tensor::floats("nms/one", &[1], &[1.0]));
    let image =
        graph.node("Min", "nms/image_number", &[&rows.classes, "nms/nothing"], "nms/image_number".into(), vec![]);
    let class = graph.node("Add", "nms/from_one", &[&rows.classes, "nms/one"], "nms/from_one".into(), vec![]);
    let table = columns(graph, &image, &class, &rows.scores, &rows.boxes);
    let shape = graph.list("nms/blob", &[1, 1, -1, 7]);
    let [image, class, score, x1, y1, x2, y2] = table;
    let joined = join(graph, &[&image, &class, &score, &x1, &y1, &x2, &y2], "nms/rows");
    graph.node("Reshape", SSD, &[&joined, &shape], SSD.into(), vec![]);
}

/// `detections` `[ROWS, 7]`: image, x1, y1, x2, y2 in pixels of the input, score, class from 0 (-1 where no detection
/// is), the flat layout of YOLO-NAS files. `size` is height and width.
pub const FLAT: &str = "detections";

pub fn flat(graph: &mut Builder, rows: &RowNames, [height, width]: [usize; 2]) {
    let [h, w] = [height as f32, width as f32];
    graph.initializer(tensor::floats("nms/pixels", &[4], &[h, w, h, w]));
    let boxes = graph.node("Mul", "nms/pixel_boxes", &[&rows.boxes, "nms/pixels"], "nms/pixel_boxes".into(), vec![]);
    let image =
        graph.node("Mul", "nms/image_number", &[&rows.scores, "nms/nothing"], "nms/image_number".into(), vec![]);
    let [image, class, score, x1, y1, x2, y2] = columns(graph, &image, &rows.classes, &rows.scores, &boxes);
    join(graph, &[&image, &x1, &y1, &x2, &y2, &score, &class], FLAT);
}

/// Image, class, score, x1, y1, x2, y2, each `[ROWS, 1]`.
fn columns(graph: &mut Builder, image: &str, class: &str, score: &str, boxes: &str) -> [String; 7] {
    let upright = graph.list("nms/upright", &[-1, 1]);
    let mut column = |of: &str, name: &str| graph.node("Reshape", name, &[of, &upright], name.into(), vec![]);
    let image = column(image, "nms/column_image");
    let class = column(class, "nms/column_class");
    let score = column(score, "nms/column_score");
    let sides = ["y1", "x1", "y2", "x2"].map(|side| format!("nms/column_{side}"));
    graph.split("nms/box_columns", 1, &[1; 4], boxes, &sides);
    let [y1, x1, y2, x2] = sides;
    [image, class, score, x1, y1, x2, y2]
}

fn join(graph: &mut Builder, columns: &[&str], name: &str) -> String {
    graph.node("Concat", name, columns, name.into(), vec![int("axis", 1)])
}
