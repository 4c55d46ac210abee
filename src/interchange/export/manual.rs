//! The manual of a file for a stranger: its `doc_string`, and the anchors as numbers.

use serde_json::{Value, json};

use super::suppression::{self, DETECTIONS, ROWS};
use super::{BOX_ENCODINGS, BOXES, CLASS_LOGITS, ExportOptions, Form, SCORES};
use crate::boxes::{CenterBox, ScoreFunction};

/// The metadata key of [`anchor_grid`].
pub const ANCHOR_GRID: &str = "fieldtune.anchor_grid";

/// Centres are compared to this, in fractions of the image.
const REGULAR: f64 = 1e-9;

/// The anchors as JSON: for each feature map `[rows, columns, [cy, cx], [dy, dx], [[h, w], ...]]`, where `cy, cx` is
/// the centre of the first cell and `dy, dx` the step from cell to cell. Cells go row by row, shapes are within a cell.
///
/// `maps` are rows, columns and anchors per cell; a map whose anchors are no such grid is written
/// anchor by anchor, as grids of one.
pub fn anchor_grid(anchors: &[CenterBox], maps: &[([usize; 2], usize)]) -> String {
    let mut rest = anchors;
    let mut grids = Vec::new();
    for &([rows, columns], per_cell) in maps {
        let Some((map, behind)) = rest.split_at_checked(rows * columns * per_cell) else { break };
        rest = behind;
        match regular(map, columns, per_cell) {
            Some(step) => grids.push(grid([rows, columns], step, &map[..per_cell])),
            None => grids.extend(map.chunks_exact(1).map(|anchor| grid([1, 1], [0.0; 2], anchor))),
        }
    }
    Value::from(grids).to_string()
}

fn grid([rows, columns]: [usize; 2], step: [f64; 2], cell: &[CenterBox]) -> Value {
    let first = cell.first().map_or([0.0; 2], |a| [a.cy, a.cx]);
    let shapes: Vec<[f64; 2]> = cell.iter().map(|a| [a.h, a.w]).collect();
    json!([rows, columns, first, step, shapes])
}

/// The step from cell to cell, if every anchor stands where it says.
fn regular(map: &[CenterBox], columns: usize, per_cell: usize) -> Option<[f64; 2]> {
    let first = map.first()?;
    let dy = map.get(columns * per_cell).map_or(0.0, |a| a.cy - first.cy);
    let dx = if columns > 1 { map.get(per_cell)?.cx - first.cx } else { 0.0 };
    let fits = map.iter().enumerate().all(|(i, a)| {
        let (cell, shape) = (i / per_cell, &map[i % per_cell]);
        let (cy, cx) = (first.cy + (cell / columns) as f64 * dy, first.cx + (cell % columns) as f64 * dx);
        (a.cy - cy).abs() < REGULAR && (a.cx - cx).abs() < REGULAR && (a.h, a.w) == (shape.h, shape.w)
    });
    fits.then_some([dy, dx])
}

/// Some ten lines: what goes in, what comes out, and how it is read.
pub fn text(options: &ExportOptions, scores: ScoreFunction, anchors: usize, columns: usize) -> String {
    let ([height, width], input) = (options.size.dims(), options.form.input());
    let mut lines = vec![
        format!("SSD-MobileNet-V2 detector of {} classes, written by fieldtune {}.", columns - 1, env!("CARGO_PKG_VERSION")),
        "Their names, in order, are the JSON list `fieldtune.class_names` in the metadata; the background is not among them.".into(),
    ];
    let numbers = if options.form.takes_pixels() { "pixel values 0 to 255, as they are" } else { "pixel / 127.5 - 1" };
    lines.push(format!(
        "Input `{input}` [N, 3, {height}, {width}] float32: the whole picture stretched to {width}x{height}, RGB, {numbers}."
    ));
    match options.form {
        Form::RawHeads => lines.extend(raw(options, scores, anchors, columns)),
        Form::Jetson => lines.extend([
            format!("Output `{SCORES}` [N, {anchors}, {columns}]: scores; column 0 is the background."),
            format!("Output `{BOXES}` [N, {anchors}, 4]: x1, y1, x2, y2 in fractions of the picture."),
            "Keep columns whose score exceeds your threshold, then suppress within each class at IoU 0.5.".into(),
        ]),
        Form::Detections => lines.extend([
            format!(
                "Outputs, highest score first: `{}` [1, {ROWS}, 4] y1, x1, y2, x2 in fractions of the picture,",
                DETECTIONS[0]
            ),
            format!("`{}` and `{}` [1, {ROWS}], `{}` [1].", DETECTIONS[1], DETECTIONS[2], DETECTIONS[3]),
            "Classes count from 1: class 1 is the first name. Rows behind the last detection are 0.".into(),
        ]),
        Form::Ssd => lines.extend([
            format!(
                "Output `{}` [1, 1, {ROWS}, 7], highest score first: image, class, score, x1, y1, x2, y2;",
                suppression::SSD
            ),
            "boxes in fractions of the picture; class 1 is the first name; image is -1 behind the last detection."
                .into(),
        ]),
        Form::Flat => lines.extend([
            format!(
                "Output `{}` [{ROWS}, 7], highest score first: image, x1, y1, x2, y2, score, class;",
                suppression::FLAT
            ),
            format!(
                "boxes in pixels of the {width}x{height} input; class 0 is the first name, -1 stands behind the last."
            ),
        ]),
    }
    if options.form.suppresses() {
        lines.push(
            "Scores exceed 0.01, suppression within each class was at IoU 0.5: compare scores with your threshold."
                .into(),
        );
    }
    if let Some((score, _)) = options.thresholds {
        lines.push(format!(
            "On the validation photos F1 was best at scores above {score:.2} (by class: `fieldtune.class_thresholds`)."
        ));
    }
    lines.join("\n")
}

