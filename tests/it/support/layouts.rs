//! Between the project's layouts and those of the files it is compared with.

use fieldtune::boxes::{Anchors, BoxCoder, CornerBox, Matcher};
use fieldtune::interchange::Imported;
use fieldtune::loss::{TargetEncoder, Targets};
use fieldtune::model::{ConvKind, ConvWeights};
use serde_json::Value;

/// A layer's weights (or their gradient) as the file has them: `[co, ci, kh, kw]`, from `[kh, kw, ci, co]`.
pub fn to_file_layout(weights: &ConvWeights, ours: &[f32]) -> Vec<f32> {
    let spec = weights.spec;
    let [kh, kw] = spec.kernel;
    let (cin, cout) = (if spec.kind == ConvKind::Depthwise { 1 } else { spec.in_channels }, spec.out_channels);
    let mut out = vec![0.0; ours.len()];
    for tap in 0..kh * kw {
        for ci in 0..cin {
            for co in 0..cout {
                out[(co * cin + ci) * kh * kw + tap] = ours[(tap * cin + ci) * cout + co];
            }
        }
    }
    out
}

/// The encoder of a network's anchors at an input size.
pub fn encoder(imported: &Imported, size: usize) -> TargetEncoder {
    let maps = imported.network.specs().map_sizes([size; 2]);
    TargetEncoder { anchors: Anchors::tf_ssd(&maps), coder: BoxCoder::default(), matcher: Matcher::default() }
}

/// Boxes and logit columns of objects given as rows of ymin, xmin, ymax, xmax, column.
pub fn objects(rows: &Value) -> (Vec<CornerBox>, Vec<u32>) {
    let rows: Vec<[f64; 5]> = serde_json::from_value(rows.clone()).expect("rows of five numbers");
    rows.iter().map(|r| (CornerBox::new(r[1], r[0], r[3], r[2]), r[4] as u32)).unzip()
}

/// The targets of each image, from a list of object lists as [`objects`] reads them.
pub fn targets(images: &Value, encoder: &TargetEncoder) -> Vec<Targets> {
    let of_image = |rows: &Value| {
        let (boxes, columns) = objects(rows);
        encoder.encode(&columns, &boxes)
    };
    images.as_array().expect("a list of images").iter().map(of_image).collect()
}