fn raw(options: &ExportOptions, scores: ScoreFunction, anchors: usize, columns: usize) -> [String; 6] {
    let [vy, vx, vh, vw] = options.coder.weights.map(f64::recip);
    let scores = match scores {
        ScoreFunction::Sigmoid => "a sigmoid of each column gives scores",
        ScoreFunction::Softmax => "a softmax over the columns gives scores",
    };
    [
        format!("Output `{CLASS_LOGITS}` [N, {anchors}, {columns}]: {scores}; column 0 is the background."),
        format!(
            "Output `{BOX_ENCODINGS}` [N, {anchors}, 4]: ty, tx, th, tw against an anchor cy, cx, h, w. In fractions of"
        ),
        format!(
            "the picture: y = ty*{vy:.1}*h + cy, x = tx*{vx:.1}*w + cx, height = exp(th*{vh:.1})*h, width = exp(tw*{vw:.1})*w."
        ),
        "Anchors in Python: [(cy + r*dy, cx + c*dx, h, w) for R, C, (cy, cx), (dy, dx), shapes in".into(),
        format!("json.loads(metadata['{ANCHOR_GRID}']) for r in range(R) for c in range(C) for h, w in shapes]."),
        "Keep columns whose score exceeds your threshold, then suppress within each class at IoU 0.5.".into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxes::Anchors;

    /// Rows, columns, centre of the first cell, step, and the shapes on each cell.
    type Grid = (usize, usize, [f64; 2], [f64; 2], Vec<[f64; 2]>);

    fn unrolled(text: &str) -> Vec<[f64; 4]> {
        let grids: Vec<Grid> = serde_json::from_str(text).unwrap();
        let mut all = Vec::new();
        for (rows, columns, [cy, cx], [dy, dx], shapes) in grids {
            for cell in 0..rows * columns {
                let (r, c) = ((cell / columns) as f64, (cell % columns) as f64);
                all.extend(shapes.iter().map(|&[h, w]| [cy + r * dy, cx + c * dx, h, w]));
            }
        }
        all
    }

    #[test]
    fn the_grid_unrolls_to_the_anchors() {
        let sizes = [[4, 6], [2, 3], [1, 2], [1, 1]];
        let anchors = Anchors::tf_ssd(&sizes);
        let maps: Vec<_> = sizes.iter().enumerate().map(|(i, &s)| (s, anchors.anchors_per_cell(i))).collect();
        let mut centers = anchors.centers().to_vec();
        for irregular in [false, true] {
            if irregular {
                centers[7].cx += 0.01;
            }
            let all = unrolled(&anchor_grid(&centers, &maps));
            assert_eq!(all.len(), centers.len());
            for (i, ([cy, cx, h, w], a)) in all.into_iter().zip(&centers).enumerate() {
                // JSON numbers are read back to their last bit but one.
                let difference = [cy - a.cy, cx - a.cx, h - a.h, w - a.w];
                assert!(difference.iter().all(|d| d.abs() < 1e-12), "{i}: {difference:?}");
            }
        }
    }
}
